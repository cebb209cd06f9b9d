//! Kernel memory of the whole machine: what sockets cost beside the memory of their processes. Both ends of a loopback
//! connection are in it, the generator's too.

use std::fs;

/// Bytes of slabs that cannot be given back (`SUnreclaim`): sockets, descriptors, epoll items.
pub fn slab_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("SUnreclaim:"));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// Bytes in the buffers of TCP sockets (`mem` of `/proc/net/sockstat`, in pages).
pub fn tcp_buffer_bytes() -> u64 {
    const PAGE: u64 = 4096;
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem").skip(1);
    words.next().and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_machine_has_kernel_memory() {
        assert!(super::slab_bytes() > 0);
        let _ = super::tcp_buffer_bytes(); // may be none
    }
}

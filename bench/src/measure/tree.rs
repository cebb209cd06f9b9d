//! A process and all its descendants.

use std::fs;

/// These processes and everything below them.
pub fn with_descendants(roots: &[u32]) -> Vec<u32> {
    let mut all: Vec<u32> = roots.to_vec();
    let mut looked_at = 0;
    while let Some(process) = all.get(looked_at) {
        all.extend(children(*process));
        looked_at += 1;
    }
    all
}

/// Of all its threads, each of which may have started some (`proc_pid_task_children(5)`).
fn children(process: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_grandchild_belongs_to_the_tree() {
        // The shell says the pid of its own child, which lives until its standard input ends.
        let mut shell = Command::new("sh")
            .args(["-c", "exec 3<&0; cat <&3 & echo $!; exec 3<&- <&-; wait"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = Vec::new();
        let stdout = shell.stdout.as_mut().unwrap();
        while !line.ends_with(b"\n") {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            line.extend(byte);
        }
        let grandchild: u32 = String::from_utf8(line).unwrap().trim().parse().unwrap();
        let tree = with_descendants(&[shell.id()]);
        assert!(tree.contains(&shell.id()) && tree.contains(&grandchild), "{grandchild} in {tree:?}");
        drop(shell.stdin.take());
        shell.wait().unwrap();
    }
}

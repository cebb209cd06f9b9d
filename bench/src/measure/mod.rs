//! What processes and the kernel spend: read from outside, so that every server is measured alike.

pub mod cpu;
pub mod kernel;
pub mod machine;
pub mod memory;
pub mod tree;

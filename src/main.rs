//! The `evenkeel` program: wiring only.

fn main() {}

//! The program `memcached-rs`. Its code is in the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(memcached_rs::main(std::env::args_os()))
}

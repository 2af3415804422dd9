//! `internal-bus`: the event broker of the inside.

use std::process::ExitCode;

use daemon::exit::run_main;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run_main("internal-bus", || internal_bus::run::main(std::env::args_os().skip(1)))
}

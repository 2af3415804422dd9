//! The command `event-gateway`.

use std::process::ExitCode;

use daemon::exit::{Failure, parse_args, run_main};
use event_gateway::Cli;

/// Gives memory back after a burst of connections, which the system's allocator does not; its background threads do
/// so without traffic.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run_main("event-gateway", || -> Result<(), Failure> { event_gateway::run(parse_args::<Cli>()?) })
}

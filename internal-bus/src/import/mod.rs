//! `internal-bus import`: copies streams of a nats-server, from its files or while it runs, into the store of a bus that
//! is not running, with their sequence numbers, headers and times.

mod arguments;
mod copy;
mod from_dir;
mod from_url;
mod remote;

use std::ffi::OsString;
use std::io::Write;

use broker::{Server, ServerConfig};
use daemon::exit::Failure;
use jetstream::JetStream;

use crate::plan::{StoreDir, StreamsPlan};
use arguments::Arguments;
use copy::Copied;
use remote::Remote;

/// Reads the arguments behind `import`, and does it.
///
/// # Errors
/// Usage (2); what can't be read there or written here (1).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let Some(arguments) = arguments::read(arguments)? else {
        return Ok(std::io::stdout().write_all(arguments::HELP.as_bytes())?);
    };
    let plan = arguments.plan()?;
    if matches!(plan.store_dir, StoreDir::Temporary { .. }) {
        return Err(Failure::usage("import: say with `store_dir` where the streams are to be kept"));
    }
    identity::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let copied = runtime.block_on(import(&arguments, plan))?;
    report(&copied)
}

async fn import(arguments: &Arguments, plan: StreamsPlan) -> Result<Vec<Copied>, Failure> {
    // Asked first: a store is not made for nothing.
    let remote = match arguments.directory() {
        Some(_) => None,
        None => Some(Remote::connect(arguments).await.map_err(Failure::runtime)?),
    };
    let (store, _) = crate::streams::open_store(&plan)?;
    // Without a listener: nobody comes in while the copy is made.
    let server = Server::new(ServerConfig::default());
    let jetstream = JetStream::start(server, store, plan.settings.clone()).map_err(Failure::runtime)?;
    let copied = match (arguments.directory(), &remote) {
        (Some(dir), _) => from_dir::streams(dir, &jetstream, arguments).await,
        (None, Some(remote)) => from_url::streams(remote, &jetstream, arguments).await,
        (None, None) => Ok(Vec::new()),
    };
    jetstream.close();
    copied.map_err(Failure::runtime)
}

fn report(copied: &[Copied]) -> Result<(), Failure> {
    let mut out = std::io::stdout();
    for stream in copied {
        writeln!(
            out,
            "{}: {} messages, sequences {} to {}, {} consumers",
            stream.name, stream.messages, stream.first, stream.last, stream.consumers
        )?;
        for note in &stream.notes {
            writeln!(out, "  {note}")?;
        }
        for lost in &stream.lost {
            writeln!(out, "  not copied: {lost}")?;
        }
    }
    writeln!(out, "{} streams copied", copied.len())?;
    match copied.iter().map(|stream| stream.lost.len()).sum::<usize>() {
        0 => Ok(()),
        lost => {
            Err(Failure::runtime(format!("{lost} times something could not be copied; it is named above")))
        }
    }
}

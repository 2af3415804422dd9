//! What the command line asks for, and carrying it out.

use std::ffi::OsString;
use std::io::Write;

use daemon::exit::Failure;
use daemon::telemetry::{init_logging, install_panic_hook, log_fatal};

use crate::flags::{self, Action, ConfigFile, ControlSignal, Flags, SignalRequest};
use crate::natsconf::{NatsConf, Notice, parse_file};

use crate::plan::{Plan, from_natsconf, from_toml};
use crate::serve::serve;
use crate::store_command;

/// The program: reads the command line and does what it says.
///
/// # Errors
/// Usage and configuration errors (exit code 2), failures while running (1).
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let mut arguments = arguments.into_iter().peekable();
    if arguments.next_if(|first| first == "import").is_some() {
        return crate::import::main(arguments);
    }
    if arguments.next_if(|first| first == "store").is_some() {
        return store_command::run(&arguments.collect::<Vec<_>>());
    }
    let flags = flags::parse(arguments).map_err(|error| Failure::usage(error.to_string()))?;
    match &flags.action {
        Action::Help => print(flags::help_text()),
        Action::Version => print(&format!("internal-bus {}\n", broker::VERSION)),
        Action::Signal(request) => signal(request),
        Action::TestConfig => {
            plan(&flags)?;
            print("the configuration is valid\n")
        }
        Action::Run => run(plan(&flags)?, &flags),
    }
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

fn signal(request: &SignalRequest) -> Result<(), Failure> {
    let name = match request.signal {
        ControlSignal::LameDuck => "ldm",
        ControlSignal::Term => "term",
        ControlSignal::Quit => "quit",
        ControlSignal::Stop => "stop",
        ControlSignal::Reload => "reload",
        ControlSignal::Reopen => "reopen",
    };
    let Some(receiver) = &request.receiver else {
        return Err(Failure::usage(format!(
            "--signal {name} needs the process: --signal {name}=PID or a pid file"
        )));
    };
    daemon::pid::run_signal_command(&format!("{name}={receiver}")).map_err(Failure::runtime)
}

/// The plan of a command line.
pub(crate) fn plan(flags: &Flags) -> Result<Plan, Failure> {
    if let Some(ConfigFile::Toml(path)) = &flags.config {
        let alone = Flags { action: flags.action.clone(), config: flags.config.clone(), ..Flags::default() };
        if *flags != alone {
            return Err(Failure::usage(
                "options of nats-server don't go with a .toml configuration: set its keys",
            ));
        }
        return Ok(from_toml(path)?);
    }
    let (conf, notices) = nats_conf(flags).map_err(Failure::usage)?;
    let mut plan = from_natsconf(&conf, flags.allow_remote_plaintext)
        .map_err(|error| Failure::usage(error.to_string()))?;
    plan.notices.extend(flags.notices.iter().cloned().chain(notices.iter().map(ToString::to_string)));
    Ok(plan)
}

/// The nats-server configuration with the command line on top, read anew each time.
pub(crate) fn nats_conf(flags: &Flags) -> Result<(NatsConf, Vec<Notice>), String> {
    let (mut conf, notices) = match &flags.config {
        Some(file) => parse_file(file.path(), flags.ignore_unsupported)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?,
        None => (NatsConf::default(), Vec::new()),
    };
    flags.apply_to(&mut conf);
    Ok((conf, notices))
}

/// Runs until a signal ends it.
///
/// # Errors
/// What can't be opened or used: certificates, ports, files.
pub fn run(plan: Plan, flags: &Flags) -> Result<(), Failure> {
    let log = init_logging(&plan.log)?;
    install_panic_hook();
    identity::install_crypto();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(plan, flags, &log.control()));
    if let Err(failure) = &outcome {
        failure.lines().iter().for_each(|line| log_fatal(line));
    }
    outcome
}

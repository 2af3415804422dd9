//! The command `certs-dev`: a development PKI in a directory.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use certs_dev::{AuthorityName, Error, LeafRequest, Made, San, Usage};
use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum, error::ErrorKind};

/// Makes the certificates of a development set-up of Gatehouse: CAs, server and client certificates.
///
/// Keys are ECDSA P-256, written with mode 0600. Existing files are replaced in one step, so processes that watch
/// them never read half a file. Not for production: the CAs' private keys lie in the same directory.
#[derive(Parser)]
#[command(name = "certs-dev", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make both CAs and every certificate the two processes and the example services need.
    ///
    /// internal-ca signs internal-bus, event-gateway (server and client, for the link) and the services billing and
    /// orders (client). frontend-ca signs frontend, the certificate external clients see.
    Init {
        /// Directory to write to; created if missing.
        #[arg(long, value_name = "DIR", default_value = "certs")]
        out: PathBuf,
        /// Replace certificates and keys that are there already.
        #[arg(long)]
        force: bool,
    },
    /// Issue one more certificate: NAME.crt and NAME.key.
    ///
    /// Without --server it is a client certificate with the names dns:NAME.internal and
    /// uri:spiffe://gatehouse.dev/NAME. With --server it has dns:NAME, localhost and the loopback addresses; with
    /// --server --client all of these. Names given with --san replace the default ones.
    Issue(Issue),
    /// Replace a certificate, or a whole CA, by a fresh one with the same names.
    ///
    /// "rotate ca" makes a new CA and issues all its certificates anew, with overlap: the CA's file then holds the
    /// new and the old one, and leaves are accepted by peers that know either. When every process has reloaded,
    /// "rotate ca --finish" drops the old one.
    Rotate {
        /// Name of a certificate, or the word ca.
        name: String,
        /// Directory made by init.
        #[arg(long, value_name = "DIR", default_value = "certs")]
        dir: PathBuf,
        /// Which CA to rotate (with NAME = ca).
        #[arg(long, value_enum, default_value = "internal")]
        ca: Ca,
        /// Drop the old CA (with NAME = ca).
        #[arg(long)]
        finish: bool,
    },
}

#[derive(Args)]
struct Issue {
    /// Name of the service; becomes the common name and the file name.
    name: String,
    /// Directory made by init.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// For the server side of TLS.
    #[arg(long)]
    server: bool,
    /// For the client side of TLS; the default.
    #[arg(long)]
    client: bool,
    /// Subject alternative name, instead of the default ones: dns:x, ip:x, uri:x or email:x. Repeatable.
    #[arg(long = "san", value_name = "KIND:VALUE")]
    sans: Vec<San>,
    /// Days the certificate is valid.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    /// The CA that signs.
    #[arg(long, value_enum, default_value = "internal")]
    ca: Ca,
}

#[derive(Clone, Copy, ValueEnum)]
enum Ca {
    Internal,
    Frontend,
}

impl From<Ca> for AuthorityName {
    fn from(ca: Ca) -> Self {
        match ca {
            Ca::Internal => Self::Internal,
            Ca::Frontend => Self::Frontend,
        }
    }
}

impl Issue {
    fn to_request(&self) -> LeafRequest {
        let (server, client) = (LeafRequest::server(&self.name), LeafRequest::client(&self.name));
        let mut request = match (self.server, self.client) {
            (true, true) => {
                let sans = [server.sans.clone(), client.sans].concat();
                server.usage(Usage::Client).with_sans(sans)
            }
            (true, false) => server,
            (false, _) => client,
        };
        if !self.sans.is_empty() {
            request.sans.clone_from(&self.sans);
        }
        request.not_after =
            std::time::SystemTime::now() + Duration::from_secs(u64::from(self.days) * 24 * 3600);
        request
    }
}

/// Bad usage, as everywhere on the command line.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match run(&cli.command) {
        Ok(lines) => print(&lines),
        Err(Failure::Usage(error)) => usage(&error),
        Err(Failure::Work(error)) => {
            // Nobody is left to hear of a broken standard error.
            drop(writeln!(io::stderr(), "certs-dev: {error}"));
            match error {
                Error::BadName(_) | Error::BadSan(_) => ExitCode::from(EXIT_USAGE),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

enum Failure {
    Usage(clap::Error),
    Work(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Work(error)
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    drop(error.print());
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(EXIT_USAGE))
}

/// Does the command; the lines say what was made and where.
fn run(command: &Command) -> Result<Vec<String>, Failure> {
    match command {
        Command::Init { out, force } => Ok(lines(&certs_dev::init(out, *force)?)),
        Command::Issue(issue) => {
            let made = certs_dev::issue_into(&issue.dir, &issue.name, issue.ca.into(), &issue.to_request())?;
            Ok(vec![made.to_string()])
        }
        Command::Rotate { name, dir, ca, finish: true } if name == "ca" => {
            let changed = certs_dev::finish_ca_rotation(dir, (*ca).into())?;
            Ok(changed.iter().map(|path| format!("{}  without the old CA", path.display())).collect())
        }
        Command::Rotate { finish: true, .. } => {
            let message = "--finish goes with \"rotate ca\" only";
            Err(Failure::Usage(Cli::command().error(ErrorKind::ArgumentConflict, message)))
        }
        Command::Rotate { name, dir, ca, .. } if name == "ca" => {
            let mut text = lines(&certs_dev::rotate_ca(dir, (*ca).into())?);
            text.push(
                "Both CAs are trusted now; when every process has reloaded: certs-dev rotate ca --finish"
                    .to_owned(),
            );
            Ok(text)
        }
        Command::Rotate { name, dir, .. } => Ok(vec![certs_dev::rotate_leaf(dir, name)?.to_string()]),
    }
}

fn lines(made: &[Made]) -> Vec<String> {
    made.iter().map(Made::to_string).collect()
}

fn print(lines: &[String]) -> ExitCode {
    let mut out = io::stdout().lock();
    match lines.iter().try_for_each(|line| writeln!(out, "{line}")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

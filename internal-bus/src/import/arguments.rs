//! What follows `internal-bus import`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use daemon::exit::Failure;

use crate::flags::{ConfigFile, Flags};
use crate::plan::StreamsPlan;

/// What `import --help` prints.
pub(super) const HELP: &str = "\
Copies streams of a nats-server into the store of a bus that is not running.

Usage: internal-bus import --from DIR|URL --config FILE [options]

      --from DIR       The store_dir of a nats-server that does not run
      --from URL       A server that runs: nats://[user:password@]host:port, or tls://…
  -c, --config FILE    Configuration of the bus that is to have the streams
      --account NAME   Account the streams are for (default: $G; from a directory: each for its own)
      --stream NAME    Copy this stream, not all; may be given more than once
      --creds FILE     Credentials file to log in with, where they are copied from
      --ca FILE        Who may have signed that server's certificate, PEM
      --cert FILE      Certificate to show, PEM
      --key FILE       Its key, PEM
";

/// The arguments, read.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    pub(super) from: String,
    pub(super) config: PathBuf,
    pub(super) account: Option<String>,
    pub(super) streams: Vec<String>,
    pub(super) creds: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// `None`: help is wanted.
///
/// # Errors
/// What is unknown or missing.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Arguments>, Failure> {
    let mut read = Arguments::default();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        let argument = argument.into_string().map_err(|_| Failure::usage("an argument is no text"))?;
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(OsString::from(value))),
            None => (argument, None),
        };
        if matches!(name.as_str(), "-h" | "--help") {
            return Ok(None);
        }
        let value = value.or_else(|| rest.next());
        let value = value.ok_or_else(|| Failure::usage(format!("option `{name}` needs a value")))?;
        let text =
            || value.clone().into_string().map_err(|_| Failure::usage(format!("option `{name}`: no text")));
        match name.as_str() {
            "--from" => read.from = text()?,
            "-c" | "--config" => read.config = value.into(),
            "--account" => read.account = Some(text()?),
            "--stream" => read.streams.push(text()?),
            "--creds" => read.creds = Some(value.into()),
            "--ca" => read.ca = Some(value.into()),
            "--cert" => read.cert = Some(value.into()),
            "--key" => read.key = Some(value.into()),
            _ => {
                return Err(Failure::usage(format!(
                    "unknown option `{name}`; see `internal-bus import --help`"
                )));
            }
        }
    }
    check(&read)?;
    Ok(Some(read))
}

fn check(read: &Arguments) -> Result<(), Failure> {
    if read.from.is_empty() || read.config.as_os_str().is_empty() {
        return Err(Failure::usage("`import` needs --from and --config; see `internal-bus import --help`"));
    }
    let login = [&read.creds, &read.ca, &read.cert, &read.key].into_iter().any(Option::is_some);
    if login && read.directory().is_some() {
        return Err(Failure::usage(
            "nobody is logged in to read a directory: --creds, --ca, --cert and --key are for URLs",
        ));
    }
    if read.cert.is_some() != read.key.is_some() {
        return Err(Failure::usage("--cert and --key go together"));
    }
    Ok(())
}

impl Arguments {
    /// The directory to copy from, where it is one.
    pub(super) fn directory(&self) -> Option<&Path> {
        (!self.from.contains("://")).then(|| Path::new(&self.from))
    }

    /// Where the streams go.
    ///
    /// # Errors
    /// The configuration can't be used, or has no streams.
    pub(super) fn plan(&self) -> Result<StreamsPlan, Failure> {
        let extension = self.config.extension();
        let toml = extension.is_some_and(|extension| extension.eq_ignore_ascii_case("toml"));
        let file =
            if toml { ConfigFile::Toml(self.config.clone()) } else { ConfigFile::Nats(self.config.clone()) };
        let flags = Flags { config: Some(file), ..Flags::default() };
        let plan = crate::run::plan(&flags)?;
        plan.streams.ok_or_else(|| {
            Failure::usage(format!("{}: streams are not switched on there", self.config.display()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(arguments: &[&str]) -> String {
        let read = read(arguments.iter().map(OsString::from));
        read.err().map(|failure| failure.lines().join("\n")).unwrap_or_default()
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        assert!(refusal(&[]).contains("needs --from and --config"));
        assert!(refusal(&["--from", "nats://a", "--frm", "x"]).contains("unknown option `--frm`"));
        assert!(refusal(&["--from"]).contains("option `--from` needs a value"));
        assert!(refusal(&["--from", "/data", "-c", "x", "--creds", "y"]).contains("to read a directory"));
        assert!(refusal(&["--from=nats://a", "-c", "x", "--cert", "y"]).contains("go together"));
        assert!(read(["--help".into()]).unwrap().is_none());
        let read = read(["--from", "nats://a", "-c", "x", "--stream", "A", "--stream=B"].map(Into::into));
        assert_eq!(read.unwrap().unwrap().streams, ["A", "B"]);
    }
}

//! What commands print: results on standard output, remarks on standard error.

use std::io::{self, IsTerminal, Write};

/// Prints a result.
pub(crate) fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Prints a remark, which scripts that read standard output do not see.
pub(crate) fn note(line: &str) -> io::Result<()> {
    writeln!(io::stderr().lock(), "{line}")
}

/// How text is set off where somebody looks at it: only on a terminal, and not where `NO_COLOR` is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    pub(crate) fn of_stdout() -> Self {
        Self { coloured: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

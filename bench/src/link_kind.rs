//! What joins the two servers of a link scenario.

use std::fmt;

use anyhow::{Result, anyhow, bail};

/// A protocol between servers, and whether certificates are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkKind {
    /// The gateway protocol; else a leafnode connection.
    pub(crate) gateway: bool,
    /// Certificates on both sides; else in clear.
    pub(crate) tls: bool,
    /// Compressed.
    pub(crate) s2: bool,
}

impl LinkKind {
    /// Reads `leaf`, `leaf-mtls`, `leaf-s2` (with certificates, too), `gateway` or `gateway-mtls`, and a positive number
    /// behind a colon.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn with_number(text: &str) -> Result<(Self, usize)> {
        let (kind, number) = text.split_once(':').unwrap_or((text, ""));
        let (gateway, tls, s2) = match kind {
            "leaf" => (false, false, false),
            "leaf-mtls" => (false, true, false),
            "leaf-s2" => (false, true, true),
            "gateway" => (true, false, false),
            "gateway-mtls" => (true, true, false),
            _ => bail!("unknown link {kind:?}: leaf, leaf-mtls, leaf-s2, gateway or gateway-mtls"),
        };
        let number = number.parse().ok().filter(|number| *number > 0);
        let number = number.ok_or_else(|| anyhow!("{text}: a positive number belongs at the end"))?;
        Ok((Self { gateway, tls, s2 }, number))
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.gateway { "gateway" } else { "leaf" })?;
        f.write_str(match (self.s2, self.tls) {
            (true, _) => "-s2",
            (false, true) => "-mtls",
            (false, false) => "",
        })
    }
}

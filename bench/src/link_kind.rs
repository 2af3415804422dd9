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
}

impl LinkKind {
    /// Reads `leaf`, `leaf-mtls`, `gateway` or `gateway-mtls`, and the payload in bytes behind a colon.
    ///
    /// # Errors
    /// Anything else.
    pub(crate) fn with_payload(text: &str) -> Result<(Self, usize)> {
        let (kind, payload) = text.split_once(':').unwrap_or((text, ""));
        let (gateway, tls) = match kind {
            "leaf" => (false, false),
            "leaf-mtls" => (false, true),
            "gateway" => (true, false),
            "gateway-mtls" => (true, true),
            _ => bail!("unknown link {kind:?}: leaf, leaf-mtls, gateway or gateway-mtls"),
        };
        let payload = payload.parse().ok().filter(|payload| *payload > 0);
        let payload = payload.ok_or_else(|| anyhow!("link:{text}: a payload in bytes belongs at the end"))?;
        Ok((Self { gateway, tls }, payload))
    }
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.gateway { "gateway" } else { "leaf" })?;
        f.write_str(if self.tls { "-mtls" } else { "" })
    }
}

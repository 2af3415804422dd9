//! What the dialling end of a link goes by: the other end's address, and how to show who we are there.

/// Where to dial, as in a URL `tls://user:password@host:port`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RemoteUrl {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Whether TLS is insisted on.
    pub tls: bool,
    /// User, or a bearer token when there is no password.
    pub user: Option<String>,
    /// Password. Secret.
    pub password: Option<String>,
    /// The name to expect in the certificate, where it is not `host`.
    pub certificate_name: Option<String>,
}

impl std::fmt::Debug for RemoteUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What CONNECT says of who we are, beyond what stands in the URL.
#[derive(Clone, Default)]
pub struct LinkProof {
    /// User name.
    pub user: Option<String>,
    /// Password. Secret.
    pub password: Option<String>,
    /// Bearer token. Secret.
    pub token: Option<String>,
    /// Public nkey.
    pub nkey: Option<String>,
    /// User JWT. Secret.
    pub jwt: Option<String>,
    /// Signature of the nonce.
    pub signature: Option<String>,
}

impl std::fmt::Debug for LinkProof {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkProof").field("nkey", &self.nkey).finish_non_exhaustive()
    }
}

/// How a dialled link shows who it is. Asked for each attempt, so that renewed credentials are used.
pub trait LinkLogin: Send + Sync {
    /// The answer to a server's nonce.
    ///
    /// # Errors
    /// What can't be used, in words for the log, without secrets.
    fn prove(&self, nonce: &str) -> Result<LinkProof, String>;
}

/// Nothing to show but certificate and URL.
impl LinkLogin for () {
    fn prove(&self, _: &str) -> Result<LinkProof, String> {
        Ok(LinkProof::default())
    }
}

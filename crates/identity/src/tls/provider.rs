//! The one place that names the cryptography: aws-lc-rs, its cipher suites and key exchanges in our order.

use std::sync::{Arc, OnceLock};

use tokio_rustls::rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use tokio_rustls::rustls::crypto::{CryptoProvider, SupportedKxGroup};
use tokio_rustls::rustls::{SupportedCipherSuite, SupportedProtocolVersion, version};

/// Cipher suites, best first; a server's order counts, not its client's.
///
/// AES-128-GCM leads because it is the fastest on processors with AES instructions (ten rounds where AES-256 has
/// fourteen), and as strong as the P-256 and X25519 exchanges it stands behind. ChaCha20 comes next for those
/// without the instructions. Everything here is authenticated encryption with forward secrecy.
const CIPHER_SUITES: [SupportedCipherSuite; 9] = [
    cipher_suite::TLS13_AES_128_GCM_SHA256,
    cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS13_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
];

/// Key exchanges, best first.
///
/// X25519 leads: one cheap operation a side and 32 bytes, so the first flight stays in one packet. The hybrid with
/// ML-KEM-768 protects recorded traffic from a future quantum computer at about 2.3 kB and twice the work per
/// handshake; it stands last, so peers that insist on it are served and a storm of reconnecting clients isn't slowed.
const KEY_EXCHANGES: [&dyn SupportedKxGroup; 4] =
    [kx_group::X25519, kx_group::SECP256R1, kx_group::SECP384R1, kx_group::X25519MLKEM768];

/// The cryptography of every TLS connection of this process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        Arc::new(CryptoProvider {
            cipher_suites: CIPHER_SUITES.to_vec(),
            kx_groups: KEY_EXCHANGES.to_vec(),
            ..aws_lc_rs::default_provider()
        })
    };
    Arc::clone(PROVIDER.get_or_init(make))
}

/// Makes [`provider`] the default for libraries that ask for the process-wide one. Call once, first thing in `main`;
/// a default that is there already stays.
pub fn install_default_provider() {
    // The error is only that somebody was first.
    drop(CryptoProvider::install_default((*provider()).clone()));
}

/// Lowest TLS version spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

impl TlsVersion {
    /// The versions from this one up.
    pub(crate) fn and_later(self) -> &'static [&'static SupportedProtocolVersion] {
        static FROM_12: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        static FROM_13: [&SupportedProtocolVersion; 1] = [&version::TLS13];
        match self {
            Self::Tls12 => &FROM_12,
            Self::Tls13 => &FROM_13,
        }
    }
}

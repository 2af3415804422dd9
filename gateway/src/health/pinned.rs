//! TLS towards this machine's own gateway: it must show one of the certificates it is configured with.
//!
//! The health check asks by address, and need not know who signed the certificates; that it reaches *this* gateway is
//! what counts.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::tls::provider;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme, sign::CertifiedKey,
};

use super::command::HealthError;

/// A client configuration that takes exactly the certificates in `files`, read now.
pub(super) fn client_config(
    files: &[PathBuf],
    show: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, HealthError> {
    let mut accepted = Vec::new();
    for file in files {
        accepted.extend(identity::pem::certificates(file)?.into_iter().next());
    }
    let provider = provider();
    let verifier = Arc::new(Pinned { accepted, provider: Arc::clone(&provider) });
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match show {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder.with_client_cert_resolver(Arc::new(
            rustls::sign::SingleCertAndKey::from(certified(cert, key, &provider)?),
        )),
    })
}

fn certified(cert: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, HealthError> {
    let chain = identity::pem::certificates(cert)?;
    let key = identity::pem::private_key(key)?.key;
    Ok(CertifiedKey::from_der(chain, key, provider)?)
}

#[derive(Debug)]
struct Pinned {
    accepted: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.accepted.contains(end_entity) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! A client certificate verifier that remembers what it has verified a moment ago.
//!
//! Services come back with the same certificate: after a restart of the server all at once. Checking the chain again
//! costs as much as a third of the handshake, and can only come to the same result as long as trust, revocation lists
//! and clock are the same. Trust and lists are fixed for the life of a verifier (a change builds a new one); the
//! clock is taken care of by forgetting after [`REMEMBERED`], and with the first certificate that ends. That the peer holds the private key is proved in every
//! handshake, remembered or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// How long a verified chain is taken as verified.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Chains remembered at a time; beyond it all are forgotten.
const KEPT: usize = 4096;

type Chain = [u8; 32];

/// When a chain was verified, and the last second it may be taken as verified, both since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Verified {
    at: u64,
    last: u64,
}

/// See the module's description.
#[derive(Debug)]
pub(super) struct Remembering {
    inner: Arc<dyn ClientCertVerifier>,
    /// The last second of a certificate's validity; what has none is not remembered.
    last_second: fn(&CertificateDer<'_>) -> Option<u64>,
    verified: Mutex<HashMap<Chain, Verified>>,
}

impl Remembering {
    pub(super) fn new(inner: Arc<dyn ClientCertVerifier>) -> Self {
        Self { inner, last_second, verified: Mutex::default() }
    }

    fn is_fresh(&self, chain: &Chain, now: u64) -> bool {
        let verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock set back makes everything old.
        verified.get(chain).is_some_and(|chain| chain.at <= now && now <= chain.last)
    }

    fn remember<'a>(
        &self,
        chain: Chain,
        now: u64,
        certificates: impl Iterator<Item = &'a CertificateDer<'a>>,
    ) {
        let mut last = now + REMEMBERED.as_secs() - 1;
        for certificate in certificates {
            let Some(end) = (self.last_second)(certificate) else { return };
            last = last.min(end);
        }
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified.len() >= KEPT {
            verified.clear();
        }
        verified.insert(chain, Verified { at: now, last });
    }
}

fn last_second(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok()
}

/// A name for a chain that no other chain has.
fn digest(end_entity: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> Chain {
    let mut context = Context::new(&SHA256);
    for certificate in std::iter::once(end_entity).chain(intermediates) {
        context.update(&(certificate.len() as u64).to_be_bytes());
        context.update(certificate);
    }
    let mut chain = Chain::default();
    chain.copy_from_slice(context.finish().as_ref());
    chain
}

/// What a CA has not signed whose name it carries is of an issuer nobody knows: a client is told that, not that
/// something could not be decrypted.
fn of_unknown_issuer(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::BadSignature) => {
            tracing::info!(
                "a client's certificate is not signed by the CA whose name it carries, or by a key too weak to count"
            );
            Error::InvalidCertificate(CertificateError::UnknownIssuer)
        }
        other => other,
    }
}

impl ClientCertVerifier for Remembering {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = digest(end_entity, intermediates);
        if self.is_fresh(&chain, now.as_secs()) {
            return Ok(ClientCertVerified::assertion());
        }
        let verified =
            self.inner.verify_client_cert(end_entity, intermediates, now).map_err(of_unknown_issuer)?;
        self.remember(chain, now.as_secs(), std::iter::once(end_entity).chain(intermediates));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio_rustls::rustls::CertificateError;

    use super::*;

    /// Counts how often it is asked, and lets in what starts with a 1.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl ClientCertVerifier for Counting {
        fn root_hint_subjects(&self) -> &[DistinguishedName] {
            &[]
        }

        fn verify_client_cert(
            &self,
            end_entity: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: UnixTime,
        ) -> Result<ClientCertVerified, Error> {
            self.0.fetch_add(1, Ordering::Relaxed);
            match end_entity.first() {
                Some(1) => Ok(ClientCertVerified::assertion()),
                _ => Err(CertificateError::UnknownIssuer.into()),
            }
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            Vec::new()
        }
    }

    fn asked_after(steps: &[(&[u8], &[u8], u64)]) -> Vec<usize> {
        let counting = Arc::new(Counting::default());
        // Certificates end with the second their last byte says, if it says one.
        let last_second: fn(&CertificateDer<'_>) -> Option<u64> = |certificate| {
            certificate.last().map(|last| if *last < 100 { u64::MAX } else { u64::from(*last) })
        };
        let remembering = Remembering { last_second, ..Remembering::new(counting.clone()) };
        let ask = |(leaf, intermediate, now): &(&[u8], &[u8], u64)| {
            let now = UnixTime::since_unix_epoch(Duration::from_secs(*now));
            let leaf = CertificateDer::from(leaf.to_vec());
            drop(remembering.verify_client_cert(&leaf, &[CertificateDer::from(intermediate.to_vec())], now));
            counting.0.load(Ordering::Relaxed)
        };
        steps.iter().map(ask).collect()
    }

    #[test]
    fn a_verified_chain_is_remembered_for_a_while() {
        assert_eq!(asked_after(&[(&[1], &[7], 100), (&[1], &[7], 129), (&[1], &[7], 130)]), [1, 1, 2]);
    }

    #[test]
    fn a_chain_is_forgotten_with_its_first_certificate_that_ends() {
        assert_eq!(
            asked_after(&[(&[1, 110], &[7], 100), (&[1, 110], &[7], 110), (&[1, 110], &[7], 111)]),
            [1, 1, 2]
        );
        assert_eq!(asked_after(&[(&[1], &[7, 105], 100), (&[1], &[7, 105], 106)]), [1, 2]);
        // One whose end is not known.
        assert_eq!(asked_after(&[(&[1], &[], 100), (&[1], &[], 100)]), [1, 2]);
    }

    #[test]
    fn another_chain_is_another_question() {
        assert_eq!(asked_after(&[(&[1], &[7], 100), (&[1, 7], &[7], 100), (&[1], &[8], 100)]), [1, 2, 3]);
    }

    #[test]
    fn a_refusal_is_never_remembered() {
        assert_eq!(asked_after(&[(&[2], &[], 100), (&[2], &[], 100)]), [1, 2]);
    }

    #[test]
    fn a_clock_set_back_forgets() {
        assert_eq!(asked_after(&[(&[1], &[7], 100), (&[1], &[7], 99)]), [1, 2]);
    }
}

//! A certificate authority: it signs leaves, other authorities, and revocation lists.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType,
    GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, RevokedCertParams, SerialNumber,
};
use time::OffsetDateTime;

use crate::inspect::{self, CertificateFacts};
use crate::leaf::BACKDATED;
use crate::{Error, Issued, LeafRequest, files};

/// How long a CA is valid unless asked otherwise.
const CA_VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);

/// A CA may sign one further CA: the cross certificate that carries peers over a rotation.
const ROOT_PATH_LENGTH: u8 = 1;

/// What a new authority shall say about itself.
#[derive(Clone, Debug)]
pub struct AuthorityOptions {
    /// Common name. Eight hex digits of its key's identifier are appended, so that the successor of a CA never
    /// bears its predecessor's name.
    pub name: String,
    /// First moment of validity.
    pub not_before: SystemTime,
    /// Last moment of validity.
    pub not_after: SystemTime,
    /// DNS subtrees the authority may sign for; empty means any.
    pub permitted_dns: Vec<String>,
}

impl AuthorityOptions {
    /// An unconstrained authority, valid from an hour ago for ten years.
    pub fn named(name: impl Into<String>) -> Self {
        let now = SystemTime::now();
        Self {
            name: name.into(),
            not_before: now - BACKDATED,
            not_after: now + CA_VALIDITY,
            permitted_dns: Vec::new(),
        }
    }

    fn to_params(&self, key: &KeyPair, path_length: u8) -> CertificateParams {
        let mut params = CertificateParams::default();
        let key_id = hex(&params.key_identifier(key));
        let short_id = key_id.get(..8).unwrap_or(&key_id);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("{} {short_id}", self.name));
        params.not_before = self.not_before.into();
        params.not_after = self.not_after.into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        if !self.permitted_dns.is_empty() {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: self.permitted_dns.iter().cloned().map(GeneralSubtree::DnsName).collect(),
                excluded_subtrees: Vec::new(),
            });
        }
        params
    }
}

/// A certificate authority with its private key.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate: self-signed, or signed by its parent.
    cert: CertificateFacts,
    /// What leaves carry after themselves, leaf's issuer first: an intermediate's own certificate, or the
    /// certificate by which the previous CA vouches for this one.
    chain: Vec<Vec<u8>>,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("subject", &self.cert.subject).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a self-signed authority.
    ///
    /// # Errors
    /// [`Error::Generate`] when no key can be made.
    pub fn new(name: &str) -> Result<Self, Error> {
        Self::with_options(&AuthorityOptions::named(name))
    }

    /// Makes a self-signed authority with chosen validity or constraints.
    ///
    /// # Errors
    /// [`Error::Generate`] when the options can't be put into a certificate.
    pub fn with_options(options: &AuthorityOptions) -> Result<Self, Error> {
        let key = new_key()?;
        let params = options.to_params(&key, ROOT_PATH_LENGTH);
        let der = params.self_signed(&key)?.der().to_vec();
        let cert = inspect::facts(&der, Path::new("(new CA)"))?;
        Ok(Self { issuer: Issuer::new(params, key), cert, chain: Vec::new() })
    }

    /// Makes an intermediate authority signed by this one. Its leaves carry its certificate in their chain.
    ///
    /// # Errors
    /// [`Error::Generate`] when the options can't be put into a certificate.
    pub fn intermediate(&self, options: &AuthorityOptions) -> Result<Self, Error> {
        let key = new_key()?;
        let params = options.to_params(&key, 0);
        let der = params.signed_by(&key, &self.issuer)?.der().to_vec();
        let cert = inspect::facts(&der, Path::new("(new intermediate CA)"))?;
        let chain = std::iter::once(der).chain(self.chain.iter().cloned()).collect();
        Ok(Self { issuer: Issuer::new(params, key), cert, chain })
    }

    /// Loads `STEM.crt` (its first certificate) and `STEM.key` from `dir`; while a rotation is under way also
    /// `STEM.cross.crt`, which its leaves then carry.
    ///
    /// # Errors
    /// [`Error::Io`] for what can't be read, [`Error::BadFile`] for what isn't a CA with its key.
    pub fn load(dir: &Path, stem: &str) -> Result<Self, Error> {
        let cert_path = dir.join(format!("{stem}.crt"));
        let key_path = dir.join(format!("{stem}.key"));
        let mut certs = inspect::read_certificates(&cert_path)?.into_iter();
        let cert = certs.next().ok_or_else(|| Error::bad_file(&cert_path, "holds no certificate"))?;
        if !cert.is_ca {
            return Err(Error::bad_file(&cert_path, "is not the certificate of a CA"));
        }
        let key_pem = fs::read_to_string(&key_path).map_err(Error::io(&key_path))?;
        let key = KeyPair::from_pem(&key_pem)
            .map_err(|_| Error::bad_file(&key_path, "holds no private key that can sign"))?;
        if key.subject_public_key_info() != cert.spki {
            let what = format!("is not the key of the first certificate in {}", cert_path.display());
            return Err(Error::bad_file(&key_path, what));
        }
        let cross_path = cross_path(dir, stem);
        let chain = if cross_path.exists() {
            inspect::read_certificates(&cross_path)?.into_iter().map(|cross| cross.der).collect()
        } else {
            Vec::new()
        };
        let issuer = Issuer::from_ca_cert_der(&cert.der.as_slice().into(), key)?;
        Ok(Self { issuer, cert, chain })
    }

    /// Writes `STEM.crt` and `STEM.key` (mode 0600) into `dir`, and takes the traces of an earlier rotation away.
    ///
    /// # Errors
    /// [`Error::Io`] when a file can't be written.
    pub fn write(&self, dir: &Path, stem: &str) -> Result<(), Error> {
        files::write_key(&dir.join(format!("{stem}.key")), &self.key_pem())?;
        files::write_cert(&dir.join(format!("{stem}.crt")), &self.cert_pem())?;
        files::remove_if_there(&cross_path(dir, stem))
    }

    /// Issues a leaf certificate with a fresh key, exactly as asked: nothing is checked against the CA's own
    /// validity or constraints, so that tests can have what a peer must refuse.
    ///
    /// # Errors
    /// [`Error::BadSan`] for a name that isn't ASCII, [`Error::Generate`] for what can't be encoded.
    pub fn issue(&self, request: &LeafRequest) -> Result<Issued, Error> {
        let key = new_key()?;
        let cert_der = request.to_params()?.signed_by(&key, &self.issuer)?.der().to_vec();
        let serial = inspect::facts(&cert_der, Path::new("(new leaf)"))?.serial;
        let mut cert_pem = inspect::to_pem(&cert_der);
        for link in &self.chain {
            cert_pem.push_str(&inspect::to_pem(link));
        }
        Ok(Issued { cert_pem, key_pem: key.serialize_pem(), cert_der, key_der: key.serialize_der(), serial })
    }

    /// Signs a revocation list over `serials` (big-endian), in PEM.
    ///
    /// # Errors
    /// [`Error::Generate`] unless `next_update` is later than `this_update`.
    pub fn crl(
        &self,
        serials: &[Vec<u8>],
        this_update: SystemTime,
        next_update: SystemTime,
    ) -> Result<String, Error> {
        let this_update = OffsetDateTime::from(this_update);
        let revoked = |serial: &Vec<u8>| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update,
            next_update: next_update.into(),
            // Seconds since 1970 grow from one list to the next, which is all a CRL number has to do.
            crl_number: SerialNumber::from(this_update.unix_timestamp().unsigned_abs()),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(params.signed_by(&self.issuer)?.pem()?)
    }

    /// A certificate by which this authority vouches for `successor`'s name and key. Peers that trust only this
    /// authority accept what the successor issues as long as leaves carry it.
    pub(crate) fn cross_sign(&self, successor: &mut Self) -> Result<(), Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, successor.cert.common_name.as_str());
        params.not_before = successor.cert.not_before.into();
        params.not_after = self.cert.not_after.into();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let cross = params.signed_by(successor.issuer.key(), &self.issuer)?;
        successor.chain = vec![cross.der().to_vec()];
        Ok(())
    }

    /// What leaves carry after themselves, in PEM; empty for a root outside a rotation.
    pub(crate) fn chain_pem(&self) -> String {
        self.chain.iter().map(|der| inspect::to_pem(der)).collect()
    }

    /// The authority's certificate in PEM.
    pub fn cert_pem(&self) -> String {
        inspect::to_pem(&self.cert.der)
    }

    /// The authority's certificate in DER.
    pub fn cert_der(&self) -> &[u8] {
        &self.cert.der
    }

    /// The authority's private key, PKCS #8 in PEM. Secret.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// The authority's distinguished name.
    pub fn subject(&self) -> &str {
        &self.cert.subject
    }

    /// Last moment of the authority's validity.
    pub fn not_after(&self) -> SystemTime {
        self.cert.not_after
    }
}

/// Where the certificate by which the previous CA vouches for the present one lies during a rotation.
pub(crate) fn cross_path(dir: &Path, stem: &str) -> std::path::PathBuf {
    dir.join(format!("{stem}.cross.crt"))
}

fn new_key() -> Result<KeyPair, Error> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

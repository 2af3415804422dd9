//! Project Wycheproof's vectors through the reading of keys and the checking of signatures that tokens go through.

use jsonwebtoken::{Algorithm, DecodingKey};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use super::keys::hash_length;
use super::public_key::{PublicKey, signed_by};
use super::testing::base64;

/// How many vectors were tried, and how many of them were good.
#[derive(Default)]
struct Tally {
    tried: usize,
    good: usize,
}

impl Tally {
    /// Puts one vector through. `key` is `None` where the key itself was refused, which only a bad vector may be.
    fn vector(
        &mut self,
        key: Option<&DecodingKey>,
        algorithm: Algorithm,
        (message, signature): (&[u8], &[u8]),
        (result, name): (TestResult, String),
    ) {
        let good = key.is_some_and(|key| signed_by(key, algorithm, message, &base64(signature)));
        self.tried += 1;
        self.good += usize::from(good);
        match result {
            TestResult::Valid => assert!(good, "{name} was refused"),
            TestResult::Invalid => assert!(!good, "{name} was accepted"),
            TestResult::Acceptable => {}
        }
    }
}

/// A set of vectors whose groups have a public key as SubjectPublicKeyInfo.
macro_rules! public {
    ($module:ident, $set:ident, $algorithm:expr, $tally:expr) => {
        let set = $module::TestSet::load($module::TestName::$set).unwrap();
        for group in &set.test_groups {
            let key = PublicKey::from_spki(&group.der).ok();
            let key = key.filter(|key| key.serves().contains(&$algorithm)).map(|key| key.decoding_key());
            for test in &group.tests {
                let name = format!("{} {} {}", stringify!($set), test.tc_id, test.comment);
                $tally.vector(key.as_ref(), $algorithm, (&test.msg, &test.sig), (test.result, name));
            }
        }
    };
}

#[test]
fn ecdsa() {
    crate::install_crypto();
    let mut tally = Tally::default();
    public!(ecdsa, EcdsaSecp256r1Sha256P1363, Algorithm::ES256, tally);
    public!(ecdsa, EcdsaSecp384r1Sha384P1363, Algorithm::ES384, tally);
    assert!(tally.tried > 400 && tally.good > 200, "{} of {}", tally.good, tally.tried);
    // The same signatures in DER, and curves nobody has configured: never.
    let mut tally = Tally::default();
    for name in [ecdsa::TestName::EcdsaSecp256r1Sha256, ecdsa::TestName::EcdsaSecp256k1Sha256P1363] {
        for group in &ecdsa::TestSet::load(name).unwrap().test_groups {
            let key = PublicKey::from_spki(&group.der).ok().map(|key| key.decoding_key());
            for test in &group.tests {
                let about = (TestResult::Invalid, format!("{name:?} {}", test.tc_id));
                tally.vector(key.as_ref(), Algorithm::ES256, (&test.msg, &test.sig), about);
            }
        }
    }
    assert!(tally.tried > 400);
}

#[test]
fn eddsa() {
    crate::install_crypto();
    let mut tally = Tally::default();
    public!(eddsa, Ed25519, Algorithm::EdDSA, tally);
    assert!(tally.tried > 100 && tally.good > 50, "{} of {}", tally.good, tally.tried);
}

#[test]
fn rsa_pkcs1() {
    crate::install_crypto();
    let mut tally = Tally::default();
    public!(rsa_pkcs1_verify, Rsa2048Sha256, Algorithm::RS256, tally);
    public!(rsa_pkcs1_verify, Rsa2048Sha384, Algorithm::RS384, tally);
    public!(rsa_pkcs1_verify, Rsa2048Sha512, Algorithm::RS512, tally);
    public!(rsa_pkcs1_verify, Rsa3072Sha256, Algorithm::RS256, tally);
    public!(rsa_pkcs1_verify, Rsa4096Sha256, Algorithm::RS256, tally);
    assert!(tally.tried > 1000 && tally.good > 20, "{} of {}", tally.good, tally.tried);
}

#[test]
fn rsa_pss() {
    crate::install_crypto();
    let mut tally = Tally::default();
    public!(rsa_pss_verify, RsaPss2048Sha256Mgf1SaltLen32, Algorithm::PS256, tally);
    public!(rsa_pss_verify, RsaPss2048Sha384Mgf1SaltLen48, Algorithm::PS384, tally);
    public!(rsa_pss_verify, RsaPss3072Sha256Mgf1SaltLen32, Algorithm::PS256, tally);
    public!(rsa_pss_verify, RsaPss4096Sha512Mgf1SaltLen64, Algorithm::PS512, tally);
    assert!(tally.tried > 300 && tally.good > 100, "{} of {}", tally.good, tally.tried);
}

#[test]
fn hmac() {
    crate::install_crypto();
    let mut tally = Tally::default();
    for (name, algorithm) in [
        (mac::TestName::HmacSha256, Algorithm::HS256),
        (mac::TestName::HmacSha384, Algorithm::HS384),
        (mac::TestName::HmacSha512, Algorithm::HS512),
    ] {
        for group in &mac::TestSet::load(name).unwrap().test_groups {
            for test in &group.tests {
                // Shorter keys are refused before they verify anything, and a tag cut short is another one.
                if test.key.len() < hash_length(algorithm) {
                    continue;
                }
                let result = match group.tag_size / 8 == hash_length(algorithm) {
                    true => test.result,
                    false => TestResult::Invalid,
                };
                let key = DecodingKey::from_secret(&test.key);
                let about = (result, format!("{name:?} {}", test.tc_id));
                tally.vector(Some(&key), algorithm, (&test.msg, &test.tag), about);
            }
        }
    }
    assert!(tally.tried > 200 && tally.good > 50, "{} of {}", tally.good, tally.tried);
}

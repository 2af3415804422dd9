//! The text of an opaque token: how it is made, taken apart and compared.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::record::RecordError;

/// What every opaque token begins with.
pub const PREFIX: &str = "gh_";

/// Characters of an id: they can be read out on a telephone.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Characters in an id: 60 bits, so that ids do not meet.
pub(super) const ID_LENGTH: usize = 12;

/// Characters of 256 bits in base64url.
const SECRET_LENGTH: usize = 43;

/// Whether a presented text is meant as an opaque token.
#[must_use]
pub fn is_opaque(token: &str) -> bool {
    token.starts_with(PREFIX)
}

/// A new token, and its id.
pub(super) fn generate() -> Result<(Zeroizing<String>, String), RecordError> {
    let mut random = Zeroizing::new([0_u8; ID_LENGTH + 32]);
    SystemRandom::new().fill(&mut *random).map_err(|_| RecordError::Random)?;
    let (id, secret) = random.split_at(ID_LENGTH);
    // 256 is a multiple of 32: every character is as likely as every other.
    let id: String = id.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect();
    let secret = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret));
    Ok((Zeroizing::new(format!("{PREFIX}{id}_{}", secret.as_str())), id))
}

/// The id in a token of the right form.
pub(super) fn id_of(token: &str) -> Option<&str> {
    let (id, secret) = token.strip_prefix(PREFIX)?.split_at_checked(ID_LENGTH)?;
    let secret = secret.strip_prefix('_')?;
    (is_id(id) && secret.len() == SECRET_LENGTH).then_some(id)
}

/// Whether a text could be an id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

/// SHA-256 of the whole token.
pub(super) fn hash(token: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    out
}

/// Whether a token has this hash, compared in constant time.
pub(super) fn matches(token: &str, kept: &[u8; 32]) -> bool {
    hash(token).ct_eq(kept).into()
}

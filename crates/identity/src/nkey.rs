//! Proving who we are to a NATS server with an nkey: seeds, `.creds` files, and the signature of a nonce.
//!
//! An nkey is an Ed25519 key in base32, with a byte that says what it is for and a CRC-16 behind it. A `.creds` file
//! holds a user JWT and the seed of the key it was issued for, each between marker lines.

use std::fmt;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// The first five bits of every seed (`S`).
const SEED: u8 = 18 << 3;
/// The kind of a user's key (`U`).
const USER: u8 = 20 << 3;

/// Why a seed or a credentials file can't be used. Never repeats what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NkeyError {
    /// Not base32, of another length, or with a wrong checksum.
    #[error("not an nkey seed (SU…)")]
    Seed,
    /// A seed of an account or a server.
    #[error("the seed is not a user's (SU…)")]
    Kind,
    /// The file lacks the user JWT or the seed.
    #[error(
        "not a credentials file: expected a user JWT and a seed, each between its -----BEGIN and ------END lines"
    )]
    Credentials,
}

/// A user's signing key.
pub struct Nkey {
    key: Ed25519KeyPair,
}

impl fmt::Debug for Nkey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nkey").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl Nkey {
    /// Reads the seed in a text: the first line that is not empty and no comment.
    ///
    /// # Errors
    /// [`NkeyError::Seed`] and [`NkeyError::Kind`].
    pub fn from_seed(text: &str) -> Result<Self, NkeyError> {
        let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with(['#', '-']));
        let raw = Zeroizing::new(decode(line.ok_or(NkeyError::Seed)?).ok_or(NkeyError::Seed)?);
        let [first, second, seed @ ..] = checked(&raw).ok_or(NkeyError::Seed)? else {
            return Err(NkeyError::Seed);
        };
        if first & 0xf8 != SEED || seed.len() != 32 {
            return Err(NkeyError::Seed);
        }
        if (first & 0x07) << 5 | (second & 0xf8) >> 3 != USER {
            return Err(NkeyError::Kind);
        }
        let key = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NkeyError::Seed)?;
        Ok(Self { key })
    }

    /// The public key, as servers list it (`U…`).
    #[must_use]
    pub fn public(&self) -> String {
        let mut raw = vec![USER];
        raw.extend_from_slice(self.key.public_key().as_ref());
        let crc = crc16(&raw);
        raw.extend_from_slice(&crc.to_le_bytes());
        encode(&raw)
    }

    /// The signature of a server's nonce, as CONNECT carries it.
    #[must_use]
    pub fn sign(&self, nonce: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(nonce.as_bytes()).as_ref())
    }
}

/// What a `.creds` file holds.
#[derive(Debug)]
pub struct UserCredentials {
    /// The user's key.
    pub key: Nkey,
    jwt: Zeroizing<String>,
}

impl UserCredentials {
    /// Reads the text of a `.creds` file.
    ///
    /// # Errors
    /// [`NkeyError`].
    pub fn parse(text: &str) -> Result<Self, NkeyError> {
        let mut blocks = blocks(text);
        let (Some(jwt), Some(seed)) = (blocks.next(), blocks.next()) else {
            return Err(NkeyError::Credentials);
        };
        Ok(Self { key: Nkey::from_seed(seed)?, jwt: Zeroizing::new(jwt.to_owned()) })
    }

    /// The user JWT. Secret for as long as it is valid.
    #[must_use]
    pub fn jwt(&self) -> &str {
        &self.jwt
    }
}

/// The first lines that follow a `-----BEGIN …` line, in order.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let mut lines = text.lines().map(str::trim);
    std::iter::from_fn(move || {
        lines.find(|line| line.starts_with("---") && line.contains("BEGIN"))?;
        lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with("---"))
    })
}

/// Base32 without padding; `None` for anything else.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut out, mut bits, mut held) = (Vec::with_capacity(text.len() * 5 / 8), 0_u32, 0_u32);
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|known| *known == byte)?;
        held = held << 5 | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            out.push(((held >> bits) & 0xff) as u8);
            held &= (1 << bits) - 1;
        }
    }
    Some(out)
}

fn encode(bytes: &[u8]) -> String {
    let (mut out, mut bits, mut held) = (String::with_capacity(bytes.len() * 8 / 5 + 1), 0_u32, 0_u32);
    let letter = |five: u32| ALPHABET.get((five & 31) as usize).map_or('A', |letter| char::from(*letter));
    for byte in bytes {
        held = held << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            out.push(letter(held >> bits));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(letter(held << (5 - bits)));
    }
    out
}

/// What stands before a correct checksum.
fn checked(raw: &[u8]) -> Option<&[u8]> {
    let (body, crc) = raw.split_last_chunk::<2>()?;
    (crc16(body) == u16::from_le_bytes(*crc)).then_some(body)
}

/// CRC-16/XMODEM, as nkeys use it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 != 0 { crc << 1 ^ 0x1021 } else { crc << 1 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED_TEXT: &str = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

    #[test]
    fn a_seed_gives_the_public_key_servers_know() {
        let key = Nkey::from_seed(SEED_TEXT).unwrap();
        assert_eq!(key.public(), "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
        assert!(!format!("{key:?}").contains(SEED_TEXT));
        assert_eq!(key.sign("nonce").len(), 86);
    }

    #[test]
    fn what_is_no_user_seed_is_refused() {
        let flipped = SEED_TEXT.replace("CSSL", "CSSM");
        for text in ["", "SU", "hello", &flipped, "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4"]
        {
            assert_eq!(Nkey::from_seed(text).unwrap_err(), NkeyError::Seed, "{text}");
        }
        // The same key as an account's.
        let mut raw = decode(SEED_TEXT).unwrap();
        raw.truncate(34);
        (raw[0], raw[1]) = (SEED, 0);
        let crc = crc16(&raw);
        raw.extend_from_slice(&crc.to_le_bytes());
        assert_eq!(Nkey::from_seed(&encode(&raw)).unwrap_err(), NkeyError::Kind);
    }

    #[test]
    fn a_credentials_file_holds_both() {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\neyJ0.eyJ1.sig\n------END NATS USER JWT------\n\nIMPORTANT\n\n-----BEGIN USER NKEY SEED-----\n{SEED_TEXT}\n------END USER NKEY SEED------\n"
        );
        let credentials = UserCredentials::parse(&text).unwrap();
        assert_eq!(credentials.jwt(), "eyJ0.eyJ1.sig");
        assert!(credentials.key.public().starts_with("UDXU"));
        assert_eq!(UserCredentials::parse(SEED_TEXT).unwrap_err(), NkeyError::Credentials);
    }
}

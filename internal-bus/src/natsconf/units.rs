//! Durations, addresses, URLs and public keys as nats-server's configuration writes them.

use std::time::Duration;

use super::secret::Secret;

/// A TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Any free port (`-1`).
    Any,
    /// This port, 1 to 65535.
    Number(u16),
}

impl Port {
    /// From the number in a configuration: -1 is any port, 0 is "not set" (`Ok(None)`).
    pub(crate) fn from_number(number: i64) -> Result<Option<Self>, String> {
        match number {
            -1 => Ok(Some(Self::Any)),
            0 => Ok(None),
            _ => match u16::try_from(number) {
                Ok(port) => Ok(Some(Self::Number(port))),
                Err(_) => Err("expected a port from 1 to 65535, or -1 for any free one".to_owned()),
            },
        }
    }
}

/// A number of nanoseconds that may be negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nanoseconds(i64);

impl Nanoseconds {
    /// The duration; `None` when negative.
    pub(super) fn positive(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_nanos)
    }
}

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads `300ms`, `1.5s`, `1h30m`, `-2s`, `0`. `None` when it is no duration or longer than 292 years.
pub(super) fn duration(text: &str) -> Option<Nanoseconds> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if unsigned == "0" {
        return Some(Nanoseconds(0));
    }
    if unsigned.is_empty() {
        return None;
    }
    let mut total = 0_i64;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at_checked(number_end)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(scaled(number, *factor)?)?;
        rest = tail;
    }
    Some(Nanoseconds(if text.starts_with('-') { total.checked_neg()? } else { total }))
}

/// `number` (digits with at most one point, at least one digit) times `factor`, rounded down.
fn scaled(number: &str, factor: u64) -> Option<i64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut sum = whole.checked_mul(factor)?;
    let mut scale = factor;
    for digit in fraction.bytes().map(|b| u64::from(b.wrapping_sub(b'0'))) {
        // A digit that stands for less than a nanosecond ends it: hours reach down to 13 places.
        if scale < 10 {
            break;
        }
        sum = sum.checked_add(scale / 10 * digit)?;
        scale /= 10;
    }
    i64::try_from(sum).ok()
}

/// Splits `host:port`; the host may be empty, and an IPv6 address stands in brackets.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<Port>), String> {
    let problem = || "expected a port or `host:port`, an IPv6 host in brackets".to_owned();
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').ok_or_else(problem)?;
            (host, rest.strip_prefix(':').ok_or_else(problem)?)
        }
        None => text.rsplit_once(':').ok_or_else(problem)?,
    };
    if !text.starts_with('[') && host.contains(':') {
        return Err(problem());
    }
    let port = port.parse::<i64>().map_err(|_| problem())?;
    Ok((host.to_owned(), Port::from_number(port)?))
}

/// Where a leafnode connection is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteUrl {
    /// The URL's scheme (`tls://`) asks for TLS even without a `tls` block.
    pub tls: bool,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// Port; 7422 when the URL names none.
    pub port: u16,
    /// User part of the URL, percent-decoded. Without a password it may be a token, so it is kept secret too.
    pub user: Option<Secret>,
    /// Password in the URL, percent-decoded.
    pub password: Option<Secret>,
}

/// The port leafnode connections are dialled at when the URL names none.
pub const DEFAULT_LEAF_PORT: u16 = 7422;

/// Reads `nats://[user[:password]@]host[:port]`, also with `tls://` and `nats-leaf://`. The messages never repeat
/// the URL: it may hold a password.
pub(super) fn remote_url(text: &str) -> Result<RemoteUrl, String> {
    let problem = || "expected a URL such as nats://host:7422".to_owned();
    let (scheme, rest) = text.trim().split_once("://").ok_or_else(problem)?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "nats" | "nats-leaf" | "leaf" => false,
        "tls" => true,
        "ws" | "wss" => return Err("leafnode connections over WebSocket are not supported".to_owned()),
        _ => return Err(problem()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (credentials, address) = match authority.rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority),
    };
    let (host, port) = if has_port(address) {
        let (host, port) = host_and_port(address).map_err(|_| problem())?;
        match port {
            Some(Port::Number(port)) => (host, port),
            _ => return Err("the URL needs a port from 1 to 65535".to_owned()),
        }
    } else {
        (address.trim_start_matches('[').trim_end_matches([']', ':']).to_owned(), DEFAULT_LEAF_PORT)
    };
    if host.is_empty() || host.contains(char::is_whitespace) {
        return Err(problem());
    }
    let (user, password) = match credentials.map(|text| text.split_once(':').unwrap_or((text, ""))) {
        Some((user, password)) => (decoded(user)?, decoded(password)?),
        None => (None, None),
    };
    Ok(RemoteUrl { tls, host, port, user, password })
}

/// Whether an address ends in `:digits`, the colons inside an IPv6 address aside.
fn has_port(address: &str) -> bool {
    let after_host = address.rsplit(']').next().unwrap_or_default();
    after_host.contains(':') && !after_host.ends_with(':')
}

/// Percent-decoding; `None` for nothing.
fn decoded(text: &str) -> Result<Option<Secret>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let problem = || "the user or password in the URL is not valid percent-encoding".to_owned();
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(problem)?;
        bytes.push(byte);
        bytes.extend_from_slice(piece.get(2..).unwrap_or_default().as_bytes());
    }
    String::from_utf8(bytes).map(|text| Some(Secret::new(text))).map_err(|_| problem())
}

/// The kind of public key an nkey is, told by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NkeyKind {
    /// Starts with `A`.
    Account = 0,
    /// Starts with `O`.
    Operator = 14 << 3,
    /// Starts with `U`.
    User = 20 << 3,
}

/// Whether `text` is a public nkey of that kind: base32 of kind, 32 key bytes and a CRC-16 over both.
pub(super) fn is_public_nkey(text: &str, kind: NkeyKind) -> bool {
    const TEXT_LENGTH: usize = 56;
    if text.len() != TEXT_LENGTH {
        return false;
    }
    let mut bytes = Vec::with_capacity(35);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'2'..=b'7' => c - b'2' + 26,
            _ => return false,
        };
        buffer = (buffer << 5 | u32::from(value)) & 0xFFFF;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits & 0xFF) as u8);
        }
    }
    let Some((data, check)) = bytes.split_last_chunk::<2>() else { return false };
    data.first() == Some(&(kind as u8)) && crc16(data) == u16::from_le_bytes(*check)
}

/// CRC-16/XMODEM: polynomial 0x1021, starting from 0.
fn crc16(data: &[u8]) -> u16 {
    data.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(*byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let ns = |text| duration(text).map(|n| n.0);
        let table = [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("2s", Some(2_000_000_000)),
            ("1.5s", Some(1_500_000_000)),
            (".5s", Some(500_000_000)),
            ("1h30m", Some(5_400_000_000_000)),
            ("300ms", Some(300_000_000)),
            ("7us", Some(7_000)),
            ("7µs", Some(7_000)),
            ("-2s", Some(-2_000_000_000)),
            ("+2s", Some(2_000_000_000)),
            ("1.0000000001s", Some(1_000_000_000)),
            ("", None),
            ("-", None),
            ("2", None),
            ("s", None),
            (".s", None),
            ("1..5s", None),
            ("1.2.3s", None),
            ("2 s", None),
            ("2d", None),
            ("9999999999h", None),
            ("99999999999999999999s", None),
        ];
        for (text, expected) in table {
            assert_eq!(ns(text), expected, "{text:?}");
        }
    }

    #[test]
    fn addresses() {
        let table = [
            ("localhost:4222", Ok(("localhost", Some(Port::Number(4222))))),
            ("[::1]:4222", Ok(("::1", Some(Port::Number(4222))))),
            (":4222", Ok(("", Some(Port::Number(4222))))),
            ("127.0.0.1:-1", Ok(("127.0.0.1", Some(Port::Any)))),
            ("127.0.0.1:0", Ok(("127.0.0.1", None))),
            ("localhost", Err(())),
            ("::1:4222", Err(())),
            ("[::1]", Err(())),
            ("[::1", Err(())),
            ("h:x", Err(())),
            ("h:65536", Err(())),
            ("h:-2", Err(())),
        ];
        for (text, expected) in table {
            let read = host_and_port(text).map_err(|_| ());
            assert_eq!(read, expected.map(|(host, port): (&str, _)| (host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn urls() {
        let url = remote_url("nats://h").unwrap();
        assert_eq!((url.tls, url.host.as_str(), url.port, url.user), (false, "h", 7422, None));
        let url = remote_url("tls://us%40er:p:w@[::1]:1/path").unwrap();
        assert_eq!((url.tls, url.host.as_str(), url.port), (true, "::1", 1));
        assert_eq!(url.user.unwrap().expose(), "us@er");
        assert_eq!(url.password.unwrap().expose(), "p:w");
        assert_eq!(remote_url("nats://[::1]").unwrap().host, "::1");
        for bad in ["h:7422", "nats://", "http://h", "ws://h", "nats://h:x", "nats://h:0", "nats://u%zz@h"] {
            assert!(remote_url(bad).is_err(), "{bad}");
        }
        let error = remote_url("nats://user:hunter2@h:x").unwrap_err();
        assert!(!error.contains("hunter2"));
    }

    #[test]
    fn public_nkeys_are_checked_by_kind_and_checksum() {
        let user = "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4";
        assert!(is_public_nkey(user, NkeyKind::User));
        assert!(!is_public_nkey(user, NkeyKind::Account));
        assert!(!is_public_nkey(&user.replace('4', "5"), NkeyKind::User));
        assert!(!is_public_nkey("U", NkeyKind::User));
        assert!(!is_public_nkey(&user.to_lowercase(), NkeyKind::User));
    }
}

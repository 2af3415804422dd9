//! How long a single message lives: the header `Nats-TTL`.

use crate::errors::{ApiError, MESSAGE_TTL_INVALID};

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ttl {
    /// So many seconds; at least 1.
    Seconds(u64),
    /// For ever, whatever the stream's `max_age`.
    Never,
}

/// Reads the header: seconds, a Go duration of at least a second, or `never`.
///
/// # Errors
/// [`MESSAGE_TTL_INVALID`].
pub(crate) fn parse(text: &[u8]) -> Result<Option<Ttl>, ApiError> {
    let invalid = || MESSAGE_TTL_INVALID.err();
    let text = std::str::from_utf8(text).map_err(|_| invalid())?;
    if text.is_empty() {
        return Ok(None);
    }
    if text.eq_ignore_ascii_case("never") {
        return Ok(Some(Ttl::Never));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = text.parse().ok().filter(|seconds| *seconds > 0).ok_or_else(invalid)?;
        return Ok(Some(Ttl::Seconds(seconds)));
    }
    let nanos = crate::duration::parse_go(text).ok_or_else(invalid)?;
    let seconds = u64::try_from(nanos / 1_000_000_000).map_err(|_| invalid())?;
    if seconds == 0 { Err(invalid()) } else { Ok(Some(Ttl::Seconds(seconds))) }
}

/// When a message that was stored at `time` goes, by its own headers; both in nanoseconds since 1970.
pub(crate) fn expires(headers: &[u8], time: u64) -> Option<u64> {
    let text = super::headers::get(headers, b"Nats-TTL")?;
    let Ok(Some(Ttl::Seconds(seconds))) = parse(text) else { return None };
    Some(time.saturating_add(seconds.saturating_mul(1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_message_says_when_it_goes() {
        let expires = |headers: &[u8]| expires(headers, 7);
        assert_eq!(expires(b"NATS/1.0\r\nNats-TTL: 2\r\n\r\n"), Some(2_000_000_007));
        assert_eq!(expires(b"NATS/1.0\r\nNats-TTL: never\r\n\r\n"), None);
        assert_eq!(expires(b""), None);
    }

    #[test]
    fn as_nats_server_reads_it() {
        for (text, ttl) in [
            ("5", Some(Ttl::Seconds(5))),
            ("1h", Some(Ttl::Seconds(3600))),
            ("1500ms", Some(Ttl::Seconds(1))),
            ("never", Some(Ttl::Never)),
            ("NEVER", Some(Ttl::Never)),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(ttl), "{text}");
        }
        for text in ["0", "-1", "500ms", "x", "1.5", "-1h", "99999999999999999999"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}

//! Verified provenance: who a message comes from, said by the gateway and not by the message.
//!
//! Headers of these names are taken out of everything clients from outside send, in any spelling; where a route says
//! so, the gateway adds its own when the message crosses the link. What a service behind it reads is then true:
//!
//! - `Gateway-Subject`, `Gateway-Issuer`: the verified subject and who vouches for it;
//! - `Gateway-Connection`: the gateway's name, `/`, the number of the connection;
//! - `Gateway-Auth-Time`: when it was verified, in seconds since the Unix epoch.

use identity::Provenance;
use wire::headers::{self, HeaderError};

use crate::conn::Conn;

/// Names only a gateway writes.
const OURS: [&[u8]; 4] = [b"Gateway-Subject", b"Gateway-Issuer", b"Gateway-Connection", b"Gateway-Auth-Time"];
/// Names servers trust in what comes over a link: who asks, and where a trace of the message is to be published.
const RESERVED: [&[u8]; 1] = [b"Nats-Request-Info"];
const TRACE: &[u8] = b"Nats-Trace-";

fn is_reserved(name: &[u8]) -> bool {
    OURS.iter().chain(&RESERVED).any(|reserved| name.eq_ignore_ascii_case(reserved))
        || name.get(..TRACE.len()).is_some_and(|start| start.eq_ignore_ascii_case(TRACE))
}

/// The header block without what clients may not say; `None` when there is nothing of it.
///
/// # Errors
/// The block can't be read without doubt: somebody else might read such a header in it.
pub(crate) fn strip(block: &[u8]) -> Result<Option<Vec<u8>>, HeaderError> {
    if block.is_empty() {
        // nats.js says HPUB with 0 bytes of headers where it has none.
        return Ok(None);
    }
    let headers = headers::parse(block)?;
    if !headers.iter().any(|(name, _)| is_reserved(name)) {
        return Ok(None);
    }
    headers.rewrite(|name| !is_reserved(name), &[]).map(Some)
}

/// The lines for what `origin` sends, empty when nobody vouches for it.
pub(crate) fn lines(origin: &Conn, out: &mut Vec<u8>) {
    let grant = origin.grant();
    let Some(Provenance { subject, issuer, auth_time }) = &grant.provenance else { return };
    let connection = format!("{}/{}", origin.account.server_name(), origin.id);
    let values = [subject.as_ref(), issuer.as_ref(), &connection, &auth_time.to_string()];
    for (name, value) in OURS.iter().zip(values) {
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        put_value(out, value);
        out.extend_from_slice(b"\r\n");
    }
}

/// A value in visible ASCII; everything else, and `%` itself, as `%XX`.
fn put_value(out: &mut Vec<u8>, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' {
            out.push(byte);
        } else {
            out.extend([b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}

/// Sizes and payload of a message with `lines` added to its headers: `header total CRLF headers body CRLF`.
pub(crate) fn put_stamped(out: &mut Vec<u8>, lines: &[u8], payload: &[u8], header_len: Option<usize>) {
    let (block, body) = match header_len {
        // Without the empty line that ends the block.
        Some(len) if len >= 2 && len <= payload.len() => (&payload[..len - 2], &payload[len..]),
        _ => (&b"NATS/1.0\r\n"[..], payload),
    };
    let headers = block.len() + lines.len() + 2;
    wire::encode::decimal(out, headers as u64);
    out.push(b' ');
    wire::encode::decimal(out, (headers + body.len()) as u64);
    for part in [&b"\r\n"[..], block, lines, b"\r\n", body, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// What `lines` add to a message at most.
pub(crate) fn weight(lines: &[u8]) -> usize {
    lines.len() + b"NATS/1.0\r\n\r\n".len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reserved_headers_go_in_any_spelling_and_others_stay_as_they_are() {
        let block = b"NATS/1.0\r\nA: 1\r\ngateway-subject: x\r\nGATEWAY-Issuer:y\r\nnats-request-info: {}\r\nNATS-trace-Dest: a.b\r\nB:2\r\n\r\n";
        assert_eq!(strip(block).unwrap().unwrap(), b"NATS/1.0\r\nA: 1\r\nB:2\r\n\r\n");
        assert_eq!(strip(b""), Ok(None), "headers of no bytes are no headers");
        assert_eq!(strip(b"NATS/1.0\r\nA: 1\r\nGateway-Other: 1\r\n\r\n"), Ok(None));
        for odd in [
            &b"NATS/1.0\r\nA: 1\nGateway-Subject: x\r\n\r\n"[..],
            b"NATS/1.0\r\nGateway-Subject : x\r\n\r\n",
            b"NATS/1.0\r\n Gateway-Subject: x\r\n\r\n",
            b"NATS/1.0\r\nA: 1\r\n\r\nGateway-Subject: x\r\n\r\n",
            b"NATS/1.0\r\nA: 1\rGateway-Subject: x\r\n\r\n",
        ] {
            assert!(strip(odd).is_err(), "{}", String::from_utf8_lossy(odd));
        }
    }

    #[test]
    fn stamped_with_and_without_headers() {
        let mut out = Vec::new();
        put_stamped(&mut out, b"X: y\r\n", b"body", None);
        assert_eq!(out, b"18 22\r\nNATS/1.0\r\nX: y\r\n\r\nbody\r\n");
        out.clear();
        put_stamped(&mut out, b"X: y\r\n", b"NATS/1.0\r\nA: 1\r\n\r\nbody", Some(18));
        assert_eq!(out, b"24 28\r\nNATS/1.0\r\nA: 1\r\nX: y\r\n\r\nbody\r\n");
    }

    proptest! {
        /// Whatever a client writes, no reader finds a reserved name in what is left, and the rest is left.
        #[test]
        fn nothing_reserved_gets_through(
            lines in proptest::collection::vec(("[A-Za-z-]{1,12}|[Gg]ateway-[Ss]ubject|GATEWAY-ISSUER", "[ -~]{0,12}"), 0..8),
        ) {
            let text: String = lines.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let block = format!("NATS/1.0\r\n{text}\r\n");
            let left = strip(block.as_bytes()).unwrap().unwrap_or(block.into_bytes());
            let left = String::from_utf8(left).unwrap().to_lowercase();
            prop_assert!(!left.contains("\ngateway-subject:") && !left.contains("\ngateway-issuer:"));
            let kept = lines.iter().filter(|(name, _)| !is_reserved(name.as_bytes())).count();
            prop_assert_eq!(left.matches("\r\n").count(), kept + 2);
        }

        #[test]
        fn values_are_one_line_of_visible_characters(value in "\\PC*|[\r\n\t ]*") {
            let mut out = Vec::new();
            put_value(&mut out, &value);
            prop_assert!(out.iter().all(u8::is_ascii_graphic));
        }
    }
}

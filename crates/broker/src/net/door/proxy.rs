//! PROXY protocol, version 2: a proxy says before everything else whom it stands for.
//!
//! Read only from connections of configured proxies, which must begin with it. What is not understood closes the
//! connection: an address taken from somebody's payload would be worse than none.

use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;
use tokio::time::Instant;

use super::super::greeting::{Refused, lost};
use crate::conn::CloseReason;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, command, family, length.
const FIXED: usize = 16;
/// The longest header read: addresses, and a few fields that are skipped.
const LONGEST: usize = 536;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// So many bytes are needed in all.
    Incomplete(usize),
    /// So many bytes long; the client's address, unless the proxy speaks for itself.
    Complete(usize, Option<SocketAddr>),
}

/// Reads the header at the start of `bytes`; `None` when there is none, or one that is not understood.
pub(crate) fn parse(bytes: &[u8]) -> Option<Parsed> {
    let known = bytes.len().min(SIGNATURE.len());
    if bytes[..known] != SIGNATURE[..known] {
        return None;
    }
    let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Some(Parsed::Incomplete(FIXED)) };
    let (version, command) = (fixed[12] >> 4, fixed[12] & 0xf);
    let length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version != 2 || command > 1 || FIXED + length > LONGEST {
        return None;
    }
    let Some(rest) = bytes.get(FIXED..FIXED + length) else {
        return Some(Parsed::Incomplete(FIXED + length));
    };
    let address = match (command, fixed[13]) {
        // The proxy itself, such as for a health check; or it does not know.
        (0, _) | (1, 0x00) => None,
        (1, 0x11) => Some(address::<4>(rest)?),
        (1, 0x21) => Some(address::<16>(rest)?),
        _ => return None,
    };
    Some(Parsed::Complete(FIXED + length, address))
}

/// Source address and port of a block of source, destination, source port, destination port.
fn address<const N: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let ip = block.first_chunk::<N>()?;
    let port = block.get(2 * N..2 * N + 4)?;
    Some(SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes([port[0], port[1]])))
}

/// Takes the header off a connection that has just been accepted from a proxy at `peer`.
pub(crate) async fn read(
    stream: &TcpStream,
    peer: SocketAddr,
    until: Instant,
) -> Result<SocketAddr, Refused> {
    let malformed = || Refused::new(CloseReason::ProtocolViolation, "no PROXY header where one is due");
    let late = |_| Refused::new(CloseReason::AuthenticationTimeout, "no PROXY header in time");
    let mut have = 0;
    loop {
        let length = tokio::time::timeout_at(until, peek_more(stream, have)).await.map_err(late)??;
        have = length.len;
        match parse(&length.bytes[..length.len]).ok_or_else(malformed)? {
            Parsed::Complete(length, address) => {
                take(stream, length)?;
                return Ok(address.unwrap_or(peer));
            }
            Parsed::Incomplete(_) => {}
        }
    }
}

/// What lies in the socket, left there.
struct Peeked {
    bytes: Box<[u8; LONGEST]>,
    len: usize,
}

/// Waits until more than `have` bytes have come.
async fn peek_more(stream: &TcpStream, have: usize) -> Result<Peeked, Refused> {
    let mut bytes = Box::new([0; LONGEST]);
    loop {
        let len = stream.peek(&mut bytes[..]).await.map_err(lost)?;
        if len == 0 {
            return Err(Refused::new(CloseReason::ClientClosed, "closed before its PROXY header"));
        }
        if len > have {
            return Ok(Peeked { bytes, len });
        }
        // What is there makes the socket readable: only time tells whether more comes.
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Reads exactly what was peeked at.
fn take(stream: &TcpStream, length: usize) -> Result<(), Refused> {
    let mut bytes = [0; LONGEST];
    match stream.try_read(&mut bytes[..length]) {
        Ok(read) if read == length => Ok(()),
        Ok(_) => Err(Refused::new(CloseReason::Io, "a PROXY header came apart")),
        Err(error) => Err(lost(error)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(block.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(block);
        bytes
    }

    #[test]
    fn addresses_of_both_families_and_what_follows_stays() {
        let v4 = [192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 0, 80];
        let mut bytes = header(1, 0x11, &v4);
        bytes.extend_from_slice(b"CONNECT");
        assert_eq!(parse(&bytes), Some(Parsed::Complete(28, "192.0.2.7:4660".parse().ok())));
        let mut v6 = [0; 36 + 5];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
        v6[32..34].copy_from_slice(&[0, 7]);
        let bytes = header(1, 0x21, &v6);
        assert_eq!(parse(&bytes), Some(Parsed::Complete(57, "[2001:db8::7]:7".parse().ok())));
        assert_eq!(parse(&header(0, 0x11, &[])), Some(Parsed::Complete(16, None)));
        assert_eq!(parse(&header(1, 0x00, b"xyz")), Some(Parsed::Complete(19, None)));
    }

    #[test]
    fn anything_else_is_no_header() {
        for bytes in [
            b"CONNECT {}\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n".to_vec(),
            header(1, 0x11, &[1, 2, 3, 4]),
            header(2, 0x11, &[0; 12]),
            header(1, 0x31, &[0; 216]),
            header(1, 0x12, &[0; 12]),
            header(1, 0x11, &[0; 600]),
            [&SIGNATURE[..], &[0x11, 0x11, 0, 12], &[0; 12]].concat(),
        ] {
            assert_eq!(parse(&bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        /// Cut anywhere, a header is incomplete until it is all there; nothing makes the parser panic.
        #[test]
        fn cut_anywhere(at in 0usize..28, noise in proptest::collection::vec(any::<u8>(), 0..64)) {
            let bytes = header(1, 0x11, &[9; 12]);
            prop_assert!(matches!(parse(&bytes[..at]), Some(Parsed::Incomplete(need)) if need > at));
            let _any = parse(&noise);
            let _any = parse(&[&bytes[..at], &noise].concat());
        }
    }
}

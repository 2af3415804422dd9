//! The status messages consumers send: header blocks without a payload, in nats-server's words, which clients read.

use super::ack::push_number;
use super::ledger::Position;

/// A refused pull request, or the end of one, without numbers.
#[must_use]
pub(super) fn plain(code: u16, words: &str) -> Vec<u8> {
    format!("NATS/1.0 {code} {words}\r\n\r\n").into_bytes()
}

/// The end of a pull request, and what of it was left.
#[must_use]
pub(super) fn ended(code: u16, words: &str, messages: i64, bytes: i64) -> Vec<u8> {
    format!(
        "NATS/1.0 {code} {words}\r\nNats-Pending-Messages: {messages}\r\nNats-Pending-Bytes: {bytes}\r\n\r\n"
    )
    .into_bytes()
}

/// A sign of life, saying how far the consumer is; `stalled` names the flow control request that waits for its answer.
#[must_use]
pub(super) fn heartbeat(last: Position, stalled: Option<&[u8]>) -> Vec<u8> {
    let mut text = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: ".to_vec();
    push_number(&mut text, last.consumer);
    text.extend_from_slice(b"\r\nNats-Last-Stream: ");
    push_number(&mut text, last.stream);
    if let Some(request) = stalled {
        text.extend_from_slice(b"\r\nNats-Consumer-Stalled: ");
        text.extend_from_slice(request);
    }
    text.extend_from_slice(b"\r\n\r\n");
    text
}

/// Asks a push consumer's client to say that it has read up to here.
pub(super) const FLOW_CONTROL: &[u8] = b"NATS/1.0 100 FlowControl Request\r\n\r\n";

/// Appends a header to a header block, or begins one.
pub(crate) fn add_header(block: &mut Vec<u8>, headers: &[u8], name: &str, value: &[u8]) {
    block.clear();
    block.extend_from_slice(headers.strip_suffix(b"\r\n").unwrap_or(b"NATS/1.0\r\n"));
    block.extend_from_slice(name.as_bytes());
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_spelled_as_clients_read_them() {
        assert_eq!(plain(404, "No Messages"), b"NATS/1.0 404 No Messages\r\n\r\n");
        assert_eq!(
            ended(408, "Request Timeout", 2, 0),
            b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 2\r\nNats-Pending-Bytes: 0\r\n\r\n"
        );
        let last = Position { consumer: 3, stream: 9 };
        assert_eq!(
            heartbeat(last, Some(b"$JS.FC.S.C.abcd")),
            b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\nNats-Last-Stream: 9\r\nNats-Consumer-Stalled: $JS.FC.S.C.abcd\r\n\r\n"
        );
    }

    #[test]
    fn headers_are_added_to_a_block_or_begin_one() {
        let mut block = Vec::new();
        add_header(&mut block, b"", "Nats-Msg-Size", b"12");
        assert_eq!(block, b"NATS/1.0\r\nNats-Msg-Size: 12\r\n\r\n");
        add_header(&mut block, b"NATS/1.0\r\nA: b\r\n\r\n", "Nats-Msg-Size", b"12");
        assert_eq!(block, b"NATS/1.0\r\nA: b\r\nNats-Msg-Size: 12\r\n\r\n");
    }
}

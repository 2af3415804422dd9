//! The headers of a published message that mean something to a stream.

/// How the names of the headers begin that a stream looks at.
const PREFIXES: [&[u8]; 2] = [b"Nats-", b"KV-"];

macro_rules! marks {
    ($($field:ident: $name:literal,)*) => {
        /// Values of the headers a stream looks at; `None` when the message has not got it. The first one counts.
        #[derive(Debug, Default, Clone, Copy)]
        pub(crate) struct Marks<'a> {
            $(pub(crate) $field: Option<&'a [u8]>,)*
        }

        impl<'a> Marks<'a> {
            fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
                $(if name == $name { return Some(&mut self.$field); })*
                None
            }
        }
    };
}

marks! {
    msg_id: b"Nats-Msg-Id",
    expected_stream: b"Nats-Expected-Stream",
    expected_last_seq: b"Nats-Expected-Last-Sequence",
    expected_last_subject_seq: b"Nats-Expected-Last-Subject-Sequence",
    expected_last_subject_seq_subject: b"Nats-Expected-Last-Subject-Sequence-Subject",
    expected_last_msg_id: b"Nats-Expected-Last-Msg-Id",
    rollup: b"Nats-Rollup",
    ttl: b"Nats-TTL",
    incr: b"Nats-Incr",
    batch_id: b"Nats-Batch-Id",
    batch_seq: b"Nats-Batch-Sequence",
    batch_commit: b"Nats-Batch-Commit",
    required_level: b"Nats-Required-Api-Level",
    stream_source: b"Nats-Stream-Source",
    counter_sources: b"Nats-Counter-Sources",
    schedule: b"Nats-Schedule",
    schedule_zone: b"Nats-Schedule-Time-Zone",
    schedule_ttl: b"Nats-Schedule-TTL",
    schedule_target: b"Nats-Schedule-Target",
    schedule_source: b"Nats-Schedule-Source",
    schedule_rollup: b"Nats-Schedule-Rollup",
    scheduler: b"Nats-Scheduler",
    schedule_next: b"Nats-Schedule-Next",
    client_info: b"Nats-Request-Info",
    marker_reason: b"Nats-Marker-Reason",
    kv_operation: b"KV-Operation",
}

impl<'a> Marks<'a> {
    /// Looks through a header block; what is no header is passed over.
    pub(crate) fn read(block: &'a [u8]) -> Self {
        let mut marks = Self::default();
        for line in lines(block) {
            if !PREFIXES.iter().any(|prefix| line.starts_with(prefix)) {
                continue;
            }
            let Some(colon) = memchr::memchr(b':', line) else { continue };
            let (name, value) = line.split_at(colon);
            if let Some(slot) = marks.slot(name) {
                slot.get_or_insert(value.get(1..).unwrap_or_default().trim_ascii());
            }
        }
        marks
    }

    /// Whether the message stands for others that are gone.
    pub(crate) fn is_marker(&self) -> bool {
        self.marker_reason.is_some_and(|reason| !reason.is_empty()) || self.kv_operation == Some(b"PURGE")
    }

    /// Whether there is nothing, or nothing but a message id, to be looked at.
    pub(crate) fn is_simple(&self) -> bool {
        let mut rest = *self;
        rest.msg_id = None;
        rest.counter_sources = None;
        rest.schedule_rollup = None;
        !rest.any()
    }

    fn any(&self) -> bool {
        [
            self.expected_stream,
            self.expected_last_seq,
            self.expected_last_subject_seq,
            self.expected_last_subject_seq_subject,
            self.expected_last_msg_id,
            self.rollup,
            self.ttl,
            self.incr,
            self.batch_id,
            self.batch_seq,
            self.batch_commit,
            self.required_level,
            self.stream_source,
            self.schedule,
            self.schedule_zone,
            self.schedule_ttl,
            self.schedule_target,
            self.schedule_source,
            self.scheduler,
            self.schedule_next,
            self.client_info,
        ]
        .iter()
        .any(Option::is_some)
    }
}

/// The lines behind the first, without their ends.
fn lines(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    block.split(|byte| *byte == b'\n').skip(1).map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The value of one header.
pub(crate) fn get<'a>(block: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    lines(block).find_map(|line| {
        let rest = line.strip_prefix(name)?.strip_prefix(b":")?;
        Some(rest.trim_ascii())
    })
}

/// The block without one header, and with another value for it if one is given.
pub(crate) fn set(block: &[u8], name: &[u8], value: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::with_capacity(block.len() + name.len() + value.map_or(0, <[u8]>::len) + 16);
    if block.is_empty() {
        if value.is_none() {
            return out;
        }
        out.extend_from_slice(b"NATS/1.0\r\n");
    }
    let mut first = true;
    let mut kept = false;
    for line in block.split_inclusive(|byte| *byte == b'\n') {
        let is_it = line.strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"));
        if !first && (is_it || line == b"\r\n") {
            continue;
        }
        kept |= !first;
        first = false;
        out.extend_from_slice(line);
    }
    if let Some(value) = value {
        for part in [name, b": ", value, b"\r\n"] {
            out.extend_from_slice(part);
        }
    } else if !kept && !has_status(&out) {
        // Nothing is left.
        return Vec::new();
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn has_status(first_line: &[u8]) -> bool {
    first_line.len() > b"NATS/1.0\r\n".len()
}

/// A decimal number as clients write it.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stream_looks_at_is_found() {
        let block = b"NATS/1.0\r\nX: Nats-Msg-Id: no\r\nNats-Msg-Id:  a b \r\nNats-Msg-Id: second\r\nnats-ttl: 1\r\n\r\n";
        let marks = Marks::read(block);
        assert_eq!(marks.msg_id, Some(&b"a b"[..]));
        assert!(marks.is_simple());
        assert!(marks.ttl.is_none());
        assert!(!Marks::read(b"NATS/1.0\r\nNats-TTL: 1\r\n\r\n").is_simple());
    }

    #[test]
    fn headers_are_replaced_and_removed() {
        let block = b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n";
        assert_eq!(set(block, b"A", Some(b"3")), b"NATS/1.0\r\nB: 2\r\nA: 3\r\n\r\n");
        assert_eq!(set(block, b"A", None), b"NATS/1.0\r\nB: 2\r\n\r\n");
        assert_eq!(set(b"NATS/1.0\r\nA: 1\r\n\r\n", b"A", None), b"");
        assert_eq!(set(b"", b"A", Some(b"1")), b"NATS/1.0\r\nA: 1\r\n\r\n");
        assert_eq!(get(block, b"B"), Some(&b"2"[..]));
    }
}

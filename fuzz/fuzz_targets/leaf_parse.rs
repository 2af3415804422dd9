//! Leafnode operations: any bytes, any cuts; messages and interest survive being written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::leaf::{Op, parse};
use wire::{Limits, Step, encode};

fuzz_target!(|bytes: &[u8]| {
    for limits in &checks::LIMITS {
        checks::cuts_do_not_matter(bytes, |buf| parse(buf, limits));
        if let Ok(Step::Frame(op, len)) = parse(bytes, limits) {
            written_anew(op, &bytes[..len], limits);
        }
    }
});

fn written_anew(op: Op<'_>, frame: &[u8], limits: &Limits) {
    let mut out = Vec::new();
    match op {
        Op::Message(message) => {
            let queues: Vec<&[u8]> = message.queue_names().collect();
            let header_len = message.has_headers.then_some(message.header_len);
            let (subject, reply, payload) = (message.subject, message.reply, message.payload);
            encode::leaf_message_with_queues(&mut out, subject, reply, &queues, header_len, payload);
            if message.tail_at != 0 {
                assert_eq!(out, frame);
            }
            let Ok(Step::Frame(Op::Message(read), len)) = parse(&out, limits) else {
                panic!("not read back")
            };
            assert_eq!(len, out.len());
            assert_eq!((read.subject, read.reply, read.payload), (subject, reply, payload));
            assert_eq!(read.queue_names().collect::<Vec<_>>(), queues);
            assert_eq!(read.header_len, message.header_len);
        }
        Op::Subscribe { subject, queue } => {
            encode::leaf_subscribe(&mut out, subject, queue);
            assert_eq!(parse(&out, limits), Ok(Step::Frame(op, out.len())));
        }
        Op::Unsubscribe { subject, queue } => {
            encode::leaf_unsubscribe(&mut out, subject, queue);
            assert_eq!(parse(&out, limits), Ok(Step::Frame(op, out.len())));
        }
        _ => {}
    }
}

//! Client operations: any bytes, any cuts; messages survive being written anew.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::client::{Op, parse};
use wire::{Step, encode};

fuzz_target!(|bytes: &[u8]| {
    for limits in &checks::LIMITS {
        checks::cuts_do_not_matter(bytes, |buf| parse(buf, limits));
        let Ok(Step::Frame(Op::Publish(message), len)) = parse(bytes, limits) else { continue };
        let header_len = message.has_headers.then_some(message.header_len);
        let mut tail = Vec::new();
        encode::message_tail(&mut tail, message.reply, header_len, message.payload);
        if message.tail_at != 0 {
            assert_eq!(tail, bytes[message.tail_at..len]);
        }
        let verb: &[u8] = if message.has_headers { b"HPUB " } else { b"PUB " };
        let again = [verb, message.subject, b" ", &tail].concat();
        // Written anew it can only have become shorter.
        let Ok(Step::Frame(Op::Publish(read), taken)) = parse(&again, limits) else {
            panic!("not read back")
        };
        assert_eq!(taken, again.len());
        assert_eq!(
            (read.subject, read.reply, read.header_len, read.payload),
            (message.subject, message.reply, message.header_len, message.payload)
        );
    }
});

//! S2 streams: what we write another implementation reads, what it writes we read, and nothing makes the reader hold or
//! give back more than it may.

use std::io::{Read as _, Write as _};

use proptest::prelude::*;
use wire::s2::{
    Effort, MAX_BLOCK, Reader, S2Error, Tables, WRITE_AT_ONCE, Writer, decode_block, encode_block,
};

const EFFORTS: [Effort; 4] = [Effort::None, Effort::Fast, Effort::Better, Effort::Best];

/// Everything a stream holds, given to the reader in pieces of `piece` bytes.
fn read_all(stream: &[u8], piece: usize) -> Result<Vec<u8>, S2Error> {
    let mut reader = Reader::new(MAX_BLOCK);
    let mut out = Vec::new();
    for piece in stream.chunks(piece.max(1)) {
        reader.feed(piece);
        while reader.next(&mut out)? {}
    }
    assert_eq!(reader.held(), 0, "a whole stream leaves nothing");
    Ok(out)
}

/// A stream of ours, from batches of `batch` bytes.
fn written(bytes: &[u8], batch: usize, effort: Effort) -> Vec<u8> {
    let (mut writer, mut tables, mut out) = (Writer::default(), Tables::default(), Vec::new());
    for mut batch in bytes.chunks(batch.max(1)) {
        while !batch.is_empty() {
            let taken = writer.write(batch, effort, &mut tables, &mut out);
            batch = &batch[taken..];
        }
    }
    out
}

/// A stream of the other implementation, as nats-server makes it: a new beginning with every flush.
fn by_others(bytes: &[u8], batch: usize, level: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for batch in bytes.chunks(batch.max(1)) {
        let block = match level {
            0 => minlz::s2::encode(batch),
            1 => minlz::s2::encode_better(batch),
            _ => minlz::s2::encode_best(batch),
        };
        out.extend_from_slice(b"\xff\x06\x00\x00S2sTwO");
        let length = block.len() + 4;
        out.extend_from_slice(&[0, length as u8, (length >> 8) as u8, (length >> 16) as u8]);
        out.extend_from_slice(&minlz::crc::crc(batch).to_le_bytes());
        out.extend_from_slice(&block);
    }
    out
}

/// Bytes that repeat more or less, as messages do.
fn message_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..40),
        3 => proptest::sample::select(vec![b"LMSG orders.eu.".to_vec(), b"{\"amount\":".to_vec(), b"\r\n".to_vec()]),
        1 => (any::<u8>(), 1..5000usize).prop_map(|(byte, count)| vec![byte; count]),
        1 => proptest::collection::vec(0..3u8, 0..400),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read_by_us_and_by_others(
        bytes in message_like(), batch in 1..70_000usize, piece in 1..4000usize, effort in 0..4usize,
    ) {
        let stream = written(&bytes, batch, EFFORTS[effort]);
        prop_assert_eq!(read_all(&stream, piece), Ok(bytes.clone()));
        let mut others = Vec::new();
        if !stream.is_empty() {
            minlz::s2::Reader::new(&stream[..]).read_to_end(&mut others).unwrap();
        }
        prop_assert_eq!(others, bytes);
    }

    #[test]
    fn what_others_write_is_read(bytes in message_like(), batch in 1..70_000usize, piece in 1..4000usize, level in 0..3usize) {
        prop_assert_eq!(read_all(&by_others(&bytes, batch, level), piece), Ok(bytes));
    }

    #[test]
    fn blocks_come_back_and_are_decoded_alike(bytes in message_like(), effort in 1..4usize) {
        let (mut block, mut out) = (Vec::new(), b"kept".to_vec());
        if encode_block(&bytes, EFFORTS[effort], &mut Tables::default(), &mut block) {
            prop_assert!(block.len() < bytes.len());
            prop_assert_eq!(&minlz::s2::decode(&block).unwrap(), &bytes);
            prop_assert_eq!(decode_block(&block, bytes.len(), &mut out), Ok(()));
            prop_assert_eq!(&out[4..], &bytes[..]);
        }
    }

    #[test]
    fn any_bytes_are_decoded_as_others_do_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut out = Vec::new();
        let ours = decode_block(&bytes, 1 << 20, &mut out);
        match minlz::s2::decode(&bytes) {
            Ok(theirs) if theirs.len() <= 1 << 20 => prop_assert_eq!((ours, out), (Ok(()), theirs)),
            _ => prop_assert!(ours.is_err() && out.is_empty()),
        }
    }

    #[test]
    fn a_flipped_bit_in_a_block_changes_nothing_unnoticed(bytes in message_like(), at in any::<proptest::sample::Index>(), bit in 0..8u8) {
        let bytes = &bytes[..bytes.len().min(WRITE_AT_ONCE)];
        let mut stream = written(bytes, WRITE_AT_ONCE, Effort::Fast);
        // Behind the identifier and the head of the only chunk.
        prop_assume!(stream.len() > 14);
        let at = 14 + at.index(stream.len() - 14);
        stream[at] ^= 1 << bit;
        let mut reader = Reader::new(MAX_BLOCK);
        reader.feed(&stream);
        let mut out = Vec::new();
        let read = reader.next(&mut out);
        // It may say the same in other words.
        prop_assert!(read == Ok(true) && out == bytes || read.is_err() && out.is_empty());
    }
}

#[test]
fn large_blocks_of_the_other_implementations_stream_are_read() {
    let text: Vec<u8> = (0..3_000_000u32).flat_map(|at| (at / 7).to_le_bytes()).collect();
    let mut stream = Vec::new();
    let mut writer = minlz::s2::Writer::new(&mut stream);
    writer.write_all(&text).unwrap();
    writer.flush().unwrap();
    drop(writer);
    assert!(read_all(&stream, 50_000) == Ok(text));
}

#[test]
fn repetitive_batches_get_smaller_with_more_effort_and_random_ones_stay() {
    let message: Vec<u8> = (0..400u32)
        .flat_map(|at| {
            format!(
                "LMSG orders.eu.{} 34\r\n{{\"id\":{},\"state\":\"open\",\"sum\":{}}}\r\n",
                at % 7,
                at,
                at * 31 % 1000
            )
            .into_bytes()
        })
        .collect();
    let [none, fast, better, best] = EFFORTS.map(|effort| written(&message, 1 << 16, effort).len());
    assert!(none > message.len() && none < message.len() + 32);
    assert!(fast < message.len() / 2, "{fast} of {}", message.len());
    assert!(better < fast && best <= better, "{fast} {better} {best}");
    let mut state = 7u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(1 << 20)
    .collect();
    let stream = written(&random, WRITE_AT_ONCE, Effort::Best);
    assert!(stream.len() < random.len() + 20 * 8, "{}", stream.len());
    assert!(read_all(&stream, 1 << 16) == Ok(random));
}

/// A block of a few bytes that says it holds `length` (more than 64 KiB), and does: one byte, repeated.
fn bomb(length: usize) -> Vec<u8> {
    let mut block = Vec::new();
    let mut number = length;
    while number >= 0x80 {
        block.push(number as u8 | 0x80);
        number >>= 7;
    }
    block.push(number as u8);
    // A literal, a copy of four from one back, and one repeat of that.
    block.extend_from_slice(&[0, b'x', 1, 1]);
    let more = length - 5 - 4 - 65_536;
    block.extend_from_slice(&[7 << 2 | 1, 0, more as u8, (more >> 8) as u8, (more >> 16) as u8]);
    block
}

fn chunk(kind: u8, sum: u32, body: &[u8]) -> Vec<u8> {
    let length = body.len() + 4;
    let head = [kind, length as u8, (length >> 8) as u8, (length >> 16) as u8];
    [&head[..], &sum.to_le_bytes(), body].concat()
}

#[test]
fn few_bytes_that_stand_for_many_come_back_block_by_block_and_within_bounds() {
    let content = vec![b'x'; 1_000_000];
    let block = bomb(content.len());
    assert_eq!(minlz::s2::decode(&block).unwrap(), content);
    let one = chunk(0, minlz::crc::crc(&content), &block);
    assert!(one.len() < 24, "{}", one.len());
    let mut reader = Reader::new(MAX_BLOCK);
    reader.feed(b"\xff\x06\x00\x00S2sTwO");
    reader.feed(&one.repeat(40));
    for _ in 0..40 {
        // Never more than one at a time: who asks decides when to go on.
        let mut out = Vec::new();
        assert_eq!(reader.next(&mut out), Ok(true));
        assert_eq!(out.len(), content.len());
    }
    let mut bounded = Reader::new(64 << 10);
    bounded.feed(b"\xff\x06\x00\x00S2sTwO");
    bounded.feed(&one);
    let mut out = Vec::new();
    assert_eq!(bounded.next(&mut out), Err(S2Error::TooLarge));
    assert_eq!(out.capacity(), 0, "nothing is set aside for what is refused");
}

#[test]
fn a_stream_is_refused_for_what_it_is() {
    let refused = |stream: &[u8]| {
        let mut reader = Reader::new(MAX_BLOCK);
        reader.feed(stream);
        let mut out = Vec::new();
        loop {
            match reader.next(&mut out) {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        }
    };
    let begun = |rest: &[u8]| refused(&[b"\xff\x06\x00\x00S2sTwO", rest].concat());
    assert_eq!(refused(b"CONNECT {}\r\n"), Some(S2Error::NoStream));
    assert_eq!(refused(b"\xff\x06\x00\x00S2sTwX"), Some(S2Error::NoStream));
    assert_eq!(refused(&chunk(1, 0, b"abc")), Some(S2Error::NoStream), "no identifier first");
    assert_eq!(begun(b"\x02\x00\x00\x00"), Some(S2Error::Unknown));
    assert_eq!(begun(b"\x00\xff\xff\xff"), Some(S2Error::TooLarge));
    assert_eq!(begun(b"\x01\x01\x00\x00x"), Some(S2Error::Corrupt));
    assert_eq!(begun(&chunk(1, 7, b"abc")), Some(S2Error::Checksum));
    assert_eq!(begun(&chunk(0, 7, &[3, 0xff])), Some(S2Error::Corrupt));
    // A repeat of nothing, and a copy from before the beginning.
    assert_eq!(begun(&chunk(0, 7, &[4, 1, 0])), Some(S2Error::Corrupt));
    assert_eq!(begun(&chunk(0, 7, &[5, 0, b'x', 1, 2])), Some(S2Error::Corrupt));
    // Padding of 16 MiB is passed over and not gathered.
    let mut reader = Reader::new(MAX_BLOCK);
    reader.feed(b"\xff\x06\x00\x00S2sTwO\xfe\xff\xff\xff");
    let mut out = Vec::new();
    for _ in 0..(0x00ff_ffff / 1000) {
        assert_eq!(reader.next(&mut out), Ok(false));
        reader.feed(&[0; 1000]);
        assert!(reader.held() <= 1000);
    }
    reader.feed(&[0; 0x00ff_ffff % 1000]);
    reader.feed(&chunk(1, minlz::crc::crc(b"abc"), b"abc"));
    assert_eq!(reader.next(&mut out), Ok(true));
    assert_eq!(out, b"abc");
    // Plain Snappy has small blocks.
    let content = vec![b'x'; 70_000];
    let block = chunk(0, minlz::crc::crc(&content), &bomb(content.len()));
    assert_eq!(refused(&[b"\xff\x06\x00\x00sNaPpY", &block[..]].concat()), Some(S2Error::TooLarge));
}

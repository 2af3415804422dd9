//! S2 streams: any bytes, any cuts, within bounds; and whatever is written is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::s2::{Effort, Reader, S2Error, Tables, Writer};

/// The most a block may hold here.
const MOST: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    // As a stream, from its beginning and after it.
    for begin in [&b""[..], b"\xff\x06\x00\x00S2sTwO"] {
        let stream = [begin, bytes].concat();
        let whole = read(&stream, stream.len().max(1));
        assert_eq!(whole, read(&stream, 7));
    }
    for effort in [Effort::None, Effort::Fast, Effort::Better, Effort::Best] {
        let (mut writer, mut tables, mut stream) = (Writer::default(), Tables::default(), Vec::new());
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = &rest[writer.write(rest, effort, &mut tables, &mut stream)..];
        }
        assert_eq!(read(&stream, 1000), (bytes.to_vec(), None));
    }
});

fn read(stream: &[u8], piece: usize) -> (Vec<u8>, Option<S2Error>) {
    let (mut reader, mut all) = (Reader::new(MOST), Vec::new());
    for piece in stream.chunks(piece) {
        reader.feed(piece);
        loop {
            let mut block = Vec::new();
            match reader.next(&mut block) {
                Ok(true) => assert!(!block.is_empty() && block.len() <= MOST),
                Ok(false) => break,
                Err(error) => return (all, Some(error)),
            }
            // Few bytes may stand for many: the beginning will do.
            all.extend_from_slice(&block[..block.len().min(MOST.saturating_sub(all.len()))]);
        }
        assert!(reader.held() <= MOST + 8 + piece.len());
    }
    (all, None)
}

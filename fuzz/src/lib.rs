//! What must hold of a parser whatever bytes it is given.

use wire::{Limits, ParseError, Step};

/// Default limits, and limits small enough that short inputs meet them.
pub const LIMITS: [Limits; 2] = [
    Limits { max_control_line: 4096, max_payload: 1_048_576 },
    Limits { max_control_line: 24, max_payload: 16 },
];

/// What was read from a stream: the operations with their lengths, and the error that ended it.
type Read<T> = (Vec<(T, usize)>, Option<ParseError>);

/// Checks that the stream gives the same operations in one piece, byte by byte, and cut at `cut`.
///
/// # Panics
/// When it does not, or when a parser takes bytes that are not there or asks for none.
pub fn cuts_do_not_matter<'a, T, F>(bytes: &'a [u8], parse: F)
where
    T: PartialEq + std::fmt::Debug,
    F: Fn(&'a [u8]) -> Result<Step<T>, ParseError>,
{
    let whole = read(bytes, &[], &parse);
    let cut = bytes.first().map_or(0, |&b| usize::from(b) % bytes.len());
    assert_eq!(whole, read(bytes, &[cut], &parse));
    if bytes.len() <= 256 {
        let every: Vec<usize> = (0..bytes.len()).collect();
        assert_eq!(whole, read(bytes, &every, &parse));
    }
}

fn read<'a, T, F>(bytes: &'a [u8], cuts: &[usize], parse: &F) -> Read<T>
where
    F: Fn(&'a [u8]) -> Result<Step<T>, ParseError>,
{
    let (mut ops, mut start, mut wanted) = (Vec::new(), 0, 0);
    for &end in cuts.iter().chain([&bytes.len()]) {
        loop {
            match parse(&bytes[start..end]) {
                Ok(Step::Frame(op, len)) => {
                    assert!(len > 0 && start + len <= end, "frame beyond the buffer");
                    assert!(wanted <= start + len, "asked for more than the frame took");
                    ops.push((op, len));
                    start += len;
                }
                Ok(Step::Incomplete(n)) => {
                    assert!(n > end - start, "asked for no more than it had");
                    wanted = start + n;
                    break;
                }
                Err(error) => return (ops, Some(error)),
            }
        }
    }
    (ops, None)
}

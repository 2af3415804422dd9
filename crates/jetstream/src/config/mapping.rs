//! Subject transforms as streams have them: captures, and nats-server's functions of them (`{{partition(3,1)}}`,
//! `{{left(1,2)}}` and their like).

use crate::errors::ApiError;

/// A compiled transform. An empty source stands for every subject.
#[derive(Debug, Clone)]
pub struct SubjectMapping {
    source: String,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    /// Captures alone.
    Plain(subject::Mapping),
    /// Tokens of the destination, some of them computed.
    Computed(Vec<Part>),
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    /// What the source's `>` caught.
    Tail,
    /// Of the capture of this number.
    Of(usize, Function),
    /// A number below the first, by the hash of these captures; of the whole subject without any.
    Partition(u32, Vec<usize>),
}

#[derive(Debug, Clone)]
enum Function {
    Whole,
    SplitFromLeft(usize),
    SplitFromRight(usize),
    SliceFromLeft(usize),
    SliceFromRight(usize),
    Left(usize),
    Right(usize),
    Split(String),
}

impl SubjectMapping {
    /// Compiles a transform.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn new(src: &str, dest: &str) -> Result<Self, String> {
        let src = if src.is_empty() { ">" } else { src };
        let dest = if dest.is_empty() { src } else { dest };
        let plain = subject::Mapping::new(src, dest);
        let how = match plain {
            Ok(mapping) => How::Plain(mapping),
            Err(error) if !dest.contains("{{") => return Err(error.to_string()),
            Err(_) => How::Computed(compile(src, dest)?),
        };
        Ok(Self { source: src.to_owned(), how })
    }

    /// Whether a subject is rewritten; the new one is appended to `out`.
    pub fn apply(&self, subject: &[u8], out: &mut Vec<u8>) -> bool {
        match &self.how {
            How::Plain(mapping) => mapping.apply(subject, out),
            How::Computed(parts) => {
                let Some((caught, tail)) = caught(self.source.as_bytes(), subject) else { return false };
                for (at, part) in parts.iter().enumerate() {
                    if at > 0 {
                        out.push(b'.');
                    }
                    part.write(subject, &caught, tail, out);
                }
                true
            }
        }
    }

    /// The pattern of what is rewritten.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

/// What the wildcards of a pattern stand for in a subject: each `*`, and `>`.
fn caught<'a>(pattern: &[u8], subject: &'a [u8]) -> Option<(Vec<&'a [u8]>, &'a [u8])> {
    let (mut stars, mut at) = (Vec::new(), 0);
    let mut tokens = subject.split(|byte| *byte == b'.');
    for want in pattern.split(|byte| *byte == b'.') {
        let token = tokens.next()?;
        match want {
            b">" => return Some((stars, subject.get(at..)?)),
            b"*" => stars.push(token),
            literal if literal == token => {}
            _ => return None,
        }
        at += token.len() + 1;
    }
    tokens.next().is_none().then_some((stars, b""))
}

fn compile(src: &str, dest: &str) -> Result<Vec<Part>, String> {
    if !subject::valid_pattern(src.as_bytes()) {
        return Err(format!("source {src:?} is not a valid subject pattern"));
    }
    let captures = src.split('.').filter(|token| *token == "*").count();
    let has_tail = src.ends_with('>');
    let mut next = 0;
    let mut parts = Vec::new();
    for token in dest.split('.') {
        let part = match token {
            ">" if has_tail => Part::Tail,
            "*" => {
                next += 1;
                Part::Of(next, Function::Whole)
            }
            _ if token.starts_with("{{") && token.ends_with("}}") => function(token)?,
            _ if subject::valid_subject(token.as_bytes()) && !token.contains(['{', '}']) => {
                Part::Literal(token.to_owned())
            }
            _ => return Err(format!("invalid mapping destination: {token:?}")),
        };
        let used: Vec<usize> = match &part {
            Part::Of(number, _) => vec![*number],
            Part::Partition(_, numbers) => numbers.clone(),
            Part::Literal(_) | Part::Tail => Vec::new(),
        };
        if let Some(number) = used.iter().find(|number| !(1..=captures).contains(*number)) {
            return Err(format!(
                "invalid mapping destination: wildcard index out of range in {token}: [{number}]"
            ));
        }
        parts.push(part);
    }
    Ok(parts)
}

/// Reads `{{name(arguments)}}`.
fn function(token: &str) -> Result<Part, String> {
    let bad = |what: &str| format!("invalid mapping destination: {what} in {token}");
    let call = token.trim_start_matches("{{").trim_end_matches("}}").trim();
    let (name, rest) = call.split_once('(').ok_or_else(|| bad("unknown function"))?;
    let arguments: Vec<&str> =
        rest.strip_suffix(')').ok_or_else(|| bad("no closing bracket"))?.split(',').map(str::trim).collect();
    let number = |at: usize| -> Result<usize, String> {
        let argument = arguments.get(at).ok_or_else(|| bad("not enough arguments"))?;
        argument.parse().map_err(|_| bad("function argument is invalid or in the wrong format"))
    };
    let most = |most: usize| if arguments.len() > most { Err(bad("too many arguments")) } else { Ok(()) };
    let name = name.trim().to_ascii_lowercase();
    if name == "partition" {
        let count = u32::try_from(number(0)?).map_err(|_| bad("too many partitions"))?;
        let captures = (1..arguments.len()).map(number).collect::<Result<_, _>>()?;
        return Ok(Part::Partition(count, captures));
    }
    if name == "wildcard" {
        most(1)?;
        return Ok(Part::Of(number(0)?, Function::Whole));
    }
    most(2)?;
    let size = || number(1);
    let function = match name.as_str() {
        "splitfromleft" => Function::SplitFromLeft(size()?),
        "splitfromright" => Function::SplitFromRight(size()?),
        "slicefromleft" => Function::SliceFromLeft(size()?),
        "slicefromright" => Function::SliceFromRight(size()?),
        "left" => Function::Left(size()?),
        "right" => Function::Right(size()?),
        "split" => {
            let by = arguments.get(1).ok_or_else(|| bad("not enough arguments"))?;
            if by.is_empty() || by.contains([' ', '.']) {
                return Err(bad("function argument is invalid or in the wrong format"));
            }
            Function::Split((*by).to_owned())
        }
        _ => return Err(bad("unknown function")),
    };
    Ok(Part::Of(number(0)?, function))
}

impl Part {
    fn write(&self, subject: &[u8], caught: &[&[u8]], tail: &[u8], out: &mut Vec<u8>) {
        let capture = |number: &usize| caught.get(number - 1).copied().unwrap_or_default();
        match self {
            Self::Literal(token) => out.extend_from_slice(token.as_bytes()),
            Self::Tail => out.extend_from_slice(tail),
            Self::Of(number, function) => function.write(capture(number), out),
            Self::Partition(count, numbers) => {
                let key = if numbers.is_empty() {
                    subject.to_vec()
                } else {
                    numbers.iter().flat_map(capture).copied().collect()
                };
                let partition = fnv(&key).checked_rem(*count).unwrap_or(0);
                out.extend_from_slice(partition.to_string().as_bytes());
            }
        }
    }
}

/// FNV-1a, 32 bits: partitions are the same as nats-server's.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

impl Function {
    fn write(&self, token: &[u8], out: &mut Vec<u8>) {
        let whole = token.len();
        let within = |size: usize| size > 0 && size < whole;
        match self {
            Self::SplitFromLeft(size) if within(*size) => joined([token.split_at(*size)], out),
            Self::SplitFromRight(size) if within(*size) => joined([token.split_at(whole - size)], out),
            Self::SliceFromLeft(size) if within(*size) => {
                out.extend(token.chunks(*size).collect::<Vec<_>>().join(&b'.'))
            }
            Self::SliceFromRight(size) if within(*size) => {
                let mut parts: Vec<&[u8]> = token.rchunks(*size).collect();
                parts.reverse();
                out.extend(parts.join(&b'.'));
            }
            Self::Left(size) if within(*size) => out.extend_from_slice(token.get(..*size).unwrap_or(token)),
            Self::Right(size) if within(*size) => {
                out.extend_from_slice(token.get(whole - size..).unwrap_or(token));
            }
            Self::Split(by) => {
                let text = String::from_utf8_lossy(token);
                let parts: Vec<&str> = text.split(by.as_str()).filter(|part| !part.is_empty()).collect();
                out.extend_from_slice(parts.join(".").as_bytes());
            }
            _ => out.extend_from_slice(token),
        }
    }
}

fn joined<const N: usize>(pairs: [(&[u8], &[u8]); N], out: &mut Vec<u8>) {
    for (left, right) in pairs {
        out.extend_from_slice(left);
        out.push(b'.');
        out.extend_from_slice(right);
    }
}

/// Compiles a configured transform that was checked before; an error names it.
pub(crate) fn compiled(transform: &super::Transform) -> Result<SubjectMapping, ApiError> {
    SubjectMapping::new(&transform.src, &transform.dest)
        .map_err(|words| crate::errors::STREAM_TRANSFORM_INVALID_DESTINATION.with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapped(src: &str, dest: &str, subject: &str) -> String {
        let mut out = Vec::new();
        assert!(SubjectMapping::new(src, dest).unwrap().apply(subject.as_bytes(), &mut out));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn functions_give_what_nats_server_gives() {
        for (src, dest, subject, result) in [
            ("*", "{{splitfromleft(1,3)}}", "12345", "123.45"),
            ("*", "{{SplitFromRight(1,3)}}", "12345", "12.345"),
            ("*", "{{SliceFromLeft(1,3)}}", "1234567890", "123.456.789.0"),
            ("*", "{{SliceFromRight(1,3)}}", "1234567890", "1.234.567.890"),
            ("*", "{{split(1,-)}}", "-abc-def--ghi-", "abc.def.ghi"),
            ("*", "{{left(1,2)}}", "abc", "ab"),
            ("*.x", "a.{{right(1,2)}}", "abc.x", "a.bc"),
            ("*", "{{left(1,9)}}", "abc", "abc"),
            ("foo.*.*", "bar.{{partition(5)}}", "foo.bar.baz", "bar.0"),
            ("*.*", "{{partition(10,1,2)}}.{{wildcard(2)}}", "foo.bar", "8.bar"),
            ("a.*.>", "{{partition(1,1)}}.>", "a.b.c.d", "0.c.d"),
        ] {
            let got = mapped(src, dest, subject);
            if dest.contains("partition") {
                // The number is checked by itself below.
                assert_eq!(got.split('.').count(), result.split('.').count(), "{dest} {got}");
            } else {
                assert_eq!(got, result, "{dest}");
            }
        }
        // From the FNV authors' test vectors.
        assert_eq!(fnv(b""), 0x811c_9dc5);
        assert_eq!(fnv(b"foobar"), 0xbf9c_f968);
    }

    #[test]
    fn what_can_not_be_is_named() {
        for dest in [
            "{{wildcard(2)}}",
            "{{left(1)}}",
            "{{left(1,2,3)}}",
            "{{nothing(1,2)}}",
            "{{left(a,b)}}",
            "{{left 1",
        ] {
            assert!(SubjectMapping::new("*", dest).is_err(), "{dest}");
        }
    }
}

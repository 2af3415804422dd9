//! Message header blocks: `NATS/1.0[ status[ description]] CR LF`, `Name: value CR LF`.., `CR LF`.
//!
//! Reading is strict about line ends and names. Libraries differ in what they make of a bare line
//! feed, a folded line or a blank before the colon; a block that two readers could understand
//! differently could carry a reserved header past one of them, so it is an error here.

/// The version every block starts with.
pub const VERSION: &[u8] = b"NATS/1.0";

/// Why a header block cannot be read, or a header not be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The first line does not start with `NATS/1.0`.
    #[error("header block without NATS/1.0")]
    Version,
    /// What follows the version is not a status of three digits.
    #[error("bad status in header block")]
    Status,
    /// A line does not end with CR LF, or has a CR or LF inside.
    #[error("bad line end in header block")]
    LineEnd,
    /// A line has no colon.
    #[error("header without a colon")]
    MissingColon,
    /// A name that is empty, or has characters other than visible ASCII without the colon.
    #[error("bad header name")]
    Name,
    /// A value to be written has a CR or LF.
    #[error("bad header value")]
    Value,
    /// The block ends without its empty line.
    #[error("header block without an end")]
    Unterminated,
    /// Bytes follow the empty line.
    #[error("bytes behind the end of the header block")]
    Trailing,
}

/// A header block that has been read through once and found well-formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Headers<'a> {
    status: Option<u16>,
    description: &'a [u8],
    /// Every line after the first, with its CR LF, without the empty one.
    lines: &'a [u8],
}

/// Reads a whole block, the `header_len` bytes at the start of a payload.
///
/// # Errors
/// See [`HeaderError`].
pub fn parse(block: &[u8]) -> Result<Headers<'_>, HeaderError> {
    let rest = block.strip_prefix(VERSION).ok_or(HeaderError::Version)?;
    let (first, lines) = split_line(rest)?;
    let (status, description) = parse_status(first)?;
    let mut rest = lines;
    loop {
        let (line, after) = split_line(rest)?;
        if line.is_empty() {
            break;
        }
        let (name, _) = split_header(line)?;
        check_name(name)?;
        rest = after;
    }
    if rest.len() > 2 {
        return Err(HeaderError::Trailing);
    }
    let lines = lines.strip_suffix(b"\r\n").ok_or(HeaderError::Unterminated)?;
    Ok(Headers { status, description, lines })
}

impl<'a> Headers<'a> {
    /// The status in the first line, as 503 for "no responders".
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The text behind the status; empty when none.
    #[must_use]
    pub fn description(&self) -> &'a [u8] {
        self.description
    }

    /// Names and values in the order sent. Names may repeat. Blanks around values are cut.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        self.lines().filter_map(|line| split_header(line).ok())
    }

    /// The first value of the name in exactly this spelling: in NATS, case matters.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// The first value of the name, upper and lower case being the same.
    #[must_use]
    pub fn get_ignore_case(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// A new block without the named headers, upper and lower case being the same.
    #[must_use]
    pub fn strip(&self, names: &[&[u8]]) -> Vec<u8> {
        let mut out = self.start(0);
        self.keep(&mut out, |name| !names.iter().any(|n| n.eq_ignore_ascii_case(name)));
        out.extend_from_slice(b"\r\n");
        out
    }

    /// A new block with headers added at the end.
    ///
    /// # Errors
    /// [`HeaderError::Name`], [`HeaderError::Value`].
    pub fn append(&self, pairs: &[(&[u8], &[u8])]) -> Result<Vec<u8>, HeaderError> {
        self.rewrite(|_| true, pairs)
    }

    /// A new block with the headers whose name `keep` approves, byte for byte, and `pairs` behind.
    ///
    /// # Errors
    /// [`HeaderError::Name`], [`HeaderError::Value`].
    pub fn rewrite(
        &self,
        keep: impl Fn(&[u8]) -> bool,
        pairs: &[(&[u8], &[u8])],
    ) -> Result<Vec<u8>, HeaderError> {
        let added = pairs.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let mut out = self.start(added);
        self.keep(&mut out, keep);
        finish(out, pairs)
    }

    fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            let (line, after) = split_line(rest).ok()?;
            rest = after;
            Some(line)
        })
    }

    /// The first line, in a buffer with room for all.
    fn start(&self, added: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.lines.len() + self.description.len() + added + 24);
        out.extend_from_slice(VERSION);
        if let Some(status) = self.status {
            out.push(b' ');
            crate::encode::decimal(&mut out, u64::from(status));
        }
        if !self.description.is_empty() {
            out.push(b' ');
            out.extend_from_slice(self.description);
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn keep(&self, out: &mut Vec<u8>, keep: impl Fn(&[u8]) -> bool) {
        for line in self.lines() {
            if split_header(line).is_ok_and(|(name, _)| keep(name)) {
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A new block of these headers.
///
/// # Errors
/// [`HeaderError::Name`], [`HeaderError::Value`].
pub fn build(pairs: &[(&[u8], &[u8])]) -> Result<Vec<u8>, HeaderError> {
    let mut out = Vec::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len() + 4).sum::<usize>() + 12);
    out.extend_from_slice(VERSION);
    out.extend_from_slice(b"\r\n");
    finish(out, pairs)
}

/// Adds the headers and the empty line.
fn finish(mut out: Vec<u8>, pairs: &[(&[u8], &[u8])]) -> Result<Vec<u8>, HeaderError> {
    for (name, value) in pairs {
        check_name(name)?;
        if value.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            return Err(HeaderError::Value);
        }
        out.extend_from_slice(name);
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Ok(out)
}

/// The line at the start of `bytes`, and what follows its CR LF.
fn split_line(bytes: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) else {
        return Err(HeaderError::Unterminated);
    };
    let (line, rest) = bytes.split_at(end);
    match rest {
        [b'\r', b'\n', after @ ..] => Ok((line, after)),
        [b'\r'] => Err(HeaderError::Unterminated),
        _ => Err(HeaderError::LineEnd),
    }
}

/// Name and trimmed value.
fn split_header(line: &[u8]) -> Result<(&[u8], &[u8]), HeaderError> {
    let colon = memchr::memchr(b':', line).ok_or(HeaderError::MissingColon)?;
    let (name, value) = line.split_at(colon);
    Ok((name, crate::scan::trim(value.get(1..).unwrap_or_default())))
}

fn check_name(name: &[u8]) -> Result<(), HeaderError> {
    let good = !name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && *b != b':');
    if good { Ok(()) } else { Err(HeaderError::Name) }
}

/// What follows the version: nothing, or blank, three digits, and perhaps blank and text.
fn parse_status(first: &[u8]) -> Result<(Option<u16>, &[u8]), HeaderError> {
    let text = crate::scan::trim(first);
    if text.is_empty() {
        return Ok((None, &[]));
    }
    let separated = first.first().is_some_and(crate::scan::is_blank);
    let Some((digits, rest)) = text.split_first_chunk::<3>() else {
        return Err(HeaderError::Status);
    };
    let status = crate::scan::decimal(digits, 3).and_then(|n| u16::try_from(n).ok());
    let described = rest.first().is_none_or(crate::scan::is_blank);
    match status {
        Some(status) if separated && described && status >= 100 => {
            Ok((Some(status), crate::scan::trim(rest)))
        }
        _ => Err(HeaderError::Status),
    }
}

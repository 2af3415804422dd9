//! What an unquoted word means: a number, a boolean, a date, a variable, or text.

use super::value::Kind;

/// The meaning of an unquoted word.
pub(super) enum Word {
    /// A value of its own.
    Value(Kind),
    /// `$NAME`: to be looked up.
    Variable(String),
}

/// Decides what `word` means; `Err` says why it means nothing.
///
/// `word` is not empty and holds no white space and no `,` `;` `]` `}`.
pub(super) fn classify(word: &str) -> Result<Word, String> {
    let first = word.chars().next().unwrap_or_default();
    if first == '-' || first.is_ascii_digit() {
        return number_like(word).map(Word::Value);
    }
    if first == '.' {
        return Err("a number starts with a digit; put text in quotes".to_owned());
    }
    if let Some(truth) = boolean(word) {
        return Ok(Word::Value(Kind::Boolean(truth)));
    }
    if word.contains('\'') {
        return Err("a quote inside unquoted text; put the whole text in double quotes".to_owned());
    }
    if word.contains('\\') {
        return unescape(word).map(|text| Word::Value(Kind::Text(text)));
    }
    match word.strip_prefix('$') {
        Some(_) if is_bcrypt_hash(word) => Ok(Word::Value(Kind::Text(word.to_owned()))),
        Some("") => Err("`$` must be followed by the name of a variable".to_owned()),
        Some(name) => Ok(Word::Variable(name.to_owned())),
        None => Ok(Word::Value(Kind::Text(word.to_owned()))),
    }
}

/// Whether a text is a bcrypt hash (`$2a$`, `$2b$`, `$2x$`, `$2y$`): written bare it is text, not a variable.
pub(super) fn is_bcrypt_hash(text: &str) -> bool {
    matches!(text.as_bytes(), [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', ..])
}

fn boolean(word: &str) -> Option<bool> {
    let is = |names: [&str; 3]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    if is(["true", "yes", "on"]) {
        Some(true)
    } else if is(["false", "no", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// A word that starts with a digit or a minus sign.
fn number_like(word: &str) -> Result<Kind, String> {
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let negative = unsigned.len() < word.len();
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (number, tail) = unsigned.split_at_checked(digits).unwrap_or((unsigned, ""));
    if number.is_empty() {
        return Err("expected a number after `-`; put text in quotes".to_owned());
    }
    match tail.chars().next() {
        None => integer(number, negative, 1),
        Some('.') => fraction(word, tail, negative),
        Some('-') if !negative => date(word, digits),
        Some(c) => match suffix(tail) {
            Some(factor) => integer(number, negative, factor),
            None if negative || looks_like_bad_size(c, tail) => Err(not_a_number()),
            None => text(word),
        },
    }
}

fn not_a_number() -> String {
    "this is not a number; put text in quotes".to_owned()
}

fn text(word: &str) -> Result<Kind, String> {
    if word.contains('\'') {
        return Err("a quote inside unquoted text; put the whole text in double quotes".to_owned());
    }
    if word.contains('\\') { unescape(word).map(Kind::Text) } else { Ok(Kind::Text(word.to_owned())) }
}

/// `1kbb`: a size suffix that goes wrong at its end. (`1m30s` is text, and a duration where one is expected.)
fn looks_like_bad_size(first: char, tail: &str) -> bool {
    let rest = tail.get(first.len_utf8()..).unwrap_or_default();
    power_of(first).is_some() && rest.chars().all(|c| matches!(c, 'b' | 'B' | 'i' | 'I'))
}

fn power_of(c: char) -> Option<u32> {
    "kmgtpe".find(c.to_ascii_lowercase()).and_then(|at| u32::try_from(at + 1).ok())
}

/// `k` is 1000, `kb`, `ki` and `kib` are 1024; likewise m, g, t, p, e.
fn suffix(tail: &str) -> Option<i64> {
    let mut letters = tail.chars();
    let power = power_of(letters.next()?)?;
    match letters.as_str().to_ascii_lowercase().as_str() {
        "" => 1000_i64.checked_pow(power),
        "b" | "i" | "ib" => 1024_i64.checked_pow(power),
        _ => None,
    }
}

fn integer(digits: &str, negative: bool, factor: i64) -> Result<Kind, String> {
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    let value = signed.parse::<i64>().ok().and_then(|value| value.checked_mul(factor));
    value.map(Kind::Integer).ok_or_else(|| "this number is too big".to_owned())
}

/// `1.5`, or an address such as `127.0.0.1:4222`.
fn fraction(word: &str, tail: &str, negative: bool) -> Result<Kind, String> {
    let after_point = tail.strip_prefix('.').unwrap_or_default();
    let digits = after_point.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err("a digit must follow the point of a number; put text in quotes".to_owned());
    }
    let rest = after_point.get(digits..).unwrap_or_default();
    if rest.is_empty() {
        return word.parse().map(Kind::Float).map_err(|_| not_a_number());
    }
    let address = |c: char| c.is_ascii_digit() || matches!(c, '.' | ':' | '-');
    if !negative && rest.starts_with('.') && rest.chars().all(address) {
        return Ok(Kind::Text(word.to_owned()));
    }
    Err(not_a_number())
}

/// `2006-01-02T15:04:05Z` and nothing shorter or longer.
fn date(word: &str, year_digits: usize) -> Result<Kind, String> {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let fits = |(c, shape): (&u8, &u8)| if *shape == b'0' { c.is_ascii_digit() } else { c == shape };
    let shaped = word.len() == SHAPE.len() && word.as_bytes().iter().zip(SHAPE).all(fits);
    if year_digits != 4 || !shaped {
        return Err("expected a date such as 2006-01-02T15:04:05Z; put text in quotes".to_owned());
    }
    let field = |at: usize, low: u32, high: u32| {
        let number = word.get(at..at + 2).and_then(|digits| digits.parse::<u32>().ok());
        number.is_some_and(|number| (low..=high).contains(&number))
    };
    if !(field(5, 1, 12) && field(8, 1, 31) && field(11, 0, 23) && field(14, 0, 59) && field(17, 0, 59)) {
        return Err("there is no such date or time".to_owned());
    }
    Ok(Kind::DateTime(word.to_owned()))
}

/// Resolves `\t \n \r \" \\ \xHH` in an unquoted word or the inside of a double-quoted text.
pub(super) fn unescape(raw: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        let (plain, escape) = rest.split_at_checked(at).unwrap_or((rest, ""));
        bytes.extend_from_slice(plain.as_bytes());
        let (byte, length) = escaped(escape)?;
        bytes.push(byte);
        rest = escape.get(length..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "the `\\x` escapes do not make valid UTF-8".to_owned())
}

/// The byte that an escape (with its backslash) stands for, and how many bytes it takes.
fn escaped(escape: &str) -> Result<(u8, usize), String> {
    match escape.as_bytes().get(1) {
        Some(b't') => Ok((b'\t', 2)),
        Some(b'n') => Ok((b'\n', 2)),
        Some(b'r') => Ok((b'\r', 2)),
        Some(b'"') => Ok((b'"', 2)),
        Some(b'\\') => Ok((b'\\', 2)),
        Some(b'x') => {
            let digits = escape.get(2..4).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            byte.map(|byte| (byte, 4)).ok_or_else(|| "`\\x` needs two hexadecimal digits".to_owned())
        }
        _ => Err("unknown escape; known are \\t \\n \\r \\\" \\\\ and \\xHH".to_owned()),
    }
}

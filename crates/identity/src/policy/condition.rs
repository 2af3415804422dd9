//! Conditions of bindings: equals, contains, glob.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::facts::{FactPath, Facts, Found};

/// A condition as a user writes it: `"x"`, `7`, `true`, `{ contains = "x" }`, `{ glob = "x-*" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConditionConfig {
    /// The fact is this text, whole number or truth value. Of a certificate's several names, one is.
    Equals(Value),
    /// The fact is a list with this text in it, or a text with it as one of its words (OAuth's `scope`).
    Contains(String),
    /// The fact, or one of its list's texts, looks like this: `*` any characters, `?` one.
    Glob(String),
}

impl<'de> Deserialize<'de> for ConditionConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Read)
    }
}

struct Read;

impl<'de> Visitor<'de> for Read {
    type Value = ConditionConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a whole number, true, false, { contains = \"…\" } or { glob = \"…\" }")
    }

    fn visit_str<E>(self, text: &str) -> Result<ConditionConfig, E> {
        Ok(ConditionConfig::Equals(text.into()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<ConditionConfig, E> {
        Ok(ConditionConfig::Equals(value.into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<ConditionConfig, E> {
        Ok(ConditionConfig::Equals(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<ConditionConfig, E> {
        Ok(ConditionConfig::Equals(number.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ConditionConfig, A::Error> {
        let Some((operator, text)) = map.next_entry::<String, String>()? else {
            return Err(de::Error::custom("a condition needs `equals`, `contains` or `glob`"));
        };
        let condition = match operator.as_str() {
            "equals" => ConditionConfig::Equals(text.into()),
            "contains" => ConditionConfig::Contains(text),
            "glob" => ConditionConfig::Glob(text),
            other => return Err(de::Error::unknown_field(other, &["equals", "contains", "glob"])),
        };
        if map.next_key::<String>()?.is_some() {
            return Err(de::Error::custom("a condition has exactly one of `equals`, `contains`, `glob`"));
        }
        Ok(condition)
    }
}

impl fmt::Display for ConditionConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equals(value) => write!(f, "is {value}"),
            Self::Contains(text) => write!(f, "contains \"{text}\""),
            Self::Glob(text) => write!(f, "looks like \"{text}\""),
        }
    }
}

/// A condition on one fact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) fact: FactPath,
    pub(super) test: ConditionConfig,
}

impl Condition {
    pub(super) fn compile(fact: &str, test: &ConditionConfig) -> Result<Self, String> {
        let empty = match test {
            ConditionConfig::Equals(value) => value.as_str().is_some_and(str::is_empty),
            ConditionConfig::Contains(text) | ConditionConfig::Glob(text) => text.is_empty(),
        };
        if empty {
            return Err(format!("the condition on `{fact}` compares with an empty text"));
        }
        Ok(Self { fact: FactPath::parse(fact)?, test: test.clone() })
    }

    pub(super) fn holds(&self, facts: &Facts<'_>) -> bool {
        match self.fact.find(facts) {
            Found::Nothing => false,
            Found::Names(names) => names.iter().any(|name| self.name_holds(name)),
            Found::Claim(value) => self.claim_holds(value),
        }
    }

    fn name_holds(&self, name: &str) -> bool {
        match &self.test {
            ConditionConfig::Equals(value) => value == name,
            ConditionConfig::Contains(text) => text == name,
            ConditionConfig::Glob(pattern) => glob(pattern, name),
        }
    }

    fn claim_holds(&self, claim: &Value) -> bool {
        match (&self.test, claim) {
            (ConditionConfig::Equals(value), claim) => value == claim,
            (ConditionConfig::Contains(text), Value::Array(list)) => {
                list.iter().any(|item| item == text.as_str())
            }
            (ConditionConfig::Contains(text), Value::String(words)) => {
                words.split_ascii_whitespace().any(|word| word == text)
            }
            (ConditionConfig::Glob(pattern), Value::Array(list)) => {
                let mut texts = list.iter().filter_map(Value::as_str);
                texts.any(|text| glob(pattern, text))
            }
            (ConditionConfig::Glob(pattern), Value::String(text)) => glob(pattern, text),
            _ => false,
        }
    }
}

/// Whether `text` looks like `pattern`, in time proportional to the product of their lengths at worst.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after the last `*` when what follows it does not fit: one character further.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    retry = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "x"),
            ("a*", "a"),
            ("a*c", "abbbc"),
            ("*a*b", "xaxaxb"),
            ("?", "é"),
            ("team-*-rw", "team-x-rw-rw"),
            ("a.b", "a.b"),
            ("**", "abc"),
        ] {
            assert!(glob(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "x"), ("a", "A"), ("a*c", "abcd"), ("?", ""), ("?", "ab"), ("a.b", "axb"), ("*a", "ab")]
        {
            assert!(!glob(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn hostile_globs_end_soon() {
        assert!(!glob(&format!("{}b", "*a".repeat(50)), &"a".repeat(5_000)));
    }

    #[test]
    fn reading() {
        let read = |text: &str| serde_json::from_str::<ConditionConfig>(text);
        assert_eq!(read("\"x\"").unwrap(), ConditionConfig::Equals("x".into()));
        assert_eq!(read("true").unwrap(), ConditionConfig::Equals(true.into()));
        assert_eq!(read(r#"{"contains":"x"}"#).unwrap(), ConditionConfig::Contains("x".into()));
        assert_eq!(read(r#"{"glob":"x"}"#).unwrap(), ConditionConfig::Glob("x".into()));
        for bad in ["{}", r#"{"regex":"x"}"#, r#"{"glob":"x","contains":"y"}"#, "[]", "null", r#"{"glob":1}"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}

//! Subjects with places for facts: `orders.{{claims.tenant}}.>`.
//!
//! A value goes in only if it can't change the shape of the subject: it is one text or whole number, not
//! empty, without dot, wildcard, white space or control characters, and it does not open a subject with `$`
//! or `_`, where the system's own subjects and inboxes live. Anything else refuses the role; nothing is
//! escaped or cut.

use serde_json::Value;

use super::facts::{FactPath, Facts, Found};

/// Longest value that goes into a subject, in bytes.
const MAX_VALUE: usize = 256;

/// A text with places for facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Fact { name: String, path: FactPath },
}

impl Template {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return Err(format!("`{text}`: `{{{{` without `}}}}`"));
            };
            let name = name.trim();
            let path = FactPath::parse(name).map_err(|problem| format!("`{text}`: {problem}"))?;
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Fact { name: name.to_owned(), path });
            rest = after;
        }
        if rest.contains("}}") {
            return Err(format!("`{text}`: `}}}}` without `{{{{`"));
        }
        parts.push(Part::Literal(rest.to_owned()));
        Ok(Self { text: text.to_owned(), parts })
    }

    /// A text without places.
    pub(super) fn fixed(text: &str) -> Self {
        Self { text: text.to_owned(), parts: vec![Part::Literal(text.to_owned())] }
    }

    /// A template that stands for a number: one fact and nothing around it.
    pub(super) fn parse_number(text: &str) -> Result<Self, String> {
        let template = Self::parse(text)?;
        let lone = template.fact().is_some();
        lone.then_some(template)
            .ok_or_else(|| format!("`{text}`: a number is one fact alone, as in `{{{{claims.rate}}}}`"))
    }

    /// The only fact, where nothing stands around it.
    fn fact(&self) -> Option<(&str, &FactPath)> {
        match self.parts.as_slice() {
            [Part::Literal(before), Part::Fact { name, path }, Part::Literal(after)] => {
                (before.is_empty() && after.is_empty()).then_some((name, path))
            }
            _ => None,
        }
    }

    /// The fact as a number. The error says why it can't be used, without its value.
    pub(super) fn number(&self, facts: &Facts<'_>) -> Result<u64, String> {
        let refuse = |problem: &str| format!("`{}`: {problem}", self.text);
        let (name, path) = self.fact().ok_or_else(|| refuse("is more than one fact"))?;
        let about = |problem| refuse(&format!("{name} {problem}"));
        let text = value(path, facts).map_err(about)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse()
            .ok()
            .filter(|_| digits)
            .ok_or_else(|| about("is not a whole number of 64 bits, 0 or above"))
    }

    /// The template as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The text with a stand-in for every fact, for checking the shape and for comparing templates.
    pub(super) fn sample(&self) -> String {
        let part = |part: &Part| match part {
            Part::Literal(literal) => literal.clone(),
            Part::Fact { name, .. } => name.replace(|c: char| !c.is_ascii_alphanumeric(), "_"),
        };
        self.parts.iter().map(part).collect()
    }

    /// The same template around another text: `prefix` + this + `suffix`.
    pub(super) fn wrap(&self, prefix: &str, suffix: &str) -> Self {
        let mut parts = vec![Part::Literal(prefix.to_owned())];
        parts.extend(self.parts.iter().cloned());
        parts.push(Part::Literal(suffix.to_owned()));
        Self { text: format!("{prefix}{}{suffix}", self.text), parts }
    }

    /// Puts the facts in. The error says which fact cannot be used and why, without its value.
    pub(super) fn render(&self, facts: &Facts<'_>) -> Result<String, String> {
        let mut out = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Literal(literal) => out.push_str(literal),
                Part::Fact { name, path } => {
                    let refuse = |problem| format!("`{}`: {name} {problem}", self.text);
                    let value = value(path, facts).map_err(refuse)?;
                    check(&value, out.is_empty()).map_err(refuse)?;
                    out.push_str(&value);
                }
            }
        }
        Ok(out)
    }
}

fn value(path: &FactPath, facts: &Facts<'_>) -> Result<String, &'static str> {
    match path.find(facts) {
        Found::Nothing => Err("is missing"),
        Found::Names(names) => match names.as_slice() {
            [] => Err("is missing"),
            [name] => Ok(name.clone().into_owned()),
            _ => Err("has several values"),
        },
        Found::Claim(Value::String(text)) => Ok(text.clone()),
        Found::Claim(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        Found::Claim(Value::Array(_)) => Err("is a list"),
        Found::Claim(_) => Err("is neither text nor a whole number"),
    }
}

fn check(value: &str, opens_subject: bool) -> Result<(), &'static str> {
    if value.is_empty() {
        return Err("is empty");
    }
    if value.len() > MAX_VALUE {
        return Err("is longer than 256 bytes");
    }
    if value.contains(['.', '*', '>']) {
        return Err("holds a dot or a wildcard");
    }
    if value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("holds white space or a control character");
    }
    if opens_subject && value.starts_with(['$', '_']) {
        return Err("would open a subject reserved for the system");
    }
    Ok(())
}

//! A role's limits: numbers as they are written, or out of a fact, as in `"{{claims.rate}}"`.
//!
//! A fact is a whole number, or a text of nothing but digits. Where it is missing, or anything else, the role is refused
//! like one whose subjects can't be filled in: a limit is never left out because somebody's token does not state it.

use super::config::LimitsConfig;
use super::facts::Facts;
use super::template::Template;
use super::units::{Bytes, Limit};
use crate::grant::Quotas;

/// The limits of a role before facts are put in.
#[derive(Debug, Clone, Default)]
pub(super) struct Limits {
    subscriptions: Option<Bound>,
    payload: Option<Bound>,
    connections: Option<Bound>,
    messages_per_second: Option<Bound>,
    bytes_per_second: Option<Bound>,
}

/// One limit.
#[derive(Debug, Clone)]
struct Bound {
    key: &'static str,
    least: u64,
    most: u64,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Fixed(u64),
    Fact(Template),
}

/// Of what is counted per second, and of connections, none at all would be a role that lets nobody in: it is said so
/// with `publish`, or with no binding.
const AT_LEAST_ONE: u64 = 1;
const COUNT: u64 = u32::MAX as u64;

impl Limits {
    /// Compiles what a user wrote; every problem comes with the key it is about.
    pub(super) fn compile(config: &LimitsConfig) -> (Self, Vec<(&'static str, String)>) {
        let mut problems = Vec::new();
        let mut bound = |key, limit: Option<Limit<u64>>, least, most| {
            let value = match limit? {
                Limit::Fixed(number) => Ok(Value::Fixed(number)),
                Limit::Template(text) => Template::parse_number(&text).map(Value::Fact),
            };
            let bound = value.and_then(|value| {
                let bound = Bound { key, least, most, value };
                match bound.value {
                    Value::Fixed(number) => bound.check(number).map(|_| bound).map_err(str::to_owned),
                    Value::Fact(_) => Ok(bound),
                }
            });
            bound.map_err(|problem| problems.push((key, problem))).ok()
        };
        let count = |limit: &Option<Limit<u32>>| limit.clone().map(|limit| limit.map(u64::from));
        let bytes = |limit: &Option<Limit<Bytes>>| limit.clone().map(|limit| limit.map(|bytes| bytes.0));
        let limits = Self {
            subscriptions: bound("subscriptions", count(&config.subscriptions), 0, COUNT),
            payload: bound("payload", bytes(&config.payload), 0, COUNT),
            connections: bound("connections", count(&config.connections), AT_LEAST_ONE, COUNT),
            messages_per_second: bound(
                "messages_per_second",
                config.messages_per_second.clone(),
                AT_LEAST_ONE,
                u64::MAX,
            ),
            bytes_per_second: bound(
                "bytes_per_second",
                bytes(&config.bytes_per_second),
                AT_LEAST_ONE,
                u64::MAX,
            ),
        };
        (limits, problems)
    }

    /// Puts the facts in. The error says which fact can't be used and why, without its value.
    pub(super) fn render(&self, facts: &Facts<'_>) -> Result<Quotas, String> {
        let wide = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.number(facts)).transpose();
        // Nothing is cut: each bound's `most` has seen to it that it fits.
        let narrow =
            |bound| wide(bound).map(|number| number.map(|number| u32::try_from(number).unwrap_or(u32::MAX)));
        Ok(Quotas {
            subscriptions: narrow(&self.subscriptions)?,
            payload: narrow(&self.payload)?,
            connections: narrow(&self.connections)?,
            messages_per_second: wide(&self.messages_per_second)?,
            bytes_per_second: wide(&self.bytes_per_second)?,
        })
    }
}

impl Bound {
    fn number(&self, facts: &Facts<'_>) -> Result<u64, String> {
        match &self.value {
            Value::Fixed(number) => Ok(*number),
            Value::Fact(template) => {
                let at = |problem: String| format!("limits.{}: {problem}", self.key);
                let number = template.number(facts).map_err(at)?;
                self.check(number).map_err(|problem| at(format!("`{}`: {problem}", template.text())))
            }
        }
    }

    fn check(&self, number: u64) -> Result<u64, &'static str> {
        match number {
            number if number < self.least => {
                Err("a limit of 0 lets nobody in; leave the key out for no limit")
            }
            number if number > self.most => Err("2^32 or more"),
            number => Ok(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::token::Claims;

    fn render(config: Json, claims: Json) -> Result<Quotas, String> {
        let (limits, problems) = Limits::compile(&serde_json::from_value(config).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
        let claims = Claims::from_map(serde_json::from_value(claims).unwrap());
        limits.render(&Facts { claims: Some(&claims), ..Facts::default() })
    }

    #[test]
    fn numbers_come_from_claims() {
        let config = json!({
            "messages_per_second": "{{claims.rate}}", "bytes_per_second": "{{ claims.plan.bytes }}",
            "connections": "{{claims.seats}}", "subscriptions": "{{claims.subs}}", "payload": "{{claims.size}}",
        });
        let claims =
            json!({ "rate": 50, "plan": { "bytes": "65536" }, "seats": "3", "subs": 0, "size": 1024 });
        let quotas = Quotas {
            subscriptions: Some(0),
            payload: Some(1_024),
            connections: Some(3),
            messages_per_second: Some(50),
            bytes_per_second: Some(65_536),
        };
        assert_eq!(render(config, claims), Ok(quotas));
    }

    #[test]
    fn anything_but_a_number_refuses_the_role_and_does_not_tell_the_value() {
        for (value, problem) in [
            (json!(null), "is missing"),
            (json!(""), "is not a whole number"),
            (json!("many"), "is not a whole number"),
            (json!("+5"), "is not a whole number"),
            (json!("-5"), "is not a whole number"),
            (json!(-5), "is not a whole number"),
            (json!(" 5"), "is not a whole number"),
            (json!("5 "), "is not a whole number"),
            (json!("1e3"), "is not a whole number"),
            (json!("٣"), "is not a whole number"),
            (json!("64 KiB"), "is not a whole number"),
            (json!("18446744073709551616"), "is not a whole number"),
            (json!(1.5), "is neither text nor a whole number"),
            (json!(true), "is neither text nor a whole number"),
            (json!([5]), "is a list"),
            (json!({ "a": 5 }), "is neither text nor a whole number"),
            (json!(4_294_967_296_u64), "2^32 or more"),
            (json!(0), "a limit of 0 lets nobody in"),
        ] {
            let told = render(json!({ "connections": "{{claims.n}}" }), json!({ "n": value })).unwrap_err();
            assert!(
                told.starts_with("limits.connections: `{{claims.n}}`: ") && told.contains(problem),
                "{value}: {told}"
            );
        }
        assert!(render(json!({ "payload": "{{claims.n}}" }), json!({})).unwrap_err().contains("is missing"));
    }

    #[test]
    fn what_makes_no_sense_is_said_when_it_is_read() {
        for text in ["{{claims.n}}0", "x{{claims.n}}", "{{claims.n}}{{claims.m}}", "{{n}}", "{{claims.n"] {
            let config = serde_json::from_value(json!({ "connections": text })).unwrap();
            let (_, problems) = Limits::compile(&config);
            assert_eq!(problems.len(), 1, "{text}");
        }
        for limits in [
            json!({ "connections": "many" }),
            json!({ "payload": "5 elephants" }),
            json!({ "connections": -1 }),
        ] {
            assert!(serde_json::from_value::<LimitsConfig>(limits).is_err());
        }
    }
}

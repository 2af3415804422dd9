//! How a decision came about, binding by binding: for people who ask why somebody may or may not do something.

use std::sync::Arc;

use super::compile::Binding;
use super::condition::Condition;
use super::evaluate::Evaluation;
use super::facts::{Facts, Found};
use super::{Policy, evaluate};
use crate::token::Claims;

/// Longest value of a fact shown, in characters.
const MAX_SHOWN: usize = 80;

/// A decision with every binding's part in it.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The decision.
    pub evaluation: Evaluation,
    /// The bindings, in the order of the configuration.
    pub bindings: Vec<Judged>,
}

/// One binding, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Its position in the configuration.
    pub index: usize,
    /// The role it gives.
    pub role: Arc<str>,
    /// Conditions that are met, in words.
    pub met: Vec<String>,
    /// Conditions that are not. None: the binding matches.
    pub failed: Vec<Failed>,
}

/// A condition that is not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The condition, as in `claims.groups contains "partners"`.
    pub condition: String,
    /// What was found in its place. Values of claims are shown in part: this is not for logs.
    pub found: String,
}

impl Policy {
    /// What a peer may do at `now` (seconds since the Unix epoch), and why.
    #[must_use]
    pub fn explain(&self, facts: &Facts<'_>, now: u64) -> Explanation {
        let evaluation = evaluate::evaluate(&self.roles, &self.bindings, facts, now);
        let judged = |(index, binding): (usize, &Binding)| {
            let (mut met, mut failed) = (Vec::new(), Vec::new());
            if let Some(issuer) = &binding.issuer {
                let found = facts.claims.and_then(Claims::iss);
                let condition = format!("issuer is \"{issuer}\"");
                if found == Some(issuer) {
                    met.push(condition);
                } else {
                    let found = found.map_or("no token".to_owned(), |iss| shown(&format!("{iss:?}")));
                    failed.push(Failed { condition, found });
                }
            }
            for condition in &binding.conditions {
                let text = format!("{} {}", condition.fact, condition.test);
                match condition.holds(facts) {
                    true => met.push(text),
                    false => failed.push(Failed { condition: text, found: found(condition, facts) }),
                }
            }
            Judged { index, role: Arc::clone(&self.roles[binding.role].name), met, failed }
        };
        Explanation { evaluation, bindings: self.bindings.iter().enumerate().map(judged).collect() }
    }
}

impl Explanation {
    /// Bindings that fail by one condition alone.
    pub fn nearly(&self) -> impl Iterator<Item = &Judged> {
        self.bindings.iter().filter(|binding| binding.failed.len() == 1)
    }
}

fn found(condition: &Condition, facts: &Facts<'_>) -> String {
    match condition.fact.find(facts) {
        Found::Nothing => "nothing".to_owned(),
        Found::Names(names) if names.is_empty() => "no such name".to_owned(),
        Found::Names(names) => shown(&format!("{names:?}")),
        Found::Claim(value) => shown(&value.to_string()),
    }
}

fn shown(text: &str) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    let mut out: String = text.chars().map(plain).take(MAX_SHOWN).collect();
    if text.chars().count() > MAX_SHOWN {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::PolicyConfig;

    #[test]
    fn it_says_which_condition_failed_and_what_was_found() {
        let config: PolicyConfig = serde_json::from_value(json!({
            "roles": [{"name": "a", "publish": {"allow": ["x"]}}, {"name": "b"}, {"name": "c"}],
            "bindings": [
                {"role": "a", "issuer": "https://i"},
                {"role": "b", "issuer": "https://i", "when": {"claims.groups": {"contains": "ops"}}},
                {"role": "c", "issuer": "https://j", "when": {"certificate.dns": "billing"}},
            ],
        }))
        .unwrap();
        let policy = Policy::compile(&config).unwrap();
        let claims = json!({"iss": "https://i", "sub": "alice", "groups": ["dev", "x".repeat(200)]});
        let claims = Claims::from_map(serde_json::from_value(claims).unwrap());
        let explanation = policy.explain(&Facts { claims: Some(&claims), ..Facts::default() }, 1);
        assert_eq!(explanation.evaluation.matched, [0]);
        assert!(explanation.bindings[0].failed.is_empty() && explanation.bindings[0].met.len() == 1);
        let nearly: Vec<&Judged> = explanation.nearly().collect();
        assert_eq!((nearly.len(), &*nearly[0].role), (1, "b"));
        let failed = &nearly[0].failed[0];
        assert_eq!(failed.condition, "claims.groups contains \"ops\"");
        assert!(failed.found.starts_with("[\"dev\",") && failed.found.ends_with('…'), "{}", failed.found);
        assert_eq!(explanation.bindings[2].failed[1].found, "nothing");
        assert_eq!(explanation.bindings[2].failed[0].found, "\"https://i\"");
    }
}

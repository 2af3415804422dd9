//! An explanation as text and as JSON.

use identity::policy::{Explanation, Judged, Policy, VerifiedFacts};
use identity::{Grant, Quotas};
use serde_json::{Value, json};

/// A question: may this be done?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Can {
    /// Publish to a subject.
    Publish(String),
    /// Subscribe to a pattern.
    Subscribe(String),
}

impl Can {
    /// Reads `publish SUBJECT` or `subscribe PATTERN`; nothing for no question.
    ///
    /// # Errors
    /// Not a question, or not a subject.
    pub fn parse(words: &[String]) -> Result<Option<Self>, String> {
        match words {
            [] => Ok(None),
            [verb, subject] if verb == "publish" && subject::valid_subject(subject.as_bytes()) => {
                Ok(Some(Self::Publish(subject.clone())))
            }
            [verb, subject] if verb == "subscribe" && subject::valid_pattern(subject.as_bytes()) => {
                Ok(Some(Self::Subscribe(subject.clone())))
            }
            [verb, _] if verb != "publish" && verb != "subscribe" => {
                Err(format!("`{verb}`: expected `publish` or `subscribe`"))
            }
            [verb, subject] => Err(format!("`{subject}` is nothing to {verb} to")),
            _ => Err("expected `publish SUBJECT` or `subscribe PATTERN`".to_owned()),
        }
    }

    fn asked(&self) -> String {
        match self {
            Self::Publish(subject) => format!("publish {subject}"),
            Self::Subscribe(pattern) => format!("subscribe {pattern}"),
        }
    }

    fn of(&self, grant: &Grant) -> bool {
        match self {
            Self::Publish(subject) => grant.rights.may_publish(subject.as_bytes()),
            Self::Subscribe(pattern) => grant.rights.may_subscribe(pattern.as_bytes(), None),
        }
    }
}

/// Everything there is to say.
#[derive(Debug)]
pub struct Answer {
    explanation: Explanation,
    notes: Vec<String>,
    can: Option<Can>,
}

impl Answer {
    /// Explains what `facts` are worth at `now` (seconds since the Unix epoch).
    #[must_use]
    pub fn of(
        policy: &Policy,
        facts: &VerifiedFacts,
        notes: Vec<String>,
        can: Option<Can>,
        now: u64,
    ) -> Self {
        Self { explanation: policy.explain(&facts.as_facts(), now), notes, can }
    }

    /// The answer to the question, if there was one.
    #[must_use]
    pub fn granted(&self) -> Option<bool> {
        let grant = self.explanation.evaluation.grant.as_ref();
        self.can.as_ref().map(|can| grant.is_ok_and(|grant| can.of(grant)))
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.notes.iter().map(|note| format!("note       {note}")).collect();
        let matched: Vec<&Judged> =
            self.explanation.bindings.iter().filter(|one| one.failed.is_empty()).collect();
        match &self.explanation.evaluation.grant {
            Ok(grant) => identity(grant, &mut lines),
            Err(denied) => lines.push(format!("refused    {denied} ({})", denied.reason())),
        }
        for binding in &matched {
            let why = if binding.met.is_empty() { "everybody".to_owned() } else { binding.met.join(", ") };
            lines.push(format!("binding    [{}] gives `{}`: {why}", binding.index, binding.role));
        }
        for (role, problem) in &self.explanation.evaluation.refused {
            lines.push(format!("not given  `{role}`: {problem}"));
        }
        for binding in self.explanation.nearly() {
            let failed = &binding.failed[0];
            lines.push(format!(
                "nearly     [{}] would give `{}`: {}, found {}",
                binding.index, binding.role, failed.condition, failed.found
            ));
        }
        let others = self.explanation.bindings.iter().filter(|binding| binding.failed.len() > 1).count();
        if others > 0 {
            lines.push(format!("others     {others} bindings do not match by more than one condition"));
        }
        if let Ok(grant) = &self.explanation.evaluation.grant {
            rights(grant, &mut lines);
        }
        if let (Some(can), Some(granted)) = (&self.can, self.granted()) {
            lines.push(format!("{}  {}", can.asked(), if granted { "yes" } else { "no" }));
        }
        lines
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let evaluation = &self.explanation.evaluation;
        let bindings: Vec<Value> = self.explanation.bindings.iter().map(binding).collect();
        let refused: Vec<Value> = evaluation
            .refused
            .iter()
            .map(|(role, why)| json!({"role": role.to_string(), "problem": why}))
            .collect();
        let mut answer = json!({ "notes": self.notes, "bindings": bindings, "roles_not_given": refused });
        match &evaluation.grant {
            Ok(grant) => answer["grant"] = granted(grant),
            Err(denied) => answer["refused"] = json!({"reason": denied.reason(), "detail": denied.detail}),
        }
        if let (Some(can), Some(granted)) = (&self.can, self.granted()) {
            answer["can"] = json!({ "question": can.asked(), "answer": granted });
        }
        answer
    }
}

fn identity(grant: &Grant, lines: &mut Vec<String>) {
    let issuer = grant.provenance.as_ref().map(|provenance| provenance.issuer.as_ref()).unwrap_or_default();
    lines.push(format!("identity   {} ({issuer})", grant.identity));
    let end = grant.expires_at.map_or("never".to_owned(), |end| format!("at {end} (seconds since 1970)"));
    lines.push(format!("ends       {end}"));
    lines.push(format!("roles      {}", grant.roles.join(", ")));
}

fn rights(grant: &Grant, lines: &mut Vec<String>) {
    let (publish, subscribe) = (grant.rights.publish(), grant.rights.subscribe());
    for (what, permission) in [("publish", publish), ("subscribe", subscribe)] {
        let allow = permission.allow().map_or("everything".to_owned(), |list| list.join(", "));
        let none = if allow.is_empty() { "nothing" } else { &allow };
        lines.push(format!("{what:<10} {none}"));
        if !permission.deny().is_empty() {
            lines.push(format!("{:<10} but not {}", "", permission.deny().join(", ")));
        }
    }
    if let Some(responses) = grant.rights.responses() {
        let max = responses.max.map_or("any number of".to_owned(), |max| max.to_string());
        lines.push(format!("answers    {max} per message received"));
    }
    lines.push(format!("limits     {}", limits(&grant.quotas)));
}

fn limits(quotas: &Quotas) -> String {
    let all = numbers(quotas).into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?)));
    let text = all.collect::<Vec<_>>().join(", ");
    if text.is_empty() { "the server's own".to_owned() } else { text }
}

fn numbers(quotas: &Quotas) -> [(&'static str, Option<u64>); 5] {
    [
        ("connections", quotas.connections.map(u64::from)),
        ("subscriptions", quotas.subscriptions.map(u64::from)),
        ("messages_per_second", quotas.messages_per_second),
        ("bytes_per_second", quotas.bytes_per_second),
        ("payload", quotas.payload.map(u64::from)),
    ]
}

fn binding(judged: &Judged) -> Value {
    let failed: Vec<Value> =
        judged.failed.iter().map(|one| json!({"condition": one.condition, "found": one.found})).collect();
    json!({
        "index": judged.index, "role": judged.role.to_string(), "matches": judged.failed.is_empty(),
        "met": judged.met, "failed": failed,
    })
}

/// A grant as JSON, without the times that differ from one evaluation to the next.
pub(crate) fn granted(grant: &Grant) -> Value {
    let (publish, subscribe) = (grant.rights.publish(), grant.rights.subscribe());
    let limits: serde_json::Map<String, Value> = numbers(&grant.quotas)
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
        .collect();
    json!({
        "identity": &*grant.identity,
        "issuer": grant.provenance.as_ref().map(|provenance| provenance.issuer.to_string()),
        "expires_at": grant.expires_at,
        "roles": grant.roles.iter().map(|role| role.to_string()).collect::<Vec<_>>(),
        "publish": { "allow": publish.allow(), "deny": publish.deny() },
        "subscribe": { "allow": subscribe.allow(), "deny": subscribe.deny() },
        "responses": grant.rights.responses().map(|limit| json!({"max": limit.max, "ttl_seconds": limit.ttl.map(|ttl| ttl.as_secs())})),
        "limits": limits,
    })
}

//! People between two configurations: samples judged by both, and those an audit log or a list of sessions knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use daemon::exit::Failure;
use identity::policy::{Policy, PolicyConfig, VerifiedFacts};
use identity::token::Claims;
use serde_json::{Map, Value};

use crate::explain::granted;

/// Identities named for one role at most.
const SHOWN: usize = 20;

/// Judges sample claims by both policies.
pub(super) fn samples(
    old: &PolicyConfig,
    new: &PolicyConfig,
    given: &[String],
) -> Result<Vec<String>, Failure> {
    let (old, new) = (compiled(old)?, compiled(new)?);
    let mut lines = Vec::new();
    for claims in given.iter().map(|text| read(text)).collect::<Result<Vec<_>, _>>()?.into_iter().flatten() {
        let claims = Claims::from_map(claims);
        let who = format!("{} ({})", claims.sub().unwrap_or("?"), claims.iss().unwrap_or("?"));
        let facts = VerifiedFacts { claims: Some(claims), ..VerifiedFacts::default() };
        let (before, after) = (judged(&old, &facts), judged(&new, &facts));
        for key in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            let none = BTreeSet::new();
            let (before, after) = (before.get(key).unwrap_or(&none), after.get(key).unwrap_or(&none));
            lines.extend(before.difference(after).map(|entry| format!("- {who} {key}: {entry}")));
            lines.extend(after.difference(before).map(|entry| format!("+ {who} {key}: {entry}")));
        }
    }
    Ok(lines)
}

fn compiled(config: &PolicyConfig) -> Result<Policy, Failure> {
    Policy::compile(config).map_err(|errors| {
        Failure::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })
}

/// A JSON object, or a file with one a line.
fn read(given: &str) -> Result<Vec<Map<String, Value>>, Failure> {
    let text =
        if given.trim_start().starts_with('{') { given.to_owned() } else { std::fs::read_to_string(given)? };
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let one = |line| serde_json::from_str(line).map_err(|error| Failure::usage(format!("claims: {error}")));
    lines.map(one).collect()
}

/// What somebody may do, as sets of texts by kind.
fn judged(policy: &Policy, facts: &VerifiedFacts) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut put = |key: &str, text: String| {
        found.entry(key.to_owned()).or_default().insert(text);
    };
    match policy.grant(&facts.as_facts(), 0) {
        Err(denied) => put("login", format!("refused ({})", denied.reason())),
        Ok(grant) => {
            let grant = granted(&grant);
            for (kind, list) in
                [("publish", "allow"), ("publish", "deny"), ("subscribe", "allow"), ("subscribe", "deny")]
            {
                match grant[kind][list].as_array() {
                    Some(entries) => entries.iter().filter_map(Value::as_str).for_each(|entry| {
                        put(&format!("{kind}.{list}"), entry.to_owned());
                    }),
                    None => put(&format!("{kind}.{list}"), "everything".to_owned()),
                }
            }
            grant["roles"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|role| {
                put("role", role.to_owned());
            });
            grant["limits"].as_object().into_iter().flatten().for_each(|(name, value)| {
                put("limit", format!("{name} {value}"));
            });
            put("answers", grant["responses"].to_string());
        }
    }
    found
}

/// Who is known to have had a role that changes.
pub(super) fn known(changed: &BTreeSet<String>, files: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut by_role: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        for one in documents(file)? {
            let (Some(identity), Some(roles)) = (one["identity"].as_str(), one["roles"].as_array()) else {
                continue;
            };
            let issuer = one["issuer"].as_str().unwrap_or_default();
            for role in roles.iter().filter_map(Value::as_str).filter(|role| changed.contains(*role)) {
                by_role.entry(role.to_owned()).or_default().insert(format!("{identity} ({issuer})"));
            }
        }
    }
    let line = |(role, people): (String, BTreeSet<String>)| {
        let shown: Vec<String> = people.iter().take(SHOWN).cloned().collect();
        let more = people.len().saturating_sub(SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("~ role `{role}` was given to {}{more}", shown.join(", "))
    };
    Ok(by_role.into_iter().map(line).collect())
}

/// The lines of an audit log, or the sessions of an answer of the admin API.
fn documents(file: &Path) -> Result<Vec<Value>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
    if let Ok(answer) = serde_json::from_str::<Value>(&text)
        && let Some(sessions) = answer["sessions"].as_array()
    {
        return Ok(sessions.clone());
    }
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn samples_show_whose_rights_change() {
        let policy = |allow: Value| -> PolicyConfig {
            serde_json::from_value(json!({
                "roles": [{"name": "r", "publish": {"allow": allow}, "limits": {"connections": 2}}],
                "bindings": [{"role": "r", "when": {"claims.tenant": {"glob": "*"}}}],
            }))
            .unwrap()
        };
        let (old, new) =
            (policy(json!(["a.{{claims.tenant}}", "b"])), policy(json!(["b", "c.{{claims.tenant}}"])));
        let sample = json!({"iss": "https://i", "sub": "alice", "tenant": "acme"}).to_string();
        let lines = samples(&old, &new, &[sample]).unwrap();
        assert_eq!(
            lines,
            ["- alice (https://i) publish.allow: a.acme", "+ alice (https://i) publish.allow: c.acme"]
        );
        let none = json!({"iss": "https://i", "sub": "bob"}).to_string();
        assert!(samples(&old, &new, &[none]).unwrap().is_empty(), "refused by both");
    }

    #[test]
    fn people_are_found_in_audit_logs_and_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let (log, sessions) = (folder.path().join("log"), folder.path().join("sessions"));
        std::fs::write(
            &log,
            "{\"event\":\"login\",\"identity\":\"a\",\"issuer\":\"i\",\"roles\":[\"r\",\"s\"]}\n",
        )
        .unwrap();
        std::fs::write(
            &sessions,
            json!({"sessions": [{"identity": "b", "issuer": "i", "roles": ["r"]}]}).to_string(),
        )
        .unwrap();
        let changed = BTreeSet::from(["r".to_owned()]);
        assert_eq!(known(&changed, &[log, sessions]).unwrap(), ["~ role `r` was given to a (i), b (i)"]);
    }
}

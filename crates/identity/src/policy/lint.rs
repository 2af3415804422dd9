//! What is allowed to be written but probably not what was meant.

use std::fmt;

use super::compile::{Binding, Role, Templates};
use super::condition::ConditionConfig;
use super::facts::FactPath;

/// A finding about a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// A stable name: `role_never_bound`, `unreachable_binding`, `unknown_issuer`, `binds_everyone`,
    /// `any_issuer`, `allow_shadowed_by_deny`, `grants_everything`.
    pub code: &'static str,
    /// The finding in words.
    pub message: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

fn lint(code: &'static str, message: String) -> Lint {
    Lint { code, message }
}

pub(super) fn lints(roles: &[Role], bindings: &[Binding], issuers: Option<&[&str]>) -> Vec<Lint> {
    let mut found = Vec::new();
    for (index, role) in roles.iter().enumerate() {
        if !bindings.iter().any(|binding| binding.role == index) {
            let message = format!("no binding gives the role `{}` to anybody", role.name);
            found.push(lint("role_never_bound", message));
        }
        permission(&role.name, "publish", &role.publish, &mut found);
        permission(&role.name, "subscribe", &role.subscribe, &mut found);
    }
    for (index, binding) in bindings.iter().enumerate() {
        let role = &roles[binding.role].name;
        let place = format!("bindings[{index}] (role `{role}`)");
        if let Some(wider) = bindings[..index].iter().position(|earlier| earlier.includes(binding)) {
            let message = format!("{place} adds nothing: bindings[{wider}] gives the role already");
            found.push(lint("unreachable_binding", message));
        } else if binding.contradicts_itself() {
            let message = format!("{place} never matches: `issuer` and `claims.iss` differ");
            found.push(lint("unreachable_binding", message));
        }
        found.extend(binding.reach(&place, issuers));
    }
    found
}

impl Binding {
    /// Whether whoever meets `other` meets this one too, and gets the same role by it.
    fn includes(&self, other: &Self) -> bool {
        self.role == other.role
            && (self.issuer.is_none() || self.issuer == other.issuer)
            && self.conditions.iter().all(|condition| other.conditions.contains(condition))
    }

    fn contradicts_itself(&self) -> bool {
        self.conditions.iter().any(|condition| {
            let is_issuer = condition.fact == FactPath::Claim("iss".to_owned());
            match (&self.issuer, &condition.test) {
                (Some(issuer), ConditionConfig::Equals(value)) => is_issuer && value != issuer.as_str(),
                _ => false,
            }
        })
    }

    fn reach(&self, place: &str, issuers: Option<&[&str]>) -> Option<Lint> {
        let claims = |path: &FactPath| matches!(path, FactPath::Claim(_));
        match (self.issuer.as_deref(), issuers) {
            (None, _) if self.conditions.is_empty() => {
                let message = format!("{place} has no condition: everybody who is verified gets the role");
                Some(lint("binds_everyone", message))
            }
            (None, issuers) if issuers.is_none_or(|issuers| issuers.len() > 1) => {
                let by_claims = self.conditions.iter().any(|condition| claims(&condition.fact));
                let message = format!("{place} believes any issuer's claims; name the `issuer`");
                by_claims.then(|| lint("any_issuer", message))
            }
            (Some(issuer), Some(issuers)) if !issuers.contains(&issuer) => {
                let message = format!("{place} never matches: no issuer `{issuer}` is configured");
                Some(lint("unknown_issuer", message))
            }
            _ => None,
        }
    }
}

fn permission(role: &str, kind: &str, templates: &Templates, found: &mut Vec<Lint>) {
    for allow in &templates.allow {
        let sample = allow.sample();
        let mut parts = sample.split_ascii_whitespace();
        let (subject, queue) = (parts.next().unwrap_or_default(), parts.next());
        if subject::covers(subject.as_bytes(), b">") {
            let message = format!("role `{role}` may {kind} everything (`{}`)", allow.text());
            found.push(lint("grants_everything", message));
        }
        let shadow = templates.deny.iter().find(|deny| {
            let sample = deny.sample();
            let mut parts = sample.split_ascii_whitespace();
            let denied = parts.next().unwrap_or_default();
            let queues = parts.next().is_none_or(|denied| queue == Some(denied));
            queues && subject::covers(denied.as_bytes(), subject.as_bytes())
        });
        if let Some(deny) = shadow {
            let message = format!(
                "role `{role}`: `{}` in {kind}.allow has no effect, `{}` is denied",
                allow.text(),
                deny.text()
            );
            found.push(lint("allow_shadowed_by_deny", message));
        }
    }
}

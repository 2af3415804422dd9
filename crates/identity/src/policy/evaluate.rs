//! From facts to a grant: which bindings match, what their roles add up to.

use std::sync::Arc;

use super::compile::{Binding, Role, Templates};
use super::facts::Facts;
use crate::grant::{DEFAULT_ACCOUNT, Grant, Provenance, Quotas};
use crate::rights::{Permission, PermissionError, ResponseLimit, Rights};

/// Longest identity shown, in characters.
const MAX_IDENTITY: usize = 256;

/// Why a peer gets no grant although it proved who it is. The peer is told no more than that it is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Denied {
    reason: &'static str,
    /// What happened, for the log. Names roles and facts, never a fact's value.
    pub detail: String,
}

impl Denied {
    fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// A stable word for metrics and audit: `anonymous`, `no_role`, `template`, `entry`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.reason
    }
}

/// How a decision came about.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// The decision.
    pub grant: Result<Grant, Denied>,
    /// Positions of the bindings that matched, in the order of the configuration.
    pub matched: Vec<usize>,
    /// Roles that were bound but could not be given, with the reason.
    pub refused: Vec<(Arc<str>, String)>,
}

/// Evaluates a policy for one peer at `now` (seconds since the Unix epoch).
pub(super) fn evaluate(roles: &[Role], bindings: &[Binding], facts: &Facts<'_>, now: u64) -> Evaluation {
    let matches = |binding: &Binding| binding.matches(facts);
    let matched: Vec<usize> = (0..bindings.len()).filter(|index| matches(&bindings[*index])).collect();
    let mut bound: Vec<usize> = matched.iter().map(|index| bindings[*index].role).collect();
    let mut refused = Vec::new();
    for name in facts.roles {
        match roles.iter().position(|role| role.name == *name) {
            Some(index) => bound.push(index),
            None => refused.push((Arc::clone(name), "the policy has no such role".to_owned())),
        }
    }
    bound.sort_unstable();
    bound.dedup();

    let mut united = United::default();
    let mut deny_lost = false;
    for role in bound.into_iter().map(|index| &roles[index]) {
        if let Err(problem) = united.add(role, facts) {
            // Without its deny list the other roles would add up to more than was meant.
            deny_lost |= !(role.publish.deny.is_empty() && role.subscribe.deny.is_empty());
            refused.push((Arc::clone(&role.name), problem));
        }
    }
    let grant = decide(united, &refused, deny_lost, facts, now);
    Evaluation { grant, matched, refused }
}

fn decide(
    united: United,
    refused: &[(Arc<str>, String)],
    deny_lost: bool,
    facts: &Facts<'_>,
    now: u64,
) -> Result<Grant, Denied> {
    let (identity, provenance) = identify(facts, now)
        .ok_or_else(|| Denied::new("anonymous", "neither a token nor a certificate names the peer"))?;
    if deny_lost || (united.roles.is_empty() && !refused.is_empty()) {
        let told = refused.iter().map(|(role, problem)| format!("role `{role}`: {problem}"));
        return Err(Denied::new("template", told.collect::<Vec<_>>().join("; ")));
    }
    if united.roles.is_empty() {
        return Err(Denied::new("no_role", "no binding gives the peer a role"));
    }
    let quotas = united.limits;
    let roles = united.roles.clone();
    let rights = united.rights().map_err(|error| Denied::new("entry", error.to_string()))?;
    let token_end = facts.claims.and_then(crate::token::Claims::exp);
    let certificate_end = facts.certificate.and_then(|certificate| certificate.not_after);
    Ok(Grant {
        identity,
        account: DEFAULT_ACCOUNT.into(),
        rights,
        quotas,
        expires_at: token_end.into_iter().chain(certificate_end).min(),
        isolate_inbox: false,
        provenance: Some(provenance),
        roles,
    })
}

/// The peer's name: what the token's issuer says, else what the certificate says.
fn identify(facts: &Facts<'_>, now: u64) -> Option<(Arc<str>, Provenance)> {
    let token = facts.claims.and_then(|claims| Some((claims.sub()?, claims.iss().unwrap_or_default())));
    let certificate = facts.certificate.map(|names| (names.identity.as_str(), names.issuer.as_str()));
    let (subject, issuer) = token.or(certificate).filter(|(subject, _)| !subject.is_empty())?;
    let provenance = Provenance { subject: subject.into(), issuer: issuer.into(), auth_time: now };
    Some((shown(subject).into(), provenance))
}

/// A name that can't break a log line.
fn shown(name: &str) -> String {
    let plain = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    name.chars().map(plain).take(MAX_IDENTITY).collect()
}

impl Binding {
    fn matches(&self, facts: &Facts<'_>) -> bool {
        let issuer = self
            .issuer
            .as_deref()
            .is_none_or(|issuer| facts.claims.and_then(crate::token::Claims::iss) == Some(issuer));
        issuer && self.conditions.iter().all(|condition| condition.holds(facts))
    }
}

/// Roles added up: allows united, denies united, the widest of the limits that roles state.
#[derive(Default)]
struct United {
    roles: Vec<Arc<str>>,
    publish: Lists,
    subscribe: Lists,
    responses: Option<ResponseLimit>,
    limits: Quotas,
}

#[derive(Default)]
struct Lists {
    allow: Vec<String>,
    deny: Vec<String>,
}

impl Lists {
    fn render(templates: &Templates, facts: &Facts<'_>) -> Result<Self, String> {
        let all = |list: &[super::template::Template]| {
            list.iter().map(|template| template.render(facts)).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self { allow: all(&templates.allow)?, deny: all(&templates.deny)? })
    }

    fn extend(&mut self, other: Self) {
        self.allow.extend(other.allow);
        self.deny.extend(other.deny);
    }
}

impl United {
    /// Adds a role wholly, or not at all.
    fn add(&mut self, role: &Role, facts: &Facts<'_>) -> Result<(), String> {
        let publish = Lists::render(&role.publish, facts)?;
        let mut subscribe = Lists::render(&role.subscribe, facts)?;
        let limits = role.limits.render(facts)?;
        spell_out_queues(&mut subscribe.allow);
        self.publish.extend(publish);
        self.subscribe.extend(subscribe);
        self.responses = wider_responses(self.responses, role.responses);
        self.limits = wider_limits(self.limits, limits);
        self.roles.push(Arc::clone(&role.name));
        Ok(())
    }

    fn rights(self) -> Result<Rights, PermissionError> {
        let Lists { mut allow, deny } = self.subscribe;
        if allow.iter().all(|entry| !entry.contains(' ') || entry.ends_with(ANY_QUEUE)) {
            // Nobody restricts queue groups, so nothing needs to be spelled out.
            allow.retain(|entry| !entry.ends_with(ANY_QUEUE));
        }
        let publish = Permission::for_publish(Some(&self.publish.allow), &self.publish.deny)?;
        let subscribe = Permission::for_subscribe(Some(&allow), &deny)?;
        Ok(Rights::new(publish, subscribe, self.responses))
    }
}

/// The queue part that any group matches.
const ANY_QUEUE: &str = " >";

/// A plain entry allows any queue group, unless an entry with a queue pattern speaks about the same subjects.
/// Roles are written one by one, so such an entry of *another* role must not take anything away: what a plain
/// entry allows is spelled out where the role itself does not restrict it.
fn spell_out_queues(allow: &mut Vec<String>) {
    let subject = |entry: &str| entry.split(' ').next().unwrap_or_default().as_bytes().to_vec();
    let restricted: Vec<Vec<u8>> =
        allow.iter().filter(|entry| entry.contains(' ')).map(|entry| subject(entry)).collect();
    let free = |entry: &&String| {
        let overlaps = |other: &Vec<u8>| subject::overlaps(other, entry.as_bytes());
        !entry.contains(' ') && !restricted.iter().any(overlaps)
    };
    let spelled: Vec<String> = allow.iter().filter(free).map(|entry| format!("{entry}{ANY_QUEUE}")).collect();
    allow.extend(spelled);
}

fn wider_responses(a: Option<ResponseLimit>, b: Option<ResponseLimit>) -> Option<ResponseLimit> {
    let (Some(a), Some(b)) = (a, b) else {
        return a.or(b);
    };
    // `None` is unlimited, and so is the union with it.
    Some(ResponseLimit {
        max: a.max.zip(b.max).map(|(a, b)| a.max(b)),
        ttl: a.ttl.zip(b.ttl).map(|(a, b)| a.max(b)),
    })
}

fn wider_limits(a: Quotas, b: Quotas) -> Quotas {
    // `None` says nothing, so it is the smaller one, as `Option`'s order has it.
    Quotas {
        subscriptions: a.subscriptions.max(b.subscriptions),
        payload: a.payload.max(b.payload),
        connections: a.connections.max(b.connections),
        messages_per_second: a.messages_per_second.max(b.messages_per_second),
        bytes_per_second: a.bytes_per_second.max(b.bytes_per_second),
    }
}

//! All revocations in force, and the question whether a peer's facts meet one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::entry::{Entry, EntryError, Target};
use crate::policy::{CertificateNames, Facts};
use crate::token::Claims;

/// How long a lifted entry without an end of its own is remembered, in seconds (30 days).
const TOMBSTONE: u64 = 30 * 86_400;

/// Why an entry was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// The entry makes no sense.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The configured number of entries is reached. None is ever pushed out: that would bring what it revokes back.
    #[error(
        "there are {0} revocations already, which is the configured maximum; lift some, or raise `revocation.max_entries`"
    )]
    Full(usize),
    /// There is no entry of this id, or it has been lifted or forgotten.
    #[error("there is no revocation `{0}`")]
    Unknown(String),
    /// An entry of this id says something else.
    #[error("a revocation `{0}` exists, and is another one")]
    OtherEntry(String),
}

/// What is looked up first: the text an entry speaks about, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Jti(Box<str>),
    Sub(Box<str>),
    Sid(Box<str>),
    Client(Box<str>),
    IssuedBy(Box<str>),
    Serial(Box<str>),
    Spki(Box<str>),
    Issuer(Box<str>),
}

impl Key {
    fn of(target: &Target) -> Self {
        match target {
            Target::Token { jti, .. } => Self::Jti(jti.as_str().into()),
            Target::Subject { sub, .. } => Self::Sub(sub.as_str().into()),
            Target::Session { sid, .. } => Self::Sid(sid.as_str().into()),
            Target::Client { client_id, .. } => Self::Client(client_id.as_str().into()),
            // By subject where there is one: an issuer may have very many such entries.
            Target::IssuedBefore { sub: Some(sub), .. } => Self::Sub(sub.as_str().into()),
            Target::IssuedBefore { issuer, sub: None, .. } => Self::IssuedBy(issuer.as_str().into()),
            Target::Certificate { serial, .. } => Self::Serial(serial.as_str().into()),
            Target::Key { spki_sha256 } => Self::Spki(spki_sha256.as_str().into()),
            Target::Issuer { issuer } => Self::Issuer(issuer.as_str().into()),
        }
    }
}

/// The revocations. Bounded; entries end with what they revoke. `now` is in seconds since the Unix epoch.
#[derive(Debug)]
pub struct Revocations {
    entries: HashMap<Box<str>, Arc<Entry>>,
    index: HashMap<Key, Vec<Arc<Entry>>>,
    /// When entries may be forgotten, soonest first.
    ends: BTreeSet<(u64, Box<str>)>,
    max: usize,
}

impl Revocations {
    /// No entries, and at most `max` of them later on.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), index: HashMap::new(), ends: BTreeSet::new(), max }
    }

    /// Takes an entry, or what another copy says of one that is known: an entry that was lifted anywhere stays
    /// lifted. Taking the same entry twice changes nothing. `true` when something changed.
    ///
    /// # Errors
    /// [`RevocationError`]; then nothing has changed.
    pub fn merge(&mut self, entry: Entry, now: u64) -> Result<bool, RevocationError> {
        if let Some(known) = self.entries.get(entry.id.as_str()) {
            let known = Arc::clone(known);
            return self.merge_known(&known, entry);
        }
        let entry = entry.normal(now)?;
        self.expire(now);
        if self.entries.len() >= self.max {
            return Err(RevocationError::Full(self.max));
        }
        self.insert(Arc::new(entry));
        Ok(true)
    }

    fn merge_known(&mut self, known: &Arc<Entry>, entry: Entry) -> Result<bool, RevocationError> {
        let same = entry.target.clone().normal()? == known.target;
        if !same {
            return Err(RevocationError::OtherEntry(entry.id));
        }
        let lifted_at = match (known.lifted_at, entry.lifted_at) {
            (Some(known), Some(told)) => Some(known.min(told)),
            (known, told) => known.or(told),
        };
        if lifted_at == known.lifted_at {
            return Ok(false);
        }
        self.remove(known);
        self.insert(Arc::new(Entry { lifted_at, ..Entry::clone(known) }));
        Ok(true)
    }

    /// The entry `id` as it will be when it is lifted at `now`; to be written down, then merged.
    ///
    /// # Errors
    /// [`RevocationError::Unknown`].
    pub fn lifted(&self, id: &str, now: u64) -> Result<Entry, RevocationError> {
        let entry = self.entries.get(id).filter(|entry| entry.in_force(now));
        let entry = entry.ok_or_else(|| RevocationError::Unknown(id.to_owned()))?;
        Ok(Entry { lifted_at: Some(now), ..Entry::clone(entry) })
    }

    /// Replaces every entry whose id begins with `prefix` by `entries`: what was in the one and is not in the other
    /// is forgotten. `true` when something changed.
    ///
    /// # Errors
    /// [`RevocationError`]; then nothing has changed.
    pub fn replace(&mut self, prefix: &str, entries: Vec<Entry>, now: u64) -> Result<bool, RevocationError> {
        let mut wanted = HashMap::new();
        for entry in entries {
            match entry.normal(now) {
                Ok(entry) => drop(wanted.insert(Box::<str>::from(entry.id.as_str()), entry)),
                // What has ended by itself needs no mention.
                Err(EntryError::Expired) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.expire(now);
        let old: Vec<Arc<Entry>> =
            self.entries.values().filter(|entry| entry.id.starts_with(prefix)).cloned().collect();
        if self.entries.len() - old.len() + wanted.len() > self.max {
            return Err(RevocationError::Full(self.max));
        }
        let mut changed = false;
        for entry in old {
            // An entry that says the same keeps the time it was made.
            let same = |new: &Entry| {
                (&new.target, new.expires_at, &new.reason) == (&entry.target, entry.expires_at, &entry.reason)
            };
            if wanted.get(entry.id.as_str()).is_some_and(same) {
                wanted.remove(entry.id.as_str());
            } else {
                self.remove(&entry);
                changed = true;
            }
        }
        changed |= !wanted.is_empty();
        wanted.into_values().for_each(|entry| self.insert(Arc::new(entry)));
        Ok(changed)
    }

    fn insert(&mut self, entry: Arc<Entry>) {
        if let Some(end) = end_of(&entry) {
            self.ends.insert((end, entry.id.as_str().into()));
        }
        if entry.lifted_at.is_none() {
            self.index.entry(Key::of(&entry.target)).or_default().push(Arc::clone(&entry));
        }
        self.entries.insert(entry.id.as_str().into(), entry);
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        if let Some(end) = end_of(entry) {
            self.ends.remove(&(end, entry.id.as_str().into()));
        }
        let key = Key::of(&entry.target);
        if let Some(list) = self.index.get_mut(&key) {
            list.retain(|other| other.id != entry.id);
            if list.is_empty() {
                self.index.remove(&key);
            }
        }
        self.entries.remove(entry.id.as_str());
    }

    /// Forgets what has ended at `now`. Returns how many entries.
    pub fn expire(&mut self, now: u64) -> usize {
        let mut count = 0;
        while let Some((end, id)) = self.ends.first().cloned().filter(|(end, _)| *end <= now) {
            match self.entries.get(&id).cloned() {
                Some(entry) => self.remove(&entry),
                None => drop(self.ends.remove(&(end, id))),
            }
            count += 1;
        }
        count
    }

    /// The first entry in force at `now` that the facts meet. A few hash look-ups, no allocation but for texts looked
    /// up.
    #[must_use]
    pub fn check(&self, facts: &Facts<'_>, now: u64) -> Option<Arc<Entry>> {
        if self.index.is_empty() {
            return None;
        }
        let by_token = facts.claims.and_then(|claims| self.check_claims(claims, now));
        by_token.or_else(|| facts.certificate.and_then(|names| self.check_certificate(names, now)))
    }

    fn check_claims(&self, claims: &Claims, now: u64) -> Option<Arc<Entry>> {
        let own = |name: &str| claims.as_map().get(name).and_then(Value::as_str);
        let issuer = claims.iss();
        let from = |of: &Option<String>| of.is_none() || of.as_deref() == issuer;
        let met = |target: &Target| match target {
            Target::Token { issuer: of, .. }
            | Target::Subject { issuer: of, .. }
            | Target::Session { issuer: of, .. }
            | Target::Client { issuer: of, .. } => from(of),
            Target::IssuedBefore { issuer: of, sub, before } => {
                let about = sub.is_none() || sub.as_deref() == claims.sub();
                let early = claims.iat().is_none_or(|issued| issued <= *before);
                Some(of.as_str()) == issuer && about && early
            }
            Target::Issuer { .. } => true,
            Target::Certificate { .. } | Target::Key { .. } => false,
        };
        type Make = fn(Box<str>) -> Key;
        let keys: [(Option<&str>, Make); 7] = [
            (claims.jti(), Key::Jti),
            (claims.sub(), Key::Sub),
            (own("sid"), Key::Sid),
            (own("azp"), Key::Client),
            (own("client_id"), Key::Client),
            (issuer, Key::IssuedBy),
            (issuer, Key::Issuer),
        ];
        keys.into_iter().find_map(|(text, key)| self.find(&key(text?.into()), now, met))
    }

    fn check_certificate(&self, names: &CertificateNames, now: u64) -> Option<Arc<Entry>> {
        let met = |target: &Target| match target {
            Target::Certificate { issuer, .. } => issuer.as_ref().is_none_or(|of| *of == names.issuer),
            Target::Key { .. } | Target::Issuer { .. } => true,
            _ => false,
        };
        let spki = crate::peer::hex(&names.spki_sha256);
        let keys = [
            Key::Serial(names.serial.as_str().into()),
            Key::Spki(spki.into()),
            Key::Issuer(names.issuer.as_str().into()),
        ];
        keys.iter().find_map(|key| self.find(key, now, met))
    }

    fn find(&self, key: &Key, now: u64, met: impl Fn(&Target) -> bool) -> Option<Arc<Entry>> {
        let entries = self.index.get(key)?;
        entries.iter().find(|entry| entry.in_force(now) && met(&entry.target)).cloned()
    }

    /// Every entry that is remembered, lifted ones too, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values()
    }

    /// The entry `id`.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Entry>> {
        self.entries.get(id)
    }

    /// How many entries are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there may be.
    #[must_use]
    pub fn max(&self) -> usize {
        self.max
    }
}

/// When an entry may be forgotten.
fn end_of(entry: &Entry) -> Option<u64> {
    let tombstone = entry.lifted_at.map(|at| at.saturating_add(TOMBSTONE));
    entry.expires_at.or(tombstone)
}

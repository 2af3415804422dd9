//! Deriving a route from the interest index and the rights of everybody concerned.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use identity::Rights;
use smallvec::{SmallVec, smallvec};

use super::{Choice, How, LinkTarget, Passage, Route, Target, Verdict};
use crate::account::Account;
use crate::conn::{Conn, Kind};
use crate::import::{DEEPEST, Import};
use crate::inbox::STOCK;
use crate::link::interest::is_isolated;
use crate::subscription::Sub;

/// What a route is asked for.
pub(crate) struct Query<'a> {
    pub(crate) subject: &'a [u8],
    /// In which account: the publisher's, or one it was imported into.
    pub(crate) account: &'a Arc<Account>,
    /// Who publishes.
    pub(crate) origin: &'a Arc<Conn>,
    /// From a link: the queue groups the sender chose for us, space separated. Others get nothing.
    pub(crate) queues: &'a [u8],
    /// The server's inbox prefix (see [`crate::inbox`]).
    pub(crate) inboxes: &'a [u8],
    /// The origin's rights; `None` where they are not asked (they were, they allow everything, or it is a link).
    pub(crate) rights: Option<&'a Rights>,
    /// Accounts passed on the way here.
    pub(crate) depth: u8,
}

/// The members of one queue group, from every pattern that matches.
struct Group<'a> {
    name: &'a [u8],
    parts: SmallVec<[&'a [Sub]; 1]>,
}

impl<'a> Group<'a> {
    fn subs(&self) -> impl Iterator<Item = &'a Sub> {
        self.parts.iter().flat_map(|part| part.iter())
    }
}

impl Route {
    /// Derives the route anew, keeping the buffers. `generation` was read before, so that a change meanwhile
    /// makes the route look old rather than new.
    pub(crate) fn derive(&mut self, query: &Query<'_>, generation: u64) {
        self.clear();
        self.generation = generation;
        if query.rights.is_some_and(|rights| !rights.may_publish(query.subject)) {
            self.verdict = Verdict::Denied;
            return;
        }
        let mut imports: SmallVec<[Arc<Import>; 2]> = SmallVec::new();
        let index = query.account.index();
        // A queue group is one group whatever patterns its members subscribed with.
        let mut groups: SmallVec<[Group<'_>; 4]> = SmallVec::new();
        index.interest.matches(query.subject, |members| {
            for sub in members.plain() {
                match &sub.conn.kind {
                    Kind::Import(import) => imports.push(import.clone()),
                    _ => self.add_plain(query, sub),
                }
            }
            for (name, subs) in members.queues() {
                match groups.iter_mut().find(|group| group.name == name) {
                    Some(group) => group.parts.push(subs),
                    None => groups.push(Group { name, parts: smallvec![subs] }),
                }
            }
        });
        for group in &groups {
            self.add_queue(query, group);
        }
        self.drop_empty_links();
        self.ask_interceptor();
        self.before.clear();
        drop(groups);
        drop(index);
        // Never two indexes at once: another route may hold them the other way round.
        for import in imports {
            self.add_passage(query, import);
        }
    }

    /// An interceptor with room takes what would have to wait for a link; without room, publishers wait for it.
    fn ask_interceptor(&mut self) {
        let Some(Kind::Handler(seat)) = self.interceptor.as_ref().map(|target| &target.sub.conn.kind) else {
            return;
        };
        self.gated = self.verdict == Verdict::Hold;
        self.verdict = if seat.is_full() { Verdict::Hold } else { Verdict::Deliver };
    }

    /// Follows an import into its account, where somebody wants the message there.
    fn add_passage(&mut self, query: &Query<'_>, import: Arc<Import>) {
        if query.depth >= DEEPEST {
            return;
        }
        let Some((into, name)) = import.onward(query.account, query.subject) else { return };
        let mut route = Box::new(Self::default());
        let onward = Query {
            subject: &name,
            account: &into,
            queues: b"",
            rights: None,
            depth: query.depth + 1,
            ..*query
        };
        route.derive(&onward, self.generation);
        if route.verdict == Verdict::Hold {
            self.verdict = Verdict::Hold;
        }
        if !route.is_empty() {
            let subject = self.store(&[query.subject]);
            let from = query.account.clone();
            self.passages.push(Passage { import, from, into, subject, route });
        }
    }

    fn add_plain(&mut self, query: &Query<'_>, sub: &Sub) {
        match &sub.conn.kind {
            Kind::Gate if query.origin.link().is_none() && !is_isolated(query.subject, query.inboxes) => {
                self.verdict = Verdict::Hold;
            }
            Kind::Gate | Kind::Import(_) => {}
            Kind::Link(_) => {
                if let Some(at) = self.link_target(query, sub) {
                    self.links[at].plain = true;
                }
            }
            Kind::Handler(_) if sub.intercepts() => {
                let from_inside = query.origin.link().is_some() || Arc::ptr_eq(&sub.conn, query.origin);
                if !from_inside && query.depth == 0 && !is_isolated(query.subject, query.inboxes) {
                    self.interceptor = Some(self.target(query, sub, false));
                }
            }
            Kind::Handler(_) if sub.stays() && (query.origin.link().is_some() || query.depth > 0) => {}
            Kind::Client | Kind::Local | Kind::Handler(_) => {
                if may_get(query, sub) {
                    let target = self.target(query, sub, true);
                    self.plain.push(target);
                }
            }
        }
    }

    fn add_queue(&mut self, query: &Query<'_>, group: &Group<'_>) {
        let name = group.name;
        // Across accounts nobody has chosen for us.
        let from_link = query.origin.link().is_some() && query.depth == 0;
        if from_link && !query.queues.split(|byte| *byte == b' ').any(|chosen| chosen == name) {
            return;
        }
        let first = self.members.len();
        for sub in
            group.subs().filter(|sub| !matches!(sub.conn.kind, Kind::Link(_) | Kind::Gate | Kind::Import(_)))
        {
            if may_get(query, sub) {
                let target = self.target(query, sub, false);
                self.members.push(target);
            }
        }
        if self.members.len() > first {
            self.queues.push(first..self.members.len());
            return;
        }
        // Leafnodes count as local; other clusters come last, the nearest first.
        let mut candidates: Vec<(usize, u32)> = Vec::new();
        let mut nearest: Option<(u32, usize)> = None;
        for sub in group.subs() {
            let Some(link) = sub.conn.link() else { continue };
            let Some(at) = self.link_target(query, sub) else { continue };
            if link.is_gateway() {
                let rtt = sub.conn.rtt_micros.load(Ordering::Relaxed);
                nearest = nearest.into_iter().chain([(rtt, at)]).min();
            } else {
                candidates.push((at, sub.weight().max(1)));
            }
        }
        if let (Some((_, at)), true) = (nearest, candidates.is_empty()) {
            candidates.push((at, 1));
        }
        match candidates.as_slice() {
            [] => {}
            [(only, _)] => self.link_serves(*only, name),
            _ => {
                let name = self.store(&[name]);
                self.choices.push(Choice { name, candidates });
            }
        }
    }

    /// A target framed for its subscriber; it may share the prefix of the last plain one, where the text would
    /// be the same.
    fn target(&mut self, query: &Query<'_>, sub: &Sub, may_share: bool) -> Target {
        let conn = &sub.conn;
        if matches!(conn.kind, Kind::Local) {
            let prefix = self.store(&[b"LMSG ", query.subject, b" "]);
            return Target { sub: self.hold(sub), prefix, how: How::Framed };
        }
        if matches!(conn.kind, Kind::Handler(_)) {
            let prefix = self.store(&[query.subject]);
            return Target { sub: self.hold(sub), prefix, how: How::Handler };
        }
        let singly = sub.is_limited() || !conn.features.headers || conn.tracks_replies(query.origin);
        let how = if singly { How::Singly } else { How::Block };
        let isolated = is_isolated(query.subject, query.inboxes);
        if may_share
            && !isolated
            && let Some(known) = self.plain.last()
            && matches!(known.how, How::Block | How::Singly)
            && known.sub.tag() == sub.tag()
        {
            let prefix = known.prefix.clone();
            return Target { sub: self.hold(sub), prefix, how };
        }
        let restored = conn.inbox.as_ref().and_then(|space| space.restore(query.subject));
        let prefix = match restored {
            Some(rest) => self.store(&[b"HMSG ", STOCK, rest, b" ", sub.tag(), b" "]),
            None => self.store(&[b"HMSG ", query.subject, b" ", sub.tag(), b" "]),
        };
        Target { sub: self.hold(sub), prefix, how }
    }

    /// The subscription for a target: often the route at hand had the same one, and its count need not change.
    fn hold(&mut self, sub: &Sub) -> Sub {
        match self.before.last() {
            Some(known) if Arc::ptr_eq(&known.0, &sub.0) => self.before.pop().unwrap_or_else(|| sub.clone()),
            _ => sub.clone(),
        }
    }

    /// The index of the link target for `sub`, made when it is the first; `None` when the link is not to get it.
    fn link_target(&mut self, query: &Query<'_>, sub: &Sub) -> Option<usize> {
        let link = sub.conn.link()?;
        // Inboxes of this server's clients are nobody's business elsewhere.
        if !link.is_active()
            || Arc::ptr_eq(&sub.conn, query.origin)
            || is_isolated(query.subject, query.inboxes)
        {
            return None;
        }
        if query.origin.link().is_some_and(|from| !link.takes_from(from)) {
            return None;
        }
        let mut mapped = Vec::new();
        let mut stamped = false;
        let subject = match &link.crossing {
            None => query.subject,
            Some(crossing) => {
                let rule = crossing.send.get(sub.rule as usize)?;
                stamped = rule.stamp;
                // The entry's tag is the other side's pattern: it says what is really wanted there.
                if !rule.apply(query.subject, &mut mapped) || !subject::matches(sub.tag_pattern(), &mapped) {
                    return None;
                }
                &mapped
            }
        };
        if !link.may_send(subject)
            || link.held.as_ref().is_some_and(|held| !held.may_get(subject, sub.queue()))
        {
            return None;
        }
        if let Some(known) = self
            .links
            .iter()
            .position(|known| Arc::ptr_eq(&known.conn, &sub.conn) && self.text(&known.subject) == subject)
        {
            return Some(known);
        }
        let account =
            if link.is_gateway() { self.store(&[query.account.name.as_bytes(), b" "]) } else { 0..0 };
        let subject = self.store(&[subject]);
        let stamp = if stamped { self.store_stamp(query.origin) } else { 0..0 };
        let conn = sub.conn.clone();
        let answers = link.held.as_ref().is_some_and(|held| held.counts_answers());
        self.links.push(LinkTarget { conn, account, subject, plain: false, answers, stamp, queues: 0..0 });
        Some(self.links.len() - 1)
    }

    /// Adds a queue group to those a link serves alone.
    fn link_serves(&mut self, at: usize, name: &[u8]) {
        let before = self.text(&self.links[at].queues).to_vec();
        if before.split(|byte| *byte == b' ').any(|known| known == name) {
            return;
        }
        let joined = if before.is_empty() { self.store(&[name]) } else { self.store(&[&before, b" ", name]) };
        self.links[at].queues = joined;
    }

    /// A link that was looked at but gets nothing by itself stays only as a candidate of a choice.
    fn drop_empty_links(&mut self) {
        if self.choices.is_empty() {
            self.links.retain(|link| link.plain || !link.queues.is_empty());
        }
    }

    fn store_stamp(&mut self, origin: &Conn) -> std::ops::Range<usize> {
        let start = self.arena.len();
        crate::provenance::lines(origin, &mut self.arena);
        start..self.arena.len()
    }

    fn store(&mut self, parts: &[&[u8]]) -> std::ops::Range<usize> {
        let start = self.arena.len();
        for part in parts {
            self.arena.extend_from_slice(part);
        }
        start..self.arena.len()
    }
}

/// Whether a subscriber may be given a message of this subject from this origin.
fn may_get(query: &Query<'_>, sub: &Sub) -> bool {
    let conn = &sub.conn;
    if !conn.features.echo && Arc::ptr_eq(conn, query.origin) {
        return false;
    }
    if sub.is_spent() {
        return false;
    }
    let own_inbox = conn.inbox.as_ref().is_some_and(|space| query.subject.starts_with(space.own()));
    if own_inbox {
        return true;
    }
    // Code in this process may ask for an inbox by its name, but no wildcard of anybody reaches into them.
    let named = !conn.is_client() && sub.subject().starts_with(query.inboxes);
    if is_isolated(query.subject, query.inboxes) && !named {
        return false;
    }
    !conn.filters_delivery() || named || conn.grant().rights.may_deliver(query.subject, sub.queue())
}

//! Renewal, revocation and policy changes in any order against live connections: at no step may one of them publish,
//! subscribe or hear what a model that knows nothing of caches says it may not.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Subjects in use, and patterns over them.
const SUBJECTS: [&str; 6] = ["a.1", "a.2", "b.1", "b.2.x", "c", "a.1.z"];
const PATTERNS: [&str; 9] = ["a.1", "a.*", "a.>", "b.>", "*.1", ">", "c", "b.2.*", "a.*.z"];
const QUEUES: [&str; 3] = ["", "q", "night"];

/// What somebody may do: positions in `PATTERNS`.
#[derive(Debug, Clone)]
struct Allowed {
    publish: Vec<usize>,
    publish_deny: Vec<usize>,
    subscribe: Vec<usize>,
    subscribe_deny: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Step {
    /// `who` subscribes to a pattern, in a queue group perhaps.
    Subscribe(usize, usize, usize),
    Unsubscribe(usize, usize),
    /// `who` publishes to a subject, so often in one go (a cached route is used from the second time on).
    Publish(usize, usize, usize),
    /// Renewal or a change of policy: other rights.
    Replace(usize, Allowed),
    /// `who` publishes to a subject before and after `other` gets other rights: whatever is cached is used.
    Between(usize, usize, usize, Allowed),
    /// Revoked: nothing from now on.
    Revoke(usize),
    /// Somebody new takes the place.
    Enter(usize, Allowed),
}

fn allowed() -> impl Strategy<Value = Allowed> {
    let some = |most| proptest::collection::vec(0..PATTERNS.len(), 0..most);
    (some(5), some(2), some(6), some(2)).prop_map(|(publish, publish_deny, subscribe, subscribe_deny)| {
        Allowed { publish, publish_deny, subscribe, subscribe_deny }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..3usize;
    prop_oneof![
        4 => (who(), 0..PATTERNS.len(), 0..QUEUES.len()).prop_map(|(who, pattern, queue)| Step::Subscribe(who, pattern, queue)),
        1 => (who(), 0..8usize).prop_map(|(who, sid)| Step::Unsubscribe(who, sid)),
        6 => (who(), 0..SUBJECTS.len(), 1..4usize).prop_map(|(who, subject, times)| Step::Publish(who, subject, times)),
        2 => (who(), allowed()).prop_map(|(who, allowed)| Step::Replace(who, allowed)),
        3 => (who(), 0..SUBJECTS.len(), who(), allowed())
            .prop_map(|(who, subject, other, allowed)| Step::Between(who, subject, other, allowed)),
        1 => who().prop_map(Step::Revoke),
        1 => (who(), allowed()).prop_map(|(who, allowed)| Step::Enter(who, allowed)),
    ]
}

fn patterns(list: &[usize]) -> Vec<&'static str> {
    list.iter().map(|at| PATTERNS[*at]).collect()
}

impl Allowed {
    fn grant(&self) -> Grant {
        let mut grant = Grant::unrestricted("somebody");
        grant.rights = Rights::new(
            Permission::for_publish(Some(&patterns(&self.publish)), &patterns(&self.publish_deny)).unwrap(),
            Permission::for_subscribe(Some(&patterns(&self.subscribe)), &patterns(&self.subscribe_deny))
                .unwrap(),
            None,
        );
        grant
    }

    /// Naively: some allow matches and no deny does.
    fn on(subject: &str, allow: &[usize], deny: &[usize]) -> bool {
        let matches = |at: &usize| subject::matches(PATTERNS[*at].as_bytes(), subject.as_bytes());
        allow.iter().any(matches) && !deny.iter().any(matches)
    }

    fn may_publish(&self, subject: &str) -> bool {
        Self::on(subject, &self.publish, &self.publish_deny)
    }

    fn may_hear(&self, subject: &str) -> bool {
        Self::on(subject, &self.subscribe, &self.subscribe_deny)
    }
}

/// One connection with what the model thinks of it.
struct Member {
    peer: Peer,
    allowed: Option<Allowed>,
    /// Subscriptions asked for, by id: those the server has refused or ended are taken out when it says so.
    subs: BTreeMap<usize, (usize, usize)>,
    next_sid: usize,
}

impl Member {
    fn enter(rig: &Rig, allowed: Allowed) -> Self {
        let who = Who { grant: allowed.grant(), ..Who::default() };
        Self { peer: rig.enter(who), allowed: Some(allowed), subs: BTreeMap::new(), next_sid: 0 }
    }

    /// What was heard: every message must be on a subscription there is, and on a subject that may be heard.
    fn check(&mut self, published: Option<&str>) -> Result<Vec<usize>, TestCaseError> {
        let heard = self.peer.heard();
        let mut sids = Vec::new();
        for line in heard.lines().filter(|line| line.starts_with("MSG ")) {
            let mut words = line.split(' ').skip(1);
            let (subject, sid) = (words.next().unwrap(), words.next().unwrap().parse::<usize>().unwrap());
            prop_assert_eq!(Some(subject), published);
            let allowed = self.allowed.as_ref();
            prop_assert!(
                allowed.is_some_and(|allowed| allowed.may_hear(subject)),
                "{} may not hear {}",
                sid,
                subject
            );
            let (pattern, _) = self.subs[&sid];
            prop_assert!(subject::matches(PATTERNS[pattern].as_bytes(), subject.as_bytes()));
            sids.push(sid);
        }
        Ok(sids)
    }

    /// Which plain subscriptions must be given a message on `subject`: those that are still there.
    fn expects(&self, subject: &str) -> Vec<usize> {
        if !self.allowed.as_ref().is_some_and(|allowed| allowed.may_hear(subject)) {
            return Vec::new();
        }
        let subs = self.peer.conn().subs.lock();
        let there = |sid: &usize| subs.get(sid.to_string().as_bytes()).is_some();
        let wants = |(pattern, queue): &(usize, usize)| {
            *queue == 0 && subject::matches(PATTERNS[*pattern].as_bytes(), subject.as_bytes())
        };
        self.subs.iter().filter(|(sid, sub)| there(sid) && wants(sub)).map(|(sid, _)| *sid).collect()
    }
}

/// Publishes, and checks that everybody hears exactly what the model says.
fn publish(members: &mut [Member], who: usize, subject: &str, times: usize) -> Result<(), TestCaseError> {
    let expected: Vec<Vec<usize>> = members.iter().map(|member| member.expects(subject)).collect();
    members[who].peer.say(&format!("PUB {subject} 1\r\nx\r\n").repeat(times));
    let may = members[who].allowed.as_ref().is_some_and(|allowed| allowed.may_publish(subject));
    let times = if may { times } else { 0 };
    for (member, expected) in members.iter_mut().zip(expected) {
        let mut sids = member.check(may.then_some(subject))?;
        sids.retain(|sid| member.subs[sid].1 == 0);
        sids.sort_unstable();
        let wanted: Vec<usize> = expected.iter().flat_map(|sid| std::iter::repeat_n(*sid, times)).collect();
        prop_assert_eq!(sids, wanted, "on {} by {}", subject, who);
    }
    Ok(())
}

/// Other rights, unless the connection was revoked: those do not come back.
fn replace(member: &mut Member, allowed: Allowed) {
    if member.allowed.is_some() {
        member.peer.conn().set_grant(Arc::new(allowed.grant()));
        member.allowed = Some(allowed);
    }
}

fn run(first: [Allowed; 3], steps: Vec<Step>) -> Result<(), TestCaseError> {
    let rig = Rig::new();
    let mut members: Vec<Member> = first.into_iter().map(|allowed| Member::enter(&rig, allowed)).collect();
    for step in steps {
        match step {
            Step::Subscribe(who, pattern, queue) => {
                let member = &mut members[who];
                member.next_sid += 1;
                member.subs.insert(member.next_sid, (pattern, queue));
                let (sid, name) = (member.next_sid, PATTERNS[pattern]);
                member.peer.say(&format!("SUB {name} {} {sid}\r\n", QUEUES[queue]));
            }
            Step::Unsubscribe(who, sid) => {
                let member = &mut members[who];
                member.peer.say(&format!("UNSUB {sid}\r\n"));
                member.subs.remove(&sid);
            }
            Step::Publish(who, subject, times) => publish(&mut members, who, SUBJECTS[subject], times)?,
            Step::Between(who, subject, other, allowed) => {
                publish(&mut members, who, SUBJECTS[subject], 2)?;
                replace(&mut members[other], allowed);
                publish(&mut members, who, SUBJECTS[subject], 1)?;
            }
            Step::Replace(who, allowed) => replace(&mut members[who], allowed),
            Step::Revoke(who) => {
                members[who].peer.conn().cut_off(crate::CloseReason::Revoked);
                members[who].allowed = None;
            }
            Step::Enter(who, allowed) => {
                let left = std::mem::replace(&mut members[who], Member::enter(&rig, allowed));
                rig.0.core.retire(left.peer.conn(), crate::CloseReason::ClientClosed);
            }
        }
        for member in &mut members {
            member.check(None)?;
            // No subscription outlives the right to it, whatever it overlaps.
            let grant = member.peer.conn().grant();
            for sub in member.peer.conn().subs.lock().iter() {
                prop_assert!(grant.rights.may_subscribe(sub.subject(), sub.queue()));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn at_no_step_may_anybody_do_what_its_model_may_not(
        first in [allowed(), allowed(), allowed()],
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        run(first, steps)?;
    }
}

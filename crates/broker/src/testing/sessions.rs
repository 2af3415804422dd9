//! Sessions whose rights change while they live: reserved subjects, renewal, the end.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::*;
use crate::follow::{Follower, Renewal, SessionHandle};
use crate::session::reserved;
use crate::{CloseReason, EXPIRING_SUBJECT};

#[derive(Default)]
struct Watcher {
    session: Mutex<Option<SessionHandle>>,
    closed: AtomicUsize,
}

impl Follower for Watcher {
    fn opened(self: Arc<Self>, session: SessionHandle) {
        *self.session.lock() = Some(session);
    }

    fn closed(&self) {
        self.closed.fetch_add(1, Ordering::SeqCst);
    }

    fn renew(self: Arc<Self>, _: Box<str>) -> Renewal {
        Box::pin(async { Ok(()) })
    }
}

fn followed(peer: &Peer) -> (Arc<Watcher>, SessionHandle) {
    let watcher = Arc::new(Watcher::default());
    peer.conn().follow(watcher.clone());
    let session = watcher.session.lock().clone().unwrap();
    (watcher, session)
}

#[test]
fn reserved_subjects_need_no_right_and_are_nobody_elses_business() {
    let rig = Rig::new();
    let mut nosy = rig.client();
    nosy.say("SUB > 1\r\nSUB $GATEHOUSE.> 2\r\nSUB $GATEHOUSE.AUTH.RENEW 3\r\nSUB *.AUTH.* 4\r\n");
    assert_eq!(nosy.heard_times("Permissions Violation for Subscription to \"$GATEHOUSE.AUTH.RENEW\""), 1);
    let mut client = rig.enter(Who::with_rights(rights(&[], (&[], &[]), None)));
    let (_, session) = followed(&client);
    client.say("SUB $GATEHOUSE.AUTH.EXPIRING 7\r\n");
    assert_eq!(client.heard(), "");
    client.say("PUB $GATEHOUSE.AUTH.RENEW 3\r\nabc\r\n");
    assert_eq!(client.work.renewal.take().unwrap().token.0.as_ref(), "abc");
    client.say("PUB $GATEHOUSE.AUTH.EXPIRING 3\r\nabc\r\n");
    assert_eq!(client.heard_times("Permissions Violation for Publish"), 1);
    assert!(session.deliver(EXPIRING_SUBJECT, b"soon"));
    assert_eq!(client.heard(), "MSG $GATEHOUSE.AUTH.EXPIRING 7 4\r\nsoon\r\n");
    // Another client with every right neither hears nor says anything of it.
    nosy.say("PUB $GATEHOUSE.AUTH.EXPIRING 1\r\nx\r\n");
    assert!(!nosy.heard().contains("MSG") && client.heard().is_empty());
    client.say("UNSUB 7\r\n");
    assert!(!session.deliver(EXPIRING_SUBJECT, b"soon"));
}

#[test]
fn a_renewal_is_answered_on_the_clients_own_inbox_alone() {
    let rig = Rig::new();
    let mut other = rig.enter(Who::isolated());
    other.say("SUB _INBOX.me.* 1\r\n");
    let mut client = rig.enter(Who::isolated());
    client.say("SUB _INBOX.me.* 9\r\n");
    client.say("PUB $GATEHOUSE.AUTH.RENEW _INBOX.me.1 3\r\nabc\r\n");
    assert_eq!(client.heard_times("{\"error\":\"not_renewable\",\"ok\":false}"), 1);
    let _watcher = followed(&client);
    client.say("PUB $GATEHOUSE.AUTH.RENEW _INBOX.me.1 3\r\nabc\r\n");
    let request = client.work.renewal.take().unwrap();
    client.say("PUB $GATEHOUSE.AUTH.RENEW _INBOX.me.2 3\r\nabc\r\n");
    assert_eq!(client.heard_times("\"busy\""), 1);
    reserved::answer(client.conn(), &request.reply, Ok(()));
    assert_eq!(client.heard(), "MSG _INBOX.me.1 9 29\r\n{\"expires_at\":null,\"ok\":true}\r\n");
    assert_eq!(other.heard(), "");
    // Nothing to verify: said at once.
    client.conn().renewing.store(false, Ordering::SeqCst);
    client.say("PUB $GATEHOUSE.AUTH.RENEW _INBOX.me.3 1\r\n \r\n");
    assert_eq!(client.heard_times("\"malformed\""), 1);
}

#[test]
fn a_token_may_be_shown_however_small_other_messages_must_be() {
    let rig = Rig::new();
    let mut who = Who::default();
    who.grant.quotas.payload = Some(4);
    let mut client = rig.enter(who);
    let _watcher = followed(&client);
    client.say(&format!("PUB $GATEHOUSE.AUTH.RENEW 600\r\n{}\r\n", "t".repeat(600)));
    assert_eq!(client.work.renewal.take().unwrap().token.0.len(), 600);
    client.say("PUB a 4\r\nabcd\r\n");
    assert_eq!(client.heard(), "");
    let progress = client.say("PUB a 5\r\nabcde\r\n");
    assert_eq!(progress.pause, crate::session::Pause::Close(CloseReason::MaximumPayload));
}

#[test]
fn who_is_cut_off_says_and_hears_nothing_more() {
    let rig = Rig::new();
    let mut reader = rig.client();
    reader.say("SUB a 1\r\n");
    let mut client = rig.client();
    let (watcher, session) = followed(&client);
    client.say("SUB a 1\r\nPUB a 1\r\nx\r\n");
    assert_eq!((client.heard_times("MSG"), reader.heard_times("MSG")), (1, 1));
    session.close(CloseReason::Revoked);
    client.say("PUB a 1\r\nx\r\nSUB b 2\r\n");
    reader.say("PUB a 1\r\nx\r\n");
    assert_eq!((client.heard_times("MSG"), reader.heard_times("MSG")), (0, 1));
    assert_eq!(client.conn().close_requested(), Some(CloseReason::Revoked));
    let conn = client.conn().clone();
    rig.0.core.retire(&conn, CloseReason::Revoked);
    assert_eq!(watcher.closed.load(Ordering::SeqCst), 1);
    assert_eq!(session.set_grant(Arc::new(Grant::unrestricted("late"))), 0);
}

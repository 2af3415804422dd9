//! A handler asked before the links.

use std::sync::Weak;

use super::*;
use crate::Direction::Inward;
use crate::handler::{Call, Handler, HandlerPort, Reception};
use crate::outlet::Letter;
use crate::session::Pause;

/// Takes messages when told to, or when nobody else could.
#[derive(Default)]
struct Spool {
    taking: AtomicBool,
    taken: Mutex<Vec<String>>,
}

impl Handler for Spool {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        if !call.links_down() && !self.taking.load(Ordering::SeqCst) {
            return Reception::Absent;
        }
        let texts = call.messages().map(|message| String::from_utf8_lossy(message.payload).into_owned());
        self.taken.lock().extend(texts);
        Reception::Taken
    }
}

fn spool(rig: &Rig) -> (Arc<Spool>, HandlerPort) {
    let spool = Arc::new(Spool::default());
    let weak: Weak<Spool> = Arc::downgrade(&spool);
    let port = rig.0.handler("$G", "edge", weak);
    port.intercept(b"orders.>").unwrap();
    (spool, port)
}

#[test]
fn it_is_called_in_place_of_links_that_are_down() {
    let rig = Rig::new();
    let (spool, _port) = spool(&rig);
    let _group = rig.group(crossing(&[("orders.>", Inward, None), ("plain.>", Inward, None)]).as_ref());
    let mut client = rig.client();
    let progress = client.say("PUB orders.1 1\r\nx\r\nPUB orders.1 1\r\ny\r\n");
    assert!(matches!(progress.pause, Pause::NeedMore(_)), "{progress:?}");
    assert_eq!(*spool.taken.lock(), ["x", "y"]);
    assert_eq!(client.say("PUB plain.1 1\r\nz\r\n").pause, Pause::LinkDown);
}

#[test]
fn without_room_publishers_wait_for_it() {
    let rig = Rig::new();
    let (spool, port) = spool(&rig);
    let _group = rig.group(crossing(&[("orders.>", Inward, None)]).as_ref());
    let mut client = rig.client();
    port.set_full(true);
    assert_eq!(client.say("PUB orders.1 1\r\nx\r\n").pause, Pause::LinkDown);
    assert!(spool.taken.lock().is_empty());
    port.set_full(false);
    client.say("");
    assert_eq!(*spool.taken.lock(), ["x"]);
}

#[test]
fn what_it_leaves_crosses_and_what_it_takes_does_not() {
    let rig = Rig::new();
    let (spool, port) = spool(&rig);
    let mut link = rig.link("bus", Role::Spoke, crossing(&[("orders.>", Inward, None)]));
    assert!(!link.heard().contains("LS+ orders"), "an interceptor is nobody the other end should know of");
    link.say("LS+ orders.>\r\n");
    link.heard();
    let (mut client, mut local) = (rig.client(), rig.client());
    local.say("SUB orders.> 1\r\n");
    link.heard();
    client.say("PUB orders.1 1\r\nx\r\n");
    assert_eq!(link.heard(), "LMSG orders.1 1\r\nx\r\n");
    spool.taking.store(true, Ordering::SeqCst);
    client.say("PUB orders.1 1\r\ny\r\n");
    assert_eq!(link.heard(), "");
    assert_eq!(*spool.taken.lock(), ["y"]);
    assert_eq!(local.heard(), "MSG orders.1 1 1\r\nx\r\nMSG orders.1 1 1\r\ny\r\n");
    // What it sends itself goes on.
    let mut outlet = port.outlet();
    outlet.push(&Letter { subject: b"orders.1", payload: b"y", ..Letter::default() });
    outlet.flush();
    assert_eq!(link.heard(), "LMSG orders.1 1\r\ny\r\n");
}

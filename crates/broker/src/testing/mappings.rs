//! Subjects that stand for others, and imports that end.

use super::*;
use crate::mapper::{Mapped, SubjectMapper};

/// `always.X` goes to `there.X`, `either` to one and the other in turn, `lost` nowhere.
#[derive(Default)]
struct Turns(AtomicUsize);

impl SubjectMapper for Turns {
    fn map(&self, subject: &[u8], to: &mut Vec<u8>) -> Mapped {
        match subject {
            b"either" => {
                let turn = self.0.fetch_add(1, Ordering::SeqCst) % 2;
                to.extend_from_slice(if turn == 0 { b"one" } else { b"two" });
                Mapped::ThisTime
            }
            b"lost" => Mapped::Nowhere,
            _ => match subject.strip_prefix(b"always.") {
                Some(rest) => {
                    to.extend_from_slice(b"there.");
                    to.extend_from_slice(rest);
                    Mapped::Always
                }
                None => Mapped::AsItIs,
            },
        }
    }
}

#[test]
fn messages_go_where_their_account_maps_them() {
    let rig = Rig::new();
    let (mut sub, mut publisher) = (rig.client(), rig.client());
    sub.say("SUB > 1\r\n");
    rig.0.map_subjects(identity::DEFAULT_ACCOUNT, Some(Arc::new(Turns::default())));
    publisher.say("PUB always.1 1\r\na\r\nPUB always.1 1\r\nb\r\nPUB as.it.is 1\r\nc\r\nPUB lost 1\r\nd\r\n");
    assert_eq!(sub.heard(), "MSG there.1 1 1\r\na\r\nMSG there.1 1 1\r\nb\r\nMSG as.it.is 1 1\r\nc\r\n");
    publisher.say(&"PUB either 1\r\nx\r\n".repeat(4));
    let heard = sub.heard();
    assert_eq!((heard.matches("MSG one").count(), heard.matches("MSG two").count()), (2, 2), "{heard}");
    rig.0.map_subjects(identity::DEFAULT_ACCOUNT, None);
    publisher.say("PUB always.1 1\r\na\r\n");
    assert_eq!(sub.heard(), "MSG always.1 1 1\r\na\r\n");
}

#[test]
fn an_import_that_ended_leads_nowhere() {
    let rig = Rig::new();
    let enter = |account: &str| {
        let mut who = Who::default();
        who.grant.account = account.into();
        rig.enter(who)
    };
    let (mut a, mut b) = (enter("A"), enter("B"));
    let import = rig.0.import_stream("A", "x", "B", "y").unwrap();
    b.say("SUB > 1\r\n");
    a.say("PUB x 1\r\n1\r\n");
    assert_eq!(b.heard(), "MSG y 1 1\r\n1\r\n");
    import.end();
    a.say("PUB x 1\r\n2\r\n");
    assert_eq!(b.heard(), "");
}

//! Interest between two of our own clusters: what is lost on the way is found missing, and told anew.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::link::gateway::inbound::GatewayIn;
use crate::link::gateway::outbound::{GatewayOut, OutParts};
use crate::link::gateway::{Cluster, Gateways, Terms};
use crate::{LinkLogin, LinkProof};

struct NoLogin;

impl LinkLogin for NoLogin {
    fn prove(&self, _: &str) -> Result<LinkProof, String> {
        Ok(LinkProof::default())
    }
}

/// A cluster of a super-cluster.
struct Party {
    rig: Rig,
    gateways: Arc<Gateways>,
}

impl Party {
    fn new(name: &str, crossing: Option<Arc<Crossing>>) -> Self {
        let rig = Rig::new();
        let terms = Terms {
            name: name.into(),
            reject_unknown: false,
            login: Arc::new(NoLogin),
            group: rig.group(crossing.as_ref()),
            crossing,
            grant: Arc::new(Grant::unrestricted(name)),
        };
        let gateways = Arc::new(Gateways::new(terms, &rig.0.core.server_id, (false, false)));
        assert!(rig.0.core.gateways.set(gateways.clone()).is_ok());
        Self { rig, gateways }
    }

    fn conn(&self, to: &str, outbound: bool) -> (Arc<Cluster>, Arc<Conn>, Arc<Link>, Arc<Memory>) {
        let core = &self.rig.0.core;
        let cluster = self.gateways.discover(to, &[]).unwrap();
        let link = Arc::new(Link::of_gateway(core, &self.gateways, &cluster, to, outbound));
        let kind = Kind::Link(link.clone());
        let (conn, pipe) = self.rig.conn(kind, Grant::unrestricted(to), Features::default(), None);
        (cluster, conn, link, pipe)
    }

    /// Our connection to the cluster `to`.
    fn dials(&self, to: &str, compared: bool) -> Peer {
        let (cluster, conn, link, pipe) = self.conn(to, true);
        let parts = OutParts { cluster, conn, link, compared };
        let session = GatewayOut::new(self.rig.0.core.clone(), self.gateways.clone(), parts, Instant::now());
        Peer::new(Session::GatewayOut(Box::new(session)), pipe)
    }

    /// The connection of the cluster `from` to us.
    fn accepts(&self, from: &str) -> Peer {
        let (cluster, conn, link, pipe) = self.conn(from, false);
        let session = GatewayIn::new(self.rig.0.core.clone(), self.gateways.clone(), cluster, conn, link);
        Peer::new(Session::GatewayIn(Box::new(session)), pipe)
    }

    fn info(&self) -> String {
        let info = self.gateways.info(&self.rig.0.core, IpAddr::V4(Ipv4Addr::LOCALHOST));
        String::from_utf8(info.to_line()).unwrap()
    }

    fn client_of(&self, account: &str) -> Peer {
        let mut who = Who::default();
        who.grant.account = account.into();
        self.rig.enter(who)
    }

    fn differed(&self) -> u64 {
        self.rig.0.counters().interest_differed.get()
    }
}

/// The connection `teller` accepts and `hearer` dials, on which interest goes to the hearer.
struct Gateway {
    teller: Peer,
    hearer: Peer,
}

impl Gateway {
    fn new(teller: &Party, hearer: &Party) -> Self {
        let mut gateway = Self { teller: teller.accepts("hearer"), hearer: hearer.dials("teller", true) };
        gateway.teller.say(&hearer.info());
        gateway
    }

    /// Passes on what each has said until nothing more is said; `lose` drops lines to the hearer.
    fn talk(&mut self, mut lose: impl FnMut(&str) -> bool) {
        loop {
            let (to_hearer, to_teller) = (self.teller.heard(), self.hearer.heard());
            if to_hearer.is_empty() && to_teller.is_empty() {
                return;
            }
            let kept: String = to_hearer.split_inclusive("\r\n").filter(|line| !lose(line)).collect();
            self.hearer.say(&kept);
            // What was published leaves on the same connection: it is no answer to anything.
            self.teller.say(&to_teller);
        }
    }

    fn sum_up(&self) {
        self.teller.session.sum_up();
    }
}

#[test]
fn interest_that_was_lost_on_the_way_is_found_missing_account_by_account() {
    let (teller, hearer) = (Party::new("teller", None), Party::new("hearer", None));
    let (mut one, mut two) = (teller.client_of("ONE"), teller.client_of("TWO"));
    one.say("SUB orders.1 1\r\nSUB orders.2 q 2\r\nSUB orders.3 3\r\n");
    two.say("SUB other.1 1\r\n");
    let mut gateway = Gateway::new(&teller, &hearer);
    let (mut lost, mut told) = (0, String::new());
    gateway.talk(|line| {
        let lose = line.starts_with("RS+ ONE orders.2") && lost == 0;
        lost += usize::from(lose);
        told.push_str(line);
        lose
    });
    assert_eq!((lost, hearer.differed()), (1, 1), "{told}");
    assert_eq!(told.matches("RS+ ONE orders.1").count(), 2, "told anew: {told}");
    assert_eq!(told.matches("RS+ TWO other.1").count(), 1, "the other account is left alone: {told}");
    let mut publisher = hearer.client_of("ONE");
    publisher.say("PUB orders.2 2\r\nhi\r\n");
    gateway.talk(|_| false);
    assert_eq!(one.heard(), "MSG orders.2 2 2\r\nhi\r\n");

    // What is there too much is found with the next sum of all accounts: the end of an interest that got lost.
    one.say("UNSUB 1\r\n");
    two.say("SUB other.2 2\r\n");
    gateway.talk(|line| line.starts_with("RS- ONE orders.1"));
    gateway.sum_up();
    gateway.talk(|_| false);
    assert_eq!(hearer.differed(), 2);
    publisher.say("PUB orders.1 2\r\nno\r\nPUB orders.3 2\r\nok\r\n");
    assert_eq!(gateway.hearer.heard_times("RMSG ONE orders.1"), 0);
    // Replies that lead to the other cluster go there still: they are no interest it has told.
    let front =
        String::from_utf8(hearer.gateways.discover("teller", &[]).unwrap().hash.patterns()[0].clone());
    publisher.say(&format!("PUB {} 2\r\nhi\r\n", front.unwrap().replace('>', "x.y").replace('*', "x")));
    assert_eq!(gateway.hearer.heard_times("RMSG ONE _GR_."), 1);

    // And when nothing is lost, nothing differs.
    one.say("SUB orders.4 4\r\nSUB orders.2 q 5\r\nUNSUB 3\r\n");
    teller.client_of("THREE").say("SUB late.1 1\r\n");
    gateway.talk(|_| false);
    gateway.sum_up();
    gateway.talk(|_| false);
    assert_eq!(hearer.differed(), 2);
    assert!(hearer.rig.0.counters().interest_compared.get() > 5);
}

#[test]
fn a_gateway_with_routes_compares_what_it_was_told_of_its_account() {
    let routes = crossing(&[("orders.>", crate::Direction::Both, None)]);
    let (teller, hearer) = (Party::new("teller", None), Party::new("hearer", routes));
    let mut inside = teller.rig.client();
    inside.say("SUB orders.1 1\r\nSUB private 2\r\n");
    teller.client_of("OTHER").say("SUB orders.2 1\r\n");
    let mut gateway = Gateway::new(&teller, &hearer);
    let mut lost = 0;
    gateway.talk(|line| {
        let lose = line.starts_with("RS+ $G private") && lost == 0;
        lost += usize::from(lose);
        lose
    });
    assert_eq!((lost, hearer.differed()), (1, 1));
    // The other way round: the inboxes of the gateway's clients are told, and counted.
    let mut back = Gateway { teller: hearer.accepts("teller"), hearer: teller.dials("hearer", true) };
    back.teller.say(&teller.info());
    hearer.rig.client().say("SUB orders.7 1\r\n");
    back.talk(|_| false);
    back.sum_up();
    back.talk(|_| false);
    assert_eq!(teller.differed(), 0);
    assert!(teller.rig.0.counters().interest_compared.get() >= 2);
}

#[test]
fn a_stock_server_is_told_no_sums() {
    let teller = Party::new("teller", None);
    teller.rig.client().say("SUB orders.1 1\r\n");
    let mut peer = teller.accepts("stock");
    peer.say("INFO {\"server_id\":\"S\",\"gateway\":\"stock\",\"gateway_iom\":true}\r\n");
    peer.session.sum_up();
    let said = peer.heard();
    assert!(said.contains("RS+ $G orders.1") && !said.contains("gatehouse"), "{said}");
}

//! Clients from outside: what they may not say, and what is said about them.

use super::*;
use crate::Direction::Inward;

fn outsider(rig: &Rig) -> Peer {
    let mut who = Who::isolated();
    who.grant.provenance = Some(identity::Provenance {
        subject: "alice\r\nX: y".into(),
        issuer: "https://issuer.example".into(),
        auth_time: 1_800_000_000,
    });
    who.grant.rights =
        rights(&["a.>", "$JS.>"], (&["a.>"], &[]), Some(ResponseLimit { max: None, ttl: None }));
    rig.enter(who)
}

fn hpub(subject: &str, headers: &str, body: &str) -> String {
    let block = format!("NATS/1.0\r\n{headers}\r\n");
    format!("HPUB {subject} {} {}\r\n{block}{body}\r\n", block.len(), block.len() + body.len())
}

fn stamped(stamp: bool) -> Option<Arc<Crossing>> {
    let rule = |subject: &str| RouteRule { subject: subject.into(), direction: Inward, to: None, stamp };
    Some(Arc::new(Crossing::compile(&[rule("a.>"), rule("$JS.>")]).unwrap()))
}

#[test]
fn nobody_speaks_in_the_gateways_name() {
    let rig = Rig::new();
    let mut reader = rig.client();
    reader.say("SUB a.> 1\r\n");
    let mut client = outsider(&rig);
    client.say(&hpub("a.1", "gateway-SUBJECT: root\r\nA: b\r\nNats-Trace-Dest: x\r\n", "hi"));
    assert_eq!(reader.heard(), "HMSG a.1 1 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nhi\r\n");
    let progress = client.say(&hpub("a.1", "A: b\nGateway-Subject: root\r\n", "hi"));
    assert_eq!(progress.pause, crate::session::Pause::Close(crate::CloseReason::ProtocolViolation));
    assert_eq!(reader.heard(), "");
    // Inside, services may pass on what they were told.
    let mut service = rig.client();
    service.say(&hpub("a.1", "Gateway-Subject: alice\r\n", "hi"));
    assert_eq!(reader.heard_times("Gateway-Subject: alice"), 1);
}

#[test]
fn what_crosses_says_who_it_comes_from_where_the_route_says_so() {
    let rig = Rig::new();
    let mut plain = rig.link("plain", Role::Spoke, stamped(false));
    let mut link = rig.link("bus", Role::Spoke, stamped(true));
    plain.say("LS+ a.>\r\n");
    link.say("LS+ a.>\r\nLS+ a.* q 1\r\n");
    drop((plain.heard(), link.heard()));
    let mut client = outsider(&rig);
    let connection = format!("Gateway-Connection: rig/{}\r\n", client.conn().id);
    client.say("PUB a.1 2\r\nhi\r\n");
    client.say(&hpub("a.2", "Gateway-Issuer: me\r\nA: b\r\n", "ho"));
    let told = link.heard();
    let ours = format!(
        "Gateway-Subject: alice%0D%0AX:%20y\r\nGateway-Issuer: https://issuer.example\r\n{connection}Gateway-Auth-Time: 1800000000\r\n\r\n"
    );
    let block = format!("NATS/1.0\r\n{ours}");
    assert!(
        told.starts_with(&format!("HMSG a.1 | q {} {}\r\n{block}hi\r\n", block.len(), block.len() + 2)),
        "{told}"
    );
    assert!(told.contains(&format!("\r\nNATS/1.0\r\nA: b\r\n{ours}ho\r\n")), "{told}");
    assert_eq!(told.matches("Gateway-Issuer").count(), 2);
    assert_eq!(plain.heard(), "LMSG a.1 2\r\nhi\r\nHMSG a.2 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nho\r\n");
    // Who is verified anew is said anew, on a route used before.
    let mut renewed = Grant::clone(&client.conn().grant());
    renewed.provenance.as_mut().unwrap().auth_time += 1;
    client.conn().set_grant(Arc::new(renewed));
    client.say("PUB a.1 2\r\nhi\r\n");
    assert_eq!(link.heard_times("Gateway-Auth-Time: 1800000001"), 1);
}

#[test]
fn a_message_that_would_grow_too_large_crosses_without() {
    let rig = Rig::new();
    let mut link = rig.link("bus", Role::Spoke, stamped(true));
    link.say("LS+ a.>\r\n");
    drop(link.heard());
    let mut client = outsider(&rig);
    let largest = rig.0.core.limits.max_payload;
    client.say(&format!("PUB a.1 {largest}\r\n{}\r\n", "x".repeat(largest)));
    assert!(link.heard().starts_with(&format!("LMSG a.1 {largest}\r\n")));
}

#[test]
fn streams_deliver_to_the_clients_own_inbox_or_where_it_may_listen() {
    let rig = Rig::new();
    let mut api = rig.client();
    api.say("SUB $JS.> 1\r\n");
    let mut client = outsider(&rig);
    let own = String::from_utf8(client.conn().inbox.as_ref().unwrap().own().to_vec()).unwrap();
    let create = "$JS.API.CONSUMER.CREATE.ORDERS";
    let publish = |body: &str| format!("PUB {create} {}\r\n{body}\r\n", body.len());
    client.say(&publish(
        r#"{"stream_name":"ORDERS","config":{"deliver_subject":"_INBOX.me.1","ack_policy":"none"}}"#,
    ));
    let told = api.heard();
    assert!(
        told.contains(&format!("\"deliver_subject\":\"{own}me.1\"")) && told.contains("ack_policy"),
        "{told}"
    );
    client.say(&publish(r#"{"config":{"deliver_subject":"a.mine"}}"#));
    client.say(&publish(r#"{"config":{"durable_name":"pull"}}"#));
    client.say("PUB $JS.API.CONSUMER.INFO.ORDERS.c 0\r\n\r\n");
    assert_eq!(api.heard_times("MSG $JS"), 3);
    assert_eq!(client.heard(), "");
    for body in [
        r#"{"config":{"deliver_subject":"orders.forged"}}"#,
        r#"{"config":{"deliver_subject":"a.*"}}"#,
        r#"{"config":{"deliver_subject":"$SYS.x"}}"#,
        r#"{"config":{"deliver_subject":"a.ok","Deliver_Subject":"orders.forged"}}"#,
        r#"{"Config":{"deliver_ſubject":"orders.forged"}}"#,
        r#"{"config":{"deliver_subject":"orders.forged"}} "#,
        r#"{"config":{"deliver_subject":"orders.forged"}"#,
    ] {
        client.say(&publish(body));
        assert_eq!(
            client.heard_times(&format!("Permissions Violation for Publish to \"{create}\"")),
            1,
            "{body}"
        );
        assert_eq!(api.heard(), "", "{body}");
    }
    // Of a key that stands twice one is left, the one that was looked at.
    client.say(&publish(r#"{"config":{"deliver_subject":"orders.forged","deliver_subject":"a.ok"}}"#));
    let told = api.heard();
    assert!(told.contains("a.ok") && !told.contains("forged"), "{told}");
}

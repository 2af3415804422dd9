//! What stock clients rely on.

use super::*;

#[test]
fn a_queue_group_gets_each_message_exactly_once_whatever_its_members_are() {
    let rig = Rig::new();
    let mut members: Vec<Peer> = (0..4).map(|_| rig.client()).collect();
    for (sid, member) in members.iter_mut().enumerate() {
        member.say(&format!("SUB jobs q {sid}\r\n"));
    }
    let mut publisher = rig.client();
    for _ in 0..50 {
        publisher.say(&"PUB jobs 2\r\nhi\r\n".repeat(20));
    }
    let shares: Vec<usize> = members.iter().map(|member| member.heard_times("MSG jobs")).collect();
    assert_eq!(shares.iter().sum::<usize>(), 1000);
    assert!(shares.iter().all(|share| *share == 250), "{shares:?}");
}

#[test]
fn a_member_that_has_had_its_last_message_loses_none_for_the_group() {
    let rig = Rig::new();
    let mut members: Vec<Peer> = (0..3).map(|_| rig.client()).collect();
    for (sid, member) in members.iter_mut().enumerate() {
        member.say(&format!("SUB jobs q {sid}\r\n"));
    }
    members[0].say("UNSUB 0 2\r\n");
    members[1].say("UNSUB 1 1\r\n");
    let mut publisher = rig.client();
    publisher.say(&"PUB jobs 2\r\nhi\r\n".repeat(60));
    let shares: Vec<usize> = members.iter().map(|member| member.heard_times("MSG jobs")).collect();
    assert_eq!(shares, [2, 1, 57]);
}

#[test]
fn messages_keep_their_order_for_every_subscriber() {
    let rig = Rig::new();
    let mut readers: Vec<Peer> = (0..3).map(|_| rig.client()).collect();
    for (sid, reader) in readers.iter_mut().enumerate() {
        reader.say(&format!("SUB a.* {sid}\r\nSUB a.> 1{sid}\r\n"));
    }
    let mut publisher = rig.client();
    let said: String = (100..200).map(|n| format!("PUB a.{} 3\r\n{n}\r\n", n % 3)).collect();
    publisher.say(&said);
    for (sid, reader) in readers.iter().enumerate() {
        let heard = reader.heard();
        for own in [format!("{sid}"), format!("1{sid}")] {
            let mark = format!(" {own} 3");
            let lines: Vec<&str> = heard.split("\r\n").collect();
            let got: Vec<u32> = lines
                .windows(2)
                .filter(|pair| pair[0].ends_with(&mark))
                .map(|pair| pair[1].parse().unwrap())
                .collect();
            assert_eq!(got, (100..200).collect::<Vec<_>>());
        }
    }
}

#[test]
fn headers_are_taken_off_for_who_does_not_read_them() {
    let rig = Rig::new();
    let mut who = Who::default();
    who.features.headers = false;
    let (mut old, mut new) = (rig.enter(who), rig.client());
    old.say("SUB a 1\r\n");
    new.say("SUB a 1\r\n");
    rig.client().say("HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPUB a 1\r\nx\r\n");
    assert_eq!(old.heard(), "MSG a 1 r 2\r\nhi\r\nMSG a 1 1\r\nx\r\n");
    assert_eq!(new.heard(), "HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nMSG a 1 1\r\nx\r\n");
}

#[test]
fn without_echo_the_rest_of_the_queue_group_serves() {
    let rig = Rig::new();
    let mut who = Who::default();
    who.features.echo = false;
    let mut publisher = rig.enter(who);
    let mut other = rig.client();
    publisher.say("SUB a q 1\r\nSUB a 2\r\n");
    other.say("SUB a q 3\r\n");
    publisher.say(&"PUB a 1\r\nx\r\n".repeat(10));
    assert_eq!(publisher.heard(), "");
    assert_eq!(other.heard_times("MSG a 3"), 10);
}

#[test]
fn verbose_clients_get_one_answer_to_each_operation() {
    let rig = Rig::new();
    let mut who = Who::with_rights(rights(&["a"], (&["a"], &[]), None));
    who.features.verbose = true;
    let mut client = rig.enter(who);
    client.say(
        "SUB a 1\r\nPUB b 1\r\nx\r\nPUB b..c 1\r\nx\r\nSUB b 2\r\nUNSUB 1\r\nUNSUB 9\r\nPUB a 1\r\nx\r\n",
    );
    let heard = client.heard();
    let answers: Vec<&str> = heard.split_terminator("\r\n").map(|line| &line[..4.min(line.len())]).collect();
    assert_eq!(answers, ["+OK", "-ERR", "-ERR", "-ERR", "+OK", "+OK", "+OK"]);
}

#[test]
fn unsubscribing_after_so_many_counts_from_the_start() {
    let rig = Rig::new();
    let (mut reader, mut publisher) = (rig.client(), rig.client());
    reader.say("SUB a 1\r\n");
    publisher.say("PUB a 1\r\n1\r\nPUB a 1\r\n2\r\n");
    reader.say("UNSUB 1 4\r\n");
    publisher.say(&"PUB a 1\r\nx\r\n".repeat(5));
    assert_eq!(reader.heard_times("MSG a"), 4);
    assert_eq!(reader.conn().subs.lock().len(), 0);
    reader.say("SUB a 1\r\n");
    publisher.say("PUB a 1\r\nx\r\n");
    assert_eq!(reader.heard_times("MSG a"), 1);
}

#[test]
fn a_route_used_before_is_derived_anew_after_every_change() {
    let rig = Rig::new();
    let (mut reader, mut publisher) = (rig.client(), rig.client());
    for _ in 0..4 {
        publisher.say("PUB a 1\r\nx\r\nPUB b 1\r\nx\r\n");
        reader.say("SUB a 1\r\n");
        publisher.say("PUB a 1\r\nx\r\nPUB b 1\r\nx\r\n");
        assert_eq!(reader.heard(), "MSG a 1 1\r\nx\r\n");
        reader.say("UNSUB 1\r\n");
    }
    publisher.say("PUB a 1\r\nx\r\n");
    assert_eq!(reader.heard(), "");
}

#[test]
fn nobody_there_is_told_on_the_isolated_inbox() {
    let rig = Rig::new();
    let mut client = rig.enter(Who::isolated());
    client.say("SUB _INBOX.x.* 5\r\nPUB nobody _INBOX.x.1 1\r\nx\r\n");
    assert_eq!(client.heard(), "HMSG _INBOX.x.1 5 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n");
}

#[tokio::test]
async fn a_local_request_loses_nothing_that_comes_meanwhile() {
    let rig = Rig::new();
    let mut local = rig.0.local_client("local", Arc::new(Grant::unrestricted("local")));
    local.subscribe("news", None).unwrap();
    let mut service = rig.0.local_client("service", Arc::new(Grant::unrestricted("service")));
    service.subscribe("ask", None).unwrap();
    let serving = async {
        let request = service.next().await.unwrap();
        service.publish(b"news", b"", b"one").unwrap();
        service.publish(b"news", b"", b"two").unwrap();
        service.publish(&request.reply, b"", b"ok").unwrap();
    };
    let (answer, ()) = tokio::join!(local.request(b"ask", b"?"), serving);
    assert_eq!(answer.unwrap().payload, b"ok");
    assert_eq!(local.next().await.unwrap().payload, b"one");
    assert_eq!(local.next().await.unwrap().payload, b"two");
}

#[tokio::test]
async fn a_local_client_gets_more_than_its_pipe_holds_in_order() {
    let rig = Rig::new();
    let mut local = rig.0.local_client("local", Arc::new(Grant::unrestricted("local")));
    local.subscribe("a", None).unwrap();
    let mut publisher = rig.client();
    let filler = "x".repeat(1_000);
    for n in 1_000..2_000 {
        publisher.say(&format!("PUB a 1004\r\n{n}{filler}\r\n"));
    }
    for n in 1_000..2_000 {
        let message = local.next().await.unwrap();
        assert_eq!(message.payload[..4], *n.to_string().as_bytes());
    }
    assert_eq!(rig.0.core.budget.queued(), (0, 0));
}

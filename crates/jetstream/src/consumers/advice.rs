//! Advisories and metrics about consumers, as nats-server words them.

use serde::Serialize;

use crate::account::Account;
use crate::advisory::Action;
use crate::consumer::Advisory;
use crate::stamp::Stamp;

#[derive(Serialize)]
struct Of<'a> {
    stream: &'a str,
    consumer: &'a str,
}

#[derive(Serialize)]
struct MaxDeliver<'a> {
    #[serde(flatten)]
    of: Of<'a>,
    stream_seq: u64,
    deliveries: u64,
}

#[derive(Serialize)]
struct Delivery<'a> {
    #[serde(flatten)]
    of: Of<'a>,
    consumer_seq: u64,
    stream_seq: u64,
    deliveries: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ack_time: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
}

#[derive(Serialize)]
struct Pinned<'a> {
    account: &'a str,
    #[serde(flatten)]
    of: Of<'a>,
    group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pinned_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Pause<'a> {
    #[serde(flatten)]
    of: Of<'a>,
    paused: bool,
    pause_until: Stamp,
}

#[derive(Serialize)]
struct Changed<'a> {
    #[serde(flatten)]
    of: Of<'a>,
    action: Action,
}

/// Tells whoever watches a consumer.
pub(super) fn tell(account: &Account, stream: &str, consumer: &str, advisory: Advisory) {
    let of = Of { stream, consumer };
    let subject = |kind: &str| format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}");
    let delivery = |of, consumer_seq, stream_seq, deliveries| Delivery {
        of,
        consumer_seq,
        stream_seq,
        deliveries,
        ack_time: None,
        reason: "",
    };
    match advisory {
        Advisory::MaxDeliver { sequence, deliveries } => {
            let body = MaxDeliver { of, stream_seq: sequence, deliveries };
            account.advise(&subject("MAX_DELIVERIES"), "advisory.v1.max_deliver", body);
        }
        Advisory::Nak { sequence, delivery: number, deliveries } => {
            let body = delivery(of, number, sequence, deliveries);
            account.advise(&subject("MSG_NAKED"), "advisory.v1.nak", body);
        }
        Advisory::Terminated { sequence, delivery: number, deliveries, reason } => {
            let body = Delivery { reason: &reason, ..delivery(of, number, sequence, deliveries) };
            account.advise(&subject("MSG_TERMINATED"), "advisory.v1.terminated", body);
        }
        Advisory::Acknowledged { sequence, delivery: number, deliveries, took } => {
            let body = Delivery { ack_time: Some(took), ..delivery(of, number, sequence, deliveries) };
            let subject = format!("$JS.EVENT.METRIC.CONSUMER.ACK.{stream}.{consumer}");
            account.advise(&subject, "metric.v1.consumer_ack", body);
        }
        Advisory::Pinned { group, pin } => {
            let pinned_id = Some(pin.as_str());
            let body = Pinned { account: &account.name, of, group: &group, pinned_id, reason: None };
            account.advise(&subject("PINNED"), "advisory.v1.consumer_group_pinned", body);
        }
        Advisory::Unpinned { group, reason } => {
            let reason = Some(reason);
            let body = Pinned { account: &account.name, of, group: &group, pinned_id: None, reason };
            account.advise(&subject("UNPINNED"), "advisory.v1.consumer_group_unpinned", body);
        }
        Advisory::Pause { until, paused } => {
            let body = Pause { of, paused, pause_until: until.map_or(Stamp::ZERO, Stamp) };
            account.advise(&subject("PAUSE"), "advisory.v1.consumer_pause", body);
        }
    }
}

/// Tells that a consumer is new, or gone.
pub(super) fn changed(account: &Account, stream: &str, consumer: &str, action: Action) {
    let kind = if action == Action::Delete { "DELETED" } else { "CREATED" };
    let subject = format!("$JS.EVENT.ADVISORY.CONSUMER.{kind}.{stream}.{consumer}");
    account.advise(&subject, "advisory.v1.consumer_action", Changed { of: Of { stream, consumer }, action });
}

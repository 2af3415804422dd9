//! The broker's figures and the certificates' expiry, as metrics.

use std::time::{SystemTime, UNIX_EPOCH};

use broker::{CloseReason, Server, Totals};
use daemon::metrics::{Metrics, SampleKind};

use crate::tls::Reloads;

type Figure = (&'static str, &'static str, SampleKind, fn(&Totals) -> f64);

#[allow(clippy::cast_precision_loss)]
const TOTALS: [Figure; 9] = [
    ("connections", "Client connections.", SampleKind::Gauge, |totals| totals.clients as f64),
    ("links", "Links that are established.", SampleKind::Gauge, |totals| totals.links as f64),
    ("subscriptions", "Subscriptions, links' included.", SampleKind::Gauge, |totals| {
        totals.subscriptions as f64
    }),
    ("in_messages", "Messages read.", SampleKind::Counter, |totals| totals.in_messages as f64),
    ("in_bytes", "Payload bytes read.", SampleKind::Counter, |totals| totals.in_bytes as f64),
    ("out_messages", "Messages queued for delivery.", SampleKind::Counter, |totals| {
        totals.out_messages as f64
    }),
    ("out_bytes", "Bytes queued for delivery.", SampleKind::Counter, |totals| totals.out_bytes as f64),
    ("pending_bytes", "Bytes queued and not yet written.", SampleKind::Gauge, |totals| {
        totals.pending_bytes as f64
    }),
    ("pending_messages", "Messages queued and not yet written.", SampleKind::Gauge, |totals| {
        totals.pending_messages as f64
    }),
];

/// Registers everything a broker and its certificates have to tell.
#[allow(clippy::cast_precision_loss)]
pub fn register(metrics: &Metrics, server: &Server, reloads: &Reloads) {
    for (name, help, kind, figure) in TOTALS {
        let server = server.clone();
        metrics.register_value(name, help, kind, move || figure(&server.totals()));
    }
    register_counters(metrics, server);
    register_links(metrics, server);
    register_certificates(metrics, reloads);
    metrics.register_value("panics", "Tasks that panicked.", SampleKind::Counter, || {
        daemon::telemetry::panic_count() as f64
    });
}

type Counter = (&'static str, &'static str, fn(&broker::Counters) -> u64);

/// What is only counted: name, meaning, where it is read.
const COUNTERS: &[Counter] = &[
    ("connections_accepted", "Connections accepted.", |counters| counters.accepted.get()),
    ("auth_success", "Logins that succeeded.", |counters| counters.logins.get()),
    ("publish_denied", "Publishes refused for want of rights.", |counters| counters.publish_denied.get()),
    ("subscribe_denied", "Subscriptions refused for want of rights.", |counters| {
        counters.subscribe_denied.get()
    }),
    ("auth_renewals", "Connections that went on with a fresh token.", |counters| counters.renewals.get()),
    ("auth_renewals_refused", "Fresh tokens refused on live connections.", |counters| {
        counters.renewals_refused.get()
    }),
    ("logins_slowed", "Logins that waited because of where they came from.", |counters| {
        counters.logins_slowed.get()
    }),
    ("quota_held", "Publishers held back because their identity was over its rate.", |counters| {
        counters.quota_held.get()
    }),
    ("quota_refused", "Messages refused because their publisher stayed over its rate.", |counters| {
        counters.quota_refused.get()
    }),
    ("link_filtered", "Messages from a link that no route names.", |counters| counters.link_filtered.get()),
    ("link_silent", "Times that a link left a PING without an answer for long.", |counters| {
        counters.link_silent.get()
    }),
    ("link_interest_compared", "Comparisons of interest with the other end of a link.", |counters| {
        counters.interest_compared.get()
    }),
    ("link_interest_differed", "Comparisons that found a difference, which was repaired.", |counters| {
        counters.interest_differed.get()
    }),
    ("link_s2_sent_plain_bytes", "Bytes sent over compressed links, before compression.", |counters| {
        counters.s2_plain_out.get()
    }),
    ("link_s2_sent_packed_bytes", "Bytes sent over compressed links, after compression.", |counters| {
        counters.s2_packed_out.get()
    }),
    ("link_s2_received_plain_bytes", "Bytes received over compressed links, decompressed.", |counters| {
        counters.s2_plain_in.get()
    }),
    ("link_s2_received_packed_bytes", "Bytes received over compressed links, as they came.", |counters| {
        counters.s2_packed_in.get()
    }),
    ("link_held", "Publishers held back because a link was down.", |counters| counters.link_held.get()),
    ("link_refused", "Requests refused because a link stayed down.", |counters| counters.link_refused.get()),
    ("overload_held", "Publishers held back because too much was queued.", |counters| {
        counters.overload_held.get()
    }),
];

#[allow(clippy::cast_precision_loss)]
fn register_counters(metrics: &Metrics, server: &Server) {
    for &(name, help, counter) in COUNTERS {
        let server = server.clone();
        metrics.register_value(name, help, SampleKind::Counter, move || counter(server.counters()) as f64);
    }
    let entering = server.clone();
    metrics.register_value(
        "login_bytes",
        "Bytes set aside for clients that have begun to log in.",
        SampleKind::Gauge,
        move || entering.login_bytes() as f64,
    );
    let closed = server.clone();
    metrics.register_sampled(
        "connections_closed",
        "Connections ended, by reason.",
        SampleKind::Counter,
        &["reason"],
        move || {
            let count = |reason: CloseReason| {
                (vec![reason.name().to_owned()], closed.counters().closed_for(reason) as f64)
            };
            CloseReason::ALL.into_iter().map(count).collect()
        },
    );
    let slow = server.clone();
    metrics.register_value(
        "slow_consumers",
        "Connections cut because they read too slowly.",
        SampleKind::Counter,
        move || {
            let counters = slow.counters();
            (counters.closed_for(CloseReason::SlowConsumer) + counters.closed_for(CloseReason::WriteDeadline))
                as f64
        },
    );
    let denied = server.clone();
    metrics.register_sampled(
        "auth_failures",
        "Logins refused, by reason.",
        SampleKind::Counter,
        &["reason"],
        move || {
            denied
                .counters()
                .denied_by_reason()
                .into_iter()
                .map(|(reason, count)| (vec![reason.to_owned()], count as f64))
                .collect()
        },
    );
}

#[allow(clippy::cast_precision_loss)]
fn register_links(metrics: &Metrics, server: &Server) {
    let rtt = server.clone();
    metrics.register_sampled(
        "link_rtt_seconds",
        "Last measured round trip of a link.",
        SampleKind::Gauge,
        &["link"],
        move || {
            let known = |link: broker::LinkState| Some((vec![link.name], link.rtt?.as_secs_f64()));
            rtt.links().into_iter().filter_map(known).collect()
        },
    );
    let pending = server.clone();
    metrics.register_sampled(
        "link_pending_bytes",
        "Bytes waiting for a link.",
        SampleKind::Gauge,
        &["link"],
        move || {
            pending.links().into_iter().map(|link| (vec![link.name], link.pending_bytes as f64)).collect()
        },
    );
}

#[allow(clippy::cast_precision_loss)]
fn register_certificates(metrics: &Metrics, reloads: &Reloads) {
    let expiry = reloads.clone();
    metrics.register_sampled(
        "certificate_expiry_seconds",
        "Time until a certificate in use expires.",
        SampleKind::Gauge,
        &["tls", "file"],
        move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64());
            let left = |(name, path, end): (String, std::path::PathBuf, i64)| {
                (vec![name, path.display().to_string()], end as f64 - now)
            };
            expiry.expiries().into_iter().map(left).collect()
        },
    );
    let outcomes = reloads.clone();
    metrics.register_sampled(
        "certificate_reloads",
        "Certificate changes, by outcome.",
        SampleKind::Counter,
        &["outcome"],
        move || {
            let (reloaded, refused) = outcomes.outcomes();
            vec![(vec!["reloaded".to_owned()], reloaded as f64), (vec!["refused".to_owned()], refused as f64)]
        },
    );
}

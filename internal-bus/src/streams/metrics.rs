//! Figures of streams and consumers for `/metrics`, read when they are asked for.

use std::time::Duration;

use daemon::metrics::{Classes, Metrics, SampleKind};
use jetstream::consumer::info::ConsumerInfo;
use jetstream::{JetStream, StreamStatus};

use super::Streams;

/// One sample: labels and value.
type Sample = (Vec<String>, f64);

impl Streams {
    /// Registers everything.
    pub(crate) fn register(&self, metrics: &Metrics) {
        if !self.wanted() {
            return;
        }
        self.totals(metrics);
        for (name, help, value) in STREAM {
            let streams = self.clone();
            metrics.register_sampled(name, help, SampleKind::Gauge, &["account", "stream"], move || {
                streams.running().map(|jetstream| of_streams(jetstream, *value)).unwrap_or_default()
            });
        }
        for (name, help, value) in CONSUMER {
            let (streams, labels) = (self.clone(), &["account", "stream", "consumer"]);
            metrics.register_sampled(name, help, SampleKind::Gauge, labels, move || {
                streams.running().map(|jetstream| of_consumers(jetstream, *value)).unwrap_or_default()
            });
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn totals(&self, metrics: &Metrics) {
        type Total = (&'static str, &'static str, SampleKind, fn(&jetstream::Figures) -> u64);
        const TOTALS: &[Total] = &[
            ("streams", "Streams.", SampleKind::Gauge, |figures| figures.streams as u64),
            ("consumers", "Consumers of streams.", SampleKind::Gauge, |figures| figures.consumers as u64),
            ("streams_file_bytes", "Bytes of messages on disk.", SampleKind::Gauge, |figures| figures.file),
            ("streams_memory_bytes", "Bytes of messages in memory.", SampleKind::Gauge, |figures| {
                figures.memory
            }),
            ("streams_api_requests", "API requests answered.", SampleKind::Counter, |figures| {
                figures.api_requests
            }),
            ("streams_api_errors", "API requests answered with an error.", SampleKind::Counter, |figures| {
                figures.api_errors
            }),
        ];
        for (name, help, kind, value) in TOTALS {
            let streams = self.clone();
            metrics.register_value(name, help, *kind, move || {
                streams.running().map_or(0.0, |jetstream| value(&jetstream.figures()) as f64)
            });
        }
        let streams = self.clone();
        metrics.register_classes(
            "streams_sync_seconds",
            "Time a sync of stored messages to the disk took; one covers all that wait for it.",
            move || streams.running().map(sync_times).unwrap_or_default(),
        );
        let streams = self.clone();
        metrics.register_value(
            "streams_problems",
            "Damage found in what is stored; /healthz says what.",
            SampleKind::Gauge,
            move || streams.running().map_or(0.0, |jetstream| jetstream.problems().len() as f64),
        );
    }
}

#[allow(clippy::cast_precision_loss)]
fn sync_times(jetstream: &JetStream) -> Classes {
    let times = jetstream.sync_times();
    let bound = |bound: Option<Duration>| bound.map_or(f64::INFINITY, |bound| bound.as_secs_f64());
    Classes {
        counts: times.classes.into_iter().map(|(most, count)| (bound(most), count)).collect(),
        sum: times.total.as_secs_f64(),
    }
}

type OfStream = fn(&StreamStatus) -> u64;

const STREAM: &[(&str, &str, OfStream)] = &[
    ("stream_messages", "Messages in a stream.", |stream| stream.info.state.messages),
    ("stream_bytes", "Bytes of messages in a stream.", |stream| stream.info.state.bytes),
    ("stream_subjects", "Subjects in a stream.", |stream| stream.info.state.num_subjects),
    ("stream_last_sequence", "Last sequence of a stream.", |stream| stream.info.state.last_seq),
    ("stream_stopped", "1 while a stream takes no writes.", |stream| u64::from(stream.stopped.is_some())),
];

type OfConsumer = fn(&ConsumerInfo) -> u64;

const CONSUMER: &[(&str, &str, OfConsumer)] = &[
    ("consumer_pending", "Messages a consumer has not been given yet: its lag.", |consumer| {
        consumer.num_pending
    }),
    ("consumer_ack_pending", "Messages given and not acknowledged yet.", |consumer| consumer.num_ack_pending),
    ("consumer_redelivered", "Messages that had to be given again.", |consumer| consumer.num_redelivered),
    ("consumer_waiting", "Pull requests that wait.", |consumer| consumer.num_waiting),
];

#[allow(clippy::cast_precision_loss)]
fn of_streams(jetstream: &JetStream, value: OfStream) -> Vec<Sample> {
    let sample = |stream: StreamStatus| {
        (vec![stream.account.to_string(), stream.info.config.name.clone()], value(&stream) as f64)
    };
    jetstream.streams().into_iter().map(sample).collect()
}

#[allow(clippy::cast_precision_loss)]
fn of_consumers(jetstream: &JetStream, value: OfConsumer) -> Vec<Sample> {
    let mut samples = Vec::new();
    for account in jetstream.accounts() {
        for stream in account.streams() {
            for consumer in stream.consumers().iter().flat_map(|consumers| consumers.infos()) {
                let labels = vec![account.name.to_string(), stream.name.to_string(), consumer.name.clone()];
                samples.push((labels, value(&consumer) as f64));
            }
        }
    }
    samples
}

//! Metrics in the OpenMetrics text format: the product's own under `gatehouse_`, and those of the process.
//!
//! Parts that count for themselves (atomics on a hot path) are read at each scrape by
//! [`Metrics::register_sampled`]; everything else takes a counter, gauge or histogram from here and updates it.

pub mod process;
mod sampled;

use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text;
use prometheus_client::registry::{Metric, Registry};

use self::sampled::{Sampled, SampledHistogram};

pub use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
pub use prometheus_client::metrics::counter::Counter;
pub use prometheus_client::metrics::family::Family;
pub use prometheus_client::metrics::gauge::Gauge;
pub use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

/// What all names of the product's own metrics begin with.
pub const PREFIX: &str = "gatehouse";

/// The `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How a sampled value behaves over time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SampleKind {
    /// Only grows while the process lives; `_total` is added to its name.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One sample: the values of its labels, in the order of their names, and its value.
pub type Sample = (Vec<String>, f64);

/// The classes of a histogram: their upper bounds (`f64::INFINITY` of the last one), how many are in each, and the sum of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classes {
    /// Upper bounds and counts, in order.
    pub counts: Vec<(f64, u64)>,
    /// What all of them come to.
    pub sum: f64,
}

struct Inner {
    product: Mutex<Registry>,
    process: Mutex<Registry>,
    names: Mutex<BTreeSet<String>>,
}

/// The metrics of one process; clones share them.
///
/// Names are given without `gatehouse_`, and counters without `_total`. Registering a name twice is a programming
/// error, which debug builds catch.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

impl Metrics {
    /// The metrics of the process (`process_*`), and `gatehouse_build_info{program, version}`.
    #[must_use]
    pub fn new(program: &str, version: &str) -> Self {
        let mut process = Registry::default();
        process::register(&mut process);
        let metrics = Self(Arc::new(Inner {
            product: Mutex::new(Registry::with_prefix(PREFIX)),
            process: Mutex::new(process),
            names: Mutex::default(),
        }));
        let build = vec![(vec![program.to_owned(), version.to_owned()], 1.0)];
        let help = "Program and version; always 1";
        metrics.register_sampled("build_info", help, SampleKind::Gauge, &["program", "version"], move || {
            build.clone()
        });
        metrics
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.registered(name, help, Counter::default())
    }

    /// A gauge of whole numbers.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.registered(name, help, Gauge::default())
    }

    /// Counters told apart by labels.
    pub fn counters<L: LabelSet>(&self, name: &str, help: &str) -> Family<L, Counter> {
        self.registered(name, help, Family::default())
    }

    /// Gauges told apart by labels.
    pub fn gauges<L: LabelSet>(&self, name: &str, help: &str) -> Family<L, Gauge> {
        self.registered(name, help, Family::default())
    }

    /// A histogram with these upper bounds of its buckets.
    pub fn histogram(&self, name: &str, help: &str, buckets: impl IntoIterator<Item = f64>) -> Histogram {
        self.registered(name, help, Histogram::new(buckets))
    }

    /// Any other metric of the library.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.take_name(name);
        self.0.product.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// A collector that writes several metrics at each scrape.
    pub fn register_collector(&self, collector: impl Collector) {
        self.0.product.lock().unwrap_or_else(PoisonError::into_inner).register_collector(Box::new(collector));
    }

    /// A metric whose values `sample` reads at each scrape, one per set of label values; a sample with more or fewer
    /// label values than there are `labels` is left out.
    pub fn register_sampled(
        &self,
        name: &'static str,
        help: &'static str,
        kind: SampleKind,
        labels: &'static [&'static str],
        sample: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) {
        self.take_name(name);
        self.register_collector(Sampled { name, help, kind, labels, sample: Box::new(sample) });
    }

    /// As [`Metrics::register_sampled`], for one value without labels.
    pub fn register_value(
        &self,
        name: &'static str,
        help: &'static str,
        kind: SampleKind,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register_sampled(name, help, kind, &[], move || vec![(Vec::new(), value())]);
    }

    /// A histogram whose classes `read` reads at each scrape.
    pub fn register_classes(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> Classes + Send + Sync + 'static,
    ) {
        self.take_name(name);
        self.register_collector(SampledHistogram { name, help, read: Box::new(read) });
    }

    /// All metrics as text, of the type [`CONTENT_TYPE`].
    ///
    /// # Errors
    /// When a collector fails to write.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        for registry in [&self.0.product, &self.0.process] {
            let registry = registry.lock().unwrap_or_else(PoisonError::into_inner);
            text::encode_registry(&mut text, &registry)?;
        }
        text.write_str("# EOF\n")?;
        Ok(text)
    }

    fn registered<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        self.register(name, help, metric.clone());
        metric
    }

    fn take_name(&self, name: &str) {
        let fresh = self.0.names.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        debug_assert!(fresh, "metric {name} is registered twice");
        debug_assert!(
            !name.starts_with(PREFIX) && !name.ends_with("_total"),
            "metric {name}: both are added"
        );
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("names", &self.0.names).finish_non_exhaustive()
    }
}

/// What a type must be to label a family; implemented for all that are.
pub trait LabelSet: EncodeLabelSet + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static {}

impl<L: EncodeLabelSet + Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static> LabelSet for L {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_text() {
        let metrics = Metrics::new("internal-bus", "1.2.3");
        metrics.counter("connections", "Connections accepted").inc_by(3);
        metrics.gauge("pending_bytes", "Bytes queued").set(-5);
        let outcomes: Family<[(&'static str, &'static str); 1], Counter> =
            metrics.counters("auth", "Logins by outcome");
        outcomes.get_or_create(&[("reason", "expired")]).inc();
        metrics.histogram("rtt_seconds", "Round trips", [0.1, 1.0]).observe(0.5);
        let seen = Arc::new(AtomicU64::new(7));
        let read = Arc::clone(&seen);
        metrics.register_sampled("messages", "Messages", SampleKind::Counter, &["direction"], move || {
            let value = read.load(Ordering::Relaxed) as f64;
            vec![
                (vec!["in".to_owned()], value),
                (vec!["a\"b\\c\nd".to_owned()], 0.5),
                (vec!["one".to_owned(), "too many".to_owned()], 1.0),
            ]
        });
        metrics.register_value("ready", "1 when ready", SampleKind::Gauge, || 1.0);
        seen.store(8, Ordering::Relaxed);
        let text = metrics.encode().unwrap();
        for line in [
            "gatehouse_build_info{program=\"internal-bus\",version=\"1.2.3\"} 1.0",
            "# TYPE gatehouse_connections counter",
            "gatehouse_connections_total 3",
            "gatehouse_pending_bytes -5",
            "gatehouse_auth_total{reason=\"expired\"} 1",
            "gatehouse_rtt_seconds_bucket{le=\"1.0\"} 1",
            "gatehouse_messages_total{direction=\"in\"} 8.0",
            r#"gatehouse_messages_total{direction="a\"b\\c\nd"} 0.5"#,
            "# TYPE gatehouse_ready gauge",
            "gatehouse_ready 1.0",
            "# TYPE process_cpu_seconds counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
        assert!(!text.contains("too many"));
        assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1);
    }

    #[test]
    fn the_process() {
        let text = Metrics::new("test", "0").encode().unwrap();
        let value = |name: &str| -> f64 {
            let line =
                text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
        assert!(value("process_open_fds ") >= 3.0);
        let now = time::OffsetDateTime::now_utc().unix_timestamp() as f64;
        let started = value("process_start_time_seconds ");
        assert!(started > now - 86_400.0 && started < now + 5.0, "{started} {now}");
    }

    #[test]
    #[should_panic(expected = "registered twice")]
    #[cfg(debug_assertions)]
    fn a_name_is_taken_once() {
        let metrics = Metrics::new("test", "0");
        metrics.counter("same", "a");
        metrics.gauge("same", "b");
    }
}

//! A metric whose values are read at each scrape.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{Classes, Sample, SampleKind};

/// The name of a metric, and the function that reads its values.
pub(super) struct Sampled {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) kind: SampleKind,
    pub(super) labels: &'static [&'static str],
    pub(super) sample: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl Collector for Sampled {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            SampleKind::Counter => MetricType::Counter,
            SampleKind::Gauge => MetricType::Gauge,
        };
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, kind)?;
        for (values, value) in (self.sample)() {
            if values.len() != self.labels.len() {
                continue;
            }
            if values.is_empty() {
                self.encode_value(&mut metric, value)?;
                continue;
            }
            let labels: Vec<_> = self.labels.iter().copied().zip(values).collect();
            self.encode_value(&mut metric.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

impl Sampled {
    fn encode_value(&self, metric: &mut MetricEncoder<'_>, value: f64) -> fmt::Result {
        match self.kind {
            SampleKind::Counter => metric.encode_counter::<NoLabelSet, _, u64>(&value, None),
            SampleKind::Gauge => metric.encode_gauge(&value),
        }
    }
}

/// A histogram whose classes are read at each scrape.
pub(super) struct SampledHistogram {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) read: Box<dyn Fn() -> Classes + Send + Sync>,
}

impl Collector for SampledHistogram {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Classes { counts, sum } = (self.read)();
        let count = counts.iter().map(|(_, count)| count).sum();
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, count, &counts, None)
    }
}

impl fmt::Debug for SampledHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SampledHistogram").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Debug for Sampled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sampled").field("name", &self.name).finish_non_exhaustive()
    }
}

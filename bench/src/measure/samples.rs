//! Latency samples and medians.

use std::time::Duration;

/// Latencies of one run; all are kept, so quantiles are exact.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one latency.
    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Adds another run's latencies.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Number of latencies recorded.
    pub(crate) fn count(&self) -> u64 {
        self.0.len() as u64
    }

    /// The given quantiles (0 to 1) in microseconds, nearest rank; zeros without samples.
    pub(crate) fn quantiles<const N: usize>(mut self, at: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        let last = self.0.len().saturating_sub(1);
        at.map(|quantile| {
            let rank = (self.0.len() as f64 * quantile).ceil() as usize;
            self.0.get(rank.saturating_sub(1).min(last)).map_or(0.0, |d| d.as_secs_f64() * 1e6)
        })
    }
}

/// Median of `values`; none without any. The order of `values` is changed.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some((values[middle - 1] + upper) / 2.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_nearest_rank() {
        let mut samples = Samples::default();
        (1..=100).rev().for_each(|n| samples.record(Duration::from_micros(n)));
        assert_eq!(samples.quantiles([0.0, 0.5, 0.99, 1.0]), [1.0, 50.0, 99.0, 100.0]);
        assert_eq!(Samples::default().quantiles([0.5]), [0.0]);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }
}

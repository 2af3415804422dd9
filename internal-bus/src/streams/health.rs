//! `/healthz`: whether streams take and give what they should.

use daemon::admin::Query;

use super::Streams;

impl Streams {
    /// As nats-server's `/healthz`: with `js-enabled-only` only whether streams are there; with `js-server-only` the
    /// streams themselves are not looked at.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(crate) fn health(&self, query: &Query) -> Result<(), String> {
        if query.flag("js-enabled-only") || query.flag("js-enabled") {
            return if self.running().is_some() { Ok(()) } else { Err("JetStream not enabled".to_owned()) };
        }
        if !self.wanted() {
            return Ok(());
        }
        let Some(jetstream) = self.running() else { return Err("streams are being recovered".to_owned()) };
        if query.flag("js-server-only") {
            return Ok(());
        }
        let stopped: Vec<String> =
            jetstream.streams().into_iter().filter_map(|stream| stream.stopped).collect();
        let damaged =
            jetstream.problems().into_iter().filter(|problem| problem.severity == store::Severity::Damage);
        let wrong: Vec<String> =
            stopped.into_iter().chain(damaged.map(|problem| problem.to_string())).collect();
        if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
    }
}

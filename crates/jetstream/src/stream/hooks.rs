//! The seam between a stream and its consumers.

use broker::{Call, Message, Reception};

use crate::api::{Answer, Request};
use crate::config::StreamConfig;

/// What a purge leaves.
#[derive(Debug, Clone, Copy)]
pub struct Cleared<'a> {
    /// What was purged; `None` is everything.
    pub pattern: Option<&'a [u8]>,
    /// The first message that is left of it; one after the last sequence when none is.
    pub next: u64,
    /// The first message of the stream that is left, likewise.
    pub first: u64,
}

/// The consumers of one stream, as the stream and the API see them. What is called from a publisher's task or the commit
/// thread says so: it must not block.
pub trait Consumers: Send + Sync {
    /// Messages up to this sequence may be delivered: they are as durable as the stream promises. Must not block: it
    /// wakes who has to work.
    fn stored(&self, upto: u64);

    /// Messages went by a purge, a deletion, a limit or their age. Must not block.
    fn removed(&self);

    /// Messages went by a purge: [`Consumers::removed`] follows. Must not block.
    fn purged(&self, purge: &Cleared<'_>);

    /// Whether some consumer wants messages of this subject: streams that keep by interest store no others. Must not block.
    fn wants(&self, subject: &[u8]) -> bool;

    /// Whether some consumer still needs this message.
    fn needs(&self, sequence: u64, subject: &[u8]) -> bool;

    /// How many there are.
    fn count(&self) -> usize;

    /// What the API tells of each.
    fn infos(&self) -> Vec<crate::consumer::info::ConsumerInfo>;

    /// Brings in one that was elsewhere.
    ///
    /// # Errors
    /// What stands against it.
    fn import(&self, consumer: crate::import::ForeignConsumer) -> Result<(), crate::errors::ApiError>;

    /// Whether the stream's configuration may become this one.
    ///
    /// # Errors
    /// What stands against it.
    fn check(&self, new: &StreamConfig) -> Result<(), crate::errors::ApiError>;

    /// The stream's configuration has become this one.
    fn changed(&self, new: &StreamConfig);

    /// The server is about to stop: pull requests that wait are told.
    fn stop_waiting(&self);

    /// The stream is closed, or removed with all its consumers.
    fn close(&self, removed: bool);

    /// A pull request (`CONSUMER.MSG.NEXT.<stream>.<consumer>`). Must not block.
    fn next(&self, consumer: &str, call: &mut Call<'_>, message: &Message<'_>) -> Reception;

    /// Something published to `$JS.ACK.…` of a consumer of this stream. Must not block.
    fn ack(&self, consumer: &str, call: &mut Call<'_>, message: &Message<'_>) -> Reception;

    /// Something published to `$JS.FC.<stream>.<consumer>.…`. Must not block.
    fn flow(&self, consumer: &str, call: &mut Call<'_>, message: &Message<'_>) -> Reception;

    /// An API request that starts with `CONSUMER.`; `rest` are the tokens after the stream's name, joined by dots.
    /// Runs in the API's own thread and may wait for the disk.
    fn api(&self, verb: &str, rest: &str, request: &Request) -> Answer;
}

//! The seam between a stream and its consumers.

use std::sync::Arc;

use broker::{Call, Message, Reception};

use super::Stream;
use crate::api::{Answer, Request};
use crate::config::StreamConfig;

/// The consumers of one stream, as the stream and the API see them. What is called from a publisher's task or the commit
/// thread says so: it must not block.
pub trait Consumers: Send + Sync {
    /// Messages up to this sequence may be delivered: they are as durable as the stream promises. Must not block: it
    /// wakes who has to work.
    fn stored(&self, upto: u64);

    /// Messages went by a purge, a deletion, a limit or their age. Must not block.
    fn removed(&self);

    /// Whether some consumer wants messages of this subject: streams that keep by interest store no others. Must not block.
    fn wants(&self, subject: &[u8]) -> bool;

    /// Whether some consumer still needs this message.
    fn needs(&self, sequence: u64, subject: &[u8]) -> bool;

    /// How many there are.
    fn count(&self) -> usize;

    /// Whether the stream's configuration may become this one.
    ///
    /// # Errors
    /// What stands against it.
    fn check(&self, new: &StreamConfig) -> Result<(), crate::errors::ApiError>;

    /// The stream's configuration has become this one.
    fn changed(&self, new: &StreamConfig);

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

/// Makes the consumers of a stream that has just been created or recovered.
pub(crate) fn open(stream: &Arc<Stream>) -> Arc<dyn Consumers> {
    let _ = stream;
    Arc::new(Nobody)
}

/// No consumers.
struct Nobody;

impl Consumers for Nobody {
    fn stored(&self, _: u64) {}

    fn removed(&self) {}

    fn wants(&self, _: &[u8]) -> bool {
        false
    }

    fn needs(&self, _: u64, _: &[u8]) -> bool {
        false
    }

    fn count(&self) -> usize {
        0
    }

    fn check(&self, _: &StreamConfig) -> Result<(), crate::errors::ApiError> {
        Ok(())
    }

    fn changed(&self, _: &StreamConfig) {}

    fn close(&self, _: bool) {}

    fn next(&self, _: &str, _: &mut Call<'_>, _: &Message<'_>) -> Reception {
        Reception::Absent
    }

    fn ack(&self, _: &str, _: &mut Call<'_>, _: &Message<'_>) -> Reception {
        Reception::Absent
    }

    fn flow(&self, _: &str, _: &mut Call<'_>, _: &Message<'_>) -> Reception {
        Reception::Absent
    }

    fn api(&self, _: &str, _: &str, _: &Request) -> Answer {
        Answer::nothing()
    }
}

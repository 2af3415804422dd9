//! Streams, consumers and key-value semantics behind the JetStream API; to the broker one more in-process handler.
//!
//! [`errors`], [`config`], [`mod@stream`] and [`api`] are what a stream is and does, without a clock or I/O of their own:
//! time is an argument, the log is the [`store`]'s. [`mod@account`] and [`hub`] hold them together, [`run`] has the tasks
//! that keep time and work off queues. [`consumer`] is one consumer as a state machine, `consumers` are
//! those of a stream at work.

pub mod account;
mod advisory;
pub mod api;
pub mod config;
pub mod consumer;
mod consumers;
mod copy;
pub mod duration;
pub mod errors;
pub mod hub;
pub mod import;
mod run;
mod service;
pub mod settings;
pub mod stamp;
pub mod stream;

pub use errors::ApiError;
pub use service::{Figures, JetStream, StartError, StreamStatus};
pub use settings::{AccountLimits, Settings};

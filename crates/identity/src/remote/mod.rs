//! What is remembered about answers of services that are asked over the network: verdicts with their lifetime, and
//! whether the service is worth asking. State machines without I/O; `now` and randomness are arguments.

mod breaker;
mod verdicts;

pub use breaker::{Breaker, BreakerLimits, Permit};
pub use verdicts::{Found, Key, Verdicts};

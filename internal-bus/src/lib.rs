//! What the `internal-bus` binary is made of: its command line, and its configuration.

pub mod flags;
pub mod natsconf;

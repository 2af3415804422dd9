//! The JSON of `INFO` and `CONNECT`, for clients, leafnodes and gateways.
//!
//! Reading is tolerant where peers differ (missing keys, `null`, unknown keys) and strict where
//! tolerance would hide something: a key given twice, a value of the wrong type. Errors name a
//! place, never a value. `Debug` shows of a secret only whether it is there.

mod connect;
mod gateway;
mod json;
mod leaf;
mod server;

pub use connect::ConnectOptions;
pub use gateway::{GatewayCommand, GatewayConnect, GatewayInfo};
pub use leaf::{Extension, InterestSum, LeafConnect, LeafInfo, SubjectPermission};
pub use server::ServerInfo;

//! Who may log in to the bus: services by certificate, or users as a nats-server configuration lists them.

mod certificates;
mod live;
mod operator;
mod users;

pub use certificates::{Certificates, Records};
pub use live::LiveUsers;
pub use operator::{JwtError, OperatorError, Operators};
pub use users::{LeafUsers, Users, UsersError};

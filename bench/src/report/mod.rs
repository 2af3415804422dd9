//! What was measured, as JSON lines and as a table.

mod goals;
pub(crate) mod record;
pub(crate) mod table;

pub(crate) use record::{Outcome, Quantity, Reading, Record};

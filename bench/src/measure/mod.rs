//! What is measured from outside a server: its CPU time and memory, and how noisy the machine was.

pub(crate) mod machine;
pub(crate) mod meter;
pub(crate) mod process;
pub(crate) mod samples;

pub(crate) use meter::{Meter, Usage};
pub(crate) use samples::{Samples, median};

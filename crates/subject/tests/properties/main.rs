//! The crate against definitions simple enough to be obviously right, over random input.

#![allow(clippy::unwrap_used)]

mod interest;
mod mapping;
mod marks;
mod naive;
mod relations;

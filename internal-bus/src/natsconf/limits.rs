//! How big a configuration may be. Generous for people, tight for accidents such as a device named as a file
//! or a variable that doubles itself.

/// Longest configuration file or environment variable, in bytes.
pub const FILE_BYTES: usize = 1 << 20;

/// Text in one configuration with everything it includes and every copy a variable makes, in bytes.
pub const TOTAL_BYTES: usize = 16 << 20;

/// Values in one configuration, copies made by variables included.
pub const VALUES: usize = 1 << 17;

/// How deep maps and lists may be nested. Reading is recursive: this also bounds the stack.
pub const DEPTH: usize = 64;

/// How deep files may include files, and environment variables may refer to each other.
pub const INCLUDE_DEPTH: usize = 10;

const _: () = assert!(FILE_BYTES <= TOTAL_BYTES, "one file of the greatest length must fit");

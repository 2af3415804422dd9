//! The limits a parser enforces before anything is kept in memory.

/// Longest argument part of a leafnode control line, in bytes: sixteen times what clients get,
/// since queue group names travel in it. As in nats-server with its default settings.
pub const LEAF_MAX_CONTROL_LINE: usize = 64 * 1024;

/// How large the parts of a frame may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest argument part of a client's control line, in bytes. Default 4096.
    pub max_control_line: usize,
    /// Largest payload (header block and body together), in bytes. Default 1 MiB.
    pub max_payload: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_control_line: 4096, max_payload: 1024 * 1024 }
    }
}

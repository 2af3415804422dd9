//! The event log: append-only streams of checksummed records on disk or in memory. Knows no protocol.

//! Streams, consumers and key-value semantics behind the JetStream API; to the broker one more in-process handler.

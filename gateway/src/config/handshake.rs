//! `handshake_first`: whether TLS begins before the server's INFO.

use std::fmt;

use broker::TlsStart;
use daemon::config::Period;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// How long `"auto"` waits for a client that begins with TLS before it sends INFO.
const AUTO: Period = Period::millis(50);

/// When TLS begins: `false`, `true`, `"auto"`, or a period such as `"200ms"` (as `"auto"`, with another patience).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// After INFO, as clients expect unless told otherwise.
    #[default]
    No,
    /// At once.
    Yes,
    /// At once when the client begins so in time, else after INFO.
    Within(Period),
}

impl From<HandshakeFirst> for TlsStart {
    fn from(first: HandshakeFirst) -> Self {
        match first {
            HandshakeFirst::No => Self::AfterInfo,
            HandshakeFirst::Yes => Self::First,
            HandshakeFirst::Within(period) => Self::Auto(period.into()),
        }
    }
}

impl Serialize for HandshakeFirst {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => serializer.serialize_bool(false),
            Self::Yes => serializer.serialize_bool(true),
            Self::Within(period) => period.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for HandshakeFirst {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = HandshakeFirst;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, \"auto\" or a duration such as \"200ms\"")
            }

            fn visit_bool<E>(self, first: bool) -> Result<HandshakeFirst, E> {
                Ok(if first { HandshakeFirst::Yes } else { HandshakeFirst::No })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<HandshakeFirst, E> {
                if text == "auto" {
                    return Ok(HandshakeFirst::Within(AUTO));
                }
                text.parse().map(HandshakeFirst::Within).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

//! Value types of configurations: sizes, durations and addresses as people write them.
//!
//! Each reads the text a user writes, says what it accepts when it can't, and prints a canonical text that reads
//! back to the same value.

mod listen;
mod period;
mod size;

use thiserror::Error;

pub use self::listen::Listen;
pub use self::period::Period;
pub use self::size::Size;

/// Text that is not a value of its type; the message says what would be.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("expected {expected}")]
pub struct ValueError {
    pub(crate) expected: &'static str,
}

/// Splits `64 KiB` into the number and what follows; `None` without digits or beyond 64 bits.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, rest))
}

/// serde by way of `FromStr` and `Display`, taking whole numbers too where `$number` makes a value of one.
macro_rules! as_text {
    ($type:ty, $expected:expr, $number:expr) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AsText;
                impl serde::de::Visitor<'_> for AsText {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<$type, E> {
                        let make: fn(u64) -> Option<$type> = $number;
                        make(number).ok_or_else(|| E::custom(format_args!("expected {}", $expected)))
                    }

                    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<$type, E> {
                        match u64::try_from(number) {
                            Ok(number) => self.visit_u64(number),
                            Err(_) => Err(E::custom(format_args!("expected {}", $expected))),
                        }
                    }
                }
                deserializer.deserialize_any(AsText)
            }
        }
    };
}
use as_text;

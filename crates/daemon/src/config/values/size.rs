//! [`Size`]: a number of bytes, written `64 KiB`.

use std::fmt;
use std::str::FromStr;

use super::{ValueError, as_text, leading_number};

const EXPECTED: &str = "a size such as \"64 KiB\", \"1 MiB\" or \"100 GB\" (B, KiB, MiB, GiB, TiB; KB, MB, GB, TB \
                        are powers of 1000), or a whole number of bytes";

/// Units, largest first, binary before decimal; also the order in which a canonical text is sought.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Size(u64);

impl Size {
    /// A size of that many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// A size of that many KiB (1024 bytes), at most what 64 bits hold.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib.saturating_mul(1 << 10))
    }

    /// A size of that many MiB (1024 KiB), at most what 64 bits hold.
    #[must_use]
    pub const fn mib(mib: u64) -> Self {
        Self(mib.saturating_mul(1 << 20))
    }

    /// A size of that many GiB (1024 MiB), at most what 64 bits hold.
    #[must_use]
    pub const fn gib(gib: u64) -> Self {
        Self(gib.saturating_mul(1 << 30))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The size in bytes, at most what an address can span.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let parse = || {
            let (number, unit) = leading_number(text.trim())?;
            let unit = unit.trim_start();
            if unit.is_empty() {
                return Some(Self(number));
            }
            let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
            number.checked_mul(*factor).map(Self)
        };
        parse().ok_or(ValueError { expected: EXPECTED })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = UNITS.iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        let (unit, factor) = exact.copied().unwrap_or(("B", 1));
        write!(f, "{} {unit}", self.0 / factor)
    }
}

as_text!(Size, EXPECTED, |bytes| Some(Size(bytes)));

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        for (text, bytes, canonical) in [
            ("0", 0, "0 B"),
            ("17", 17, "17 B"),
            ("64 KiB", 65_536, "64 KiB"),
            ("64KiB", 65_536, "64 KiB"),
            ("1024 KiB", 1 << 20, "1 MiB"),
            ("100 GiB", 100 << 30, "100 GiB"),
            ("2 TiB", 2 << 40, "2 TiB"),
            ("5 MB", 5_000_000, "5 MB"),
            (" 1500 B ", 1_500, "1500 B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.as_u64(), size.to_string().as_str()), (bytes, canonical), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in
            ["", "KiB", "-1", "1.5 MiB", "64 kib", "64 K", "1 MiB 2", "20000000 TiB", "99999999999999999999"]
        {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn printed_sizes_read_back(bytes in any::<u64>(), shift in 0u32..60) {
            for size in [Size(bytes), Size(bytes >> shift << shift), Size(bytes >> 24).0.checked_mul(1000).map_or(Size(0), Size)] {
                prop_assert_eq!(size.to_string().parse::<Size>(), Ok(size));
            }
        }
    }
}

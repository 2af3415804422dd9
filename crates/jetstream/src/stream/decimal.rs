//! Whole numbers of any size, as counters have them.

use std::cmp::Ordering;
use std::fmt;

/// Digits allowed in a counter: far more than anybody counts to, and a bound on what one message costs.
const MAX_DIGITS: usize = 1024;

/// A whole number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Decimal {
    negative: bool,
    /// Digits from the lowest on, without zeros at the end; none for 0.
    digits: Vec<u8>,
}

impl Decimal {
    /// Reads `[+-]digits`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Self { negative, digits: digits.iter().rev().map(|digit| digit - b'0').collect() }.trimmed())
    }

    fn trimmed(mut self) -> Self {
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        self.negative &= !self.digits.is_empty();
        self
    }

    /// The sum.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        if self.negative == other.negative {
            return Self { negative: self.negative, digits: added(&self.digits, &other.digits) }.trimmed();
        }
        match compared(&self.digits, &other.digits) {
            Ordering::Less => {
                Self { negative: other.negative, digits: subtracted(&other.digits, &self.digits) }.trimmed()
            }
            _ => Self { negative: self.negative, digits: subtracted(&self.digits, &other.digits) }.trimmed(),
        }
    }

    /// The difference.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.plus(&Self { negative: !other.negative, digits: other.digits.clone() }.trimmed())
    }
}

fn added(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut sum = Vec::with_capacity(a.len().max(b.len()) + 1);
    let mut carry = 0;
    for at in 0..a.len().max(b.len()) {
        let digit = a.get(at).unwrap_or(&0) + b.get(at).unwrap_or(&0) + carry;
        sum.push(digit % 10);
        carry = digit / 10;
    }
    sum.push(carry);
    sum
}

/// `a` must not be less than `b`.
fn subtracted(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut difference = Vec::with_capacity(a.len());
    let mut borrow = 0;
    for (at, digit) in a.iter().enumerate() {
        let take = b.get(at).unwrap_or(&0) + borrow;
        borrow = u8::from(*digit < take);
        difference.push(digit + 10 * borrow - take);
    }
    difference
}

fn compared(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return f.write_str("0");
        }
        if self.negative {
            f.write_str("-")?;
        }
        self.digits.iter().rev().try_for_each(|digit| write!(f, "{digit}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(number: i128) -> Decimal {
        Decimal::parse(number.to_string().as_bytes()).unwrap()
    }

    proptest! {
        #[test]
        fn it_counts_as_numbers_do(a in -10i128.pow(30)..10i128.pow(30), b in -10i128.pow(30)..10i128.pow(30)) {
            prop_assert_eq!(of(a).plus(&of(b)).to_string(), (a + b).to_string());
            prop_assert_eq!(of(a).minus(&of(b)).to_string(), (a - b).to_string());
        }

        #[test]
        fn small_ones_too(a in -20i128..20, b in -20i128..20) {
            prop_assert_eq!(of(a).plus(&of(b)), of(a + b));
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "-", "1.5", "x", "--1", "1 "] {
            assert_eq!(Decimal::parse(text.as_bytes()), None);
        }
        assert_eq!(Decimal::parse(b"+007").unwrap().to_string(), "7");
        assert_eq!(Decimal::parse(b"-0").unwrap().to_string(), "0");
    }
}

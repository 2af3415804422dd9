//! [`Query`]: the parameters of a request for a document.

/// The decoded `?name=value&…` of a request.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// A query of these pairs.
    #[must_use]
    pub fn new(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// The value of `name`; the last one if it is given more than once.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// True when `name` is given as nats-server's monitoring takes a switch: `1`, `true`, or without a value.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| matches!(value, "" | "1") || value.eq_ignore_ascii_case("true"))
    }

    /// The value of `name` when it is a whole number, 0 or more.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let pairs =
            [("subs", "TRUE"), ("auth", "0"), ("x", ""), ("limit", "5"), ("limit", "16"), ("offset", "-1")];
        let query = Query::new(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec());
        assert!(query.flag("subs") && query.flag("x") && !query.flag("auth") && !query.flag("absent"));
        assert_eq!(
            (query.number("limit"), query.number("offset"), query.get("absent")),
            (Some(16), None, None)
        );
    }
}

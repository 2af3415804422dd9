//! What may cross a link: gateway routes. Nothing crosses that no route names.
//!
//! A route names a subject pattern *where the message comes from* and, optionally, what it is called on the
//! other side. For a route in both directions `subject` is the name on this side and `to` the name on the other.

use subject::Mapping;

/// Which way a route leads, seen from the gateway: inward is towards the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From this side's clients to the other side.
    Inward,
    /// From the other side to this side's clients.
    Outward,
    /// Both ways.
    Both,
}

/// One configured route.
#[derive(Debug, Clone)]
pub struct RouteRule {
    /// Pattern of the messages' subjects at their source (for [`Direction::Both`]: on this side).
    pub subject: String,
    /// Which way.
    pub direction: Direction,
    /// Name on arrival, with captures (`orders.*` → `ext.orders.{1}`); `None` keeps the name.
    pub to: Option<String>,
    /// Whether what crosses to the other side carries who it comes from (headers `Gateway-Subject` and so on).
    pub stamp: bool,
}

/// Why a route can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrossingError {
    /// The pattern is not a subject pattern.
    #[error("route subject {0:?} is not a valid subject pattern")]
    Pattern(String),
    /// The mapping can't be made.
    #[error("route {subject:?} to {to:?}: {reason}")]
    Mapping {
        /// The route's subject.
        subject: String,
        /// The route's target.
        to: String,
        /// What is wrong.
        reason: String,
    },
    /// A route in both directions must be reversible.
    #[error(
        "route {subject:?} to {to:?} leads both ways, but the mapping can't be reversed: use every wildcard exactly once"
    )]
    NotReversible {
        /// The route's subject.
        subject: String,
        /// The route's target.
        to: String,
    },
}

/// A one-way rule: messages matching its source, under the name they have on arrival.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    map: Mapping,
    inverse: Option<Mapping>,
    /// Whether what it lets pass is told who it comes from.
    pub(crate) stamp: bool,
}

impl Rule {
    fn new(map: Mapping, stamp: bool) -> Self {
        let inverse = map.inverse();
        Self { map, inverse, stamp }
    }

    /// The name on arrival; `false` when the rule does not name the subject.
    pub(crate) fn apply(&self, subject: &[u8], out: &mut Vec<u8>) -> bool {
        self.map.apply(subject, out)
    }

    /// The name at the source of what arrives as `subject`; `false` when there is none, or no single one.
    pub(crate) fn revert(&self, subject: &[u8], out: &mut Vec<u8>) -> bool {
        self.inverse.as_ref().is_some_and(|inverse| inverse.apply(subject, out))
    }

    /// Interest in `pattern` on the arrival side, as interest on the source side.
    pub(crate) fn source_interest(&self, pattern: &[u8]) -> Option<Vec<u8>> {
        match &self.inverse {
            Some(inverse) => inverse.map_pattern(pattern),
            // Captures are lost: take everything the rule names, the rest is sorted out per message.
            None => subject::overlaps(self.map.dest_pattern().as_bytes(), pattern)
                .then(|| self.map.source().as_bytes().to_vec()),
        }
    }
}

/// All rules of a link.
#[derive(Debug, Clone, Default)]
pub struct Crossing {
    /// From here to the other side.
    pub(crate) send: Vec<Rule>,
    /// From the other side to here.
    pub(crate) receive: Vec<Rule>,
    /// Source patterns of `send`, as configured: publishers to these are held while the link is down.
    pub(crate) send_patterns: Vec<String>,
}

impl Crossing {
    /// Compiles routes; every error is reported, not only the first.
    ///
    /// # Errors
    /// A pattern or mapping that can't be used, see [`CrossingError`].
    pub fn compile(routes: &[RouteRule]) -> Result<Self, Vec<CrossingError>> {
        let mut crossing = Self::default();
        let mut errors = Vec::new();
        for route in routes {
            if let Err(error) = crossing.add(route) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(crossing) } else { Err(errors) }
    }

    fn add(&mut self, route: &RouteRule) -> Result<(), CrossingError> {
        if !subject::valid_pattern(route.subject.as_bytes()) {
            return Err(CrossingError::Pattern(route.subject.clone()));
        }
        let to = route.to.as_deref().unwrap_or(&route.subject);
        let map = Mapping::new(&route.subject, to).map_err(|error| CrossingError::Mapping {
            subject: route.subject.clone(),
            to: to.to_owned(),
            reason: error.to_string(),
        })?;
        if route.direction == Direction::Both {
            let back = map.inverse().ok_or_else(|| CrossingError::NotReversible {
                subject: route.subject.clone(),
                to: to.to_owned(),
            })?;
            self.receive.push(Rule::new(back, false));
        }
        match route.direction {
            Direction::Inward | Direction::Both => {
                self.send_patterns.push(route.subject.clone());
                self.send.push(Rule::new(map, route.stamp));
            }
            Direction::Outward => self.receive.push(Rule::new(map, false)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(subject: &str, direction: Direction, to: Option<&str>) -> RouteRule {
        RouteRule { subject: subject.into(), direction, to: to.map(Into::into), stamp: false }
    }

    #[test]
    fn both_ways_with_a_mapping() {
        let crossing =
            Crossing::compile(&[route("orders.*", Direction::Both, Some("ext.orders.{1}"))]).unwrap();
        let mut out = Vec::new();
        assert!(crossing.send[0].apply(b"orders.7", &mut out));
        assert_eq!(out, b"ext.orders.7");
        out.clear();
        assert!(crossing.receive[0].apply(b"ext.orders.7", &mut out));
        assert_eq!(out, b"orders.7");
        assert_eq!(crossing.send[0].source_interest(b"ext.>").unwrap(), b"orders.*");
        assert_eq!(crossing.send[0].source_interest(b"ext.orders.7").unwrap(), b"orders.7");
        assert_eq!(crossing.send[0].source_interest(b"other.>"), None);
    }

    #[test]
    fn all_errors_are_reported() {
        let errors = Crossing::compile(&[
            route("a..b", Direction::Inward, None),
            route("a.*.*", Direction::Both, Some("b.{1}")),
            route("a.*", Direction::Inward, Some("b.{2}")),
        ])
        .unwrap_err();
        assert_eq!(errors.len(), 3);
        assert!(matches!(errors[1], CrossingError::NotReversible { .. }));
    }
}

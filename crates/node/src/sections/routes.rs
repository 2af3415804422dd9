//! `[[routes]]`.

use broker::{Direction, RouteRule};
use serde::{Deserialize, Serialize};

/// One `[[routes]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Pattern of the messages' subjects at their source.
    pub subject: String,
    /// Which way they may cross.
    pub direction: RouteDirection,
    /// What they are called on arrival; the same when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether what crosses inward carries who it comes from.
    #[serde(default = "stamped")]
    pub stamp: bool,
    /// Whether what crosses inward is kept in the edge buffer while the link is down.
    #[serde(default)]
    pub store_and_forward: bool,
}

fn stamped() -> bool {
    true
}

/// Which way a route leads; inward is towards the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteDirection {
    /// From the gateway's clients to the bus.
    Inward,
    /// From the bus to the gateway's clients.
    Outward,
    /// Both.
    Both,
}

impl From<&Route> for RouteRule {
    fn from(route: &Route) -> Self {
        Self {
            subject: route.subject.clone(),
            direction: match route.direction {
                RouteDirection::Inward => Direction::Inward,
                RouteDirection::Outward => Direction::Outward,
                RouteDirection::Both => Direction::Both,
            },
            to: route.to.clone(),
            stamp: route.stamp,
        }
    }
}

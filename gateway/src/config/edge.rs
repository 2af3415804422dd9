//! `[edge]`: where messages wait for a link that is down, on routes with `store_and_forward`.

use std::path::PathBuf;
use std::time::Duration;

use daemon::config::{KeyPath, Period, Problems, Size};
use node::sections::RouteDirection;
use serde::{Deserialize, Serialize};

use super::Config;
use crate::edge::{EdgeSettings, Served};

/// The other end is asked as often: less than this would be a load, and mean little.
const SHORTEST_SILENCE: Duration = Duration::from_millis(100);

/// `[edge]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EdgeConfig {
    /// Its folder; needed where a route has `store_and_forward`.
    pub dir: Option<PathBuf>,
    /// Most bytes it holds.
    pub max_bytes: Size,
    /// It takes nothing more while its oldest message is older.
    pub max_age: Period,
    /// Messages on their way to the bus at a time.
    pub window: u32,
    /// How long each of them may wait for its acknowledgement before it is sent again.
    pub ack_timeout: Period,
    /// A link that has not answered a PING for so long counts as silent: what is published is kept meanwhile.
    pub silent_after: Period,
}

impl Default for EdgeConfig {
    fn default() -> Self {
        Self {
            dir: None,
            max_bytes: Size::bytes(1024 * 1024 * 1024),
            max_age: Duration::from_secs(24 * 3600).into(),
            window: 256,
            ack_timeout: Duration::from_secs(5).into(),
            silent_after: Duration::from_secs(1).into(),
        }
    }
}

impl Config {
    /// How the edge buffer is to be set up; `None` where no route asks for it.
    #[must_use]
    pub fn edge(&self) -> Option<EdgeSettings> {
        let routes = self.routes.iter().filter(|route| route.store_and_forward);
        let served: Vec<Served> =
            routes.map(|route| Served { pattern: route.subject.clone(), stamp: route.stamp }).collect();
        let dir = self.edge.dir.clone().filter(|_| !served.is_empty())?;
        Some(EdgeSettings {
            dir,
            max_bytes: self.edge.max_bytes.as_u64(),
            max_age: self.edge.max_age.into(),
            window: self.edge.window as usize,
            ack_timeout: self.edge.ack_timeout.into(),
            silent_after: self.edge.silent_after.into(),
            served,
        })
    }
}

/// Reports what is wrong with the buffer and the routes that ask for it.
pub(super) fn check(config: &Config, problems: &mut Problems<'_>) {
    let edge = &config.edge;
    for (index, route) in config.routes.iter().enumerate().filter(|(_, route)| route.store_and_forward) {
        let key = KeyPath::root().key("routes").index(index).key("store_and_forward");
        if route.direction == RouteDirection::Outward {
            problems.at(key, "only what goes inward is kept; this route leads outward");
        } else if edge.dir.is_none() {
            problems.at(key, "needs a folder: `dir` in [edge]");
        }
    }
    if edge.window == 0 {
        problems.at("edge.window", "expected at least 1");
    }
    if Duration::from(edge.silent_after) < SHORTEST_SILENCE {
        problems.at("edge.silent_after", "expected at least 100ms");
    }
    if edge.max_bytes.as_u64() == 0 {
        problems.at("edge.max_bytes", "expected more than 0 bytes");
    }
}

//! What we want to reach: the table of goals, as data.

use super::Quantity;

/// How a goal is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Ours is at least so many times theirs (per server-CPU-second for rates).
    Times,
    /// Ours is at most so many times theirs.
    Fraction,
    /// Ours is at least this, whatever theirs is, in the unit of the quantity.
    AtLeast,
    /// Ours is at most this, whatever theirs is, in the unit of the quantity.
    Limit,
}

/// Goal for one quantity of one scenario.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    scenario: &'static str,
    quantity: Quantity,
    /// How the two numbers are to be read.
    pub(crate) rule: Rule,
    /// The least that is acceptable.
    pub(crate) must: f64,
    /// What is hoped for.
    pub(crate) aim: f64,
}

const GOALS: [Goal; 69] = {
    use Quantity::{
        AddedCpu, Connections, IdleAfterTraffic, IdleFresh, InterestAfterDial, InterestAfterReset,
        LatencyP50, LatencyP99, Messages, Requests, RestartInOrder, RestartKilled, StoredMemory,
        SubscriptionMemory, Subscriptions,
    };
    use Rule::{AtLeast, Fraction, Limit, Times};
    [
        goal("pub:16", Messages, Times, 3.0, 5.0),
        goal("pub:128", Messages, Times, 3.0, 5.0),
        goal("pubsub:16", Messages, Times, 5.0, 8.0),
        goal("pubsub:128", Messages, Times, 5.0, 8.0),
        goal("pubsub:1024", Messages, Times, 2.0, 3.0),
        goal("fanout:10", Messages, Times, 4.0, 8.0),
        goal("fanout:100", Messages, Times, 4.0, 8.0),
        goal("queue:16", Messages, Times, 4.0, 6.0),
        goal("queue:128", Messages, Times, 4.0, 6.0),
        goal("queue:1024", Messages, Times, 4.0, 6.0),
        goal("many:100000", Messages, Times, 5.0, 10.0),
        goal("many:100000", Subscriptions, Times, 1.5, 3.0),
        goal("many:100000", SubscriptionMemory, Limit, 400.0, 200.0),
        goal("rr:1", LatencyP50, Fraction, 0.7, 0.55),
        goal("rr:64", Requests, Times, 3.0, 4.5),
        goal("tls-pubsub:128", Messages, Times, 2.5, 4.0),
        goal("tls-pubsub:1024", Messages, Times, 1.8, 2.5),
        goal("conns:plain", Connections, Times, 1.5, 2.0),
        goal("conns:tls-token", Connections, Times, 2.0, 3.0),
        goal("conns:mtls", Connections, Times, 2.0, 2.8),
        goal("login:es256", Connections, Times, 5.0, 8.0),
        goal("login:rs256", Connections, Times, 5.0, 8.0),
        goal("login:es256", LatencyP99, Fraction, 0.5, 0.1),
        goal("login:rs256", LatencyP99, Fraction, 0.5, 0.1),
        goal("storm:es256", Connections, Times, 5.0, 8.0),
        goal("storm:rs256", Connections, Times, 5.0, 8.0),
        goal("storm:es256", LatencyP99, Fraction, 0.2, 0.1),
        goal("storm:rs256", LatencyP99, Fraction, 0.2, 0.1),
        goal("idle:plain", IdleFresh, Limit, 6.0, 3.0),
        goal("idle:plain", IdleAfterTraffic, Limit, 6.0, 3.0),
        goal("idle:mtls", IdleFresh, Limit, 16.0, 8.0),
        goal("idle:mtls", IdleAfterTraffic, Limit, 16.0, 8.0),
        goal("idle:silent", IdleFresh, Limit, 3.0, 1.5),
        goal("link:leaf:128", Messages, Times, 3.0, 5.0),
        goal("link:leaf:1024", Messages, Times, 2.0, 3.0),
        goal("link:leaf-mtls:128", Messages, Times, 2.5, 4.0),
        goal("link:leaf-mtls:1024", Messages, Times, 2.0, 3.0),
        goal("link:gateway:128", Messages, Times, 3.0, 4.5),
        goal("link:gateway:1024", Messages, Times, 2.0, 3.0),
        goal("link:gateway-mtls:128", Messages, Times, 2.5, 4.0),
        goal("link:gateway-mtls:1024", Messages, Times, 2.0, 3.0),
        goal("link:leaf:128", LatencyP50, Fraction, 0.9, 0.7),
        goal("link:leaf:128", LatencyP99, Fraction, 0.9, 0.7),
        goal("link:leaf-mtls:128", LatencyP50, Fraction, 0.9, 0.7),
        goal("link:leaf-mtls:128", LatencyP99, Fraction, 0.9, 0.7),
        goal("link:gateway:128", LatencyP50, Fraction, 0.9, 0.7),
        goal("link:gateway:128", LatencyP99, Fraction, 0.9, 0.7),
        goal("link:gateway-mtls:128", LatencyP50, Fraction, 0.9, 0.7),
        goal("link:gateway-mtls:128", LatencyP99, Fraction, 0.9, 0.7),
        goal("link-reset:leaf:100000", InterestAfterReset, Fraction, 1.0, 0.25),
        goal("link-reset:leaf:100000", InterestAfterDial, Fraction, 1.0, 0.25),
        goal("link-reset:gateway:100000", InterestAfterReset, Fraction, 1.0, 0.25),
        goal("link-reset:gateway:100000", InterestAfterDial, Fraction, 1.0, 0.25),
        goal("front:128", AddedCpu, Fraction, 1.6, 1.0),
        goal("whole-way", Messages, Times, 2.5, 4.0),
        goal("whole-way", LatencyP50, Fraction, 0.9, 0.7),
        goal("js-pub:file:4096", Messages, Times, 3.0, 6.0),
        goal("js-pub:sync:4096", Messages, AtLeast, 90_000.0, 270_000.0),
        goal("js-pub:sync:1", LatencyP50, Fraction, 1.0, 0.7),
        goal("js-pub:interval:4096", Messages, Times, 4.0, 8.0),
        goal("js-pub:memory:4096", Messages, Times, 4.0, 8.0),
        goal("js-drain:file", Messages, Times, 3.0, 6.0),
        goal("js-drain:memory", Messages, Times, 3.0, 6.0),
        goal("kv-put:256", Requests, Times, 3.0, 6.0),
        goal("kv-get:64", Requests, Times, 3.0, 6.0),
        goal("js-restart:1000000", RestartInOrder, Fraction, 0.5, 0.1),
        goal("js-restart:1000000", RestartKilled, Fraction, 0.5, 0.1),
        goal("js-memory:10", StoredMemory, Fraction, 1.0, 0.5),
        goal("js-memory:1000000", StoredMemory, Fraction, 1.0, 0.5),
    ]
};

const fn goal(scenario: &'static str, quantity: Quantity, rule: Rule, must: f64, aim: f64) -> Goal {
    Goal { scenario, quantity, rule, must, aim }
}

/// The goal for a quantity of a scenario, where there is one.
pub(crate) fn find(scenario: &str, quantity: Quantity) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.scenario == scenario && goal.quantity == quantity)
}

impl Goal {
    /// Whether `bound` is reached by our value and its ratio to theirs.
    pub(crate) fn reached(&self, bound: f64, ours: f64, ratio: Option<f64>) -> bool {
        match self.rule {
            Rule::Times => ratio.is_some_and(|ratio| ratio >= bound),
            Rule::Fraction => ratio.is_some_and(|ratio| ratio <= bound),
            Rule::AtLeast => ours >= bound,
            Rule::Limit => ours <= bound,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ALL, Scenario};

    #[test]
    fn every_goal_belongs_to_a_scenario_and_the_aim_is_harder() {
        for goal in &GOALS {
            assert!(goal.scenario.parse::<Scenario>().is_ok() && ALL.contains(&goal.scenario), "{goal:?}");
            let harder = if matches!(goal.rule, Rule::Times | Rule::AtLeast) {
                goal.aim > goal.must
            } else {
                goal.aim < goal.must
            };
            assert!(harder, "{goal:?}");
        }
    }

    #[test]
    fn ratios_are_read_by_rule() {
        let times = goal("", Quantity::Messages, Rule::Times, 3.0, 5.0);
        assert!(times.reached(3.0, 0.0, Some(3.0)) && !times.reached(5.0, 0.0, Some(4.9)));
        assert!(!times.reached(3.0, 9.0, None));
        let fraction = goal("", Quantity::LatencyP50, Rule::Fraction, 0.7, 0.5);
        assert!(fraction.reached(0.7, 0.0, Some(0.6)) && !fraction.reached(0.5, 0.0, Some(0.6)));
        let limit = goal("", Quantity::IdleFresh, Rule::Limit, 6.0, 3.0);
        assert!(limit.reached(6.0, 5.9, None) && !limit.reached(3.0, 5.9, Some(0.1)));
    }
}

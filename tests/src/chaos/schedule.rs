//! What goes wrong when: made from a seed, so that a run that failed can be had again.

use std::time::Duration;

use crate::chaos::random::Random;

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A node is killed (SIGKILL), and started again with the data it had.
    KillNode(usize),
    /// The node that leads the stream is killed and started again.
    KillLeader,
    /// A node stands still (SIGSTOP), and goes on.
    PauseNode(usize),
    /// A gateway is killed and started again.
    KillGateway(usize),
    /// A gateway is asked to end (SIGTERM), and started again.
    RestartGateway(usize),
    /// A gateway stands still, and goes on.
    PauseGateway(usize),
    /// The wire between a gateway and a node is cut.
    CutLink(usize, usize),
    /// All wires of a gateway are cut.
    CutLinks(usize),
    /// All wires of a gateway hold every byte back; nobody is told.
    SilenceLinks(usize),
    /// All wires of a gateway are slow.
    SlowLinks(usize),
    /// All clients of a gateway lose their connections.
    ResetClients(usize),
    /// The certificate of the gateways' door is replaced.
    RotateDoor,
    /// The certificates at both ends of all links are replaced.
    RotateLinks,
}

/// A fault, when it begins, counted from the start of the schedule, and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// When it begins.
    pub(super) at: Duration,
    /// How long it lasts.
    pub(super) lasting: Duration,
    /// What it is.
    pub(super) fault: Fault,
}

/// Two lanes of faults at the same time: of the inside, where one node at a time is bad, and of what is before it.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    /// Faults of nodes.
    pub(super) nodes: Vec<Step>,
    /// Faults of gateways, wires and certificates.
    pub(super) edge: Vec<Step>,
}

impl Schedule {
    /// The schedule of a seed, over `span`; with `tls`, links have certificates, which change, too.
    pub(super) fn new(seed: u64, nodes: usize, gateways: usize, tls: bool, span: Duration) -> Self {
        let mut random = Random::new(seed);
        let of_nodes = lane(&mut random, span, (400, 1600), (800, 2500), |random| {
            let node = random.index(nodes);
            let mut faults = vec![Fault::KillNode(node), Fault::PauseNode(random.index(nodes))];
            if nodes > 1 {
                faults.push(Fault::KillLeader);
            }
            if tls {
                faults.push(Fault::RotateLinks);
            }
            faults
        });
        let edge = lane(&mut random, span, (200, 1200), (200, 900), |random| {
            let gateway = random.index(gateways);
            let other = (gateway + 1) % gateways;
            vec![
                Fault::KillGateway(gateway),
                Fault::RestartGateway(other),
                Fault::PauseGateway(gateway),
                Fault::CutLink(other, random.index(nodes)),
                Fault::CutLinks(gateway),
                Fault::SilenceLinks(other),
                Fault::SlowLinks(gateway),
                Fault::ResetClients(other),
                Fault::RotateDoor,
            ]
        });
        Self { nodes: of_nodes, edge }
    }

    /// How many faults there are.
    pub(super) fn faults(&self) -> usize {
        self.nodes.len() + self.edge.len()
    }
}

/// Deals faults from shuffled decks, so that each kind comes before one comes twice; `lasting` and what lies between
/// them are in milliseconds.
fn lane(
    random: &mut Random,
    span: Duration,
    lasting: (u64, u64),
    between: (u64, u64),
    deck: impl Fn(&mut Random) -> Vec<Fault>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = Duration::from_millis(random.between(100, 600));
    let mut hand = Vec::new();
    while at < span {
        if hand.is_empty() {
            hand = deck(random);
            random.shuffle(&mut hand);
        }
        let Some(fault) = hand.pop() else { break };
        let lasting = Duration::from_millis(random.between(lasting.0, lasting.1));
        steps.push(Step { at, lasting, fault });
        at += lasting + Duration::from_millis(random.between(between.0, between.1));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_schedule_again_and_another_one_another() {
        let span = Duration::from_secs(10);
        let of = |seed| format!("{:?}", Schedule::new(seed, 3, 2, true, span));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
        assert!(Schedule::new(7, 3, 2, false, span).faults() > 8);
    }
}

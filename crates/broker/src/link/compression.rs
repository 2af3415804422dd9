//! Whether a leafnode link is compressed, and how much is done for it.
//!
//! Each end chooses for what it sends itself. The two only have to agree on whether there is a stream of blocks at all:
//! the end that accepts says in INFO what it would do, the end that dials answers with its choice, or goes on without.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use wire::s2::Effort;

use crate::core::{Core, Counters};

/// Round trips up to which nothing, little, and more is done by [`Mode::Auto`]; beyond them everything.
const THRESHOLDS: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(100)];

/// What is configured for a link.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compression {
    /// How much is done.
    pub mode: Mode,
    /// Of [`Mode::Auto`]: the longest round trips at which bytes go as they are, with little, with more effort. Zero
    /// leaves a step out. Empty for the usual ones.
    pub rtt_thresholds: Vec<Duration>,
}

/// How much is done for fewer bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// No compression.
    Off,
    /// As the other end wants it.
    Accept,
    /// By the link's round trip time: a link that is short needs none.
    #[default]
    Auto,
    /// Always the same.
    Always(Effort),
}

impl Mode {
    /// The word for it in INFO, CONNECT and configurations.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Accept => "accept",
            Self::Auto => "s2_auto",
            Self::Always(effort) => word(effort),
        }
    }

    /// The mode of a word, as nats-server reads it in configurations.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "off" | "disabled" | "false" | "not supported" => Self::Off,
            "accept" => Self::Accept,
            "on" | "enabled" | "true" | "auto" | "s2_auto" => Self::Auto,
            "s2_uncompressed" => Self::Always(Effort::None),
            "fast" | "s2_fast" => Self::Always(Effort::Fast),
            "better" | "s2_better" => Self::Always(Effort::Better),
            "best" | "s2_best" => Self::Always(Effort::Best),
            _ => return None,
        })
    }
}

const fn word(effort: Effort) -> &'static str {
    match effort {
        Effort::None => "s2_uncompressed",
        Effort::Fast => "s2_fast",
        Effort::Better => "s2_better",
        Effort::Best => "s2_best",
    }
}

impl Compression {
    /// Always the same mode.
    #[must_use]
    pub fn of(mode: Mode) -> Self {
        Self { mode, rtt_thresholds: Vec::new() }
    }

    /// What the end that dials makes of the accepting end's word: what it does itself, `None` without compression.
    pub(crate) fn answer(&self, offered: Option<&str>, rtt: Duration) -> Option<Mode> {
        let theirs = Mode::from_word(offered?)?;
        let mode = match (self.mode, theirs) {
            (Mode::Off, _) | (_, Mode::Off) | (Mode::Accept, Mode::Accept) => return None,
            (Mode::Accept, theirs) => theirs.once_for_all(),
            (ours, _) => ours,
        };
        // Once there is a stream of blocks it stays: where none is wanted, there is none.
        let pays = mode != Mode::Auto || self.effort_for(rtt) != Effort::None;
        pays.then_some(mode)
    }

    /// What the accepting end does itself, after the other has begun to compress with `theirs`.
    pub(crate) fn follow(&self, theirs: Mode) -> Mode {
        match self.mode {
            Mode::Off | Mode::Accept => theirs.once_for_all(),
            ours => ours,
        }
    }

    /// What [`Mode::Auto`] does at a round trip time.
    fn effort_for(&self, rtt: Duration) -> Effort {
        const STEPS: [Effort; 4] = [Effort::None, Effort::Fast, Effort::Better, Effort::Best];
        let thresholds: &[Duration] =
            if self.rtt_thresholds.is_empty() { &THRESHOLDS } else { &self.rtt_thresholds };
        let step = thresholds.iter().position(|longest| rtt <= *longest);
        // Beyond a short list its last step goes on.
        let step = step.unwrap_or(if thresholds.len() >= 3 { 3 } else { thresholds.len().saturating_sub(1) });
        STEPS.get(step).copied().unwrap_or(Effort::Best)
    }
}

impl Mode {
    /// Of an end that only accepts: automatic is a matter of the end that measures.
    fn once_for_all(self) -> Self {
        if self == Self::Auto { Self::Always(Effort::Fast) } else { self }
    }
}

/// A link's compression at work: how much is done at the moment, and what came of it.
pub(crate) struct Compressed {
    mode: Mode,
    config: Compression,
    effort: AtomicU8,
    core: Arc<Core>,
    /// Bytes before compression and after it, sent and received.
    pub(crate) sent: [AtomicU64; 2],
    pub(crate) received: [AtomicU64; 2],
}

impl std::fmt::Debug for Compressed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressed").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Compressed {
    pub(crate) fn new(core: &Arc<Core>, config: &Compression, mode: Mode, rtt: Duration) -> Arc<Self> {
        let compressed = Self {
            mode,
            config: config.clone(),
            effort: AtomicU8::new(0),
            core: core.clone(),
            sent: Default::default(),
            received: Default::default(),
        };
        compressed.tune(rtt);
        Arc::new(compressed)
    }

    /// The round trip was measured anew.
    pub(crate) fn tune(&self, rtt: Duration) {
        let effort = match self.mode {
            Mode::Always(effort) => effort,
            _ => self.config.effort_for(rtt),
        };
        self.effort.store(effort as u8, Ordering::Relaxed);
    }

    pub(crate) fn effort(&self) -> Effort {
        match self.effort.load(Ordering::Relaxed) {
            0 => Effort::None,
            1 => Effort::Fast,
            2 => Effort::Better,
            _ => Effort::Best,
        }
    }

    /// What is done at the moment, in nats-server's words.
    pub(crate) fn word(&self) -> &'static str {
        word(self.effort())
    }

    pub(crate) fn count_sent(&self, plain: usize, packed: usize) {
        count(&self.sent, plain, packed);
        let Counters { s2_plain_out, s2_packed_out, .. } = &self.core.counters;
        s2_plain_out.add(plain as u64);
        s2_packed_out.add(packed as u64);
    }

    pub(crate) fn count_received(&self, plain: usize, packed: usize) {
        count(&self.received, plain, packed);
        let Counters { s2_plain_in, s2_packed_in, .. } = &self.core.counters;
        s2_plain_in.add(plain as u64);
        s2_packed_in.add(packed as u64);
    }
}

fn count([plain_sum, packed_sum]: &[AtomicU64; 2], plain: usize, packed: usize) {
    plain_sum.fetch_add(plain as u64, Ordering::Relaxed);
    packed_sum.fetch_add(packed as u64, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAST: Mode = Mode::Always(Effort::Fast);
    const BEST: Mode = Mode::Always(Effort::Best);
    const LONG: Duration = Duration::from_millis(80);

    #[test]
    fn both_ends_agree_as_stock_servers_do() {
        let answer = |ours: Mode, theirs: &str| Compression::of(ours).answer(Some(theirs), LONG);
        for off in ["off", "not supported", "zstd"] {
            assert_eq!(answer(Mode::Auto, off), None);
            assert_eq!(answer(BEST, off), None);
        }
        assert_eq!(Compression::default().answer(None, LONG), None, "a server of old");
        assert_eq!(answer(Mode::Off, "s2_fast"), None);
        assert_eq!(answer(Mode::Accept, "accept"), None);
        assert_eq!(answer(Mode::Accept, "s2_auto"), Some(FAST));
        assert_eq!(answer(Mode::Accept, "s2_best"), Some(BEST));
        assert_eq!(answer(BEST, "accept"), Some(BEST));
        assert_eq!(answer(FAST, "s2_best"), Some(FAST));
        assert_eq!(answer(Mode::Auto, "s2_best"), Some(Mode::Auto));
        assert_eq!(Compression::of(Mode::Accept).follow(Mode::Auto), FAST);
        assert_eq!(Compression::of(Mode::Auto).follow(BEST), Mode::Auto);
    }

    #[test]
    fn a_short_link_is_not_compressed_and_a_long_one_the_more_the_longer() {
        let auto = Compression::default();
        let ms = Duration::from_millis;
        assert_eq!(auto.answer(Some("s2_auto"), ms(9)), None);
        assert_eq!(auto.answer(Some("s2_auto"), ms(11)), Some(Mode::Auto));
        let efforts = [10, 50, 100, 101].map(|rtt| auto.effort_for(ms(rtt)));
        assert_eq!(efforts, [Effort::None, Effort::Fast, Effort::Better, Effort::Best]);
        let skipping = Compression { rtt_thresholds: vec![ms(0), ms(0), ms(20)], ..Compression::default() };
        assert_eq!([5, 30].map(|rtt| skipping.effort_for(ms(rtt))), [Effort::Better, Effort::Best]);
        let short = Compression { rtt_thresholds: vec![ms(5), ms(20)], ..Compression::default() };
        assert_eq!(
            [4, 6, 900].map(|rtt| short.effort_for(ms(rtt))),
            [Effort::None, Effort::Fast, Effort::Fast]
        );
    }
}

//! Lines that go before messages that wait: PING and PONG on links.
//!
//! A link that is slow for a while has megabytes queued. Its sign of life must not wait behind them, or it would be
//! taken for dead and lose them all. Interest is not overtaken: an answer to PING says that all interest before it has
//! been told.

use super::{Appended, Load, Outbox, State};

/// A place between two frames is remembered every so many bytes.
const CUT_EVERY: usize = 32 * 1024;

/// Where lines may be put between the frames that wait.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// Ends of frames in `buf` and in `rest`.
    buf_cuts: Vec<usize>,
    rest_cuts: Vec<usize>,
    /// Protocol lines among what waits in either.
    buf_lines: usize,
    rest_lines: usize,
}

impl Ahead {
    /// A frame or a line was appended to `buf`, which is so long now.
    pub(super) fn appended(&mut self, len: usize, is_line: bool) {
        self.buf_lines += usize::from(is_line);
        if len >= self.buf_cuts.last().copied().unwrap_or(0) + CUT_EVERY {
            self.buf_cuts.push(len);
        }
    }

    /// What was `buf` is `rest` now.
    pub(super) fn taken(&mut self) {
        self.rest_cuts.clear();
        std::mem::swap(&mut self.buf_cuts, &mut self.rest_cuts);
        self.rest_lines = std::mem::take(&mut self.buf_lines);
    }

    /// `rest` is all written, or something else by now.
    pub(super) fn written(&mut self) {
        self.rest_cuts.clear();
        self.rest_lines = 0;
    }

    /// Where in `rest`, of which `at` bytes are written, a line of `len` bytes may be put; `None` behind everything.
    fn place(&mut self, at: usize, end: usize, len: usize) -> Option<usize> {
        if self.buf_lines + self.rest_lines > 0 {
            return None;
        }
        let place = self.rest_cuts.iter().copied().find(|cut| *cut >= at).unwrap_or(end);
        self.rest_cuts.iter_mut().filter(|cut| **cut >= place).for_each(|cut| *cut += len);
        Some(place)
    }
}

impl Outbox {
    /// The same, for a link: lines may be put ahead of messages.
    pub(crate) fn of_link(mut self) -> Self {
        self.state.get_mut().ahead = Some(Box::default());
        self
    }

    /// Queues a line before the messages that wait, where that is possible, else behind them.
    pub(crate) fn append_ahead(&self, line: &[u8]) -> Appended {
        {
            let mut state = self.state.lock();
            if state.broken.is_some() {
                return Appended::Closed;
            }
            if let Some(place) = place(&mut state, line.len()) {
                state.rest.splice(place..place, line.iter().copied());
                state.queued += line.len();
                self.budget.add(line.len(), 0);
                return Appended::Queued;
            }
        }
        self.append(Load::default(), |out| out.extend_from_slice(line))
    }
}

/// A place in what a flush has taken and could not write, if it is that what the line has to pass.
fn place(state: &mut State, len: usize) -> Option<usize> {
    let State { ahead, rest, rest_at, writing, blocked, .. } = state;
    if *writing || blocked.is_none() || *rest_at >= rest.len() {
        return None;
    }
    ahead.as_mut()?.place(*rest_at, rest.len(), len)
}

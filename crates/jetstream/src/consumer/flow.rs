//! Flow control of a push consumer: how much may be under way before its client says that it has read.

/// Most bytes under way.
const LIMIT: usize = 32 * 1024 * 1024;

/// What a push consumer with flow control has under way.
#[derive(Debug)]
pub(super) struct Flow {
    /// `$JS.FC.<stream>.<consumer>.`
    prefix: Vec<u8>,
    /// Bytes that may be under way now: grows as the client keeps up.
    window: usize,
    under_way: usize,
    /// The request that waits for its answer, and the bytes it will account for.
    asked: Option<(Vec<u8>, usize)>,
}

impl Flow {
    /// Nothing under way.
    #[must_use]
    pub(super) fn new(stream: &str, consumer: &str) -> Self {
        Self {
            prefix: format!("$JS.FC.{stream}.{consumer}.").into_bytes(),
            window: LIMIT / 16,
            under_way: 0,
            asked: None,
        }
    }

    /// Whether nothing more may be sent.
    #[must_use]
    pub(super) fn is_closed(&self) -> bool {
        self.under_way > self.window
    }

    /// The request that waits for its answer.
    #[must_use]
    pub(super) fn stalled(&self) -> Option<&[u8]> {
        self.asked.as_ref().map(|(request, _)| request.as_slice())
    }

    /// Counts a message of `size` bytes. Says whether the client is to be asked now; `full` asks for it too.
    pub(super) fn sent(&mut self, size: usize, full: bool) -> bool {
        self.under_way += size;
        match &mut self.asked {
            None => self.under_way > self.window / 2 || full,
            Some((_, bytes)) => {
                if self.under_way.saturating_sub(*bytes) >= self.window {
                    *bytes += size;
                }
                false
            }
        }
    }

    /// Asks: the subject the answer has to come to.
    pub(super) fn ask(&mut self, random: u64) -> &[u8] {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut request = self.prefix.clone();
        let mut rest = random;
        for _ in 0..4 {
            request.push(DIGITS.get((rest % 62) as usize).copied().unwrap_or(b'0'));
            rest /= 62;
        }
        &self.asked.insert((request, self.under_way)).0
    }

    /// Takes an answer; whether it was to the last request.
    pub(super) fn answered(&mut self, subject: &[u8]) -> bool {
        let Some((_, bytes)) = self.asked.take_if(|(request, _)| request == subject) else { return false };
        self.window = (self.window * 2).min(LIMIT);
        self.under_way = self.under_way.saturating_sub(bytes);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_answers_is_trusted_with_more() {
        let mut flow = Flow::new("S", "C");
        let window = LIMIT / 16;
        assert!(!flow.sent(window / 2, false));
        assert!(flow.sent(1, false));
        let request = flow.ask(7).to_vec();
        assert_eq!(request, b"$JS.FC.S.C.7000");
        assert!(!flow.sent(window, false));
        assert!(flow.is_closed());
        assert!(!flow.answered(b"$JS.FC.S.C.0000"));
        assert!(flow.answered(&request));
        assert!(!flow.answered(&request));
        assert!(!flow.is_closed());
        assert_eq!(flow.stalled(), None);
    }
}

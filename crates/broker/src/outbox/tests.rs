//! Outboxes driven by hand and by many threads at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;

use super::*;

/// A pipe that takes so many bytes and then no more until it is told to.
#[derive(Default)]
struct Faucet {
    room: AtomicUsize,
    taken: Mutex<Vec<u8>>,
    broken: AtomicBool,
}

impl Faucet {
    fn with_room(room: usize) -> Self {
        Self { room: AtomicUsize::new(room), ..Self::default() }
    }
}

impl Pipe for Faucet {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.broken.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut taken = self.taken.lock();
        let room = self.room.load(Ordering::SeqCst);
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let n = room.min(bytes.len());
        self.room.fetch_sub(n, Ordering::SeqCst);
        taken.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn outbox(max_pending: usize, stall_at: usize) -> (Outbox, Arc<Budget>) {
    let budget = Arc::new(Budget::new(usize::MAX, usize::MAX));
    (Outbox::new(Bounds { max_pending, stall_at }, budget.clone()), budget)
}

fn put(outbox: &Outbox, bytes: &[u8]) -> Appended {
    outbox.append(Load { messages: 1, payload: bytes.len() }, |out| out.extend_from_slice(bytes))
}

#[test]
fn what_is_appended_is_written_in_order_and_given_back() {
    let (outbox, budget) = outbox(1000, 100);
    let pipe = Faucet::with_room(usize::MAX);
    assert_eq!(put(&outbox, b"one "), Appended::Flush);
    assert_eq!(put(&outbox, b"two "), Appended::Queued);
    assert_eq!(budget.queued(), (8, 2));
    outbox.flush(&pipe);
    assert_eq!(outbox.send(&pipe, b"three", Load { messages: 1, payload: 0 }), Appended::Queued);
    assert_eq!(*pipe.taken.lock(), b"one two three");
    assert_eq!(budget.queued(), (0, 0));
    assert!(outbox.is_idle());
}

#[test]
fn a_full_pipe_is_continued_where_it_stopped() {
    let (outbox, budget) = outbox(1000, 100);
    let pipe = Faucet::with_room(3);
    outbox.send(&pipe, b"abcdef", Load { messages: 1, payload: 0 });
    assert!(outbox.blocked_since().is_some());
    put(&outbox, b"ghi");
    outbox.flush(&pipe);
    assert_eq!(*pipe.taken.lock(), b"abc");
    assert_eq!(budget.queued(), (6, 2));
    pipe.room.store(100, Ordering::SeqCst);
    outbox.unblock(&pipe);
    assert_eq!(*pipe.taken.lock(), b"abcdefghi");
    assert_eq!(budget.queued(), (0, 0));
}

#[test]
fn too_much_is_a_slow_consumer_and_is_given_back() {
    let (outbox, budget) = outbox(10, 5);
    put(&outbox, b"0123456789");
    assert_eq!(put(&outbox, b"x"), Appended::Closed);
    assert_eq!(outbox.broken(), Some(Broken::SlowConsumer));
    assert_eq!(outbox.dropped(), 2);
    assert_eq!(budget.queued(), (0, 0));
    assert_eq!(put(&outbox, b"x"), Appended::Closed);
}

#[test]
fn publishers_wait_for_a_full_reader_but_not_for_a_lagging_one() {
    let (outbox, _) = outbox(1000, 10);
    let pipe = Faucet::with_room(0);
    let woken = Arc::new(Woken::default());
    put(&outbox, &[0; 20]);
    outbox.flush(&pipe);
    assert!(outbox.is_full());
    assert!(!outbox.has_room_or_wait(&woken.clone().into()));
    assert!(outbox.give_up_waiting(Instant::now(), Duration::from_millis(100)));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert!(!outbox.is_full(), "a lagging reader is not waited for");
    pipe.room.store(16, Ordering::SeqCst);
    outbox.unblock(&pipe);
    put(&outbox, &[0; 20]);
    assert!(outbox.is_full(), "once it has caught up it is waited for again");
}

#[test]
fn a_reader_that_keeps_reading_is_waited_for_longer_but_not_for_ever() {
    let (outbox, _) = outbox(1000, 10);
    let pipe = Faucet::with_room(0);
    let patience = Duration::from_secs(3600);
    put(&outbox, &[0; 200]);
    outbox.flush(&pipe);
    assert!(!outbox.has_room_or_wait(Waker::noop()));
    pipe.room.store(5, Ordering::SeqCst);
    outbox.unblock(&pipe);
    let now = Instant::now();
    assert!(!outbox.give_up_waiting(now, patience), "it took something a moment ago");
    assert!(outbox.is_full());
    assert!(outbox.give_up_waiting(now + patience, patience), "it has taken nothing since");
    assert!(!outbox.is_full());
}

#[test]
fn a_broken_pipe_wakes_everybody() {
    let (outbox, _) = outbox(1000, 10);
    let pipe = Faucet::with_room(1);
    let (owner, waiter) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
    outbox.set_owner(&owner.clone().into());
    put(&outbox, &[0; 20]);
    outbox.flush(&pipe);
    assert!(!outbox.has_room_or_wait(&waiter.clone().into()));
    pipe.broken.store(true, Ordering::SeqCst);
    outbox.unblock(&pipe);
    assert_eq!(outbox.broken(), Some(Broken::Closed));
    assert!(owner.0.load(Ordering::SeqCst) >= 1);
    assert_eq!(waiter.0.load(Ordering::SeqCst), 1);
}

/// The lost wake-up: a producer waits for room while another one holds the writing flag. Whoever drains has to
/// tell, or this test does not end.
#[test]
fn producers_never_wait_for_ever() {
    const PRODUCERS: usize = 4;
    const EACH: usize = 5_000;
    let (outbox, budget) = outbox(usize::MAX, 64);
    let pipe = Faucet::default();
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..PRODUCERS {
            scope.spawn(|| {
                let thread = std::thread::current();
                struct Unpark(std::thread::Thread);
                impl Wake for Unpark {
                    fn wake(self: Arc<Self>) {
                        self.0.unpark();
                    }
                }
                let waker: Waker = Arc::new(Unpark(thread)).into();
                for _ in 0..EACH {
                    put(&outbox, b"0123456789");
                    outbox.flush(&pipe);
                    while outbox.is_full() && !outbox.has_room_or_wait(&waker) {
                        std::thread::park();
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
            });
        }
        // The slow reader: takes a little at a time, and then says that it is writable again.
        while done.load(Ordering::SeqCst) < PRODUCERS || !outbox.is_idle() {
            pipe.room.store(37, Ordering::SeqCst);
            outbox.unblock(&pipe);
            std::thread::yield_now();
        }
    });
    assert_eq!(pipe.taken.lock().len(), PRODUCERS * EACH * 10);
    assert_eq!(budget.queued(), (0, 0));
}

#[test]
fn a_line_goes_ahead_of_messages_between_frames_and_never_ahead_of_other_lines() {
    let (outbox, _) = outbox(usize::MAX, usize::MAX);
    let outbox = outbox.of_link();
    let pipe = Faucet::with_room(10);
    let message = [vec![b'm'; 39_998], b"\r\n".to_vec()].concat();
    for _ in 0..5 {
        put(&outbox, &message);
    }
    outbox.flush(&pipe);
    assert_eq!(outbox.append_ahead(b"PONG\r\n"), Appended::Queued);
    assert_eq!(outbox.append_ahead(b"PING\r\n"), Appended::Queued);
    pipe.room.store(usize::MAX, Ordering::SeqCst);
    outbox.unblock(&pipe);
    let taken = std::mem::take(&mut *pipe.taken.lock());
    let at = |word: &[u8]| taken.windows(word.len()).position(|window| window == word).unwrap();
    // After the message that was begun, before all the others.
    assert_eq!((at(b"PONG"), taken.len()), (40_000, 5 * 40_000 + 12));
    assert_eq!(at(b"PING"), 40_006);
    assert!(outbox.is_idle());

    pipe.room.store(10, Ordering::SeqCst);
    put(&outbox, &message);
    outbox.flush(&pipe);
    outbox.append(Load::default(), |out| out.extend_from_slice(b"LS+ a\r\n"));
    outbox.append_ahead(b"PONG\r\n");
    pipe.room.store(usize::MAX, Ordering::SeqCst);
    outbox.unblock(&pipe);
    assert!(pipe.taken.lock().ends_with(b"m\r\nLS+ a\r\nPONG\r\n"));
}

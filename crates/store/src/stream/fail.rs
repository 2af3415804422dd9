//! What happens when writing fails: what was not committed is taken back, reads go on, and after a while the stream
//! looks whether it can go on.
//!
//! After a failed sync nothing is known of what the file holds behind its last synced byte, and a later sync that
//! succeeds says nothing about it. So the file is never written again: what is known of it is read back up to where it
//! was synced, and the log goes on in a new segment, whose header says where the old one ends.

use std::io;
use std::path::PathBuf;

use super::{Committed, Stream};
use crate::data::Data;
use crate::error::Stopped;
use crate::problem::{Problem, Severity};
use crate::recover::{Ends, Recovery};

/// Bytes a disk must have room for before a stream goes on after it was full.
const PROBE: usize = 256 * 1024;

impl Stream {
    /// Stops taking writes and takes back what is not committed.
    pub(crate) fn fail(&self, error: io::Error, file: PathBuf) {
        let Some(home) = &self.0.home else { return };
        let why = self.0.why(error, file);
        let ends = {
            let mut log = self.0.log.write();
            if matches!(log.stopped, Some(Stopped::Closed { .. })) {
                return;
            }
            log.stopped = Some(why.clone());
            log.note_strays();
            log.ends()
        };
        self.0.unsynced.lock().clear();
        let options = self.options();
        let read = Recovery::new(home, &self.0.name, options, Some(&ends)).run();
        let last = {
            let mut log = self.0.log.write();
            let failed = (log.committed.position, log.position, why.clone());
            match read {
                Ok(fresh) => log.take_back(fresh),
                // The disk can't be read either: what is in memory answers as far as it can.
                Err(error) => home.problems.add(Problem {
                    severity: Severity::Damage,
                    stream: Some(self.0.name.clone()),
                    path: home.dir.clone(),
                    offset: None,
                    sequences: None,
                    what: format!("after a failed write the stream could not be read back: {error}"),
                }),
            }
            // Nothing waits any more. That it failed is known before anybody can take it for committed.
            self.0.done.lock().fail(failed.0, failed.1, failed.2.clone());
            log.position += 1;
            log.committed = Committed { seq: log.index.last_seq, position: log.position };
            log.committed
        };
        self.0.done.lock().committed = last;
        self.0.waiters.notify_all();
        self.0.tell(|listener| listener.failed(&why, last));
    }

    /// Whether it stopped for a reason that may pass.
    pub(crate) fn can_resume(&self) -> bool {
        matches!(self.0.log.read().stopped, Some(Stopped::DiskFull { .. } | Stopped::Io { .. }))
    }

    /// Tries to go on: true when the stream takes writes again.
    pub(crate) fn resume(&self) -> bool {
        let Some(home) = &self.0.home else { return false };
        let probe = home.dir.join("probe.new");
        let attempt = || -> io::Result<()> {
            let file = home.disk.create(&probe)?;
            file.write_at(&vec![0; PROBE], 0)?;
            file.sync()
        };
        let outcome = attempt();
        let _stays = home.disk.remove_file(&probe);
        if outcome.is_err() {
            return false;
        }
        {
            let mut log = self.0.log.write();
            if !matches!(log.stopped, Some(Stopped::DiskFull { .. } | Stopped::Io { .. })) {
                return false;
            }
            if log.is_unread {
                // It could not be read back at the time.
                let ends = log.ends();
                let read = Recovery::new(home, &self.0.name, log.options, Some(&ends)).run();
                let Ok(fresh) = read else { return false };
                log.take_back(fresh);
            }
            // What failed must not come back at the next start: new files say where the old ones end.
            let begun = log.begin_segment(Some(home)).and_then(|()| log.states.supersede(home));
            if begun.is_err() {
                return false;
            }
            let strays = std::mem::take(&mut log.strays);
            self.discard_in_order(strays.into_iter());
            log.position += 1;
        }
        if !self.commit_new_files() {
            return false;
        }
        self.0.log.write().stopped = None;
        self.settle();
        self.0.tell(|listener| listener.resumed());
        true
    }
}

impl super::Log {
    /// Becomes what was read back, as the same stream.
    fn take_back(&mut self, mut fresh: Self) {
        fresh.position = self.position;
        fresh.committed = Committed { seq: fresh.index.last_seq, position: self.committed.position };
        fresh.stopped = self.stopped.take();
        fresh.next_number = fresh.next_number.max(self.next_number);
        fresh.states.number = fresh.states.number.max(self.states.number);
        fresh.states.close_file();
        fresh.strays = std::mem::take(&mut self.strays);
        fresh.roll = true;
        *self = fresh;
    }

    /// Notes the files that were begun and of which nothing is known to be written: they are not part of the log, and
    /// go when it goes on.
    fn note_strays(&mut self) {
        self.is_unread = true;
        let files = self.index.segments.iter().filter_map(|segment| match &segment.data {
            Data::File(data) => Some(data),
            _ => None,
        });
        let begun = files.chain(&self.states.data).filter(|data| data.written == 0);
        let begun: Vec<PathBuf> = begun.map(|data| data.file.path.clone()).collect();
        self.strays.extend(begun);
    }

    /// How far each file is known to be good.
    fn ends(&self) -> Ends {
        let files = self.index.segments.iter().filter_map(|segment| match &segment.data {
            Data::File(data) if data.written > 0 => Some(data),
            _ => None,
        });
        let files = files.chain(self.states.data.as_ref().filter(|data| data.written > 0));
        let mut ends: Ends = files.map(|data| (data.file.path.clone(), data.written)).collect();
        // A file of states that was to replace others may not be there: then they hold.
        let states_written = self.states.data.as_ref().is_some_and(|data| data.written > 0);
        if !states_written {
            ends.extend(self.states.old.iter().cloned());
        }
        ends
    }
}

impl super::States {
    /// The next change begins a new file.
    fn close_file(&mut self) {
        let data = self.data.take();
        self.old.extend(data.map(|data| (data.file.path.clone(), data.written)));
    }
}

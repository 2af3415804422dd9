//! The saved states, from the newest file that is complete.

use std::sync::Arc;

use bytes::Bytes;

use super::damage::Damage;
use super::{Recovery, io_error};
use crate::data::FileData;
use crate::error::StoreError;
use crate::problem::Severity;
use crate::record::{self, Head, Kind, OPEN, decrypt};
use crate::scan::{Records, Step};
use crate::segment::{SEGMENT_HEADER, SegmentFile};
use crate::stream::States;

impl Recovery<'_> {
    /// Reads the saved states from the newest file that is complete.
    pub(super) fn states(&mut self, files: &[Arc<SegmentFile>]) -> Result<(), StoreError> {
        for file in files.iter().rev() {
            self.log.states.number = self.log.states.number.max(file.header.number);
            if self.states_file(file)? {
                let older = files.iter().filter(|other| other.header.number < file.header.number);
                older.for_each(|old| drop(self.home.disk.remove_file(&old.path)));
                break;
            }
            self.log.states.by_name.clear();
        }
        Ok(())
    }

    /// Reads a file of states; whether it is complete.
    pub(super) fn states_file(&mut self, file: &Arc<SegmentFile>) -> Result<bool, StoreError> {
        let Some(open) = file.file() else { return Ok(false) };
        let length = open.len().map_err(io_error(&file.path))?;
        let end = self.ends.and_then(|ends| ends.get(&file.path)).map_or(length, |end| length.min(*end));
        let mut records = Records::new(&**open, file.cipher.tag(), file.seed, SEGMENT_HEADER as u64, end);
        let (mut complete, mut intact_to, mut damage) = (false, SEGMENT_HEADER as u64, None);
        loop {
            match records.next().map_err(io_error(&file.path))? {
                Step::End => break,
                Step::Damage { from, to } => damage = Some((from, to)),
                Step::Record { offset, head, bytes } => {
                    intact_to = offset + head.length as u64;
                    complete |= head.flags & OPEN == 0;
                    if !decrypt(bytes, &file.cipher, offset) {
                        damage = Some((offset, intact_to));
                        continue;
                    }
                    apply_state(&mut self.log.states, &head, bytes, file.cipher.tag());
                }
            }
        }
        if !complete {
            return Ok(false);
        }
        let goes_on = damage.is_none() && intact_to <= end && file.header.sealing.is_current(None);
        if let Some((from, to)) = damage {
            let written = records.without_zeros(from, to).map_err(io_error(&file.path))?;
            let kept = self.keep_aside(file, &Damage { from, to, written, after: 0 });
            let severity = if to >= end { Severity::Notice } else { Severity::Damage };
            let what = format!("{} bytes of saved states can't be read{kept}", written - from);
            self.report(severity, &file.path, Some(from), None, what);
        }
        self.make_durable(file, 0, intact_to);
        let data = FileData::existing(Arc::clone(file), intact_to);
        if goes_on {
            self.log.states.data = Some(data);
        } else {
            self.log.states.old.push((file.path.clone(), intact_to));
        }
        Ok(true)
    }
}

fn apply_state(states: &mut States, head: &Head, bytes: &[u8], tag: usize) {
    let Some(kind) = Kind::from_byte(head.kind) else { return };
    let name = bytes.get(record::HEADER..record::HEADER + head.subject).unwrap_or_default();
    let Ok(name) = std::str::from_utf8(name) else { return };
    let content = bytes.get(record::HEADER + head.subject..bytes.len() - tag).unwrap_or_default();
    // An addition to a state whose snapshot was lost is of no use: the damage is reported.
    let _applied = states.apply(kind, name, Bytes::copy_from_slice(content));
}

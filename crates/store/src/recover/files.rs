//! Which files of the directory are the stream's, and which of them count.

use std::path::Path;
use std::sync::Arc;

use super::damage::last_synced;
use super::{MANIFEST, QUARANTINE, Recovery, io_error};
use crate::crypt::FileCipher;
use crate::error::StoreError;
use crate::problem::Severity;
use crate::segment::{Content, Header, SEGMENT_HEADER, SegmentFile, parse_name};
use crate::snapshot::SNAPSHOT;

impl Recovery<'_> {
    /// The files that count, messages first, in order.
    pub(super) fn files(&mut self) -> Result<Vec<Arc<SegmentFile>>, StoreError> {
        let dir = &self.home.dir;
        let mut names = Vec::new();
        for name in self.home.disk.list(dir).map_err(io_error(dir))? {
            match parse_name(&name) {
                Some((number, generation, content)) => names.push((content as u8, number, generation, name)),
                // A compaction that was not finished.
                None if name.strip_suffix(".new").is_some_and(|name| parse_name(name).is_some()) => {
                    let _stays = self.home.disk.remove_file(&dir.join(&name));
                }
                None if is_ours(&name) => {}
                None => self.report(
                    Severity::Notice,
                    &dir.join(&name),
                    None,
                    None,
                    "this file is not part of the stream; it is left alone".into(),
                ),
            }
        }
        names.sort_unstable();
        let newest = |content| {
            names.iter().filter(|(other, ..)| *other == content).map(|(_, number, ..)| *number).max()
        };
        let newest = [newest(Content::Messages as u8), newest(Content::States as u8)];
        let mut files: Vec<Arc<SegmentFile>> = Vec::new();
        for (_, number, generation, name) in names {
            let path = dir.join(name);
            if self.ends.is_some_and(|ends| !ends.contains_key(&path)) {
                continue;
            }
            let Some(file) = self.open(&path, number, generation, newest.contains(&Some(number)))? else {
                continue;
            };
            self.drop_replaced(&mut files, &file);
            self.drop_strays(&mut files, &file);
            let replaced = files.last().is_some_and(|last| {
                last.header.content == file.header.content && last.header.through >= file.header.number
            });
            if replaced {
                let _stays = self.home.disk.remove_file(&file.path);
            } else {
                files.push(Arc::new(file));
            }
        }
        Ok(files)
    }

    /// A compaction wrote `file` in place of its earlier generation.
    pub(super) fn drop_replaced(&self, files: &mut Vec<Arc<SegmentFile>>, file: &SegmentFile) {
        let same = |last: &Arc<SegmentFile>| {
            last.header.content == file.header.content && last.header.number == file.header.number
        };
        if files.last().is_some_and(same)
            && let Some(old) = files.pop()
        {
            let _stays = self.home.disk.remove_file(&old.path);
        }
    }

    /// `file` says which one it was begun behind: those in between were begun before a write failed, and nothing in
    /// them was ever committed.
    fn drop_strays(&self, files: &mut Vec<Arc<SegmentFile>>, file: &SegmentFile) {
        if file.header.content != Content::Messages || self.bad_headers.contains(&file.path) {
            return;
        }
        let is_stray = |last: &Arc<SegmentFile>| last.header.number > file.header.previous;
        while files.last().is_some_and(is_stray)
            && let Some(stray) = files.pop()
        {
            let what = match self.set_aside(&stray.path) {
                Ok(()) => format!("nothing in it was committed; it is kept in {QUARANTINE}/"),
                Err(error) => format!("nothing in it was committed; it can't be moved aside: {error}"),
            };
            self.report(Severity::Notice, &stray.path, None, None, what);
        }
    }

    /// Moves a file that is not part of the log into the quarantine.
    fn set_aside(&self, path: &Path) -> std::io::Result<()> {
        let (dir, disk) = (self.home.dir.join(QUARANTINE), &self.home.disk);
        disk.create_dir(&dir)?;
        disk.rename(path, &dir.join(path.file_name().unwrap_or_default()))?;
        disk.sync_dir(&dir)?;
        disk.sync_dir(&self.home.dir)
    }

    /// Opens a file and believes its header, if it can.
    pub(super) fn open(
        &mut self,
        path: &Path,
        number: u64,
        generation: u32,
        is_newest: bool,
    ) -> Result<Option<SegmentFile>, StoreError> {
        self.log.next_number = self.log.next_number.max(number + 1);
        let file = self.home.disk.open(path).map_err(io_error(path))?;
        let mut bytes = [0; SEGMENT_HEADER];
        let read = file.read_at(&mut bytes, 0).map_err(io_error(path))?;
        let header = match Header::decode(bytes.get(..read).unwrap_or_default(), path) {
            Ok(header) => header,
            Err(newer @ StoreError::Newer { .. }) => return Err(newer),
            Err(_) => {
                let guess = self.guess_header(path, number, generation);
                let empty = bytes.iter().all(|byte| *byte == 0) || read < SEGMENT_HEADER;
                if empty && file.len().map_err(io_error(path))? <= SEGMENT_HEADER as u64 {
                    // It was being created when the machine stopped: nothing in it was ever committed.
                    return Ok(None);
                }
                if self.home.keys.is_some() {
                    let begin = SEGMENT_HEADER as u64;
                    let synced =
                        last_synced(&*file, guess.seed(), begin, file.len().map_err(io_error(path))?);
                    self.give_up(path, is_newest && synced.map_err(io_error(path))? <= begin);
                    return Ok(None);
                }
                self.bad_headers.push(path.into());
                guess
            }
        };
        if header.stream != self.home.id || (header.number, header.generation) != (number, generation) {
            let what = "this file belongs to another stream; it is left alone".into();
            self.report(Severity::Notice, path, None, None, what);
            return Ok(None);
        }
        // Numbers that a compaction merged into this file are not used again: what has one is taken for replaced.
        self.log.next_number = self.log.next_number.max(header.through + 1);
        let no_key = || StoreError::NoKey { path: path.into() };
        let cipher = FileCipher::new(&header.sealing, self.home.keys.as_ref()).ok_or_else(no_key)?;
        Ok(Some(SegmentFile::existing(path.into(), header, cipher, file)))
    }

    /// A file of an encrypted stream without its header is of no use. One that was being created moves aside.
    fn give_up(&self, path: &Path, torn: bool) {
        let what = "its header is damaged, and without it nothing can be decrypted; it is left alone";
        if !torn {
            return self.report(Severity::Damage, path, Some(0), None, what.into());
        }
        let what = match self.set_aside(path) {
            Ok(()) => format!("it was being created when the machine stopped; it is kept in {QUARANTINE}/"),
            Err(error) => {
                format!("it was being created when the machine stopped; it can't be moved aside: {error}")
            }
        };
        self.report(Severity::Notice, path, Some(0), None, what);
    }

    /// What the header must have been, as far as the name tells.
    pub(super) fn guess_header(&self, path: &Path, number: u64, generation: u32) -> Header {
        let is_states = path.extension().is_some_and(|extension| extension == "sta");
        Header {
            content: if is_states { Content::States } else { Content::Messages },
            generation,
            number,
            through: number,
            base: 0,
            floor: 0,
            previous: 0,
            previous_end: 0,
            stream: self.home.id,
            sealing: crate::crypt::Sealing::default(),
        }
    }
}

/// Whether this is a file of ours that holds no records.
fn is_ours(name: &str) -> bool {
    name == MANIFEST
        || name == QUARANTINE
        || name == SNAPSHOT
        || name.ends_with(".idx")
        || name.ends_with(".new")
}

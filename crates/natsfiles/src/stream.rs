//! A stream's directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::block::{LARGEST, unpack};
use crate::checksum::Key;
use crate::consumer::ConsumerState;
use crate::index::Index;
use crate::record::{Kind, Record, Records};
use crate::tree::{entries, name};
use crate::{Damage, Error};

/// A stream as it lies on the disk.
#[derive(Debug)]
pub struct StreamFiles {
    /// Its name.
    pub name: String,
    /// Its configuration and when it was created, as JSON.
    pub config: Vec<u8>,
    /// The first message, or where the next one would be.
    pub first: u64,
    /// The last sequence that was given.
    pub last: u64,
    /// How many messages there should be, where the server said so when it stopped.
    pub messages: Option<u64>,
    /// What whoever copies it should know.
    pub notes: Vec<String>,
    dir: PathBuf,
    blocks: Vec<(u32, PathBuf)>,
    /// What is there, where the index can be believed.
    index: Option<Index>,
}

/// A block's records.
#[derive(Debug)]
pub struct Block {
    number: u32,
    file: PathBuf,
    records: Vec<u8>,
    key: Key,
}

/// A consumer as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// Its configuration and when it was created, as JSON.
    pub config: Vec<u8>,
    /// Where it is. `None`: it has not begun.
    pub state: Option<ConsumerState>,
}

fn damage(file: &Path, offset: usize, what: impl Into<String>) -> Damage {
    Damage { file: file.to_path_buf(), offset: offset as u64, what: what.into() }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let fault = |error| Error::Io { file: file.to_path_buf(), error };
    let length = File::open(file).and_then(|file| file.metadata()).map_err(fault)?.len();
    if length > LARGEST {
        return Err(damage(file, 0, format!("it has {length} bytes, more than any a server writes")).into());
    }
    fs::read(file).map_err(fault)
}

/// A file that need not be there.
fn read_if_there(file: &Path) -> Result<Option<Vec<u8>>, Error> {
    if file.exists() { read(file).map(Some) } else { Ok(None) }
}

/// A checked `meta.inf`.
fn meta(dir: &Path, key: Key) -> Result<Vec<u8>, Error> {
    let key_file = dir.join("meta.key");
    if key_file.exists() {
        return Err(Error::Encrypted(key_file));
    }
    let file = dir.join("meta.inf");
    let (config, sum) = (read(&file)?, read(&dir.join("meta.sum"))?);
    if key.fits(&config, &sum) {
        Ok(config)
    } else {
        Err(damage(&file, 0, "its checksum is another than meta.sum says").into())
    }
}

fn number(path: &Path, suffix: &str) -> Option<u32> {
    name(path).strip_suffix(suffix)?.parse().ok()
}

/// The blocks of a directory, in their order.
fn blocks(dir: &Path) -> Result<Vec<(u32, PathBuf)>, Error> {
    let found = entries(dir)?.unwrap_or_default();
    if let Some(key) = found.iter().find(|path| number(path, ".key").is_some()) {
        return Err(Error::Encrypted(key.clone()));
    }
    let mut blocks: Vec<(u32, PathBuf)> =
        found.into_iter().filter_map(|path| Some((number(&path, ".blk")?, path))).collect();
    blocks.sort_unstable();
    Ok(blocks)
}

/// Whether an index was written after the last record of the blocks.
fn fits(index: &Index, blocks: &[(u32, PathBuf)]) -> Result<bool, Error> {
    let Some((number, file)) = blocks.last() else { return Ok(false) };
    let bytes = read(file)?;
    let end = bytes.last_chunk::<8>().copied().unwrap_or_default();
    Ok(index.end == (*number, end))
}

impl StreamFiles {
    /// Opens a stream's directory.
    ///
    /// # Errors
    /// It can't be read at all. What is damaged inside is told by [`Self::messages_of`].
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let stream = name(dir);
        let config = meta(dir, Key::of(&stream))?;
        let mut files = Self {
            name: stream,
            config,
            first: 1,
            last: 0,
            messages: None,
            notes: Vec::new(),
            dir: dir.to_path_buf(),
            blocks: Vec::new(),
            index: None,
        };
        // A purge was finished but for the last step.
        let purged = blocks(&dir.join("__new_msgs__"))?;
        let messages = dir.join(if purged.is_empty() { "msgs" } else { "__new_msgs__" });
        files.blocks = if purged.is_empty() { blocks(&messages)? } else { purged };
        let index = read_if_there(&messages.join("index.db"))?;
        let index = index.map(|bytes| Index::read(&bytes, &files.name)).transpose();
        files.take_index(index)?;
        Ok(files)
    }

    fn take_index(&mut self, index: Result<Option<Index>, &'static str>) -> Result<(), Error> {
        let (why, known) = match index {
            Ok(Some(index)) if fits(&index, &self.blocks)? => {
                (self.first, self.last, self.messages) =
                    (index.first.max(1), index.last, Some(index.messages));
                self.index = Some(index);
                return Ok(());
            }
            Ok(Some(index)) => ("index.db is older than the blocks", index.last),
            Ok(None) if self.blocks.is_empty() => return Ok(()),
            Ok(None) => ("there is no index.db", 0),
            Err(why) => (why, 0),
        };
        self.notes.push(format!("{why}: the server was not stopped orderly, its blocks are read instead"));
        self.survey();
        self.last = self.last.max(known);
        Ok(())
    }

    /// Finds out from the blocks alone which sequences were given.
    fn survey(&mut self) {
        for at in 0..self.blocks.len() {
            // What can't be read is told when messages are asked for.
            let Ok(block) = self.load(at) else { continue };
            for record in Records::new(&block.records, block.key).flatten() {
                self.last = self.last.max(record.sequence);
            }
        }
    }

    /// Whether the server said what is there when it stopped. Else [`Self::messages_of`] gives all that happened, and
    /// whoever replays it with the stream's limits has what is there.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.index.is_some()
    }

    /// How many blocks there are.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    fn load(&self, at: usize) -> Result<Block, Error> {
        let Some((number, file)) = self.blocks.get(at) else {
            return Err(damage(&self.dir, 0, "there is no such block").into());
        };
        let bytes = read(file)?;
        let records = unpack(&bytes).map_err(|what| damage(file, 0, what))?.into_owned();
        let key = Key::of(&format!("{}-{number}", self.name));
        Ok(Block { number: *number, file: file.clone(), records, key })
    }

    /// Gives the messages of a block that are there, in order, to `take`, and says what can't be read. Without an index
    /// all messages, and the tombstones between them.
    pub fn messages_of<T>(
        &self,
        at: usize,
        take: impl FnOnce(&[Record<'_>]) -> T,
    ) -> (Option<T>, Vec<Damage>) {
        let block = match self.load(at) {
            Ok(block) => block,
            Err(Error::Damaged(damage)) => return (None, vec![damage]),
            Err(error) => {
                let file = self.blocks.get(at).map_or(&*self.dir, |(_, file)| file);
                return (None, vec![damage(file, 0, error.to_string())]);
            }
        };
        let indexed = self.index.as_ref().map(|index| index.block(block.number));
        if indexed == Some(None) {
            // All of it was deleted.
            return (None, Vec::new());
        }
        let (mut found, mut damaged, mut last) = (Vec::new(), Vec::new(), 0);
        for record in Records::new(&block.records, block.key) {
            match record {
                Ok(record) if record.kind == Kind::Message && record.sequence > last => {
                    last = record.sequence;
                    if indexed.flatten().is_none_or(|block| last >= self.first && block.has(last)) {
                        found.push(record);
                    }
                }
                Ok(record) if record.kind == Kind::Tombstone && indexed.is_none() => found.push(record),
                Ok(_) => {}
                Err(bad) => damaged.push(damage(&block.file, bad.offset, bad.to_string())),
            }
        }
        (Some(take(&found)), damaged)
    }

    /// The consumers, and which of them can't be read.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn consumers(&self) -> Result<Vec<Result<Consumer, Error>>, Error> {
        let dirs = entries(&self.dir.join("obs"))?.unwrap_or_default();
        Ok(dirs.iter().filter(|dir| dir.is_dir()).map(|dir| self.consumer(dir)).collect())
    }

    fn consumer(&self, dir: &Path) -> Result<Consumer, Error> {
        let name = name(dir);
        let config = meta(dir, Key::of(&format!("{}/{name}", self.name)))?;
        let file = dir.join("o.dat");
        let state = read_if_there(&file)?.filter(|bytes| !bytes.is_empty());
        let state = state.map(|bytes| ConsumerState::read(&bytes)).transpose();
        let state = state.map_err(|what| damage(&file, 0, what))?;
        Ok(Consumer { name, config, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::write;

    const TOMBSTONE: u64 = 1 << 62;

    fn hex(sum: [u8; 8]) -> String {
        sum.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A stream `S` with these blocks and no index.
    fn stream(dir: &Path, blocks: &[&[u8]]) -> PathBuf {
        let stream = dir.join("S");
        fs::create_dir_all(stream.join("msgs")).unwrap();
        fs::write(stream.join("meta.inf"), "{}").unwrap();
        fs::write(stream.join("meta.sum"), hex(Key::of("S").sum(&[b"{}"]))).unwrap();
        for (at, block) in blocks.iter().enumerate() {
            fs::write(stream.join(format!("msgs/{}.blk", at + 1)), block).unwrap();
        }
        stream
    }

    fn sequences(files: &StreamFiles) -> (Vec<u64>, Vec<Damage>) {
        let (mut all, mut damage) = (Vec::new(), Vec::new());
        for at in 0..files.blocks() {
            let (_, bad) = files.messages_of(at, |found| {
                for record in found {
                    match record.kind {
                        Kind::Tombstone => all.retain(|sequence| *sequence != record.sequence),
                        _ => all.push(record.sequence),
                    }
                }
            });
            damage.extend(bad);
        }
        (all, damage)
    }

    #[test]
    fn without_an_index_tombstones_tell_what_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (Key::of("S-1"), Key::of("S-2"));
        let mut first: Vec<u8> = (1..=4).flat_map(|seq| write(one, seq, 1, b"a", b"", b"x")).collect();
        let whole = first.len();
        first.extend(write(one, 1 | TOMBSTONE, 1, b"", b"", b""));
        let mut second: Vec<u8> = (5..=6).flat_map(|seq| write(two, seq, 1, b"a", b"", b"x")).collect();
        second.extend(write(two, 3 | TOMBSTONE, 1, b"", b"", b""));
        second.extend(write(two, 6 | TOMBSTONE, 1, b"", b"", b""));
        let files = StreamFiles::open(&stream(dir.path(), &[&first, &second])).unwrap();
        assert_eq!((files.is_indexed(), files.last, files.messages), (false, 6, None));
        assert_eq!(sequences(&files), (vec![2, 4, 5], vec![]));
        assert!(files.notes[0].contains("there is no index.db"), "{:?}", files.notes);
        // A damaged record costs itself, and is named with its place.
        let length = whole / 4;
        first[length + 23] ^= 1;
        let files = StreamFiles::open(&stream(dir.path(), &[&first, &second])).unwrap();
        let (found, damage) = sequences(&files);
        assert_eq!((found, damage.len()), (vec![4, 5], 1));
        let told = damage[0].to_string();
        assert!(
            told.ends_with(&format!(
                "S/msgs/1.blk, byte {length}: a record's checksum is another; {length} bytes are left out"
            )),
            "{told}"
        );
    }

    #[test]
    fn what_is_encrypted_or_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = stream(dir.path(), &[]);
        fs::write(path.join("meta.inf"), "{} ").unwrap();
        let refusal = StreamFiles::open(&path).unwrap_err().to_string();
        assert!(
            refusal.ends_with("meta.inf, byte 0: its checksum is another than meta.sum says"),
            "{refusal}"
        );
        fs::write(path.join("msgs/1.key"), "").unwrap();
        fs::write(path.join("meta.inf"), "{}").unwrap();
        assert!(matches!(StreamFiles::open(&path), Err(Error::Encrypted(_))));
    }
}

//! A disk in memory that behaves as badly as a real one may: a power cut loses what was not synced, sector by sector
//! and in any order, directory entries included; it fills up; it fails; a failed sync drops what it should have
//! written. Everything random comes from a seed.

use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile};

/// What a power cut keeps or loses as a whole, in bytes.
const SECTOR: usize = 512;

/// What goes wrong, until it is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Files may have this many bytes together; more is `StorageFull`.
    Full(usize),
    /// Writes fail; part of one may have been written.
    Write,
    /// Syncs fail and forget what they should have made durable.
    Sync,
    /// Reads fail.
    Read,
}

/// A simulated disk, as one run of a program sees it: after a power cut or the program's end only a handle from
/// [`SimDisk::boot`] works. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
    epoch: u64,
}

#[derive(Debug, Default)]
struct State {
    random: u64,
    inodes: Vec<Inode>,
    /// What a running program sees.
    names: BTreeMap<PathBuf, Node>,
    /// What is there after a power cut.
    durable: BTreeMap<PathBuf, Node>,
    /// Changes of names that are not durable yet, oldest first.
    changes: Vec<Change>,
    faults: Vec<Fault>,
    /// Grows with each power cut; handles and files from before are dead.
    epoch: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Where what was written ends: zeros behind it take no room.
    filled: usize,
    /// Byte ranges written since the last sync.
    dirty: Vec<(usize, usize)>,
}

#[derive(Clone, Debug)]
enum Change {
    Put(PathBuf, Node),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

impl Change {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Put(path, _) | Self::Remove(path) | Self::Rename(_, path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Put(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Remove(path) => {
                names.remove(path);
            }
            Self::Rename(from, to) => {
                let moved: Vec<_> = names.keys().filter(|name| name.starts_with(from)).cloned().collect();
                for name in moved {
                    let Some(node) = names.remove(&name) else { continue };
                    let rest = name.strip_prefix(from).unwrap_or(Path::new(""));
                    let new = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    names.insert(new, node);
                }
            }
        }
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    inode: usize,
}

fn missing(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

impl State {
    /// The next number of a splitmix64 sequence.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn failing(&self, fault: Fault) -> io::Result<()> {
        if self.faults.contains(&fault) {
            return Err(io::Error::other("simulated I/O error"));
        }
        Ok(())
    }

    fn used(&self) -> usize {
        let files = self.names.values().filter_map(|node| match node {
            Node::File(inode) => self.inodes.get(*inode).map(|inode| inode.filled),
            Node::Dir => None,
        });
        files.sum()
    }

    /// Keeps of a file what was synced, and of the rest whatever sectors chance lets through.
    fn cut_file(&mut self, at: usize) {
        let Some(inode) = self.inodes.get_mut(at) else { return };
        let (now, mut kept, dirty) = (
            std::mem::take(&mut inode.now),
            std::mem::take(&mut inode.durable),
            std::mem::take(&mut inode.dirty),
        );
        // Sometimes all, sometimes nothing, mostly a mix.
        let chance = [0, 30, 70, 100][self.below(4)];
        if now.len() > kept.len() {
            let grown = kept.len() + self.below(now.len() - kept.len() + 1);
            kept.resize(if chance == 100 { now.len() } else { grown }, 0);
        }
        for (from, to) in dirty {
            for sector in from / SECTOR..=to.saturating_sub(1) / SECTOR {
                let (start, end) = (from.max(sector * SECTOR), to.min((sector + 1) * SECTOR).min(kept.len()));
                if self.below(100) < chance
                    && let (Some(place), Some(bytes)) = (kept.get_mut(start..end), now.get(start..end))
                {
                    place.copy_from_slice(bytes);
                }
            }
        }
        if let Some(inode) = self.inodes.get_mut(at) {
            inode.now.clone_from(&kept);
            inode.filled = inode.filled.min(kept.len());
            inode.durable = kept;
        }
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut state = State { random: seed, ..State::default() };
        state.names.insert(PathBuf::from("/"), Node::Dir);
        state.durable.insert(PathBuf::from("/"), Node::Dir);
        Self { state: Arc::new(Mutex::new(state)), epoch: 0 }
    }

    /// The disk as a program sees it that starts now.
    #[must_use]
    pub fn boot(&self) -> Self {
        Self { state: Arc::clone(&self.state), epoch: self.state.lock().epoch }
    }

    /// Cuts the power and restores it. Files opened before only fail from now on.
    pub fn power_cut(&self) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        // A journal makes a prefix of the changes durable, in their order.
        let count = state.changes.len();
        let kept = state.below(count + 1);
        let changes: Vec<Change> = state.changes.drain(..).take(kept).collect();
        let mut durable = std::mem::take(&mut state.durable);
        changes.iter().for_each(|change| change.apply(&mut durable));
        state.names.clone_from(&durable);
        state.durable = durable;
        for at in 0..state.inodes.len() {
            state.cut_file(at);
        }
        state.faults.clear();
        state.epoch += 1;
    }

    /// Ends the program that uses the disk, not the disk: files opened before only fail from now on.
    pub fn kill(&self) {
        let mut state = self.state.lock();
        state.faults.clear();
        state.epoch += 1;
    }

    /// Lets something go wrong from now on.
    pub fn inject(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        self.state.lock().faults.clear();
    }

    /// Bytes in all files.
    #[must_use]
    pub fn used(&self) -> usize {
        self.state.lock().used()
    }

    /// All files, sorted by path, with how many bytes of them were written.
    #[must_use]
    pub fn files(&self) -> Vec<(PathBuf, usize)> {
        let state = self.state.lock();
        let files = state.names.iter().filter_map(|(path, node)| match node {
            Node::File(at) => Some((path.clone(), state.inodes.get(*at)?.filled)),
            Node::Dir => None,
        });
        files.collect()
    }

    /// Turns one bit of a file over, as a failing disk does; the number counts through the file. False if there is no
    /// such bit.
    pub fn flip(&self, path: &Path, bit: usize) -> bool {
        let mut state = self.state.lock();
        let Some(Node::File(at)) = state.names.get(path).copied() else { return false };
        let Some(inode) = state.inodes.get_mut(at) else { return false };
        let mask = 1 << (bit % 8);
        if let Some(byte) = inode.durable.get_mut(bit / 8) {
            *byte ^= mask;
        }
        inode.now.get_mut(bit / 8).map(|byte| *byte ^= mask).is_some()
    }

    fn file(&self, inode: usize) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { disk: self.clone(), inode })
    }

    /// The disk, for a program that still runs.
    fn alive(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.state.lock();
        if state.epoch == self.epoch { Ok(state) } else { Err(io::Error::other("the power was cut")) }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.failing(Fault::Write)?;
        match state.names.get(dir) {
            Some(Node::Dir) => Ok(()),
            Some(Node::File(_)) => Err(io::ErrorKind::AlreadyExists.into()),
            None => {
                state.change(Change::Put(dir.into(), Node::Dir));
                Ok(())
            }
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.alive()?;
        state.failing(Fault::Read)?;
        if state.names.get(dir) != Some(&Node::Dir) {
            return Err(missing(dir));
        }
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.alive()?;
        state.failing(Fault::Read)?;
        match state.names.get(path) {
            Some(Node::File(inode)) => Ok(self.file(*inode)),
            _ => Err(missing(path)),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.alive()?;
        state.failing(Fault::Write)?;
        let parent = path.parent().unwrap_or(Path::new("/"));
        if state.names.get(parent) != Some(&Node::Dir) {
            return Err(missing(parent));
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.change(Change::Put(path.into(), Node::File(inode)));
        Ok(self.file(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.failing(Fault::Write)?;
        if !state.names.contains_key(from) {
            return Err(missing(from));
        }
        state.change(Change::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.failing(Fault::Write)?;
        if !matches!(state.names.get(path), Some(Node::File(_))) {
            return Err(missing(path));
        }
        state.change(Change::Remove(path.into()));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.alive()?;
        state.failing(Fault::Write)?;
        if state.names.keys().any(|path| path.parent() == Some(dir)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.change(Change::Remove(dir.into()));
        Ok(())
    }

    fn is_dir(&self, path: &Path) -> bool {
        self.state.lock().names.get(path) == Some(&Node::Dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut guard = self.alive()?;
        let state = &mut *guard;
        state.failing(Fault::Sync)?;
        // Changes before the last one in this directory are durable with it: the journal has one order.
        let Some(last) = state.changes.iter().rposition(|change| change.dir() == Some(dir)) else {
            return Ok(());
        };
        let changes: Vec<Change> = state.changes.drain(..=last).collect();
        changes.iter().for_each(|change| change.apply(&mut state.durable));
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let state = self.disk.alive()?;
        state.failing(Fault::Read)?;
        let from = usize::try_from(at).map_err(io::Error::other)?;
        let bytes = state.inodes.get(self.inode).and_then(|inode| inode.now.get(from..)).unwrap_or_default();
        let count = bytes.len().min(buffer.len());
        buffer.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
        Ok(count)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        let from = usize::try_from(at).map_err(io::Error::other)?;
        let room = state.faults.iter().find_map(|fault| match fault {
            Fault::Full(most) => Some(most.saturating_sub(state.used())),
            _ => None,
        });
        let length = state.inodes.get(self.inode).map_or(0, |inode| inode.filled);
        let growth = (from + bytes.len()).saturating_sub(length);
        let outcome = match room {
            Some(room) if growth > room => {
                Err(io::Error::new(io::ErrorKind::StorageFull, "simulated full disk"))
            }
            _ => state.failing(Fault::Write),
        };
        let written = if outcome.is_err() {
            let most = room.map_or(bytes.len(), |room| bytes.len().saturating_sub(growth) + room.min(growth));
            state.below(most + 1).min(bytes.len())
        } else {
            bytes.len()
        };
        if let Some(inode) = state.inodes.get_mut(self.inode) {
            let to = from + written;
            if written > 0 {
                inode.now.resize(inode.now.len().max(to), 0);
                if let Some(place) = inode.now.get_mut(from..to) {
                    place.copy_from_slice(bytes.get(..written).unwrap_or_default());
                }
                inode.filled = inode.filled.max(to);
                inode.dirty.push((from, to));
            }
        }
        outcome
    }

    fn reserve(&self, upto: u64) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        state.failing(Fault::Write)?;
        let upto = usize::try_from(upto).map_err(io::Error::other)?;
        if let Some(inode) = state.inodes.get_mut(self.inode) {
            inode.now.resize(inode.now.len().max(upto), 0);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.alive()?;
        let failing = state.failing(Fault::Sync);
        let Some(inode) = state.inodes.get_mut(self.inode) else { return Ok(()) };
        // As Linux does: after a failed sync the pages count as clean, and the next sync has nothing to do.
        let dirty = std::mem::take(&mut inode.dirty);
        if failing.is_ok() {
            inode.durable.resize(inode.now.len(), 0);
            for (from, to) in dirty {
                if let (Some(place), Some(bytes)) = (inode.durable.get_mut(from..to), inode.now.get(from..to))
                {
                    place.copy_from_slice(bytes);
                }
            }
        }
        failing
    }

    fn len(&self) -> io::Result<u64> {
        let state = self.disk.alive()?;
        Ok(state.inodes.get(self.inode).map_or(0, |inode| inode.now.len()) as u64)
    }
}

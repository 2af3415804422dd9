//! The file of the log: opened after whatever happened to it, appended to whole, put aside when it is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::chain::{Hash, Head, Line, MAX_LINE};

/// An open log.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    /// Number of the file's first line; 0 while it has none.
    first: u64,
    /// The last line.
    pub(super) head: Head,
}

/// What was found wrong at the end of a log that is opened again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes of a line that was not written to its end.
    pub(super) torn: u64,
    /// Where those bytes were put.
    pub(super) kept_in: Option<PathBuf>,
}

impl LogFile {
    /// Opens the log at `path`, or begins it. A last line without an end is moved to a file of its own.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Damage)> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
        let mut damage = Damage::default();
        let (last, whole) = last_line(&mut file)?;
        let length = file.metadata()?.len();
        if whole < length {
            damage.torn = length - whole;
            damage.kept_in = Some(set_aside(path, &mut file, whole)?);
            file.set_len(whole)?;
            file.sync_all()?;
        }
        let (head, first) = match last {
            Some(line) => {
                let line = parse(&line)?;
                (line.head(), first_number(&mut file)?)
            }
            None => (last_of_rotated(path)?, 0),
        };
        Ok((Self { path: path.to_owned(), file, length: whole, first, head }, damage))
    }

    /// Writes whole lines and waits until they are on the disk. On an error nothing of them is left behind.
    pub(super) fn append(&mut self, lines: &str, head: Head) -> io::Result<()> {
        let outcome = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(error) = outcome {
            // If this fails too, the next append starts with it again.
            let _also_failed = self.file.set_len(self.length);
            return Err(error);
        }
        if self.first == 0 {
            self.first = self.head.seq + 1;
        }
        self.length += lines.len() as u64;
        self.head = head;
        Ok(())
    }

    /// Takes away what a failed append may have left.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() != self.length {
            self.file.set_len(self.length)?;
        }
        Ok(())
    }

    /// Puts the file aside under the number of its first line and begins a new one, if it is larger than `max`
    /// bytes. At most `keep` files put aside are left (0: all).
    pub(super) fn rotate(&mut self, max: u64, keep: usize) -> io::Result<()> {
        if self.length <= max || self.first == 0 {
            return Ok(());
        }
        let aside = rotated_name(&self.path, self.first);
        fs::rename(&self.path, &aside)?;
        let opened = OpenOptions::new().read(true).append(true).create_new(true).mode(0o600).open(&self.path);
        match opened {
            Ok(file) => (self.file, self.length, self.first) = (file, 0, 0),
            Err(error) => {
                // Then the old one goes on under its old name.
                fs::rename(&aside, &self.path)?;
                return Err(error);
            }
        }
        sync_folder(&self.path)?;
        if keep > 0 {
            let mut old = rotated(&self.path)?;
            old.truncate(old.len().saturating_sub(keep));
            old.iter().try_for_each(|(_, path)| fs::remove_file(path))?;
        }
        Ok(())
    }
}

fn parse(line: &str) -> io::Result<Line> {
    Line::parse(line).map_err(|problem| {
        io::Error::other(format!("its last line {problem}; move the file away to begin a new chain"))
    })
}

/// The last whole line, and how many bytes whole lines take.
fn last_line(file: &mut File) -> io::Result<(Option<String>, u64)> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(2 * MAX_LINE as u64);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some(end) = tail.iter().rposition(|byte| *byte == b'\n') else {
        return match from {
            0 => Ok((None, 0)),
            _ => Err(io::Error::other("its end is no audit log; move the file away to begin a new chain")),
        };
    };
    let start = tail[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok((Some(String::from_utf8_lossy(&tail[start..end]).into_owned()), from + end as u64 + 1))
}

fn first_number(file: &mut File) -> io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut start = vec![0; MAX_LINE];
    let read = file.read(&mut start)?;
    let line = start[..read].split(|byte| *byte == b'\n').next().unwrap_or_default();
    Ok(parse(&String::from_utf8_lossy(line))?.seq)
}

fn set_aside(path: &Path, file: &mut File, from: u64) -> io::Result<PathBuf> {
    file.seek(SeekFrom::Start(from))?;
    let mut torn = Vec::new();
    file.read_to_end(&mut torn)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".torn-at-{from}"));
    let aside = PathBuf::from(name);
    let mut out = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
    out.write_all(&torn)?;
    out.sync_all()?;
    Ok(aside)
}

fn rotated_name(path: &Path, first: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{first:020}"));
    name.into()
}

/// Files of the log at `path` that were put aside, oldest first, with the number of their first line.
pub(super) fn rotated(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let prefix = format!("{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let number = name.strip_prefix(&prefix).filter(|number| number.len() == 20);
        if let Some(first) = number.and_then(|number| number.parse().ok()) {
            found.push((first, path));
        }
    }
    found.sort();
    Ok(found)
}

fn last_of_rotated(path: &Path) -> io::Result<Head> {
    let Some((_, newest)) = rotated(path)?.pop() else { return Ok(Head::START) };
    match last_line(&mut File::open(newest)?)?.0 {
        Some(line) => Ok(parse(&line)?.head()),
        None => Ok(Head::START),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Writes the head of a log to `path`, replacing it as a whole.
pub(super) fn write_head(path: &Path, head: Head) -> io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    writeln!(file, "{}", json!({"seq": head.seq, "hash": head.hash.to_string()}))?;
    file.sync_data()?;
    fs::rename(draft, path)
}

/// Reads what [`write_head`] wrote; `None` where there is no such file.
pub(super) fn read_head(path: &Path) -> io::Result<Option<Head>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let hash = value["hash"].as_str().and_then(Hash::parse);
    match (value["seq"].as_u64(), hash) {
        (Some(seq), Some(hash)) => Ok(Some(Head { seq, hash })),
        _ => Err(io::Error::other(format!("{}: is no head of an audit log", path.display()))),
    }
}

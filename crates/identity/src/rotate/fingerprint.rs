//! Telling whether files have changed, by content.
//!
//! Paths are resolved anew at every look, so replacing a symbolic link anywhere on the way counts, as Kubernetes
//! does it for mounted secrets. Modification times alone don't count: copying the same content changes nothing, and
//! a change within the clock's resolution is still seen.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};

use crate::crl;

/// A file whose last change is younger than this is read again even if its metadata is as before: the next change
/// might fall into the same tick of the file system's clock (two seconds on the coarsest).
const TOO_FRESH: Duration = Duration::from_secs(3);

/// What files and directories held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(PathBuf, Content)>);

/// What one path held.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    File { len: u64, sha256: [u8; 32] },
    Unreadable(io::ErrorKind),
}

/// Looks at files; remembers digests so that unchanged files aren't read at every look.
#[derive(Debug, Default)]
pub(super) struct Observer {
    seen: HashMap<PathBuf, (Stamp, Content)>,
}

/// Metadata that changes when a file is replaced or written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

impl Observer {
    /// What `paths` hold now; directories stand for their files.
    pub(super) fn look(&mut self, paths: &[PathBuf]) -> Fingerprint {
        let mut found = Vec::new();
        let mut seen = HashMap::new();
        for path in paths {
            match crl::files(path) {
                Ok(files) => {
                    for file in files {
                        found.push((file.clone(), self.look_at(file, &mut seen)));
                    }
                }
                // An unreadable directory looks different from an empty one.
                Err(_) => found.push((path.clone(), Content::Unreadable(io::ErrorKind::NotADirectory))),
            }
        }
        // What is no longer looked at is forgotten.
        self.seen = seen;
        Fingerprint(found)
    }

    fn look_at(&self, path: PathBuf, seen: &mut HashMap<PathBuf, (Stamp, Content)>) -> Content {
        let Ok(metadata) = fs::metadata(&path) else { return digest(&path).unwrap_or_else(unreadable) };
        let stamp = Stamp::of(&metadata);
        let known = self.seen.get(&path).filter(|(before, _)| *before == stamp && !fresh(&metadata));
        let content = match known {
            Some((_, content)) => content.clone(),
            None => digest(&path).unwrap_or_else(unreadable),
        };
        seen.insert(path, (stamp, content.clone()));
        content
    }
}

fn unreadable(error: io::Error) -> Content {
    Content::Unreadable(error.kind())
}

/// Whether the file changed so recently that another change could leave the same time stamp. Times in the future
/// count as fresh.
fn fresh(metadata: &Metadata) -> bool {
    let age = metadata.modified().map(|modified| SystemTime::now().duration_since(modified));
    !matches!(age, Ok(Ok(age)) if age > TOO_FRESH)
}

fn digest(path: &Path) -> io::Result<Content> {
    let mut file = File::open(path)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = [0; 8 << 10];
    let mut len = 0;
    loop {
        let read = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { break };
        context.update(chunk);
        len += chunk.len() as u64;
    }
    // The buffer held key material.
    zeroize::Zeroize::zeroize(&mut buffer);
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok(Content::File { len, sha256 })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn content_counts_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let paths = [path.clone()];
        let mut observer = Observer::default();
        let missing = observer.look(&paths);
        fs::write(&path, "one").unwrap();
        let one = observer.look(&paths);
        assert_ne!(missing, one);
        fs::write(&path, "two").unwrap();
        assert_ne!(observer.look(&paths), one, "same length, perhaps the same time stamp");
        fs::write(&path, "one").unwrap();
        assert_eq!(observer.look(&paths), one, "the old content again");
        fs::remove_file(&path).unwrap();
        assert_eq!(observer.look(&paths), missing);
    }

    #[test]
    fn an_old_file_is_not_read_again_until_its_metadata_changes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one").unwrap();
        let old = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(&path).unwrap().set_modified(old).unwrap();
        let mut observer = Observer::default();
        let before = observer.look(std::slice::from_ref(&path));
        // A remembered digest that differs from the file's shows that the file was not read.
        observer.seen.get_mut(&path).unwrap().1 = Content::Unreadable(io::ErrorKind::Other);
        assert_ne!(observer.look(std::slice::from_ref(&path)), before);
        fs::write(&path, "one").unwrap();
        assert_eq!(observer.look(&[path]), before);
    }

    #[test]
    fn directories_and_swapped_links_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mount = dir.path().join("mount");
        for (version, content) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir_all(mount.join(version)).unwrap();
            fs::write(mount.join(version).join("tls.crt"), content).unwrap();
        }
        symlink("..1", mount.join("..data")).unwrap();
        symlink("..data/tls.crt", mount.join("tls.crt")).unwrap();
        let paths = [mount.join("tls.crt"), mount.clone()];
        let mut observer = Observer::default();
        let one = observer.look(&paths);
        assert_eq!(observer.look(&paths), one);
        symlink("..2", mount.join("..tmp")).unwrap();
        fs::rename(mount.join("..tmp"), mount.join("..data")).unwrap();
        let two = observer.look(&paths);
        assert_ne!(one, two);
        fs::write(mount.join("more"), "x").unwrap();
        assert_ne!(observer.look(&paths), two, "a new file in a directory");
    }
}

//! Certificate revocation lists: from files and directories, newest first.

use std::cmp::Reverse;
use std::fs;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateRevocationListDer;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::pem::{self, PemError};

/// Why revocation lists could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum CrlError {
    /// A file can't be read or holds something else.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A directory can't be listed.
    #[error("{path}: {source}", path = path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A list that isn't one, under its armour.
    #[error("{path}: holds a revocation list that can't be read", path = .0.display())]
    Unreadable(PathBuf),
}

/// A revocation list and what matters about it to an operator.
#[derive(Clone, Debug)]
pub struct RevocationList {
    /// The list itself.
    pub der: CertificateRevocationListDer<'static>,
    /// The file it came from.
    pub path: PathBuf,
    /// Distinguished name of the CA that signed it.
    pub issuer: String,
    /// When it was made, seconds since 1970.
    pub this_update: i64,
    /// When the next one is due, seconds since 1970. Afterwards every certificate of the issuer is refused.
    pub next_update: Option<i64>,
    /// How many certificates it revokes.
    pub revoked: usize,
}

/// Loads every list from `paths`, each a file or a directory. In a directory every file that isn't hidden must be a
/// revocation list: one that was skipped for its name would revoke nothing and nobody would notice.
///
/// The newest list comes first, because the verifier consults the first one it finds for an issuer.
///
/// # Errors
/// [`CrlError`] for the first file that can't be used.
pub fn load(paths: &[PathBuf]) -> Result<Vec<RevocationList>, CrlError> {
    let mut lists = Vec::new();
    for path in paths {
        for file in files(path)? {
            for der in pem::revocation_lists(&file)? {
                lists.push(describe(der, &file)?);
            }
        }
    }
    lists.sort_by_key(|list| Reverse(list.this_update));
    Ok(lists)
}

/// The files behind `path`: itself, or the files of a directory in the order of their names. Hidden names are left
/// out (Kubernetes keeps the versions of a mounted volume under such names).
///
/// # Errors
/// [`CrlError::Directory`] when a directory can't be listed.
pub fn files(path: &Path) -> Result<Vec<PathBuf>, CrlError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| CrlError::Directory { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        // Asked of the path, not of the entry, so that symbolic links count as what they point to.
        if !hidden && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn describe(der: CertificateRevocationListDer<'static>, path: &Path) -> Result<RevocationList, CrlError> {
    let unreadable = || CrlError::Unreadable(path.to_owned());
    let (rest, list) = CertificateRevocationList::from_der(&der).map_err(|_| unreadable())?;
    if !rest.is_empty() {
        return Err(unreadable());
    }
    Ok(RevocationList {
        path: path.to_owned(),
        issuer: list.issuer().to_string(),
        this_update: list.last_update().timestamp(),
        next_update: list.next_update().map(|time| time.timestamp()),
        revoked: list.iter_revoked_certificates().count(),
        der,
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use certs_dev::Authority;

    use super::*;

    #[test]
    fn directories_give_the_newest_list_first_and_hidden_files_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let ca = Authority::new("CA").unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let hour = Duration::from_secs(3600);
        for (name, age, serials) in [("a.crl", 0, vec![]), ("b.crl", 1, vec![vec![7], vec![8]])] {
            let made = start + hour * age;
            fs::write(dir.path().join(name), ca.crl(&serials, made, made + hour).unwrap()).unwrap();
        }
        fs::write(dir.path().join(".hidden"), "not a list").unwrap();
        let lists = load(&[dir.path().to_owned()]).unwrap();
        let seen: Vec<_> = lists.iter().map(|list| (list.this_update, list.revoked)).collect();
        assert_eq!(seen, [(1_700_003_600, 2), (1_700_000_000, 0)]);
        assert_eq!(lists[0].next_update, Some(1_700_007_200));

        fs::write(dir.path().join("c.txt"), "not a list").unwrap();
        assert!(matches!(load(&[dir.path().to_owned()]), Err(CrlError::Pem(PemError::Missing { .. }))));
        let damaged = dir.path().join("c.txt");
        fs::write(&damaged, [0x30, 0x03, 1, 2, 3]).unwrap();
        assert!(matches!(load(std::slice::from_ref(&damaged)), Err(CrlError::Unreadable(_))));
    }
}

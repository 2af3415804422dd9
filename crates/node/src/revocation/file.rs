//! The file of revocations that operators edit: `[[revoke]]` tables, one per entry.

use std::path::Path;

use daemon::config::{ConfigErrors, KeyPath, load_checked};
use identity::revocation::{Entry, EntryError, FILE_PREFIX, Request, Target};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Revocations {
    revoke: Vec<Request>,
}

/// Reads the entries. One that has ended already is left out. A file that does not exist holds none.
pub(super) fn read(path: &Path, now: u64) -> Result<Vec<Entry>, ConfigErrors> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut entries = Vec::new();
    load_checked::<Revocations>(path, std::iter::empty(), |file, problems| {
        for (index, request) in file.revoke.iter().enumerate() {
            let entry = request.target().and_then(|target| request.entry(id(&target), "file", now));
            match entry.map(|entry| entry.normal(now)) {
                Ok(Ok(entry)) => entries.push(entry),
                Ok(Err(EntryError::Expired)) => {}
                Ok(Err(error)) => problems.at(KeyPath::root().key("revoke").index(index), error.to_string()),
                Err(error) => problems.at(KeyPath::root().key("revoke").index(index), error.to_string()),
            }
        }
    })?;
    Ok(entries)
}

/// The same target has the same id in every version of the file.
fn id(target: &Target) -> String {
    // FNV-1a: no more than a name; two targets of one name would be reported as an error.
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    for byte in format!("{target:?}").bytes() {
        hash = (hash ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{FILE_PREFIX}{hash:032x}")
}

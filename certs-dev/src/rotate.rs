//! Replacing certificates, and whole CAs, under peers that keep running.
//!
//! Peers reload their files at different moments. To keep every pair of them able to talk in between, a CA is
//! replaced with an overlap in both directions:
//! - whoever has the new files trusts both CAs (`STEM.crt` then holds the new and the old one), and
//! - whoever still has the old files accepts the new leaves, because these carry a certificate by which the old CA
//!   vouches for the new one (`STEM.cross.crt`).
//!
//! [`finish_ca_rotation`] takes both away.

use std::fs;
use std::path::{Path, PathBuf};

use crate::authority::cross_path;
use crate::inspect::{self, CertificateFacts};
use crate::set::{check_name, within, write_leaf};
use crate::{Authority, AuthorityName, Error, Made, files};

/// A leaf found in a directory.
struct Leaf {
    name: String,
    path: PathBuf,
    cert: CertificateFacts,
}

/// Replaces `NAME.crt` and `NAME.key`: a fresh key, the same names and usages, the same length of validity, from
/// the CA that issued the present one.
///
/// # Errors
/// [`Error::Io`] if there is no such certificate, [`Error::UnknownIssuer`] if no CA of `dir` has issued it.
pub fn rotate_leaf(dir: &Path, name: &str) -> Result<Made, Error> {
    check_name(name)?;
    let path = dir.join(format!("{name}.crt"));
    let cert = first_certificate(&path)?;
    for ca in AuthorityName::ALL {
        if !dir.join(format!("{}.crt", ca.stem())).exists() {
            continue;
        }
        let authority = Authority::load(dir, ca.stem())?;
        if authority.subject() == cert.issuer {
            return reissue(dir, &authority, &Leaf { name: name.to_owned(), path, cert });
        }
    }
    Err(Error::UnknownIssuer { path, issuer: cert.issuer })
}

/// Makes a successor of a CA and issues its leaves anew, with overlap (see the module's text). The new CA and the
/// leaves are returned in the order they were written.
///
/// # Errors
/// [`Error::RotationUnderWay`] before the last rotation was finished; otherwise as [`Authority::load`].
pub fn rotate_ca(dir: &Path, ca: AuthorityName) -> Result<Vec<Made>, Error> {
    let stem = ca.stem();
    let bundle = dir.join(format!("{stem}.crt"));
    if inspect::read_certificates(&bundle)?.len() > 1 {
        return Err(Error::RotationUnderWay(bundle));
    }
    let old = Authority::load(dir, stem)?;
    let leaves = leaves_of(dir, old.subject())?;
    let mut new = Authority::new(ca.title())?;
    old.cross_sign(&mut new)?;

    // Trust goes out before anything that needs it.
    files::write_cert(&bundle, &format!("{}{}", new.cert_pem(), old.cert_pem()))?;
    files::write_key(&dir.join(format!("{stem}.key")), &new.key_pem())?;
    files::write_cert(&cross_path(dir, stem), &new.chain_pem())?;
    let mut made = vec![Made::new(dir, stem, &inspect::facts(new.cert_der(), &bundle)?)];
    for leaf in &leaves {
        made.push(reissue(dir, &new, leaf)?);
    }
    Ok(made)
}

/// Ends the overlap of a CA rotation: the old CA is no longer trusted, and leaves no longer carry its signature.
/// Keys stay as they are. Returns the files that changed.
///
/// # Errors
/// [`Error::NoRotation`] when none is under way; otherwise as [`Authority::load`].
pub fn finish_ca_rotation(dir: &Path, ca: AuthorityName) -> Result<Vec<PathBuf>, Error> {
    let stem = ca.stem();
    let bundle = dir.join(format!("{stem}.crt"));
    let certs = inspect::read_certificates(&bundle)?;
    let (Some(current), true) = (certs.first(), certs.len() > 1) else {
        return Err(Error::NoRotation(bundle));
    };
    let mut changed = Vec::new();
    for leaf in leaves_of(dir, &current.subject)? {
        files::write_cert(&leaf.path, &inspect::to_pem(&leaf.cert.der))?;
        changed.push(leaf.path);
    }
    files::write_cert(&bundle, &inspect::to_pem(&current.der))?;
    files::remove_if_there(&cross_path(dir, stem))?;
    changed.push(bundle);
    Ok(changed)
}

fn reissue(dir: &Path, authority: &Authority, leaf: &Leaf) -> Result<Made, Error> {
    let request = within(leaf.cert.to_request(), authority.not_after());
    write_leaf(dir, &leaf.name, &authority.issue(&request)?)
}

fn first_certificate(path: &Path) -> Result<CertificateFacts, Error> {
    let first = inspect::read_certificates(path)?.into_iter().next();
    first.ok_or_else(|| Error::bad_file(path, "holds no certificate"))
}

/// Leaves in `dir` that `issuer` has issued and whose key lies beside them, in the order of their names. Files that
/// aren't certificates are none of our business.
fn leaves_of(dir: &Path, issuer: &str) -> Result<Vec<Leaf>, Error> {
    let mut leaves = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = entry.map_err(Error::io(dir))?.path();
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
        let is_cert = path.extension().is_some_and(|extension| extension == "crt");
        if !is_cert || check_name(&name).is_err() || !path.with_extension("key").exists() {
            continue;
        }
        let cert = first_certificate(&path)?;
        if cert.issuer == issuer && !cert.is_ca {
            leaves.push(Leaf { name, path, cert });
        }
    }
    leaves.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(leaves)
}

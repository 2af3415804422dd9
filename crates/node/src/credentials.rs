//! How a dialled link shows who it is: user and password, token, nkey seed, or `.creds` file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker::{LinkLogin, LinkProof};
use identity::nkey::{Nkey, UserCredentials};

use crate::sections::Link;

/// The credentials of one link. Files are read for each login, so that what replaces them counts from then on.
#[derive(Clone, Default)]
pub struct LinkCredentials {
    /// User name.
    pub user: Option<String>,
    /// Its password. Secret.
    pub password: Option<String>,
    /// Bearer token. Secret.
    pub token: Option<String>,
    /// File with an nkey seed.
    pub nkey_path: Option<PathBuf>,
    /// The seed itself, where a nats-server configuration holds it. Secret.
    pub nkey_seed: Option<String>,
    /// File with a user JWT and the seed of its key.
    pub credentials_path: Option<PathBuf>,
}

impl std::fmt::Debug for LinkCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkCredentials")
            .field("nkey_path", &self.nkey_path)
            .field("credentials_path", &self.credentials_path)
            .finish_non_exhaustive()
    }
}

impl LinkCredentials {
    /// What a section says.
    #[must_use]
    pub fn of(link: &Link) -> Self {
        Self {
            user: link.user.clone(),
            password: link.password.clone(),
            token: link.token.clone(),
            nkey_path: link.nkey_path.clone(),
            nkey_seed: None,
            credentials_path: link.credentials_path.clone(),
        }
    }

    /// As what the broker asks.
    #[must_use]
    pub fn shared(self) -> Arc<dyn LinkLogin> {
        Arc::new(self)
    }
}

impl LinkLogin for LinkCredentials {
    fn prove(&self, nonce: &str) -> Result<LinkProof, String> {
        let mut proof = LinkProof {
            user: self.user.clone(),
            password: self.password.clone(),
            token: self.token.clone(),
            ..LinkProof::default()
        };
        if let Some(path) = &self.credentials_path {
            let credentials = UserCredentials::parse(&read(path)?).map_err(|error| at(path, &error))?;
            proof.signature = Some(credentials.key.sign(nonce));
            proof.jwt = Some(credentials.jwt().to_owned());
        } else if let Some(path) = &self.nkey_path {
            let key = Nkey::from_seed(&read(path)?).map_err(|error| at(path, &error))?;
            sign(&mut proof, &key, nonce);
        } else if let Some(seed) = &self.nkey_seed {
            let key = Nkey::from_seed(seed).map_err(|error| error.to_string())?;
            sign(&mut proof, &key, nonce);
        }
        Ok(proof)
    }
}

fn sign(proof: &mut LinkProof, key: &Nkey, nonce: &str) {
    proof.nkey = Some(key.public());
    proof.signature = Some(key.sign(nonce));
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_for_each_login_and_errors_name_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.nk");
        let login = LinkCredentials { nkey_path: Some(path.clone()), ..LinkCredentials::default() };
        let error = login.prove("n").unwrap_err();
        assert!(error.contains("link.nk"), "{error}");
        std::fs::write(&path, "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY\n").unwrap();
        let proof = login.prove("n").unwrap();
        assert!(proof.nkey.unwrap().starts_with("UDXU") && proof.signature.is_some());
        std::fs::write(&path, "SUBAD").unwrap();
        assert!(!login.prove("n").unwrap_err().contains("SUBAD"));
    }
}

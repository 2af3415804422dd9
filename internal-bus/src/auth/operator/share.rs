//! What accounts with JWTs let each other have: the exports and imports in their claims.

use std::collections::HashMap;
use std::time::Duration;

use broker::{ResponseKind, ServiceTerms};
use serde::Deserialize;

use super::{AccountClaims, Claims, OfKind, Operators, SigningKey, decode, unix_now};
use crate::plan::ImportPlan;

#[derive(Deserialize, Default, Clone)]
pub(super) struct ExportClaims {
    #[serde(default)]
    subject: String,
    /// `stream` or `service`.
    #[serde(rename = "type", default)]
    kind: String,
    /// The importer must show an activation.
    #[serde(default)]
    token_req: bool,
    /// Accounts, or `*`, whose activations issued up to that time are void.
    #[serde(default)]
    revocations: HashMap<String, i64>,
    #[serde(default)]
    response_type: String,
    /// Nanoseconds.
    #[serde(default)]
    response_threshold: u64,
    #[serde(default)]
    account_token_position: usize,
}

#[derive(Deserialize, Default, Clone)]
pub(super) struct ImportClaims {
    #[serde(default)]
    subject: String,
    #[serde(default)]
    account: String,
    #[serde(default)]
    token: String,
    /// Of old: a prefix for a stream, the subject there for a service.
    #[serde(default)]
    to: String,
    #[serde(default)]
    local_subject: String,
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    share: bool,
}

#[derive(Deserialize, Default)]
struct ActivationClaims {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    issuer_account: String,
}

impl OfKind for ActivationClaims {
    fn kind(&self) -> &str {
        &self.kind
    }
}

impl ImportClaims {
    /// The subject there, and the name here.
    fn names(&self) -> (&str, String) {
        match (self.kind.as_str(), self.local_subject.is_empty(), self.to.is_empty()) {
            (_, false, _) => (&self.subject, self.local_subject.clone()),
            ("stream", true, false) => (&self.subject, format!("{}.{}", self.to, self.subject)),
            (_, true, false) => (&self.to, self.subject.clone()),
            (_, true, true) => (&self.subject, self.subject.clone()),
        }
    }
}

impl Operators {
    /// What accounts have from each other, and a sentence for each import that is not allowed: as in nats-server
    /// the rest of such an account works.
    #[must_use]
    pub fn imports(&self) -> (Vec<ImportPlan>, Vec<String>) {
        let (mut plans, mut refused) = (Vec::new(), Vec::new());
        for (importer, claims) in &self.accounts {
            for import in &claims.imports {
                match self.import(importer, import) {
                    Ok(plan) => plans.push(plan),
                    Err(why) => {
                        let (account, subject) = (&import.account, &import.subject);
                        refused.push(format!(
                            "account {importer} imports nothing of {subject:?} from {account}: {why}"
                        ));
                    }
                }
            }
        }
        (plans, refused)
    }

    fn import(&self, importer: &str, import: &ImportClaims) -> Result<ImportPlan, String> {
        let exporter = self.accounts.get(&import.account).ok_or("it is not known here")?;
        let (subject, to) = import.names();
        let fitting = exporter.exports.iter().filter(|export| {
            export.kind == import.kind && subject::covers(export.subject.as_bytes(), subject.as_bytes())
        });
        let mut why = "it is not exported".to_owned();
        for export in fitting {
            match allowed(export, importer, import, subject, exporter) {
                Ok(()) => {
                    let map = subject::Mapping::new(subject, &to).map_err(|error| error.to_string())?;
                    if import.kind == "service" && map.inverse().is_none() {
                        return Err("its names don't fit together".to_owned());
                    }
                    return Ok(ImportPlan {
                        exporter: import.account.clone(),
                        subject: subject.to_owned(),
                        importer: importer.to_owned(),
                        to,
                        service: (import.kind == "service").then(|| terms(export, import.share)),
                    });
                }
                Err(reason) => why = reason,
            }
        }
        Err(why)
    }
}

fn terms(export: &ExportClaims, share: bool) -> ServiceTerms {
    let many = matches!(export.response_type.as_str(), "Stream" | "Chunked");
    let threshold = Duration::from_nanos(export.response_threshold);
    ServiceTerms {
        responses: if many { ResponseKind::Many } else { ResponseKind::Single },
        threshold: if threshold.is_zero() { ServiceTerms::default().threshold } else { threshold },
        share,
    }
}

fn allowed(
    export: &ExportClaims,
    importer: &str,
    import: &ImportClaims,
    subject: &str,
    exporter: &AccountClaims,
) -> Result<(), String> {
    let position = export.account_token_position;
    if position > 0 && subject.split('.').nth(position - 1) != Some(importer) {
        return Err("its subject must name the importing account".to_owned());
    }
    if !export.token_req {
        return Ok(());
    }
    let token: Claims<ActivationClaims> = decode(import.token.trim(), unix_now()).map_err(|error| {
        if import.token.is_empty() {
            "it needs an activation".to_owned()
        } else {
            format!("its activation {error}")
        }
    })?;
    let signed = if token.nats.issuer_account.is_empty() {
        token.iss == import.account
    } else {
        let named = exporter.signing_keys.iter().any(|key| match key {
            SigningKey::Plain(key) => *key == token.iss,
            SigningKey::Scoped(scope) => scope.key == token.iss,
        });
        token.nats.issuer_account == import.account && named
    };
    let revoked = ["*", importer].into_iter().filter_map(|key| export.revocations.get(key));
    let void = revoked.into_iter().any(|until| token.iat <= *until);
    let covers = subject::covers(token.nats.subject.as_bytes(), subject.as_bytes());
    // Version 1 said what the activation is for where version 2 says what kind of token it is.
    let kind = token.is("activation") || token.nats.kind == import.kind;
    if signed && kind && !void && covers && token.sub == importer {
        Ok(())
    } else {
        Err("its activation is not for this".to_owned())
    }
}

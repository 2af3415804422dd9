//! Roles, bindings, issuers and certificates as two configurations write them.

use std::collections::{BTreeMap, BTreeSet};

use identity::policy::{BindingConfig, RoleConfig};

use crate::config::{Config, Issuer};

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) lines: Vec<String>,
    /// Roles whose holders have other rights afterwards.
    pub(super) roles: BTreeSet<String>,
}

pub(super) fn compare(old: &Config, new: &Config) -> Written {
    let mut written = Written::default();
    written.roles(old, new);
    written.bindings(&old.bindings, &new.bindings);
    written.issuers(&old.issuers, &new.issuers);
    let (before, after) = (&old.client_certificates, &new.client_certificates);
    if before != after {
        written.lines.push("client_certificates: what is accepted changes".to_owned());
    }
    written
}

impl Written {
    fn roles(&mut self, old: &Config, new: &Config) {
        let by_name = |config: &Config| -> BTreeMap<String, RoleConfig> {
            config.roles.iter().map(|role| (role.name.clone(), role.clone())).collect()
        };
        let (old, new) = (by_name(old), by_name(new));
        for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
            let before = self.lines.len();
            match (old.get(name), new.get(name)) {
                (Some(_), None) => self.lines.push(format!("- role `{name}` is gone")),
                (None, Some(_)) => self.lines.push(format!("+ role `{name}`")),
                (Some(old), Some(new)) => self.role(name, old, new),
                (None, None) => {}
            }
            if self.lines.len() > before {
                self.roles.insert(name.clone());
            }
        }
    }

    fn role(&mut self, name: &str, old: &RoleConfig, new: &RoleConfig) {
        let lists: [(&str, &[String], &[String]); 8] = [
            ("publish.allow", &old.publish.allow, &new.publish.allow),
            ("publish.deny", &old.publish.deny, &new.publish.deny),
            ("subscribe.allow", &old.subscribe.allow, &new.subscribe.allow),
            ("subscribe.deny", &old.subscribe.deny, &new.subscribe.deny),
            ("consume", &old.consume, &new.consume),
            ("stream_read", &old.stream_read, &new.stream_read),
            ("kv_read", &old.kv_read, &new.kv_read),
            ("kv_write", &old.kv_write, &new.kv_write),
        ];
        for (key, old, new) in lists {
            let gone = old.iter().filter(|entry| !new.contains(entry));
            self.lines.extend(gone.map(|entry| format!("- role `{name}` {key}: {entry}")));
            let come = new.iter().filter(|entry| !old.contains(entry));
            self.lines.extend(come.map(|entry| format!("+ role `{name}` {key}: {entry}")));
        }
        let rest: [(&str, String, String); 2] = [
            ("limits", format!("{:?}", old.limits), format!("{:?}", new.limits)),
            ("allow_responses", format!("{:?}", old.allow_responses), format!("{:?}", new.allow_responses)),
        ];
        for (key, _, _) in rest.into_iter().filter(|(_, old, new)| old != new) {
            self.lines.push(format!("~ role `{name}` {key}"));
        }
    }

    fn bindings(&mut self, old: &[BindingConfig], new: &[BindingConfig]) {
        let texts = |bindings: &[BindingConfig]| bindings.iter().map(binding).collect::<Vec<_>>();
        let (before, after) = (texts(old), texts(new));
        for (text, config) in before.iter().zip(old).filter(|(text, _)| !after.contains(text)) {
            self.lines.push(format!("- {text}"));
            self.roles.insert(config.role.clone());
        }
        for (text, config) in after.iter().zip(new).filter(|(text, _)| !before.contains(text)) {
            self.lines.push(format!("+ {text}"));
            self.roles.insert(config.role.clone());
        }
    }

    fn issuers(&mut self, old: &[Issuer], new: &[Issuer]) {
        for issuer in old {
            match new.iter().find(|other| other.issuer == issuer.issuer) {
                None => self.lines.push(format!("- issuer {} is no longer accepted", issuer.issuer)),
                Some(other) if other != issuer => {
                    self.lines.push(format!("~ issuer {}: how its tokens are verified", issuer.issuer));
                }
                Some(_) => {}
            }
        }
        let come = new.iter().filter(|issuer| !old.iter().any(|other| other.issuer == issuer.issuer));
        self.lines.extend(come.map(|issuer| format!("+ issuer {}", issuer.issuer)));
    }
}

fn binding(config: &BindingConfig) -> String {
    let issuer = config.issuer.iter().map(|issuer| format!("issuer is \"{issuer}\""));
    let when = config.when.iter().map(|(fact, test)| format!("{fact} {test}"));
    let conditions: Vec<String> = issuer.chain(when).collect();
    let conditions = if conditions.is_empty() { "everybody".to_owned() } else { conditions.join(", ") };
    format!("binding gives `{}`: {conditions}", config.role)
}

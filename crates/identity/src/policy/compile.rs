//! From the written policy to one that can be evaluated, with everything that is wrong said at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::condition::Condition;
use super::config::{BindingConfig, LimitsConfig, PolicyConfig, RoleConfig};
use super::jetstream::Shorthand;
use super::limits::Limits;
use super::template::Template;
use crate::rights::{Permission, ResponseLimit};

/// Something wrong in a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// Where: the table and its key, as in `roles[2] "partner" publish.allow[0]`.
    pub place: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// A compiled role.
#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) name: Arc<str>,
    pub(super) publish: Templates,
    pub(super) subscribe: Templates,
    pub(super) responses: Option<ResponseLimit>,
    pub(super) limits: Limits,
}

/// The lists of a permission before facts are put in.
#[derive(Debug, Clone, Default)]
pub(super) struct Templates {
    pub(super) allow: Vec<Template>,
    pub(super) deny: Vec<Template>,
}

/// A compiled binding.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    /// Index of the role.
    pub(super) role: usize,
    pub(super) issuer: Option<String>,
    pub(super) conditions: Vec<Condition>,
}

/// Compiles a policy, collecting problems.
#[derive(Default)]
pub(super) struct Compiler {
    errors: Vec<PolicyError>,
}

impl Compiler {
    pub(super) fn run(
        mut self,
        config: &PolicyConfig,
    ) -> Result<(Vec<Role>, Vec<Binding>), Vec<PolicyError>> {
        let mut names: HashMap<&str, usize> = HashMap::new();
        let mut roles = Vec::with_capacity(config.roles.len());
        for (index, role) in config.roles.iter().enumerate() {
            let place = format!("roles[{index}] \"{}\"", role.name);
            if role.name.is_empty() {
                self.error(&place, "a role needs a `name`");
            } else if names.insert(&role.name, index).is_some() {
                self.error(&place, "a role of this name exists already");
            }
            roles.push(self.role(&place, role));
        }
        let mut bindings = Vec::with_capacity(config.bindings.len());
        for (index, binding) in config.bindings.iter().enumerate() {
            let place = format!("bindings[{index}]");
            bindings.extend(self.binding(&place, binding, &names));
        }
        if self.errors.is_empty() { Ok((roles, bindings)) } else { Err(self.errors) }
    }

    fn error(&mut self, place: &str, problem: impl Into<String>) {
        self.errors.push(PolicyError { place: place.to_owned(), problem: problem.into() });
    }

    fn role(&mut self, place: &str, config: &RoleConfig) -> Role {
        let publish = |entry: &str| Permission::for_publish(Some(&[entry]), &[]).map(drop);
        let subscribe = |entry: &str| Permission::for_subscribe(Some(&[entry]), &[]).map(drop);
        let mut list = |key: &str, texts: &[String], valid: &dyn Fn(&str) -> Result<(), String>| {
            self.templates(&format!("{place} {key}"), texts, valid)
        };
        let valid_publish = |entry: &str| publish(entry).map_err(|error| error.to_string());
        let valid_subscribe = |entry: &str| subscribe(entry).map_err(|error| error.to_string());
        let mut publish = Templates {
            allow: list("publish.allow", &config.publish.allow, &valid_publish),
            deny: list("publish.deny", &config.publish.deny, &valid_publish),
        };
        let subscribe = Templates {
            allow: list("subscribe.allow", &config.subscribe.allow, &valid_subscribe),
            deny: list("subscribe.deny", &config.subscribe.deny, &valid_subscribe),
        };
        let shorthands = [
            (Shorthand::Consume, &config.consume),
            (Shorthand::StreamRead, &config.stream_read),
            (Shorthand::KvRead, &config.kv_read),
            (Shorthand::KvWrite, &config.kv_write),
        ];
        for (shorthand, names) in shorthands {
            let valid = |name: &str| match shorthand.names(name) {
                true => Ok(()),
                false => Err(format!("`{name}` can't be a stream's or bucket's name")),
            };
            for name in list(shorthand.key(), names, &valid) {
                publish.allow.extend(shorthand.publishes(&name));
            }
        }
        if shorthands.iter().any(|(_, names)| !names.is_empty()) {
            publish.allow.extend(Shorthand::look_around());
        }
        Role {
            name: config.name.as_str().into(),
            publish,
            subscribe,
            responses: config.allow_responses.and_then(|responses| responses.0),
            limits: self.limits(place, &config.limits),
        }
    }

    /// Parses a list; `valid` judges each entry with stand-ins in the place of facts.
    fn templates(
        &mut self,
        place: &str,
        texts: &[String],
        valid: &dyn Fn(&str) -> Result<(), String>,
    ) -> Vec<Template> {
        let mut templates = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let template = Template::parse(text);
            let checked = template.and_then(|template| match valid(&template.sample()) {
                Ok(()) => Ok(template),
                Err(problem) => Err(problem),
            });
            match checked {
                Ok(template) => templates.push(template),
                Err(problem) => self.error(&format!("{place}[{index}]"), problem),
            }
        }
        templates
    }

    fn limits(&mut self, place: &str, config: &LimitsConfig) -> Limits {
        let (limits, problems) = Limits::compile(config);
        for (key, problem) in problems {
            self.error(&format!("{place} limits.{key}"), problem);
        }
        limits
    }

    fn binding(
        &mut self,
        place: &str,
        config: &BindingConfig,
        roles: &HashMap<&str, usize>,
    ) -> Option<Binding> {
        let role = roles.get(config.role.as_str()).copied();
        if role.is_none() {
            self.error(place, format!("there is no role `{}`", config.role));
        }
        if config.issuer.as_deref() == Some("") {
            self.error(place, "`issuer` must not be empty");
        }
        let mut conditions = Vec::with_capacity(config.when.len());
        for (fact, test) in &config.when {
            match Condition::compile(fact, test) {
                Ok(condition) => conditions.push(condition),
                Err(problem) => self.error(&format!("{place} when"), problem),
            }
        }
        Some(Binding { role: role?, issuer: config.issuer.clone(), conditions })
    }
}

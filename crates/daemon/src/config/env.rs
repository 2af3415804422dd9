//! Environment variables that set keys of the configuration: `GATEHOUSE_LOG__LEVEL=debug` is `log.level = "debug"`.
//!
//! Two underscores stand for the dot between keys, a number for a position in an array
//! (`GATEHOUSE_ROLES__0__NAME`). The value is read as TOML where it is TOML, else as a string.

use super::error::{ConfigError, Place};
use super::keypath::{KeyPath, Segment};
use super::tree::{Entry, Node, Value, parse_value};

/// What the name of every override begins with.
pub const ENV_PREFIX: &str = "GATEHOUSE_";

/// The overrides in this process's environment; variables that are not Unicode are none.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| names_a_key(name))
}

/// Every key lies in a section, so that a variable without two underscores is none of ours to judge: scripts have
/// variables of this prefix, too.
fn names_a_key(variable: &str) -> bool {
    variable.strip_prefix(ENV_PREFIX).is_some_and(|rest| rest.contains("__"))
}

/// Sets in `root` what `variables` say, and tells which of them cannot be followed.
pub(super) fn apply(
    root: &mut Node,
    file: &str,
    variables: impl Iterator<Item = (String, String)>,
) -> Vec<ConfigError> {
    let mut overrides: Vec<_> = variables.filter(|(name, _)| name.starts_with(ENV_PREFIX)).collect();
    // Parents before children (`…ROLES` before `…ROLES__0`), and position 2 before position 10.
    overrides.sort_by_cached_key(|(name, _)| order(name));
    let mut errors = Vec::new();
    for (name, text) in overrides {
        let place = Place::Variable(name.clone());
        let steps = steps(&name);
        if let Err((path, message)) = set(root, &steps, &place, &text) {
            errors.push(ConfigError { file: file.to_owned(), place, key: path, message });
        }
    }
    errors
}

fn steps(name: &str) -> Vec<String> {
    name.trim_start_matches(ENV_PREFIX).to_ascii_lowercase().split("__").map(str::to_owned).collect()
}

fn order(name: &str) -> Vec<(usize, String)> {
    steps(name).into_iter().map(|step| (step.parse().unwrap_or(0), step)).collect()
}

/// Walks to the place the steps name, making tables and arrays on the way, and puts the value there.
fn set(root: &mut Node, steps: &[String], place: &Place, text: &str) -> Result<(), (KeyPath, String)> {
    if steps.iter().any(String::is_empty) {
        let message = "expected names joined by two underscores, as in GATEHOUSE_LOG__LEVEL";
        return Err((KeyPath::root(), message.to_owned()));
    }
    let mut node = root;
    let mut path = KeyPath::root();
    for (position, step) in steps.iter().enumerate() {
        let following = steps.get(position + 1);
        let (segment, child) =
            descend(node, step, place, following).map_err(|message| (path.clone(), message))?;
        path = match segment {
            Segment::Key(name) => path.key(name),
            Segment::Index(index) => path.index(index),
        };
        node = child;
    }
    *node = read(text, place);
    Ok(())
}

/// The child that `step` names, made if it is not there.
fn descend<'a>(
    node: &'a mut Node,
    step: &str,
    place: &Place,
    following: Option<&String>,
) -> Result<(Segment, &'a mut Node), String> {
    let fresh = || {
        // A new place that is indexed next becomes an array, any other a table.
        let indexed = following.is_some_and(|next| next.parse::<usize>().is_ok());
        let value = if indexed { Value::Array(Vec::new()) } else { Value::Table(Vec::new()) };
        Node::new(place.clone(), value)
    };
    match &mut node.value {
        Value::Table(entries) => {
            let index = entries.iter().position(|entry| entry.key == step).unwrap_or_else(|| {
                entries.push(Entry { key: step.to_owned(), place: place.clone(), node: fresh() });
                entries.len() - 1
            });
            let entry = entries.get_mut(index).ok_or("no such key")?;
            if following.is_none() {
                entry.place = place.clone();
            }
            Ok((Segment::Key(step.to_owned()), &mut entry.node))
        }
        Value::Array(items) => {
            let length = items.len();
            let index = step.parse::<usize>().ok().filter(|index| *index <= length).ok_or_else(|| {
                format!("expected a position from 0 to {length} in this array, found `{step}`")
            })?;
            if index == length {
                items.push(fresh());
            }
            Ok((Segment::Index(index), items.get_mut(index).ok_or("no such position")?))
        }
        other => Err(format!("expected a table to set `{step}` in, found {}", other.kind())),
    }
}

fn read(text: &str, place: &Place) -> Node {
    let as_text = || Node::new(place.clone(), Value::Text(text.to_owned()));
    let mut node = parse_value(text, place).unwrap_or_else(as_text);
    match node.value {
        Value::Date => as_text(),
        Value::Boolean(_) | Value::Integer(_) | Value::Float(_) => {
            node.raw = Some(text.to_owned());
            node
        }
        _ => node,
    }
}

//! Two answers side by side.

use serde_json::Value;

/// Fields that say when something happened, who answers, or what only a cluster has: they differ between any two
/// servers. Everything else has to be the same.
const OTHERWISE: [&str; 14] = [
    // When.
    "created",
    "ts",
    "time",
    "first_ts",
    "last_ts",
    "last_active",
    "pause_remaining",
    // A stand-alone nats-server says which leader there would be.
    "cluster",
    // How many calls it has answered: counted at other moments.
    "api",
    // Reserved for tiers and clusters.
    "reserved_memory",
    "reserved_storage",
    "last_delivered",
    // Ours says how a stream is synced.
    "gatehouse.sync",
    // Bytes on disk and in memory: each store has its own format.
    "raw_bytes",
];

/// Headers of direct answers that say when.
const OTHERWISE_HEADERS: [&str; 2] = ["Nats-Time-Stamp", "Nats-Last-Time"];

/// What differs, one line each: place, ours, stock's.
pub(crate) fn differences(ours: &Value, stock: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", ours, stock, &mut found);
    found
}

fn compare(place: &str, ours: &Value, stock: &Value, found: &mut Vec<String>) {
    match (ours, stock) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys.into_iter().filter(|key| !OTHERWISE.contains(&key.as_str())) {
                let (left, right) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                compare(&format!("{place}.{key}"), left, right, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (left, right)) in a.iter().zip(b).enumerate() {
                compare(&format!("{place}[{at}]"), left, right, found);
            }
        }
        (Value::String(a), Value::String(b)) if same_text(place, a, b) => {}
        _ if ours == stock || is_known(place, ours, stock) => {}
        _ => found.push(format!("{place}: ours {ours}, stock {stock}")),
    }
}

/// Single answers that are meant to differ.
fn is_known(place: &str, ours: &Value, stock: &Value) -> bool {
    match place {
        // Ours names the way to replicas.
        ".error.description" => {
            let way = ": link a nats-server cluster behind the gateway for replicated streams";
            ours.as_str().and_then(|ours| ours.strip_suffix(way)) == stock.as_str()
        }
        // A stream in memory that never stored anything can list sequence 0 as deleted.
        ".state.deleted" => ours.is_null() && *stock == serde_json::json!([0]),
        ".state.num_deleted" => ours.is_null() && *stock == serde_json::json!(1),
        // A purge of a stream that never stored anything makes nats-server say that it begins at 1.
        ".state.first_seq" => *ours == serde_json::json!(0) && *stock == serde_json::json!(1),
        _ => false,
    }
}

fn same_text(place: &str, ours: &str, stock: &str) -> bool {
    let timed = |text: &str| OTHERWISE_HEADERS.iter().any(|name| text.starts_with(&format!("{name}:")));
    let generated = place.ends_with(".name") && ours.len() == stock.len() && ours.len() > 7;
    ours == stock || (timed(ours) && timed(stock)) || generated
}

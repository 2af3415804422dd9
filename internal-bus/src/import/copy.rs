//! What a copied stream is here, wherever it comes from.

use std::sync::Arc;

use jetstream::config::StreamConfig;
use jetstream::import::{ForeignConsumer, ForeignState};
use jetstream::stamp::Stamp;
use jetstream::stream::Stream;
use serde_json::{Value, json};

/// What came of a stream.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) name: String,
    pub(super) messages: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) consumers: usize,
    /// What is different here.
    pub(super) notes: Vec<String>,
    /// What could not be read.
    pub(super) lost: Vec<String>,
}

/// The configuration as it is to be here, and whether the stream is in memory.
pub(super) fn config(mut config: Value, copied: &mut Copied) -> Result<(StreamConfig, bool), String> {
    if config["num_replicas"].as_u64().unwrap_or(1) > 1 {
        copied.notes.push(format!("it had {} replicas", config["num_replicas"]));
        config["num_replicas"] = json!(1);
    }
    for key in ["mirror", "sources", "placement", "compression"] {
        if let Some(fields) = config.as_object_mut()
            && let Some(old) = fields.remove(key)
            && matches!(key, "mirror" | "sources")
        {
            copied
                .notes
                .push(format!("its {key} {old} is left out: it would be read again from the beginning"));
        }
    }
    let memory = config["storage"] == "memory";
    let config = serde_json::from_value(config);
    config.map(|config| (config, memory)).map_err(|error| format!("a stream's configuration: {error}"))
}

/// A point in time as the API and the files write it.
pub(super) fn stamp(value: &Value) -> Option<Stamp> {
    serde_json::from_value(value.clone()).ok()
}

/// A consumer as it is to be here.
pub(super) fn consumer(
    name: &str,
    mut config: Value,
    created: Option<Stamp>,
    state: Option<ForeignState>,
) -> Result<ForeignConsumer, String> {
    if config["num_replicas"].as_u64().unwrap_or(0) > 1 {
        config["num_replicas"] = json!(0);
    }
    let config = serde_json::from_value(config).map_err(|error| error.to_string())?;
    Ok(ForeignConsumer { name: name.to_owned(), config, created, state })
}

/// Waits until what was appended is safe: it is acknowledged nowhere else before more is read.
pub(super) async fn safe(stream: &Arc<Stream>) -> Result<(), String> {
    let waiting = stream.clone();
    let safe = tokio::task::spawn_blocking(move || waiting.log.wait()).await;
    safe.map_err(|error| error.to_string())?.map(drop).map_err(|error| error.to_string())
}

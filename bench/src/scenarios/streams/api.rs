//! Requests to the JetStream API, one at a time.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::client::Operation;
use crate::servers::Fleet;

const INBOX: &str = "_INBOX.benchapi.1";

/// Asks `$JS.API.<what>` and reads the answer.
///
/// # Errors
/// When there is none, or it is an error.
pub(super) fn ask(fleet: &Fleet, what: &str, body: &Value) -> Result<Value> {
    let mut client = fleet.publish.connect()?;
    client.subscribe(INBOX, None)?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    client.send(format!("PUB $JS.API.{what} {INBOX} {}\r\n{body}\r\n", body.len()).as_bytes())?;
    loop {
        match client.receive()? {
            Operation::Message { headers: true, payload, .. } => {
                bail!("{what}: {}", String::from_utf8_lossy(payload).trim());
            }
            Operation::Message { payload, .. } => {
                let answer: Value = serde_json::from_slice(payload).with_context(|| what.to_owned())?;
                if !answer["error"].is_null() {
                    bail!("{what}: {}", answer["error"]);
                }
                return Ok(answer);
            }
            Operation::Error(line) => bail!("{what}: server says {}", String::from_utf8_lossy(line)),
            _ => {}
        }
    }
}

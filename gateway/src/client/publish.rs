//! `event-gateway pub`.

use async_nats::header::{HeaderName, HeaderValue};
use clap::Args;

use super::ClientError;
use super::connection::{self, Connection};
use crate::output::say;

/// Arguments of `pub`.
#[derive(Debug, Clone, Args)]
pub struct Publish {
    /// Subject to publish to.
    pub subject: String,
    /// The message; standard input when absent or `-`.
    pub payload: Option<String>,
    /// A header, as NAME:VALUE. Repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE", value_parser = connection::header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Where answers are wanted.
    #[arg(long, value_name = "SUBJECT")]
    pub reply: Option<String>,
    /// Publish so many times; `{i}` in the message becomes the number, from 1.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: u64,
    /// How to connect.
    #[command(flatten)]
    pub connection: Connection,
}

/// Publishes, and waits until the server has taken it.
///
/// # Errors
/// Why it was not.
pub async fn run(args: &Publish) -> Result<(), ClientError> {
    let payload = connection::payload(args.payload.as_deref())?;
    let mut connected = args.connection.open().await?;
    let lost = |error: async_nats::PublishError| ClientError::Lost(error.to_string());
    let client = connected.client.clone();
    for number in 1..=args.count {
        let (subject, payload) = (args.subject.clone(), numbered(&payload, number).into());
        let headers = (!args.headers.is_empty()).then(|| connection::headers(&args.headers));
        let sent = match (args.reply.clone(), headers) {
            (None, None) => client.publish(subject, payload).await,
            (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
            (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
            (Some(reply), Some(headers)) => {
                client.publish_with_reply_and_headers(subject, reply, headers, payload).await
            }
        };
        sent.map_err(lost)?;
    }
    connected.settled().await?;
    say(&match args.count {
        1 => format!("published to {} ({} bytes)", args.subject, payload.len()),
        count => format!("published {count} messages to {}", args.subject),
    })?;
    Ok(())
}

fn numbered(payload: &[u8], number: u64) -> Vec<u8> {
    match std::str::from_utf8(payload) {
        Ok(text) if text.contains("{i}") => text.replace("{i}", &number.to_string()).into_bytes(),
        _ => payload.to_vec(),
    }
}

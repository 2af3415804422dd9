//! `event-gateway sub`.

use std::io::{self, Write};

use async_nats::Message;
use clap::Args;
use futures_util::StreamExt;

use super::ClientError;
use super::connection::Connection;
use crate::output::note;

/// Arguments of `sub`.
#[derive(Debug, Clone, Args)]
pub struct Subscribe {
    /// Subject to listen on; may hold the wildcards `*` and `>`.
    pub subject: String,
    /// Join this queue group: each message goes to one of its members.
    #[arg(long, value_name = "GROUP")]
    pub queue: Option<String>,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    pub max: Option<u64>,
    /// Answer requests with this text; `{}` in it becomes what was asked.
    #[arg(long, value_name = "TEXT")]
    pub reply: Option<String>,
    /// Print payloads only.
    #[arg(long)]
    pub raw: bool,
    /// How to connect.
    #[command(flatten)]
    pub connection: Connection,
}

/// Prints messages as they come, until there were enough of them or Ctrl-C.
///
/// # Errors
/// The subscription was refused, or the connection lost for good.
pub async fn run(args: &Subscribe) -> Result<(), ClientError> {
    let mut connected = args.connection.open().await?;
    let client = connected.client.clone();
    let lost = |error: async_nats::SubscribeError| ClientError::Lost(error.to_string());
    let mut messages = match &args.queue {
        Some(queue) => client.queue_subscribe(args.subject.clone(), queue.clone()).await.map_err(lost)?,
        None => client.subscribe(args.subject.clone()).await.map_err(lost)?,
    };
    connected.settled().await?;
    if !args.raw {
        note(&format!("listening on {} (Ctrl-C ends)", args.subject))?;
    }
    let mut seen = 0;
    while args.max.is_none_or(|max| seen < max) {
        let message = tokio::select! {
            message = messages.next() => message,
            error = connected.refused() => return Err(error),
            _ = tokio::signal::ctrl_c() => break,
        };
        let Some(message) = message else {
            return Err(ClientError::Lost("the server closed it".into()));
        };
        seen += 1;
        show(&message, args.raw)?;
        if let (Some(text), Some(reply)) = (&args.reply, message.reply.clone()) {
            let asked = String::from_utf8_lossy(&message.payload);
            let answer = text.replace("{}", &asked);
            client
                .publish(reply, answer.into())
                .await
                .map_err(|error| ClientError::Lost(error.to_string()))?;
        }
    }
    // What is on its way out, answers above all, is still sent; a connection that is gone has nothing to lose.
    if let Err(error) = client.flush().await {
        tracing::debug!(%error, "not flushed");
    }
    Ok(())
}

/// Prints a message: `[subject] payload` with its headers before it, or the payload alone.
pub(super) fn show(message: &Message, raw: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if !raw {
        write!(out, "[{}", message.subject)?;
        if message.reply.is_some() {
            write!(out, ", wants an answer")?;
        }
        write!(out, "] ")?;
        for (name, values) in message.headers.iter().flat_map(async_nats::HeaderMap::iter) {
            for value in values {
                write!(out, "{name}: {value}; ")?;
            }
        }
    }
    out.write_all(&message.payload)?;
    out.write_all(b"\n")?;
    out.flush()
}

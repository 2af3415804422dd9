//! `event-gateway request`.

use std::time::Instant;

use async_nats::client::RequestErrorKind;
use async_nats::header::{HeaderName, HeaderValue};
use clap::Args;
use daemon::config::Period;

use super::ClientError;
use super::connection::{self, Connection};
use super::subscribe::show;
use crate::output::note;

/// Arguments of `request`.
#[derive(Debug, Clone, Args)]
pub struct Request {
    /// Subject to ask.
    pub subject: String,
    /// The question; standard input when absent or `-`.
    pub payload: Option<String>,
    /// A header, as NAME:VALUE. Repeatable.
    #[arg(short = 'H', long = "header", value_name = "NAME:VALUE", value_parser = connection::header)]
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub timeout: Period,
    /// Print the answer's payload only.
    #[arg(long)]
    pub raw: bool,
    /// How to connect.
    #[command(flatten)]
    pub connection: Connection,
}

/// Asks, and prints the first answer.
///
/// # Errors
/// There was none.
pub async fn run(args: &Request) -> Result<(), ClientError> {
    let payload = connection::payload(args.payload.as_deref())?;
    let mut connected = args.connection.open().await?;
    let mut request = async_nats::Request::new().payload(payload.into()).timeout(Some(args.timeout.into()));
    if !args.headers.is_empty() {
        request = request.headers(connection::headers(&args.headers));
    }
    let began = Instant::now();
    let client = connected.client.clone();
    let answer = tokio::select! {
        answer = client.send_request(args.subject.clone(), request) => answer,
        refused = connected.refused() => return Err(refused),
    };
    let answer = answer.map_err(|error| ClientError::Unanswered {
        subject: args.subject.clone(),
        reason: match error.kind() {
            RequestErrorKind::NoResponders => "nobody is there to answer".to_owned(),
            RequestErrorKind::TimedOut => format!("no answer within {}", args.timeout),
            _ => error.to_string(),
        },
    })?;
    if !args.raw {
        note(&format!("answer after {:.1?}", began.elapsed()))?;
    }
    show(&answer, true)?;
    Ok(())
}

//! The proof that it works: a real client outside, a real service inside.

use std::time::{Duration, Instant};

use async_nats::{Client, ConnectOptions, Subscriber};
use daemon::config::Period;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::UpError;
use super::layout::{Layout, TENANT};
use super::ports::Ports;
use crate::health::write_private;
use crate::token_cmd::{DEV_AUDIENCE, DEV_ISSUER, claims};

/// What the service inside answers on.
const SERVICE_SUBJECT: &str = "orders.*.status";

/// How long everything may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Time between two attempts.
const RETRY: Duration = Duration::from_millis(100);

/// How long the token is good for: a day of trying things out.
const TOKEN_LIFE: Period = Period::secs(24 * 3600);

/// The service inside, and what the client outside needs.
pub(super) struct Demo<'a> {
    layout: &'a Layout,
    ports: &'a Ports,
    inside: Client,
    requests: Subscriber,
    token: String,
    deadline: Instant,
}

impl<'a> Demo<'a> {
    /// Connects the service `orders` to the bus, as soon as the bus is there, and mints a token.
    pub(super) async fn start(layout: &'a Layout, ports: &'a Ports) -> Result<Self, UpError> {
        let token = mint(layout)?;
        let deadline = Instant::now() + PATIENCE;
        let connect = || async {
            let options = ConnectOptions::new()
                .name("orders")
                .require_tls(true)
                .add_root_certificates(layout.cert("internal-ca.crt"))
                .add_client_certificate(layout.cert("orders.crt"), layout.cert("orders.key"));
            options
                .connect(format!("tls://{}", ports.bus()))
                .await
                .map_err(|error| format!("the bus: {error}"))
        };
        let inside = until(deadline, layout, connect).await?;
        let subscribed = inside.queue_subscribe(SERVICE_SUBJECT, "orders".into()).await;
        let requests = subscribed.map_err(|error| UpError::Config(error.to_string()))?;
        Ok(Self { layout, ports, inside, requests, token, deadline })
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Asks from outside until an answer comes; how long that took.
    pub(super) async fn prove(&mut self) -> Result<Duration, UpError> {
        let (layout, ports, token, deadline) = (self.layout, self.ports, self.token.clone(), self.deadline);
        let ask = || async {
            let options = ConnectOptions::with_token(token.clone())
                .name("outside")
                .require_tls(true)
                .add_root_certificates(layout.cert("frontend-ca.crt"));
            let outside = options.connect(format!("tls://{}", ports.gateway())).await;
            let outside = outside.map_err(|error| format!("the gateway: {error}"))?;
            // The first one also warms the way up; the second one tells how long it takes.
            let mut took = Duration::ZERO;
            for _ in 0..2 {
                let began = Instant::now();
                let asked = outside.request(format!("orders.{TENANT}.status"), "proof".into()).await;
                asked.map_err(|error| format!("a request through the gateway: {error}"))?;
                took = began.elapsed();
            }
            Ok(took)
        };
        tokio::select! {
            took = until(deadline, layout, ask) => took,
            () = serve(&self.inside, &mut self.requests) => Err(nothing_through(layout, "the bus closed the connection")),
        }
    }

    /// Answers requests for as long as the bus lets it.
    pub(super) async fn answer(&mut self) {
        serve(&self.inside, &mut self.requests).await;
    }
}

/// Tries again and again until `deadline`.
async fn until<T, F>(deadline: Instant, layout: &Layout, mut attempt: impl FnMut() -> F) -> Result<T, UpError>
where
    F: Future<Output = Result<T, String>>,
{
    loop {
        let last = match timeout(ATTEMPT, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {ATTEMPT:?}"),
        };
        if Instant::now() >= deadline {
            return Err(nothing_through(layout, &last));
        }
        sleep(RETRY).await;
    }
}

fn nothing_through(layout: &Layout, last: &str) -> UpError {
    UpError::NothingThrough {
        seconds: PATIENCE.as_secs(),
        last: last.to_owned(),
        logs: layout.root().join("logs"),
    }
}

async fn serve(inside: &Client, requests: &mut Subscriber) {
    while let Some(request) = requests.next().await {
        let Some(reply) = request.reply else { continue };
        let asked = String::from_utf8_lossy(&request.payload);
        let answer = json!({ "subject": request.subject.as_str(), "asked": asked, "status": "accepted", "by": "orders, inside" });
        if let Err(error) = inside.publish(reply, answer.to_string().into()).await {
            tracing::debug!(%error, "not answered");
        }
    }
}

/// A token for a partner, also written to a file that only its owner may read.
fn mint(layout: &Layout) -> Result<String, UpError> {
    let partner: [(String, Value); 2] =
        [("tenant".into(), TENANT.into()), ("groups".into(), json!(["partners"]))];
    let claims = claims("demo-partner", DEV_ISSUER, &[DEV_AUDIENCE.to_owned()], TOKEN_LIFE, &partner);
    let token = layout.issuer().mint(&claims)?;
    let path = layout.token_file();
    write_private(&path, token.as_bytes()).map_err(UpError::file(&path))?;
    Ok(token)
}

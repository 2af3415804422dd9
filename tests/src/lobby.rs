//! A gateway alone: who gets through its door does not depend on what lies behind.

use anyhow::Result;
use serde_json::{Value, json};

use crate::gateway::{Gateway, GatewayOptions};
use crate::pki::Pki;
use crate::raw::Raw;
use crate::tls::{ClientTls, client_config};
use crate::tokens::Tokens;
use crate::wait::eventually;

/// A gateway whose bus is not there.
#[derive(Debug)]
pub struct Lobby {
    /// The gateway; dropped first.
    pub gateway: Gateway,
    /// Mints tokens the gateway trusts.
    pub tokens: Tokens,
    /// Certificates and working directory; dropped last.
    pub pki: Pki,
}

impl Lobby {
    /// Starts the gateway; `adjust` changes its options.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(pki: Pki, adjust: impl FnOnce(&Pki, &mut GatewayOptions)) -> Result<Self> {
        let tokens = Tokens::new(pki.dir())?;
        // Nobody listens there.
        let mut options = GatewayOptions::dialling(&pki, ([127, 0, 0, 1], 1).into());
        adjust(&pki, &mut options);
        let gateway = Gateway::start(&pki, &tokens, &options).await?;
        Ok(Self { gateway, tokens, pki })
    }

    /// A raw connection, TLS done as `tls` says, nothing sent.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn connect(&self, tls: &ClientTls) -> Result<Raw> {
        let config = client_config(tls, &[])?;
        Ok(Raw::tls(self.gateway.addresses.clients, config, "localhost").await?.0)
    }

    /// Logs in with a token and gives the answer: `PONG`, or the words of the error.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn login(&self, token: &str) -> Result<String> {
        self.login_as(&self.pki.outsider(), &json!({ "auth_token": token })).await
    }

    /// The same with a certificate, and other CONNECT options.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn login_as(&self, tls: &ClientTls, options: &Value) -> Result<String> {
        answer(&mut self.connect(tls).await?, options).await
    }

    /// The reasons of the first `count` logins refused, in their order, as the log has them. A log is written a little
    /// later than clients are answered.
    ///
    /// # Errors
    /// When there are not so many.
    pub async fn refusals(&self, count: usize) -> Result<Vec<String>> {
        eventually(&format!("{count} refusals in the log"), || async {
            let mut found = self.refusals_so_far();
            found.truncate(count);
            (found.len() == count).then_some(found)
        })
        .await
    }

    /// The same, all that are there.
    pub fn refusals_so_far(&self) -> Vec<String> {
        let log = self.gateway.process.log();
        let reason = |line: &str| {
            let (_, rest) = line.split_once("login refused")?.1.split_once("reason=")?;
            Some(rest.split(' ').next()?.trim_matches('"').to_owned())
        };
        log.lines().filter_map(reason).collect()
    }
}

/// Logs in on a connection and gives the answer: `PONG`, or the words of the error.
///
/// # Errors
/// When there is no answer.
pub async fn answer(raw: &mut Raw, options: &Value) -> Result<String> {
    let mut options = options.clone();
    options["verbose"] = false.into();
    raw.send(format!("CONNECT {options}\r\nPING\r\n")).await?;
    loop {
        let line = raw.line().await?;
        if line == "PONG" {
            return Ok(line);
        }
        if let Some(words) = line.strip_prefix("-ERR ") {
            return Ok(words.trim_matches('\'').to_owned());
        }
    }
}

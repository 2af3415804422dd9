//! The whole way, running: gateway, link, bus, with an issuer of tokens.

use anyhow::Result;

use crate::bus::{BusOptions, InternalBus};
use crate::gateway::{Gateway, GatewayOptions};
use crate::pki::Pki;
use crate::proxy::Proxy;
use crate::raw::Raw;
use crate::tls::client_config;
use crate::tokens::Tokens;

/// Gateway and bus of one test.
#[derive(Debug)]
pub struct Scene {
    /// The gateway; dropped first.
    pub gateway: Gateway,
    /// The bus.
    pub bus: InternalBus,
    /// In the link.
    pub proxy: Proxy,
    /// Mints tokens the gateway trusts.
    pub tokens: Tokens,
    /// Certificates and working directory; dropped last.
    pub pki: Pki,
}

impl Scene {
    /// Starts both with the usual options and waits until an event has passed through.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn new() -> Result<Self> {
        Self::with(|_, options| options).await
    }

    /// Starts both; `adjust` changes the gateway's options.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn with(adjust: impl FnOnce(&Pki, GatewayOptions) -> GatewayOptions) -> Result<Self> {
        let pki = Pki::new()?;
        let tokens = Tokens::new(pki.dir())?;
        let bus = InternalBus::start(&pki, &BusOptions::default()).await?;
        let proxy = Proxy::to(bus.leafnodes()?).await?;
        let options = adjust(&pki, GatewayOptions::dialling(&pki, proxy.address()));
        let mut gateway = Gateway::start(&pki, &tokens, &options).await?;
        gateway.ready().await?;
        Ok(Self { gateway, bus, proxy, tokens, pki })
    }

    /// A partner outside, with a token of tenant `acme`.
    ///
    /// # Errors
    /// When the gateway refuses it.
    pub async fn partner(&self) -> Result<async_nats::Client> {
        self.gateway.client(&self.pki, &self.tokens.good()?).await
    }

    /// A service inside, with its certificate.
    ///
    /// # Errors
    /// When the bus refuses it.
    pub async fn service(&self, name: &str) -> Result<async_nats::Client> {
        self.bus.client(&self.pki.service(name)).await
    }

    /// A raw connection to the gateway, TLS done, nothing sent.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn raw(&self) -> Result<Raw> {
        let config = client_config(&self.pki.outsider(), &[])?;
        Ok(Raw::tls(self.gateway.addresses.clients, config, "localhost").await?.0)
    }
}

//! From the configuration to everything that can say what a token is worth.

use std::sync::Arc;

use daemon::metrics::{Metrics, SampleKind};
use identity::opaque::{FileError, OpaqueFile};
use identity::rotate::Rotating;
use identity::tls::TlsError;
use identity::token::{KeyError, TokenVerifier};
use node::tls::Reloads;

use super::TokenSources;
use super::tokens::Turns;
use crate::config::{AuthConfig, Calls, Config, IntrospectionConfig, Issuer, followed};
use crate::http::HttpClient;
use crate::issuers::{Issuers, KeyServer, RemoteIssuer};
use crate::remote::{Asking, Introspection, IntrospectionSettings, Webhook, WebhookSettings};

/// Why tokens can't be judged as configured.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// Keys of issuers that can't be used.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Keys(Vec<KeyError>),
    /// Certificates for calling somebody that can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The file of opaque tokens can't be used.
    #[error(transparent)]
    Opaque(#[from] FileError),
}

impl TokenSources {
    /// Everything the configuration names; fetching begins at once. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`SourcesError`].
    pub fn of_config(config: &Config, reloads: &Reloads) -> Result<Self, SourcesError> {
        let issuers = config.issuers.iter().filter_map(Issuer::to_verifier).collect();
        let verifier = TokenVerifier::new(issuers).map_err(SourcesError::Keys)?;
        let verifier = Arc::new(verifier.with_max_token(config.service.max_token_bytes.as_usize()));
        let remote = remote_issuers(&config.issuers, reloads)?;
        let issuers = Arc::new(Issuers::start(remote, &verifier));
        let opaque = config.opaque_tokens.as_ref().map(|section| OpaqueFile(section.file.clone()));
        let opaque = opaque.map(Rotating::new).transpose()?.map(Arc::new);
        let introspection = config.introspection.as_ref();
        let introspection =
            introspection.and_then(|section| introspection_of(section, reloads)).transpose()?.map(Arc::new);
        let webhook = config.auth.as_ref().map(|section| webhook_of(section, reloads)).transpose()?;
        let webhook = webhook.map(Arc::new);
        Ok(Self { verifier, issuers, opaque, introspection, webhook, turns: Turns::default() })
    }

    /// The same with other issuers; everything else stays.
    ///
    /// # Errors
    /// [`SourcesError`]; nothing has changed then.
    pub fn with_issuers(&self, config: &Config, reloads: &Reloads) -> Result<Self, SourcesError> {
        let issuers = config.issuers.iter().filter_map(Issuer::to_verifier).collect();
        let verifier = TokenVerifier::new(issuers).map_err(SourcesError::Keys)?;
        let verifier = Arc::new(verifier.with_max_token(config.service.max_token_bytes.as_usize()));
        verifier.inherit(&self.verifier);
        let issuers = Arc::new(Issuers::start(remote_issuers(&config.issuers, reloads)?, &verifier));
        let Self { opaque, introspection, webhook, .. } = self;
        let (opaque, introspection, webhook) = (opaque.clone(), introspection.clone(), webhook.clone());
        Ok(Self { verifier, issuers, opaque, introspection, webhook, turns: Turns::default() })
    }

    /// Registers how asking others goes; `current` gives what is in force.
    pub(crate) fn register(
        metrics: &Metrics,
        current: impl Fn() -> Arc<Self> + Clone + Send + Sync + 'static,
    ) {
        let issuers = current.clone();
        Issuers::register(metrics, move || Arc::clone(&issuers().issuers));
        metrics.register_sampled(
            "auth_questions",
            "Questions put to services about tokens and rights, by outcome.",
            SampleKind::Counter,
            &["service", "outcome"],
            move || current().questions(),
        );
    }

    #[allow(clippy::cast_precision_loss)]
    fn questions(&self) -> Vec<(Vec<String>, f64)> {
        let introspection = self.introspection.as_ref().map(|asked| ("introspection", asked.counts()));
        let webhook = self.webhook.as_ref().map(|asked| ("webhook", asked.counts()));
        let lines = |(service, (answered, failed)): (&str, (u64, u64))| {
            [("answered", answered), ("failed", failed)]
                .map(|(outcome, count)| (vec![service.to_owned(), outcome.to_owned()], count as f64))
        };
        introspection.into_iter().chain(webhook).flat_map(lines).collect()
    }
}

/// The issuers whose keys are fetched.
fn remote_issuers(issuers: &[Issuer], reloads: &Reloads) -> Result<Vec<RemoteIssuer>, TlsError> {
    let remote = |issuer: &Issuer| {
        let location = issuer.location()?;
        let fetch = issuer.fetching();
        let name = format!("issuer {}", issuer.issuer);
        let server = |tls| RemoteIssuer {
            name: issuer.issuer.clone(),
            limits: fetch.refresh(),
            grace: fetch.outage_grace.into(),
            server: KeyServer {
                location,
                client: HttpClient::new(fetch.http(), tls),
                token_file: fetch.token_file.clone(),
            },
        };
        Some(followed(reloads, &name, fetch.tls(), issuer.plain_http()).map(server))
    };
    issuers.iter().filter_map(remote).collect()
}

fn client(name: &str, call: &Calls, plain: bool, reloads: &Reloads) -> Result<HttpClient, TlsError> {
    Ok(HttpClient::new(call.http(), followed(reloads, name, call.tls(), plain)?))
}

fn introspection_of(
    section: &IntrospectionConfig,
    reloads: &Reloads,
) -> Option<Result<Introspection, TlsError>> {
    let endpoint = section.at()?;
    let call = &section.call;
    let client = client("introspection", call, !endpoint.is_https(), reloads);
    let settings = IntrospectionSettings {
        endpoint,
        auth: section.auth(),
        issuer: section.issuer.clone(),
        audience: section.audience.clone(),
        holds: (call.cache_ttl.into(), call.negative_ttl.into()),
        lifetime: call.max_lifetime.into(),
    };
    let asking = Asking::new("introspection", call.asking());
    Some(client.map(|client| Introspection::new(settings, client, asking)))
}

fn webhook_of(section: &AuthConfig, reloads: &Reloads) -> Result<Webhook, TlsError> {
    let [authn, authz] = section.endpoints();
    let call = &section.call;
    let plain = [&authn, &authz].into_iter().flatten().all(|endpoint| !endpoint.is_https());
    let client = client("webhook", call, plain, reloads)?;
    let settings = WebhookSettings {
        authn,
        authz,
        action: section.action.clone(),
        resource: section.resource.clone(),
        holds: (call.cache_ttl.into(), call.negative_ttl.into()),
        lifetime: call.max_lifetime.into(),
    };
    let asking = || call.asking();
    Ok(Webhook::new(
        settings,
        client,
        Asking::new("webhook (tokens)", asking()),
        Asking::new("webhook (rights)", asking()),
    ))
}

//! pace: each try of a call waits for a token of its account's budget, and tells it of throttling.

use super::budget::{Budget, Limits};
use crate::{kinds::PlatformKey, metrics::Metrics};
use aws_sdk_sqs::{
    config::{
        ConfigBag, HttpClient, Intercept, RuntimeComponents, SharedHttpClient,
        interceptors::FinalizerInterceptorContextRef,
        retry::{ClassifyRetry, RetryAction},
    },
    error::{BoxError, ConnectorError},
};
use aws_smithy_http_client::{
    Builder, ConnectorBuilder,
    proxy::ProxyConfig,
    tls::{self, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, Metadata},
    runtime_components::RuntimeComponentsBuilder,
};
use aws_smithy_types::retry::ErrorKind;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

tokio::task_local! {
    /// The platform that calls are made for.
    static PLATFORM: PlatformKey;
}

/// Makes the calls of a future for a platform: they are its share of the account's budgets. Calls outside of
/// any, such as those that observe for all, have one share together.
pub async fn on_behalf_of<F: Future>(platform: PlatformKey, calls: F) -> F::Output {
    PLATFORM.scope(platform, calls).await
}

/// Operations on messages. SQS takes nearly any number of them for standard queues (its guide's "Amazon SQS
/// message quotas"), and a heartbeat that waits for others' calls would lose its message.
const UNPACED: [&str; 7] = [
    "ReceiveMessage",
    "SendMessage",
    "SendMessageBatch",
    "DeleteMessage",
    "DeleteMessageBatch",
    "ChangeMessageVisibility",
    "ChangeMessageVisibilityBatch",
];

/// What a service is asked at most for one account.
fn limits(service: &str) -> Limits {
    match service {
        "s3" | "sqs" => Limits { rate: 100.0, burst: 200.0 },
        "secretsmanager" => Limits { rate: 20.0, burst: 40.0 },
        _ => Limits { rate: 10.0, burst: 40.0 },
    }
}

/// Whom AWS counts calls for, as far as it is known without asking.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Payer {
    /// The account's number, or what else tells it apart.
    pub account: String,
    /// Region.
    pub region: String,
    /// What stands in for AWS.
    pub endpoint_url: Option<String>,
}

/// What a budget is for: an account's calls of one service.
type Payable = (Payer, &'static str);

/// The budgets of all accounts. Cheap to clone: clones share them.
#[derive(Clone, Debug)]
pub struct Budgets {
    metrics: Metrics,
    /// Those whose clients are gone are gone, too.
    made: Arc<Mutex<HashMap<Payable, Weak<Budget>>>>,
}

impl Budgets {
    /// None yet.
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, made: Arc::default() }
    }

    /// How clients of a service are paced whose calls count for this payer.
    pub fn pace(&self, payer: &Payer, service: &'static str, http: SharedHttpClient) -> Pace {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|_, budget| budget.strong_count() > 0);
        let key = (payer.clone(), service);
        let known = made.get(&key).and_then(Weak::upgrade);
        let budget = known.unwrap_or_else(|| Arc::new(Budget::new(service, limits(service))));
        made.insert(key, Arc::downgrade(&budget));
        Pace { service, budget, http, metrics: self.metrics.clone() }
    }
}

/// The HTTP client and the interceptor of one service's clients.
#[derive(Clone, Debug)]
pub struct Pace {
    service: &'static str,
    budget: Arc<Budget>,
    http: SharedHttpClient,
    metrics: Metrics,
}

impl HttpClient for Pace {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.http.http_connector(settings, components);
        SharedHttpConnector::new(PacedConnector { pace: self.clone(), inner })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        bag: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.http.validate_base_client_config(components, bag)
    }

    fn validate_final_config(&self, components: &RuntimeComponents, bag: &ConfigBag) -> Result<(), BoxError> {
        self.http.validate_final_config(components, bag)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.http.connector_metadata()
    }
}

#[derive(Debug)]
struct PacedConnector {
    pace: Pace,
    inner: SharedHttpConnector,
}

impl HttpConnector for PacedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        if operation.is_some_and(|operation| UNPACED.contains(&operation)) {
            return self.inner.call(request);
        }
        let (Pace { service, budget, metrics, .. }, inner) = (self.pace.clone(), self.inner.clone());
        let asker = PLATFORM.try_with(Clone::clone).ok();
        HttpConnectorFuture::new(async move {
            // Not worth another try within the same call: that would wait again.
            let waited = budget.take(asker).await.map_err(|error| ConnectorError::user(error.into()))?;
            metrics.aws_waited(service, waited);
            inner.call(request).await
        })
    }
}

impl Intercept for Pace {
    fn name(&self) -> &'static str {
        "Pace"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map_or("unknown", Metadata::name);
        let status = context.response().map(|response| response.status().as_u16());
        let by_code = || {
            let throttling = RetryAction::retryable_error(ErrorKind::ThrottlingError);
            components
                .retry_classifiers()
                .any(|classifier| classifier.classify_retry(context.inner()) == throttling)
        };
        if matches!(status, Some(429 | 503)) || (status >= Some(400) && by_code()) {
            self.metrics.aws_throttled(self.service);
            if !UNPACED.contains(&operation) {
                self.budget.throttled();
            }
        }
        Ok(())
    }
}

/// The SDK's usual HTTP client, by name: one that is wrapped has to be given.
pub fn http_client() -> SharedHttpClient {
    Builder::new().build_with_connector_fn(|settings, components| {
        let mut connector =
            ConnectorBuilder::default().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc));
        connector.set_connector_settings(settings.cloned());
        if let Some(components) = components {
            connector.set_sleep_impl(components.sleep_impl());
        }
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

#[cfg(test)]
mod tests;

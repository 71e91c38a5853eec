//! aws: clients, shared by all platforms that reach AWS in the same way.
//!
//! Which endpoints and roles a platform may name is decided in validate, before anything here is asked for.

mod budget;
pub mod iam;
mod pace;
#[cfg(debug_assertions)]
mod record;
mod unheard;

pub use pace::on_behalf_of;
pub use unheard::Unheard;

use crate::{
    metrics::Metrics,
    platform::{AssumedRole, Aws, Credentials},
};
use aws_config::{BehaviorVersion, Region, SdkConfig, sts::AssumeRoleProvider};
use aws_sdk_sqs::{
    config::{
        ConfigBag, Intercept, RuntimeComponents, SharedCredentialsProvider,
        interceptors::FinalizerInterceptorContextRef,
    },
    error::{BoxError, ProvideErrorMetadata, SdkError},
};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use pace::{Budgets, Payer};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::OnceCell;

/// Longest that one try of a call may take, the wait for its turn included.
const ATTEMPT: Duration = Duration::from_secs(10).saturating_add(budget::PATIENCE);
/// Longest that a call with its retries may take.
const OPERATION: Duration = Duration::from_secs(25).saturating_add(budget::PATIENCE);
/// How long AWS takes a request after it was signed (IAM guide, "AWS Signature Version 4 for API requests").
pub const SIGNED: Duration = Duration::from_secs(5 * 60);
/// How often a call is tried.
const TRIES: u32 = 3;
/// Name of the sessions of assumed roles, as it shows in CloudTrail.
const SESSION: &str = "streaming-operator";

/// Clients of one account, region and endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Account {
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// RDS.
    pub rds: aws_sdk_rds::Client,
    /// ElastiCache.
    pub elasticache: aws_sdk_elasticache::Client,
    /// Secrets Manager.
    pub secrets: aws_sdk_secretsmanager::Client,
    /// The region.
    pub region: String,
    key: Arc<Key>,
}

/// Two accounts are equal when they are reached in the same way.
impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

/// What tells accounts apart. Of keys only the hash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    region: String,
    endpoint_url: Option<String>,
    rights: Rights,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Rights {
    Operator,
    Role(AssumedRole),
    Secret { namespace: String, name: String, content_hash: String },
}

/// Why an account can't be reached.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The Secret is not there.
    #[error(
        "spec.aws.credentialsSecretRef: there is no Secret {0}; make it, with the keys accessKeyID and secretAccessKey"
    )]
    SecretMissing(String),
    /// What is named is no Secret, but a path to something else.
    #[error(
        "spec.aws.credentialsSecretRef: {0:?} is no name of a Secret; write lower-case letters, digits, `-` and `.`"
    )]
    NoSecretName(String),
    /// The Secret lacks a key.
    #[error("spec.aws.credentialsSecretRef: Secret {secret} has no key {key}")]
    KeyMissing {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// The API server did not give the Secret.
    #[error("can't read Secret {secret}: {source}")]
    Unreadable {
        /// The Secret.
        secret: String,
        /// Why.
        source: Box<kube::Error>,
    },
}

/// Makes accounts and keeps them.
#[derive(Clone)]
pub struct Accounts {
    kube: Client,
    metrics: Metrics,
    base: Arc<OnceCell<SdkConfig>>,
    made: Arc<Mutex<HashMap<Key, Account>>>,
    budgets: Budgets,
}

impl Accounts {
    /// None made yet. They come from the process's own configuration: its environment, files and pod identity.
    #[must_use]
    pub fn new(kube: Client, metrics: Metrics) -> Self {
        let budgets = Budgets::new(metrics.clone());
        Self { kube, metrics, base: Arc::default(), made: Arc::default(), budgets }
    }

    /// Likewise, from a configuration that is there.
    #[must_use]
    pub fn with_config(kube: Client, metrics: Metrics, config: SdkConfig) -> Self {
        Self { base: Arc::new(OnceCell::new_with(Some(config))), ..Self::new(kube, metrics) }
    }

    /// The account of a platform. `content_hash` is that of the Secret with the credentials, where there is
    /// one, so that new keys make a new client and the Secret is read no more often than it changes.
    ///
    /// # Errors
    /// [`AccessError`] when the Secret can't be read or lacks a key.
    pub async fn account(
        &self,
        namespace: &str,
        aws: &Aws,
        content_hash: Option<&str>,
    ) -> Result<Account, AccessError> {
        let rights = match &aws.credentials {
            Credentials::Operator => Rights::Operator,
            Credentials::Role(role) => Rights::Role(role.clone()),
            Credentials::Secret(name) => Rights::Secret {
                namespace: namespace.to_owned(),
                name: name.clone(),
                content_hash: content_hash.unwrap_or_default().to_owned(),
            },
        };
        let key = Key { region: aws.region.clone(), endpoint_url: aws.endpoint_url.clone(), rights };
        if let Some(account) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(account.clone());
        }
        let account = self.make(&key).await?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        // Keys that were replaced are of no more use.
        made.retain(|other, _| !other.rights.is_replaced_by(&key.rights));
        made.insert(key, account.clone());
        Ok(account)
    }

    /// The last account that was made with the keys of a Secret which is gone. For a platform that is deleted
    /// together with its Secret, as happens with a namespace: no other keys can come.
    #[must_use]
    pub fn last(&self, namespace: &str, aws: &Aws) -> Option<Account> {
        let Credentials::Secret(secret) = &aws.credentials else { return None };
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let found = made.iter().find(|(key, _)| {
            let of_secret = matches!(&key.rights, Rights::Secret { namespace: n, name, .. }
                if n == namespace && name == secret);
            of_secret && key.region == aws.region && key.endpoint_url == aws.endpoint_url
        });
        found.map(|(_, account)| account.clone())
    }

    async fn make(&self, key: &Key) -> Result<Account, AccessError> {
        let base = self.base.get_or_init(|| load(&key.region)).await;
        let mut own = base.to_builder().region(Region::new(key.region.clone()));
        own.set_endpoint_url(key.endpoint_url.clone());
        let own = own.build();
        let mut config = own.to_builder();
        match &key.rights {
            Rights::Operator => {}
            Rights::Role(role) => {
                let provider = AssumeRoleProvider::builder(&role.arn)
                    .external_id(&role.external_id)
                    .session_name(SESSION)
                    .configure(&own)
                    .build()
                    .await;
                config.set_credentials_provider(Some(SharedCredentialsProvider::new(provider)));
            }
            Rights::Secret { namespace, name, .. } => {
                let keys = self.read_keys(namespace, name).await?;
                config.set_credentials_provider(Some(SharedCredentialsProvider::new(keys)));
            }
        }
        Ok(clients(&config.build(), key, &self.metrics, &self.budgets))
    }

    async fn read_keys(
        &self,
        namespace: &str,
        name: &str,
    ) -> Result<aws_sdk_sqs::config::Credentials, AccessError> {
        // The name becomes a part of the request's path, where `..` would lead out of the namespace.
        if !is_object_name(name) {
            return Err(AccessError::NoSecretName(name.to_owned()));
        }
        let secret = Api::<Secret>::namespaced(self.kube.clone(), namespace)
            .get_opt(name)
            .await
            .map_err(|source| AccessError::Unreadable { secret: name.to_owned(), source: Box::new(source) })?
            .ok_or_else(|| AccessError::SecretMissing(name.to_owned()))?;
        let data = secret.data.unwrap_or_default();
        let value = |key: &'static str| {
            data.get(key)
                .and_then(|bytes| std::str::from_utf8(&bytes.0).ok())
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let required = |key: &'static str| {
            value(key).ok_or_else(|| AccessError::KeyMissing { secret: name.to_owned(), key })
        };
        Ok(aws_sdk_sqs::config::Credentials::new(
            required("accessKeyID")?,
            required("secretAccessKey")?,
            value("sessionToken"),
            None,
            "Secret",
        ))
    }
}

impl Account {
    /// Whose listings it may share.
    #[must_use]
    pub fn circle(&self) -> Circle {
        let rights = match &self.key.rights {
            Rights::Operator => "operator".to_owned(),
            // All but the platform's name: a role may trust a namespace, and another one not.
            Rights::Role(role) => {
                let namespace = role.external_id.rsplit_once('/').map_or("", |(namespace, _)| namespace);
                format!("{} {namespace}", role.arn)
            }
            Rights::Secret { content_hash, .. } => content_hash.clone(),
        };
        let Key { region, endpoint_url, rights: _ } = &*self.key;
        Circle { region: region.clone(), endpoint_url: endpoint_url.clone(), rights }
    }
}

/// Accounts that are the same one, reached with the same rights: what one of them may read, the others may.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Circle {
    region: String,
    endpoint_url: Option<String>,
    rights: String,
}

impl Key {
    /// The account that AWS counts calls for: that of the role, or of the same keys, whichever Secret holds them.
    fn payer(&self) -> Payer {
        let account = match &self.rights {
            Rights::Operator => "operator",
            // arn:partition:iam::account:role/name
            Rights::Role(role) => role.arn.split(':').nth(4).unwrap_or_default(),
            Rights::Secret { content_hash, .. } => content_hash,
        };
        Payer {
            account: account.to_owned(),
            region: self.region.clone(),
            endpoint_url: self.endpoint_url.clone(),
        }
    }
}

impl Rights {
    fn is_replaced_by(&self, other: &Self) -> bool {
        matches!((self, other), (
            Self::Secret { namespace: a, name: b, content_hash: old },
            Self::Secret { namespace: c, name: d, content_hash: new },
        ) if (a, b) == (c, d) && old != new)
    }
}

/// Whether an object can have that name: a DNS subdomain of RFC 1123.
fn is_object_name(name: &str) -> bool {
    let usual = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(usual)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

async fn load(region: &str) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(ATTEMPT)
        .operation_timeout(OPERATION)
        .build();
    aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .http_client(pace::http_client())
        .load()
        .await
}

/// Clients from a configuration that is complete.
fn clients(config: &SdkConfig, key: &Key, metrics: &Metrics, budgets: &Budgets) -> Account {
    let counter = |service| CountAttempts { service, metrics: metrics.clone() };
    let (payer, http) = (key.payer(), config.http_client().unwrap_or_else(pace::http_client));
    let pace = |service| budgets.pace(&payer, service, http.clone());
    macro_rules! configured {
        ($sdk:ident, $service:literal) => {{
            let mut builder = $sdk::config::Builder::from(config)
                .interceptor(counter($service))
                .interceptor(pace($service))
                .http_client(pace($service));
            // The SDK would let AWS_ENDPOINT_URL of this process win over the configuration.
            if key.endpoint_url.is_some() {
                builder.set_endpoint_url(key.endpoint_url.clone());
            }
            builder
        }};
    }
    let sqs = configured!(aws_sdk_sqs, "sqs").build();
    let s3 = configured!(aws_sdk_s3, "s3").force_path_style(key.endpoint_url.is_some()).build();
    let rds = configured!(aws_sdk_rds, "rds").build();
    let elasticache = configured!(aws_sdk_elasticache, "elasticache").build();
    let secrets = configured!(aws_sdk_secretsmanager, "secretsmanager").build();
    Account {
        rds: aws_sdk_rds::Client::from_conf(rds),
        elasticache: aws_sdk_elasticache::Client::from_conf(elasticache),
        secrets: aws_sdk_secretsmanager::Client::from_conf(secrets),
        sqs: aws_sdk_sqs::Client::from_conf(sqs),
        s3: aws_sdk_s3::Client::from_conf(s3),
        region: key.region.clone(),
        key: Arc::new(key.clone()),
    }
}

/// Counts each try of each call by service, operation and HTTP status.
#[derive(Debug)]
struct CountAttempts {
    service: &'static str,
    metrics: Metrics,
}

impl Intercept for CountAttempts {
    fn name(&self) -> &'static str {
        "CountAttempts"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        bag: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let operation = bag.load::<Metadata>().map_or("unknown", Metadata::name);
        let status = context.response().map_or_else(|| "none".to_owned(), |it| it.status().to_string());
        #[cfg(debug_assertions)]
        record::call(self.service, operation)?;
        self.metrics.aws_call(self.service, operation, status);
        Ok(())
    }
}

/// What a call's error says: AWS's code and message, or why there was no answer. Never the request.
pub fn explain<E, R>(error: &SdkError<E, R>) -> String
where
    E: ProvideErrorMetadata + std::error::Error,
{
    match error {
        SdkError::ServiceError(service) => {
            let inner = service.err();
            match (inner.code(), inner.message()) {
                (Some(code), Some(message)) => format!("{code}: {message}"),
                (Some(code), None) => code.to_owned(),
                (None, _) => "an error without a code".to_owned(),
            }
        }
        SdkError::TimeoutError(_) => "no answer in time".to_owned(),
        SdkError::DispatchFailure(failure) if failure.is_timeout() => "no connection in time".to_owned(),
        SdkError::DispatchFailure(failure) => failure.as_connector_error().map_or_else(
            || "the request could not be sent".to_owned(),
            |error| format!("the request could not be sent: {}", root(error)),
        ),
        SdkError::ResponseError(_) => "an answer that can't be understood".to_owned(),
        _ => "the request could not be made".to_owned(),
    }
}

fn root(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// AWS's code of an error, where it answered with one.
pub fn code<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<&str> {
    error.as_service_error().and_then(ProvideErrorMetadata::code)
}

/// Whether an error says that the queue is not there.
pub fn is_no_queue<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    code(error).is_some_and(|code| code.ends_with("NonExistentQueue") || code.ends_with("QueueDoesNotExist"))
}

#[cfg(test)]
mod tests;

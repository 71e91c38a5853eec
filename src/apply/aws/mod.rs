//! Carries calls to AWS out. Each may be repeated.

mod elasticache;
mod rds;
mod s3;
mod sqs;

pub use elasticache::set_password as set_cache_password;

use crate::{
    aws::Account,
    plan::{call::Call, rds::drill::Answer},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tracing::info;

/// What came of the calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many changed something.
    pub changed: usize,
    /// What failed, each with what was tried.
    pub failures: Vec<Failure>,
}

/// What came of the calls of one reconcile, by part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Queues and buckets.
    pub transcoding: Applied,
    /// The database.
    pub database: Applied,
    /// The cache.
    pub cache: Applied,
    /// The database's restore drills.
    pub drill: Drilled,
}

/// What came of a step of a restore drill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drilled {
    /// Of its calls.
    pub applied: Applied,
    /// Of asking the restored database, where it was asked.
    pub answer: Option<Answer>,
}

impl Outcome {
    /// How many calls changed something.
    #[must_use]
    pub fn changed(&self) -> usize {
        let Self { transcoding, database, cache, drill } = self;
        transcoding.changed + database.changed + cache.changed + drill.applied.changed
    }

    /// What failed.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        let Self { transcoding, database, cache, drill } = self;
        let failures = transcoding.failures.iter().chain(&database.failures).chain(&cache.failures);
        failures.chain(&drill.applied.failures)
    }
}

/// A call that failed. It is tried again with the next reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was tried and what AWS says.
    pub message: String,
    /// Whether it is only a matter of time: SQS makes no queue within 60 s of the deletion of one of that name.
    pub waiting: bool,
}

/// Reads passwords of servers from the Secrets of one namespace, at the moment of the call that needs one.
#[derive(Clone)]
pub struct Passwords {
    secrets: Api<Secret>,
}

impl Passwords {
    /// Of this namespace.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { secrets: Api::namespaced(client, namespace) }
    }

    async fn read(&self, secret: &str) -> Result<String, Failure> {
        let found = self.secrets.get_opt(secret).await;
        let found = found.map_err(|error| format!("can't read Secret {secret}: {error}"))?;
        let value = found.and_then(|it| it.data?.remove("password"));
        let text = value.and_then(|bytes| String::from_utf8(bytes.0).ok());
        text.ok_or_else(|| {
            format!("Secret {secret} with the key password is missing; it was generated").into()
        })
    }
}

/// Carries calls out, one after the other. One that fails stops none of the others.
pub async fn apply(account: &Account, passwords: &Passwords, calls: &[Call]) -> Applied {
    let mut applied = Applied::default();
    for call in calls {
        applied.carry_out(account, passwords, call).await;
    }
    applied
}

/// Carries calls out, one after the other, until one fails: each stands on those before it.
pub async fn apply_in_order(account: &Account, passwords: &Passwords, calls: &[Call]) -> Applied {
    let mut applied = Applied::default();
    for call in calls {
        applied.carry_out(account, passwords, call).await;
        if !applied.failures.is_empty() {
            break;
        }
    }
    applied
}

impl Applied {
    async fn carry_out(&mut self, account: &Account, passwords: &Passwords, call: &Call) {
        match carry_out(account, passwords, call).await {
            Ok(()) => {
                info!(%call, "changed AWS");
                self.changed += 1;
            }
            Err(failure) => {
                let message = format!("{call}: {}", failure.message);
                self.failures.push(Failure { message, ..failure });
            }
        }
    }
}

async fn carry_out(account: &Account, passwords: &Passwords, call: &Call) -> Result<(), Failure> {
    match call {
        Call::Rds(call) => Box::pin(rds::carry_out(account, call, passwords)).await,
        Call::ElastiCache(call) => Box::pin(elasticache::carry_out(account, call)).await,
        Call::S3(call) => Box::pin(s3::carry_out(account, call)).await,
        Call::Sqs(call) => Box::pin(sqs::carry_out(account, call)).await,
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self { message, waiting: false }
    }
}

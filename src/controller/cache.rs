//! Caches in ElastiCache, and the login that the pods use.

use super::data::{Data, Kind};
use crate::{
    api::{StreamingPlatform, names},
    apply::{
        aws::Failure as CallFailure,
        cache_login::{Login, Staged},
        connection::{Connection, Protocol, Target},
    },
    aws::{Account, Unheard},
    kinds::PlatformKey,
    managed::{Failure, Seen, elasticache},
    observe::aws::{cache::Caches, inventory::Observation},
    plan::{
        call::Call,
        elasticache::teardown,
        login::Step,
        managed::{DataPlan, Removal},
    },
    platform::{AwsCache, Platform},
};
use kube::{Api, Resource};
use tokio::time::Instant;
use tracing::info;

pub(super) type Cache = Data<Caches>;

/// How far the login is.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// One on its way.
    staged: Option<Staged>,
    /// Passwords that may still arrive at AWS.
    unheard: Unheard,
}

impl Kind for Caches {
    const FIELD: &'static str = "cache";
    type Wanted = AwsCache;
    type Resource = elasticache::Cache;
    type Login = Progress;

    fn wanted(platform: &Platform) -> Option<&AwsCache> {
        platform.cache_in_aws()
    }

    async fn observe(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        wanted: &AwsCache,
        account: Result<&Account, &Failure>,
        not_before: Instant,
    ) -> Observation<elasticache::Cache> {
        self.observe(resource, platform, wanted, account, not_before).await
    }

    /// Descriptions tell everything.
    fn remind(_: &Progress, _: &mut Seen<elasticache::Cache>) {}

    fn forget(&self, account: &Account, calls: &[Call]) {
        self.forget(account, calls);
    }

    fn teardown(platform: &Platform, wanted: &AwsCache, seen: &Seen<elasticache::Cache>) -> Removal {
        teardown(platform, wanted, seen)
    }
}

impl Cache {
    /// Whether a password may still arrive at AWS that this leader has sent.
    pub fn password_may_arrive(&self) -> bool {
        self.any(|memory| memory.login.unheard.may_arrive())
    }

    /// Whether no call of an earlier leader can arrive any more.
    pub fn is_alone(&self) -> bool {
        self.alone_from.is_none_or(|from| from <= Instant::now())
    }

    /// Makes the login that the pods use, as planned. True: something was changed.
    ///
    /// Sets no password while a call of an earlier leader may still arrive: if that set the same user's password
    /// later, the Secret's would be wrong, and no description tells.
    ///
    /// # Errors
    /// What stopped it.
    pub async fn log_in(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        plan: &DataPlan,
        seen: Option<&Seen<elasticache::Cache>>,
        account: Option<&Account>,
    ) -> Result<bool, CallFailure> {
        let (Some(login), Some(seen), Some(account)) = (&plan.login, seen, account) else {
            return Ok(false);
        };
        if matches!(login.step, Step::Set { .. }) && !self.is_alone() {
            info!("the cache's login waits until no call of an earlier leader can arrive any more");
            return Ok(false);
        }
        let tls = platform.cache_in_aws().is_some_and(|cache| cache.tls);
        let connection = Connection {
            secrets: Api::namespaced(self.client.clone(), &key.namespace),
            metrics: self.metrics.clone(),
            target: Target {
                name: platform.name.child(names::CACHE),
                labels: login.labels.clone(),
                owner: resource.controller_owner_ref(&()),
                retained: login.retained,
            },
            endpoint: login.endpoint.clone(),
            protocol: Protocol::Redis { tls },
            vault: None,
        };
        let Progress { mut staged, unheard } = self.remembered(key, |memory| memory.login.clone());
        let login =
            Login { account, connection: &connection, platform, plan: login, seen, unheard: &unheard };
        let done = login.carry_out(&mut staged).await;
        self.remembered(key, |memory| {
            if matches!(done, Ok(true)) {
                memory.changed_at = Some(Instant::now());
            }
            memory.busy |= staged.is_some();
            memory.login.staged = staged;
        });
        done
    }
}

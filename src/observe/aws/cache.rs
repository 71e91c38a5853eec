//! What is there of one platform's cache.

use super::{
    elasticache,
    inventory::{Ask, BELIEVED, Believed, Inventory, Observation},
};
use crate::{
    api::{StreamingPlatform, names},
    aws::Account,
    kinds::PlatformKey,
    managed::{
        Failure, Seen,
        elasticache::{
            Cache, Call,
            parameter_group::{self, ParameterGroup},
            user,
        },
        parameters::Parameter,
    },
    plan::{call, elasticache::subnet_group_name},
    platform::{AwsCache, Platform},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Observes caches in ElastiCache. Cheap to clone: clones share what they saw.
#[derive(Clone, Default)]
pub struct Caches {
    inventory: Inventory<elasticache::Listing>,
    tags: Believed<BTreeMap<String, String>>,
    parameters: Believed<BTreeMap<String, Parameter>>,
}

impl Caches {
    /// What is there of a platform's cache, by a listing that is no older than `not_before`.
    pub async fn observe(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        wanted: &AwsCache,
        account: Result<&Account, &Failure>,
        not_before: Instant,
    ) -> Observation<Cache> {
        let status = resource.status.as_ref().and_then(|status| status.cache.as_ref());
        let (mut seen, mut changed) = (Seen::told_by(status), BTreeSet::new());
        let account = match account {
            Ok(account) => account,
            Err(failure) => {
                seen.failure = Some(failure.clone());
                return Observation { seen, changed };
            }
        };
        let failed = |message: String| Some(Failure { credentials: false, message });
        match self.inventory.look(account, not_before, || Box::pin(elasticache::list(account))).await {
            Ok(look) => {
                seen.failure = look.error.and_then(failed);
                seen.resource = of_platform(&look.listing, platform, wanted);
                if let Err(message) = self.complete(account, platform, wanted, &mut seen.resource).await {
                    seen.failure = failed(message);
                }
                if let Some(before) = look.before {
                    changed = self.platforms(account, &look.listing.changed_since(&before));
                }
            }
            Err(message) => seen.failure = failed(message),
        }
        Observation { seen, changed }
    }

    /// Adds what is not in the listing.
    async fn complete(
        &self,
        account: &Account,
        platform: &Platform,
        wanted: &AwsCache,
        there: &mut Cache,
    ) -> Result<(), String> {
        if let Some(group) = &mut there.group {
            group.tags = self.tags(account, &group.arn, group.created_at).await?;
        }
        if let Some(cache) = &mut there.serverless {
            cache.tags = self.tags(account, &cache.arn, cache.created_at).await?;
        }
        let name = parameter_group::name(platform, wanted);
        if let Some(group) = there.parameter_groups.get_mut(&name) {
            let ask = Ask { name: &name, of: None, lasts: BELIEVED };
            let read = || Box::pin(elasticache::parameters(account, &name));
            group.parameters = Some(self.parameters.get(account, ask, read).await?);
        }
        Ok(())
    }

    async fn tags(
        &self,
        account: &Account,
        arn: &str,
        of: Option<Timestamp>,
    ) -> Result<BTreeMap<String, String>, String> {
        // Another one of its name has other tags.
        let ask = Ask { name: arn, of, lasts: BELIEVED };
        let read = async || Ok(Box::pin(elasticache::tags(account, arn)).await?.unwrap_or_default());
        self.tags.get(account, ask, read).await
    }

    /// Platforms that the tags of these ARNs name.
    fn platforms(&self, account: &Account, arns: &BTreeSet<String>) -> BTreeSet<PlatformKey> {
        let tags = arns.iter().filter_map(|arn| self.tags.last(account, arn));
        tags.filter_map(|tags| {
            Some(PlatformKey::new(tags.get(names::TAG_NAMESPACE)?, tags.get(names::TAG_PLATFORM)?))
        })
        .collect()
    }

    /// Forgets the tags and parameters that these calls changed.
    pub fn forget(&self, account: &Account, calls: &[call::Call]) {
        for call in calls {
            match call {
                call::Call::ElastiCache(Call::Tag { arn, .. } | Call::Untag { arn, .. }) => {
                    self.tags.forget(account, arn);
                }
                call::Call::ElastiCache(
                    Call::SetParameters { name, .. } | Call::ResetParameters { name, .. },
                ) => self.parameters.forget(account, name),
                _ => {}
            }
        }
    }
}

/// What in an account is a platform's, by the names that derive from it or that the spec gives.
fn of_platform(listing: &elasticache::Listing, platform: &Platform, wanted: &AwsCache) -> Cache {
    // The group of another version stays until the upgrade is done, and goes with the platform.
    let ours = |name: &&String| {
        let prefix = parameter_group::prefix(platform);
        name.starts_with(&prefix)
    };
    let users = user::Role::ALL.map(|role| role.identifier(platform));
    Cache {
        group: listing.groups.get(&wanted.identifier).cloned(),
        serverless: listing.serverless.get(&wanted.identifier).cloned(),
        parameter_groups: listing
            .parameter_groups
            .iter()
            .filter(ours)
            .map(|name| (name.clone(), ParameterGroup::default()))
            .collect(),
        subnet_group: listing.subnet_groups.get(&subnet_group_name(platform)).cloned(),
        users: listing
            .users
            .iter()
            .filter(|(name, _)| users.contains(name))
            .map(|(name, user)| (name.clone(), user.clone()))
            .collect(),
        user_group: listing.user_groups.get(&user::group_identifier(platform)).cloned(),
    }
}

//! What is there of one platform's cache.

use super::{elasticache, inventory::Inventory};
use crate::{
    api::{DataStatus, StreamingPlatform, names},
    aws::{Account, Circle},
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
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long tags and parameters are believed. They are only changed by hand or by us.
const BELIEVED: Duration = Duration::from_secs(600);

/// Observes caches in ElastiCache. Cheap to clone: clones share what they saw.
#[derive(Clone, Default)]
pub struct Caches {
    inventory: Inventory<elasticache::Listing>,
    memory: Arc<Mutex<Memory>>,
}

/// What is read one by one, and when.
#[derive(Default)]
struct Memory {
    /// By account and ARN.
    tags: HashMap<(Circle, String), Tags>,
    /// By account and name of the group.
    parameters: HashMap<(Circle, String), (Instant, BTreeMap<String, Parameter>)>,
}

struct Tags {
    read_at: Instant,
    /// When the resource was made: another of its name has other tags.
    of: Option<Timestamp>,
    tags: BTreeMap<String, String>,
}

/// What was observed, and who else should look again because of it.
pub struct Observation {
    /// What is there.
    pub seen: Seen<Cache>,
    /// Platforms of the same account for which something changed.
    pub changed: BTreeSet<PlatformKey>,
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
    ) -> Observation {
        let status = resource.status.as_ref().and_then(|status| status.cache.as_ref());
        let mut seen = before(status);
        let mut changed = BTreeSet::new();
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
            group.parameters = Some(self.parameters(account, &name).await?);
        }
        Ok(())
    }

    async fn tags(
        &self,
        account: &Account,
        arn: &str,
        of: Option<Timestamp>,
    ) -> Result<BTreeMap<String, String>, String> {
        let key = (account.circle(), arn.to_owned());
        if let Some(known) = self.memory().tags.get(&key)
            && known.of == of
            && known.read_at.elapsed() < BELIEVED
        {
            return Ok(known.tags.clone());
        }
        let read_at = Instant::now();
        let tags = Box::pin(elasticache::tags(account, arn)).await?.unwrap_or_default();
        self.memory().tags.insert(key, Tags { read_at, of, tags: tags.clone() });
        Ok(tags)
    }

    async fn parameters(&self, account: &Account, name: &str) -> Result<BTreeMap<String, Parameter>, String> {
        let key = (account.circle(), name.to_owned());
        if let Some((at, parameters)) = self.memory().parameters.get(&key)
            && at.elapsed() < BELIEVED
        {
            return Ok(parameters.clone());
        }
        let at = Instant::now();
        let parameters = Box::pin(elasticache::parameters(account, name)).await?;
        self.memory().parameters.insert(key, (at, parameters.clone()));
        Ok(parameters)
    }

    /// Platforms that the tags of these ARNs name.
    fn platforms(&self, account: &Account, arns: &BTreeSet<String>) -> BTreeSet<PlatformKey> {
        let (circle, memory) = (account.circle(), self.memory());
        let tags = arns.iter().filter_map(|arn| memory.tags.get(&(circle.clone(), arn.clone())));
        tags.filter_map(|Tags { tags, .. }| {
            Some(PlatformKey::new(tags.get(names::TAG_NAMESPACE)?, tags.get(names::TAG_PLATFORM)?))
        })
        .collect()
    }

    /// Forgets the tags and parameters that these calls changed.
    pub fn forget(&self, account: &Account, calls: &[call::Call]) {
        let mut memory = self.memory();
        for call in calls {
            match call {
                call::Call::ElastiCache(Call::Tag { arn, .. } | Call::Untag { arn, .. }) => {
                    memory.tags.remove(&(account.circle(), arn.clone()));
                }
                call::Call::ElastiCache(
                    Call::SetParameters { name, .. } | Call::ResetParameters { name, .. },
                ) => {
                    memory.parameters.remove(&(account.circle(), name.clone()));
                }
                _ => {}
            }
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the status said before.
fn before(status: Option<&DataStatus>) -> Seen<Cache> {
    Seen {
        identifier: status.and_then(|status| status.identifier.clone()),
        pending_since: status.and_then(|status| status.pending_since.as_ref()).map(|at| at.0),
        settled_generation: status.and_then(|status| status.settled_generation),
        ..Seen::default()
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

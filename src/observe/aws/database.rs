//! What is there of one platform's database.

use super::{inventory::Inventory, rds};
use crate::{
    api::{DataStatus, StreamingPlatform, names},
    aws::{Account, Circle},
    kinds::PlatformKey,
    managed::{
        Failure, Seen,
        rds::{
            Database,
            instance::InstanceSetting,
            parameter_group::{self, Parameter, ParameterGroup},
            scratch::{Mark, Scratch},
            subnet_group,
        },
    },
    platform::{AwsDatabase, Platform},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long the parameters of a group are believed. They are only changed by hand or by us.
const PARAMETERS: Duration = Duration::from_secs(600);

/// Observes databases in RDS. Cheap to clone: clones share what they saw.
#[derive(Clone, Default)]
pub struct Databases {
    inventory: Inventory<rds::Listing>,
    parameters: Arc<Mutex<HashMap<(Circle, String), Group>>>,
}

/// The parameters of a group, and when they were read.
type Group = (Instant, BTreeMap<String, Parameter>);

/// What was observed, and who else should look again because of it.
pub struct Observation {
    /// What is there.
    pub seen: Seen<Database>,
    /// Platforms of the same account for which something changed.
    pub changed: BTreeSet<PlatformKey>,
}

impl Databases {
    /// What is there of a platform's database, by a listing that was read after `not_before`.
    pub async fn observe(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        wanted: &AwsDatabase,
        account: Result<&Account, &Failure>,
        not_before: Instant,
    ) -> Observation {
        let status = resource.status.as_ref().and_then(|status| status.database.as_ref());
        let mut seen = before(status);
        let account = match account {
            Ok(account) => account,
            Err(failure) => {
                seen.failure = Some(failure.clone());
                return Observation { seen, changed: BTreeSet::new() };
            }
        };
        let failed = |message: String| Some(Failure { credentials: false, message });
        let look = self.inventory.look(account, not_before, || Box::pin(rds::list(account))).await;
        let look = match look {
            Ok(look) => look,
            Err(message) => {
                seen.failure = failed(message);
                return Observation { seen, changed: BTreeSet::new() };
            }
        };
        seen.failure = look.error.and_then(failed);
        seen.resource =
            Database { drill: seen.resource.drill.take(), ..of_platform(&look.listing, platform, wanted) };
        if let Some(group) = seen.resource.parameter_groups.get_mut(&parameter_group::name(platform, wanted))
        {
            match self.parameters(account, wanted, &group.name).await {
                Ok(parameters) => group.parameters = Some(parameters),
                Err(message) => seen.failure = failed(message),
            }
        }
        let changed = look.before.map(|before| look.listing.changed_since(&before)).unwrap_or_default();
        Observation { seen, changed }
    }

    async fn parameters(
        &self,
        account: &Account,
        wanted: &AwsDatabase,
        name: &str,
    ) -> Result<BTreeMap<String, Parameter>, String> {
        let key = (account.circle(), name.to_owned());
        let memory = || self.parameters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, parameters)) = memory().get(&key)
            && at.elapsed() < PARAMETERS
        {
            return Ok(parameters.clone());
        }
        let at = Instant::now();
        let parameters = Box::pin(rds::parameters(account, parameter_group::kind(wanted), name)).await?;
        memory().insert(key, (at, parameters.clone()));
        Ok(parameters)
    }

    /// Forgets the parameters of a group that was changed.
    pub fn forget_parameters(&self, account: &Account, name: &str) {
        let key = (account.circle(), name.to_owned());
        self.parameters.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

/// What the status said before.
fn before(status: Option<&DataStatus>) -> Seen<Database> {
    Seen {
        resource: Database {
            drill: status.and_then(|status| status.restore_drill.clone()),
            ..Database::default()
        },
        failure: None,
        identifier: status.and_then(|status| status.identifier.clone()),
        pending_since: status.and_then(|status| status.pending_since.as_ref()).map(|at| at.0),
        settled_generation: status.and_then(|status| status.settled_generation),
        login_refused: false,
    }
}

/// What of an account is a platform's: what has its tag, and what has the name that the spec asks for.
fn of_platform(listing: &rds::Listing, platform: &Platform, wanted: &AwsDatabase) -> Database {
    let (identifier, base) = (wanted.identifier(), &wanted.base_identifier);
    let tagged = |tags: &BTreeMap<String, String>| {
        !platform.uid.is_empty() && tags.get(names::TAG_UID) == Some(&platform.uid)
    };
    let named = |name: &String| *name == identifier || name == base;
    let scratch = scratch(listing, wanted, tagged);
    let member_of = |cluster: &str| named(&cluster.to_owned());
    let instances = listing.instances.iter().filter(|(name, instance)| {
        let cluster = instance.settings.get(&InstanceSetting::Cluster);
        let ours =
            tagged(&instance.tags) || named(name) || cluster.is_some_and(|cluster| member_of(cluster.text()));
        ours && !scratch.instances.contains_key(*name)
    });
    let clusters = listing.clusters.iter().filter(|(name, cluster)| {
        (tagged(&cluster.tags) || named(name)) && !scratch.clusters.contains_key(*name)
    });
    let group = parameter_group::name(platform, wanted);
    let subnets = subnet_group::name(platform);
    Database {
        instances: instances.map(|(name, it)| (name.clone(), it.clone())).collect(),
        clusters: clusters.map(|(name, it)| (name.clone(), it.clone())).collect(),
        parameter_groups: listing
            .parameter_groups
            .iter()
            .filter(|name| **name == group)
            .map(|name| (name.clone(), ParameterGroup { name: name.clone(), parameters: None }))
            .collect(),
        subnet_group: listing.subnet_groups.get(&subnets).cloned(),
        scratch: scratch.clone(),
        drill: None,
    }
}

/// What restore drills made. A drill deletes that without a snapshot: it has to be the platform's, and to have both
/// mark and name of a drill.
fn scratch(
    listing: &rds::Listing,
    wanted: &AwsDatabase,
    tagged: impl Fn(&BTreeMap<String, String>) -> bool,
) -> Scratch {
    let mark = |name: &str, tags: &BTreeMap<String, String>| {
        Mark::of(&wanted.base_identifier, name, tags).filter(|_| tagged(tags))
    };
    let instances =
        listing.instances.iter().filter_map(|(name, it)| Some((mark(name, &it.tags)?, name, it.clone())));
    let clusters =
        listing.clusters.iter().filter_map(|(name, it)| Some((mark(name, &it.tags)?, name, it.clone())));
    Scratch {
        instances: instances.map(|(mark, name, it)| (name.clone(), (mark, it))).collect(),
        clusters: clusters.map(|(mark, name, it)| (name.clone(), (mark, it))).collect(),
    }
}

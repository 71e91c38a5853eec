//! What is there of one platform's database.

use super::{
    inventory::{Ask, BELIEVED, Believed, Inventory, Observation},
    rds,
};
use crate::{
    api::{StreamingPlatform, names},
    aws::Account,
    managed::{
        Failure, Seen,
        rds::{
            Call, Database, blue_green,
            instance::InstanceSetting,
            parameter_group::{self, GroupKind, Parameter, ParameterGroup},
            scratch::{Mark, Scratch},
            subnet_group,
        },
    },
    plan::call,
    platform::{AwsDatabase, Platform},
};
use jiff::Timestamp;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// How long the parameters of an instance's group are believed: events tell when they change.
const WITH_EVENTS: Duration = Duration::from_secs(3600);

/// Observes databases in RDS. Cheap to clone: clones share what they saw.
#[derive(Clone, Default)]
pub struct Databases {
    inventory: Inventory<rds::Listing>,
    parameters: Believed<BTreeMap<String, Parameter>>,
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
    ) -> Observation<Database> {
        let status = resource.status.as_ref().and_then(|status| status.database.as_ref());
        let (mut seen, mut changed) = (Seen::<Database>::told_by(status), BTreeSet::new());
        seen.resource.drill = status.and_then(|status| status.restore_drill.clone());
        let account = match account {
            Ok(account) => account,
            Err(failure) => {
                seen.failure = Some(failure.clone());
                return Observation { seen, changed };
            }
        };
        let failed = |message: String| Some(Failure { credentials: false, message });
        match self.inventory.look(account, not_before, || Box::pin(rds::list(account))).await {
            Ok(look) => {
                seen.failure = look.error.and_then(failed);
                let drill = seen.resource.drill.take();
                seen.resource = Database { drill, ..of_platform(&look.listing, platform, wanted) };
                let changed_groups = &look.listing.changed_groups;
                if let Err(message) =
                    self.complete(account, platform, wanted, changed_groups, &mut seen.resource).await
                {
                    seen.failure = failed(message);
                }
                changed = look.before.map(|before| look.listing.changed_since(&before)).unwrap_or_default();
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
        wanted: &AwsDatabase,
        changed_groups: &BTreeMap<String, Timestamp>,
        there: &mut Database,
    ) -> Result<(), String> {
        let blue = blue_green::blue(wanted, there.instances.get(&wanted.identifier()));
        for database in blue.iter().chain([wanted]) {
            let name = parameter_group::name(platform, database);
            let Some(group) = there.parameter_groups.get_mut(&name) else { continue };
            let kind = parameter_group::kind(wanted);
            let lasts = if kind == GroupKind::Instance { WITH_EVENTS } else { BELIEVED };
            let ask = Ask { name: &group.name, of: changed_groups.get(&group.name).copied(), lasts };
            let read = || Box::pin(rds::parameters(account, kind, &group.name));
            group.parameters = Some(self.parameters.get(account, ask, read).await?);
        }
        Ok(())
    }

    /// Forgets the parameters that these calls changed.
    pub fn forget(&self, account: &Account, calls: &[call::Call]) {
        for call in calls {
            if let call::Call::Rds(Call::SetParameters { name, .. } | Call::ResetParameters { name, .. }) =
                call
            {
                self.parameters.forget(account, name);
            }
        }
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
    let deployments: BTreeMap<_, _> = listing
        .deployments
        .iter()
        .filter(|(_, it)| tagged(&it.tags) || it.concerns(&identifier) || it.concerns(base))
        .map(|(key, it)| (key.clone(), it.clone()))
        .collect();
    let instances = listing.instances.iter().filter(|(name, instance)| {
        let cluster = instance.settings.get(&InstanceSetting::Cluster);
        let upgraded = deployments.values().any(|it| it.concerns(name));
        let ours = tagged(&instance.tags)
            || named(name)
            || upgraded
            || cluster.is_some_and(|cluster| member_of(cluster.text()));
        ours && !scratch.instances.contains_key(*name)
    });
    let clusters = listing.clusters.iter().filter(|(name, cluster)| {
        (tagged(&cluster.tags) || named(name)) && !scratch.clusters.contains_key(*name)
    });
    let subnets = subnet_group::name(platform);
    Database {
        instances: instances.map(|(name, it)| (name.clone(), it.clone())).collect(),
        clusters: clusters.map(|(name, it)| (name.clone(), it.clone())).collect(),
        parameter_groups: listing
            .parameter_groups
            .iter()
            .filter(|name| parameter_group::is_ours(platform, wanted, name))
            .map(|name| (name.clone(), ParameterGroup { name: name.clone(), parameters: None }))
            .collect(),
        deployments,
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

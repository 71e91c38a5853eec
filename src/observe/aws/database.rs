//! What is there of one platform's database.

use super::{
    inventory::{Ask, BELIEVED, Believed, Inventory, Observation},
    proxy::{self, Detail},
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
            proxy::Target,
            scratch::{Mark, Scratch},
            subnet_group,
        },
    },
    plan::{call, login::User},
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
    proxies: Inventory<proxy::Listing>,
    proxy_tags: Believed<BTreeMap<String, String>>,
    proxy_details: Believed<Detail>,
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
        seen.resource.told_proxy = status.and_then(|status| status.proxy.clone());
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
                let Database { drill, told_proxy, .. } = seen.resource;
                seen.resource =
                    Database { drill, told_proxy, ..of_platform(&look.listing, platform, wanted) };
                let changed_groups = &look.listing.changed_groups;
                if let Err(message) =
                    self.complete(account, platform, wanted, changed_groups, &mut seen.resource).await
                {
                    seen.failure = failed(message);
                }
                // Accounts without proxies are not asked for them.
                if wanted.proxy.is_some() || seen.resource.told_proxy.is_some() {
                    let proxies =
                        self.observe_proxies(account, platform, wanted, not_before, &mut seen.resource);
                    if let Err(message) = Box::pin(proxies).await {
                        seen.failure = failed(message);
                    }
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

    /// Adds the platform's proxies, and the secrets that they read.
    async fn observe_proxies(
        &self,
        account: &Account,
        platform: &Platform,
        wanted: &AwsDatabase,
        not_before: Instant,
        there: &mut Database,
    ) -> Result<(), String> {
        let look = self.proxies.look(account, not_before, || Box::pin(proxy::list(account))).await?;
        let (identifier, base) = (wanted.identifier(), &wanted.base_identifier);
        let of_database = |name: &String| {
            *name == identifier
                || name == base
                || there.instances.contains_key(name)
                || there.clusters.contains_key(name)
        };
        let proxies: Vec<_> =
            look.listing.proxies.values().filter(|it| of_database(&it.name)).cloned().collect();
        let secrets = User::ALL.map(|user| user.secret_name(platform));
        let secrets = look.listing.login_secrets.iter().filter(|(name, _)| secrets.contains(name));
        there.login_secrets = secrets.map(|(name, it)| (name.clone(), it.clone())).collect();
        for mut proxy in proxies {
            let ask = Ask { name: &proxy.arn, of: None, lasts: BELIEVED };
            proxy.tags =
                self.proxy_tags.get(account, ask, || Box::pin(proxy::tags(account, &proxy.arn))).await?;
            // While it does not reach its database, something moves.
            let last = self.proxy_details.last(account, &proxy.name);
            let rests = last
                .is_some_and(|it| !it.targets.is_empty() && it.targets.values().all(Target::is_available));
            let lasts = if rests { BELIEVED } else { Duration::ZERO };
            let ask = Ask { name: &proxy.name, of: proxy.updated_at, lasts };
            let detail =
                self.proxy_details.get(account, ask, || Box::pin(proxy::detail(account, &proxy.name)));
            let Detail { pool, targets } = detail.await?;
            proxy.settings.extend(pool);
            proxy.targets = targets;
            there.proxies.insert(proxy.name.clone(), proxy);
        }
        look.error.map_or(Ok(()), Err)
    }

    /// Forgets what these calls changed.
    pub fn forget(&self, account: &Account, calls: &[call::Call]) {
        for call in calls {
            match call {
                call::Call::Rds(Call::SetParameters { name, .. } | Call::ResetParameters { name, .. }) => {
                    self.parameters.forget(account, name);
                }
                call::Call::Rds(Call::Tag { arn, .. } | Call::Untag { arn, .. }) => {
                    self.proxy_tags.forget(account, arn);
                }
                call::Call::Rds(
                    Call::ModifyProxy { name, .. }
                    | Call::RegisterTarget { proxy: name, .. }
                    | Call::DeregisterTarget { proxy: name, .. },
                ) => self.proxy_details.forget(account, name),
                _ => {}
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
        ..Database::default()
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

//! The end of a database: what is called, and what AWS or someone has to do first.

use super::{Planner, blue_green, proxy};
use crate::{
    api::{DatabaseDeletionPolicy, Management, names},
    managed::{
        Seen, Settings,
        rds::{
            self, Database, Phase,
            cluster::{self, Cluster},
            instance::{Instance, InstanceSetting},
            parameter_group,
        },
    },
    plan::{
        call::Call,
        managed::{Owner, Removal, State, owner},
    },
    platform::{
        Platform,
        database::{AwsDatabase, Engine},
    },
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The next step of removing everything of a platform's database, as `deletionPolicy` says.
#[must_use]
pub fn teardown(platform: &Platform, wanted: &AwsDatabase, seen: &Seen<Database>) -> Removal {
    let database = &seen.resource;
    let ours = |tags: &BTreeMap<String, String>| owner(platform, tags) == Owner::Us;
    // What restore drills made holds no data of its own.
    let scratch = database.scratch.removal(None);
    if !scratch.is_empty() {
        return Removal::Calls(scratch);
    }
    if let (Management::ObserveOnly, Some(scratch)) = (wanted.management, database.scratch.name()) {
        return Removal::Waiting(format!("{scratch} of a restore drill is being deleted"));
    }
    if wanted.management == Management::ObserveOnly {
        return Removal::Done;
    }
    // AWS deletes no instance of a deployment.
    if let Some(deployment) = database.deployments.values().find(|it| ours(&it.tags)) {
        let calls = blue_green::abandonment(platform, deployment, &database.instances);
        if calls.is_empty() {
            let (name, status) = (&deployment.name, &deployment.status);
            let message =
                format!("blue/green deployment {name} is {status}; it is deleted when that is over");
            return Removal::Waiting(message);
        }
        return Removal::Calls(calls.into_iter().map(Call::Rds).collect());
    }
    let members = |instance: &Instance| instance.settings.contains_key(&InstanceSetting::Cluster);
    let servers = database.clusters.values().filter(|it| ours(&it.tags)).map(|it| &it.identifier).chain(
        database.instances.values().filter(|it| ours(&it.tags) && !members(it)).map(|it| &it.identifier),
    );
    let scratch = database.scratch.name();
    let mut waiting = scratch.map(|it| format!("{it} of a restore drill is being deleted"));
    for identifier in servers {
        match removal(platform, wanted, database, identifier) {
            Removal::Done => {}
            Removal::Waiting(message) => waiting = Some(message),
            step @ (Removal::Calls(_) | Removal::HeldUp(_)) => return step,
        }
    }
    if let Some(message) = waiting {
        return Removal::Waiting(message);
    }
    if wanted.deletion_policy == DatabaseDeletionPolicy::Retain {
        return retained(platform, database);
    }
    // Proxies whose server went without us.
    for name in database.proxies.keys() {
        if let Err(step) = proxy::removed(platform, database, name) {
            return step;
        }
    }
    // What the servers stood on, once nothing stands on it.
    let mut calls: Vec<Call> = database
        .parameter_groups
        .keys()
        .map(|name| rds::Call::DeleteParameterGroup {
            kind: parameter_group::kind(wanted),
            name: name.clone(),
        })
        .map(Call::Rds)
        .collect();
    let subnets = database.subnet_group.iter();
    calls.extend(proxy::delete_secrets(database).map(Call::Rds));
    calls.extend(subnets.map(|it| Call::Rds(rds::Call::DeleteSubnetGroup { name: it.name.clone() })));
    if calls.is_empty() { Removal::Done } else { Removal::Calls(calls) }
}

/// The connection Secret stays, and leads to the proxy: that stays, too, with the secrets that it reads.
fn retained(platform: &Platform, database: &Database) -> Removal {
    let proxies = database.proxies.values().filter(|it| owner(platform, &it.tags) == Owner::Us);
    let calls: Vec<_> = proxies.flat_map(|it| let_go(platform, &it.arn, &it.tags)).map(Call::Rds).collect();
    if calls.is_empty() { Removal::Done } else { Removal::Calls(calls) }
}

/// The next step of removing one server.
pub(super) fn removal(
    platform: &Platform,
    wanted: &AwsDatabase,
    database: &Database,
    identifier: &str,
) -> Removal {
    let step = match (database.clusters.get(identifier), database.instances.get(identifier)) {
        (Some(cluster), _) => remove_cluster(platform, wanted, database, cluster),
        (None, Some(instance)) => remove_instance(platform, wanted, database, instance),
        (None, None) => Ok(Vec::new()),
    };
    match step {
        Err(removal) => removal,
        Ok(calls) if calls.is_empty() => Removal::Done,
        Ok(calls) => Removal::Calls(calls.into_iter().map(Call::Rds).collect()),
    }
}

fn remove_instance(
    platform: &Platform,
    wanted: &AwsDatabase,
    database: &Database,
    instance: &Instance,
) -> Result<Vec<rds::Call>, Removal> {
    if wanted.deletion_policy == DatabaseDeletionPolicy::Retain {
        return Ok(let_go(platform, &instance.arn, &instance.tags));
    }
    let identifier = instance.identifier.clone();
    let protected = instance.settings.get(&InstanceSetting::DeletionProtection);
    let start = rds::Call::StartInstance { identifier: identifier.clone() };
    removable(wanted, &identifier, &instance.status, instance.phase(), start)?;
    if protected.is_some_and(crate::managed::Value::flag) {
        let settings = Settings::from([(InstanceSetting::DeletionProtection, false.into())]);
        return Ok(vec![rds::Call::ModifyInstance { identifier, settings, immediately: true }]);
    }
    proxy::removed(platform, database, &identifier)?;
    let final_snapshot = final_snapshot(wanted, &identifier, instance.created_at);
    let delete_backups = wanted.deletion_policy == DatabaseDeletionPolicy::Delete;
    Ok(vec![rds::Call::DeleteInstance { identifier, final_snapshot, delete_backups }])
}

fn remove_cluster(
    platform: &Platform,
    wanted: &AwsDatabase,
    database: &Database,
    cluster: &Cluster,
) -> Result<Vec<rds::Call>, Removal> {
    if wanted.deletion_policy == DatabaseDeletionPolicy::Retain {
        let members = cluster.members.keys().filter_map(|it| database.instances.get(it));
        let members = members.flat_map(|it| let_go(platform, &it.arn, &it.tags));
        return Ok(let_go(platform, &cluster.arn, &cluster.tags).into_iter().chain(members).collect());
    }
    let identifier = cluster.identifier.clone();
    let protected = cluster.settings.get(&cluster::ClusterSetting::DeletionProtection);
    let start = rds::Call::StartCluster { identifier: identifier.clone() };
    removable(wanted, &identifier, &cluster.status, cluster.phase(), start)?;
    if protected.is_some_and(crate::managed::Value::flag) {
        let settings = Settings::from([(cluster::ClusterSetting::DeletionProtection, false.into())]);
        return Ok(vec![rds::Call::ModifyCluster { identifier, settings, immediately: true }]);
    }
    proxy::removed(platform, database, &identifier)?;
    let final_snapshot = final_snapshot(wanted, &identifier, cluster.created_at);
    let delete_backups = wanted.deletion_policy == DatabaseDeletionPolicy::Delete;
    // The final snapshot is the cluster's, and its deletion waits for that of its instances.
    let members = cluster.members.keys().filter_map(|it| database.instances.get(it));
    let mut calls: Vec<_> = members
        .filter(|it| it.phase() != Phase::Deleting)
        .map(|it| rds::Call::DeleteInstance {
            identifier: it.identifier.clone(),
            final_snapshot: None,
            delete_backups: false,
        })
        .collect();
    if calls.is_empty() && !cluster.members.is_empty() {
        return Err(Removal::Waiting(format!("the instances of {identifier} are being deleted")));
    }
    if calls.is_empty() {
        calls.push(rds::Call::DeleteCluster { identifier, final_snapshot, delete_backups });
    }
    Ok(calls)
}

/// Whether AWS would take its deletion now. One that is stopped takes neither change nor snapshot: it is started.
fn removable(
    wanted: &AwsDatabase,
    identifier: &str,
    status: &str,
    phase: Phase,
    start: rds::Call,
) -> Result<(), Removal> {
    if wanted.deletion_protection && wanted.deletion_protection_is_given {
        return Err(Removal::HeldUp(format!(
            "database.aws.deletionProtection is true: set it to false to have {identifier} deleted, or deletionPolicy to Retain to keep it"
        )));
    }
    match phase {
        Phase::Deleting => {
            Err(Removal::Waiting(format!("{identifier} is being deleted, after its final snapshot")))
        }
        Phase::Moving => {
            Err(Removal::Waiting(format!("{identifier} is {status}; it is deleted when that is over")))
        }
        Phase::Broken(_)
            if wanted.deletion_policy == DatabaseDeletionPolicy::Snapshot && status != "storage-full" =>
        {
            Err(Removal::HeldUp(format!(
                "{identifier} is {status}, and AWS takes no final snapshot of it; mend it, or set database.deletionPolicy to Delete or Retain"
            )))
        }
        Phase::Stopped => Err(Removal::Calls(vec![Call::Rds(start)])),
        Phase::Settled | Phase::Broken(_) => Ok(()),
    }
}

/// The final snapshot: one for each life of a database, so that a second try finds that of the first.
fn final_snapshot(wanted: &AwsDatabase, identifier: &str, created_at: Option<Timestamp>) -> Option<String> {
    let second = created_at.map(Timestamp::as_second).unwrap_or_default();
    (wanted.deletion_policy == DatabaseDeletionPolicy::Snapshot)
        .then(|| format!("{identifier}-final-{second}"))
}

/// What is retained says whose it was and belongs to nobody, so that a later platform can adopt it.
fn let_go(platform: &Platform, arn: &str, tags: &BTreeMap<String, String>) -> Vec<rds::Call> {
    if !tags.contains_key(names::TAG_UID) {
        return Vec::new();
    }
    let of = format!("{}/{}", platform.namespace, platform.name);
    vec![
        rds::Call::Tag { arn: arn.to_owned(), tags: BTreeMap::from([(names::TAG_RETAINED.to_owned(), of)]) },
        rds::Call::Untag { arn: arn.to_owned(), keys: BTreeSet::from([names::TAG_UID.to_owned()]) },
    ]
}

impl Planner<'_> {
    /// What a restore or an upgrade replaced: kept until that is confirmed, then deleted as the spec says.
    pub(super) fn kept(&mut self) {
        let ours = |tags: &BTreeMap<String, String>| owner(self.platform, tags) == Owner::Us;
        let upgraded = self.replaced_by_upgrade();
        let kept: BTreeSet<String> = match self.wanted.engine {
            Engine::Instance { .. } => self
                .seen
                .resource
                .instances
                .values()
                .filter(|it| ours(&it.tags) && it.identifier != self.identifier)
                .map(|it| it.identifier.clone())
                .filter(|it| !self.seen.resource.deployments.values().any(|one| one.has_green(it)))
                .collect(),
            Engine::Aurora { .. } => self
                .seen
                .resource
                .clusters
                .values()
                .filter(|it| ours(&it.tags) && it.identifier != self.identifier)
                .map(|it| it.identifier.clone())
                .collect(),
        };
        let restored = self.wanted.restore.as_ref().map(|restore| restore.name.as_str());
        let confirmed = restored.is_some() && self.platform.confirmed_restore.as_deref() == restored;
        if matches!(self.plan.state, State::Ready(_)) && self.plan.calls.is_empty() {
            for identifier in &kept {
                match upgraded.get(identifier) {
                    Some(resource_id) if self.platform.confirmed_upgrade.as_ref() == Some(resource_id) => {
                        self.remove(identifier);
                    }
                    Some(resource_id) => self.way_back(identifier, resource_id),
                    None if confirmed => self.remove(identifier),
                    None => {}
                }
            }
        }
        self.plan.facts.kept = kept;
    }

    /// Deletes a server, or lets go of it, as the spec says.
    fn remove(&mut self, identifier: &str) {
        let calls = removal(self.platform, self.wanted, &self.seen.resource, identifier);
        if let Removal::Calls(calls) = calls {
            self.plan.calls.extend(calls);
        }
    }
}

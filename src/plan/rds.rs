//! A database in Amazon RDS: what is called, what waits, and how to connect.
//!
//! The order is that of what stands on what: subnet and parameter groups, the server, its settings. One
//! server is changed at a time, and only one that AWS is not at already.

mod removal;

use removal::removal;
pub use removal::{Removal, teardown};

use super::{
    call::Call,
    login::Endpoint,
    managed::{
        Connection, DataPlan, Master, Owner, Permits, State, in_use, missing_tags, owner,
        rules::{Ownership, Subject},
        tags,
    },
};
use crate::{
    api::{ConditionReason, Management, WhenSuspended, names},
    apply::rds_ca,
    managed::{
        Change, Effect, Seen, Setting, Settings,
        rds::{
            self, Database, Origin, Parameters, Phase,
            cluster::{self, Cluster},
            instance::{self, Instance, InstanceSetting},
            parameter_group, subnet_group,
        },
    },
    platform::{
        Platform,
        database::{AwsDatabase, Engine, Subnets},
    },
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What brings a platform's database to what the spec says.
#[must_use]
pub fn plan(platform: &Platform, wanted: &AwsDatabase, seen: &Seen<Database>, now: Timestamp) -> DataPlan {
    let mut planner = Planner::new(platform, wanted, seen, now);
    planner.facts();
    if let Some(failure) = &seen.failure {
        planner.unobserved(failure);
    } else if wanted.management == Management::ObserveOnly {
        planner.observe_only();
    } else if platform.suspended {
        planner.suspended();
    } else if planner.groups() {
        match &wanted.engine {
            Engine::Instance { .. } => planner.instance(),
            Engine::Aurora { readers, .. } => planner.aurora(*readers),
        }
        planner.kept();
    }
    planner.finish()
}

struct Planner<'a> {
    platform: &'a Platform,
    wanted: &'a AwsDatabase,
    seen: &'a Seen<Database>,
    identifier: String,
    now: Timestamp,
    permits: Permits,
    plan: DataPlan,
}

/// What instances and clusters have in common.
struct Server<'a> {
    noun: &'static str,
    arn: &'a str,
    status: &'a str,
    tags: &'a BTreeMap<String, String>,
}

impl<'a> Planner<'a> {
    fn new(
        platform: &'a Platform,
        wanted: &'a AwsDatabase,
        seen: &'a Seen<Database>,
        now: Timestamp,
    ) -> Self {
        let since = seen.pending_since.unwrap_or(now);
        // An approval is bound to everything that is wanted.
        let restarts = wanted.restarts;
        let permits = Permits::new(platform, restarts, wanted.maintenance_window, wanted, since, now);
        Self {
            platform,
            wanted,
            seen,
            identifier: wanted.identifier(),
            now,
            permits,
            plan: DataPlan::default(),
        }
    }

    fn call(&mut self, call: rds::Call) {
        self.plan.calls.push(Call::Rds(call));
    }

    fn moving(&mut self, message: impl Into<String>) {
        self.plan.state = State::Moving(message.into());
    }

    fn target_instance(&self) -> Option<&'a Instance> {
        self.seen.resource.instances.get(&self.identifier)
    }

    fn target_cluster(&self) -> Option<&'a Cluster> {
        self.seen.resource.clusters.get(&self.identifier)
    }

    /// What the status tells.
    fn facts(&mut self) {
        let facts = &mut self.plan.facts;
        match &self.wanted.engine {
            Engine::Instance { .. } => {
                if let Some(instance) = self.seen.resource.instances.get(&self.identifier) {
                    facts.state = Some(instance.status.clone());
                    let version = instance.settings.get(&InstanceSetting::EngineVersion);
                    facts.version = version.map(ToString::to_string);
                    facts.latest_restorable = instance.latest_restorable;
                }
            }
            Engine::Aurora { .. } => {
                if let Some(cluster) = self.seen.resource.clusters.get(&self.identifier) {
                    facts.state = Some(cluster.status.clone());
                    let version = cluster.settings.get(&cluster::ClusterSetting::EngineVersion);
                    facts.version = version.map(ToString::to_string);
                    facts.latest_restorable = cluster.latest_restorable;
                }
            }
        }
        facts.identifier = in_use(
            &self.identifier,
            self.seen.identifier.as_ref(),
            facts.state.as_deref().is_some_and(rds::serves),
        );
    }

    /// What was known stays as it is.
    fn unobserved(&mut self, failure: &crate::managed::Failure) {
        self.connect();
        if failure.credentials {
            let serves = self.plan.connection.is_some();
            self.plan.stuck(ConditionReason::SecretMissing, failure.message.clone(), serves);
        } else {
            self.moving(failure.message.clone());
        }
    }

    fn observe_only(&mut self) {
        self.connect();
        let identifier = &self.identifier;
        self.plan.state = match &self.plan.facts.state {
            Some(state) if self.plan.connection.is_some() => {
                State::Ready(format!("{identifier} is {state}; it is only observed"))
            }
            Some(state) => State::Moving(format!("{identifier} is {state}; it is only observed")),
            None => State::Stuck {
                reason: ConditionReason::NotFound,
                message: format!("there is no database {identifier}; correct database.aws.identifier"),
                serves: false,
            },
        };
    }

    /// Nothing is changed but this: a database that shall be stopped is.
    fn suspended(&mut self) {
        self.connect();
        let stops = self.wanted.when_suspended == WhenSuspended::Stopped;
        let Some((server, phase)) = self.server() else {
            self.moving("spec.suspend is true: the database is not made yet");
            return;
        };
        let status = server.status.to_owned();
        if owner(self.platform, server.tags) != Owner::Us || !stops {
            self.plan.state = State::Ready(format!("{} is {status}; spec.suspend is true", self.identifier));
            return;
        }
        self.plan.connection = None;
        match phase {
            Phase::Stopped => {
                let again = self.starts_by_itself_at();
                let again = again.map(|at| format!("; AWS starts it at {at:.0}, and it is stopped again"));
                self.plan.state = State::Ready(format!(
                    "it is stopped, as spec.suspend is true{}",
                    again.unwrap_or_default()
                ));
            }
            Phase::Settled => {
                let identifier = self.identifier.clone();
                self.call(match self.wanted.engine {
                    Engine::Instance { .. } => rds::Call::StopInstance { identifier },
                    Engine::Aurora { .. } => rds::Call::StopCluster { identifier },
                });
                self.moving("it is being stopped, as spec.suspend is true");
            }
            Phase::Moving | Phase::Deleting => self.moving(format!("AWS says it is {status}")),
            Phase::Broken(advice) => self.broken(&status, advice),
        }
    }

    fn starts_by_itself_at(&self) -> Option<Timestamp> {
        self.target_instance()
            .and_then(|it| it.starts_by_itself_at)
            .or_else(|| self.target_cluster().and_then(|it| it.starts_by_itself_at))
    }

    fn server(&self) -> Option<(Server<'a>, Phase)> {
        match self.wanted.engine {
            Engine::Instance { .. } => self.target_instance().map(|it| (of_instance(it), it.phase())),
            Engine::Aurora { .. } => self.target_cluster().map(|it| (of_cluster(it), it.phase())),
        }
    }

    /// Subnet and parameter groups. False: a server can't be made before they are there.
    fn groups(&mut self) -> bool {
        let database = &self.seen.resource;
        if let Subnets::Ids(subnets) = &self.wanted.network.subnets {
            let name = self.subnet_group_name();
            let observed = database.subnet_group.as_ref();
            let call = subnet_group::call(&name, subnets, tags(self.platform), observed);
            if let Some(call) = call {
                self.call(call);
                self.moving(format!("subnet group {name} is being made"));
                return observed.is_some();
            }
        }
        let name = parameter_group::name(self.platform, self.wanted);
        let observed = database.parameter_groups.get(&name);
        let group = parameter_group::calls(self.platform, self.wanted, tags(self.platform), observed);
        group.calls.into_iter().for_each(|call| self.call(call));
        if let Some(refused) = group.refused.first() {
            self.plan.stuck(ConditionReason::InvalidSpec, refused.clone(), true);
        }
        if observed.is_none() {
            self.moving(format!("parameter group {name} is being made"));
        }
        observed.is_some()
    }

    fn subnet_group_name(&self) -> String {
        subnet_group::name(self.platform)
    }

    fn subnet_group(&self) -> Option<String> {
        match &self.wanted.network.subnets {
            Subnets::Default => None,
            Subnets::Group(name) => Some(name.clone()),
            Subnets::Ids(_) => Some(self.subnet_group_name()),
        }
    }

    fn wanted_instance(&self) -> Settings<InstanceSetting> {
        let group = parameter_group::name(self.platform, self.wanted);
        instance::desired(self.wanted, &group, self.subnet_group().as_deref())
    }

    /// Where a new server's content comes from.
    fn origin(&self) -> Origin {
        match &self.wanted.restore {
            Some(restore) => Origin::Restored(self.restore_source(restore)),
            None if self.wanted.secrets_manager() => Origin::Empty,
            None => Origin::EmptyWithPassword { secret: master_secret_name(self.platform) },
        }
    }

    fn restore_source(
        &self,
        restore: &crate::platform::database::Restore,
    ) -> crate::platform::database::RestoreSource {
        use crate::platform::database::RestoreSource;
        match &restore.source {
            RestoreSource::PointInTime { from: None, time } => {
                let before = self.seen.identifier.clone();
                let from = before.unwrap_or_else(|| self.wanted.base_identifier.clone());
                RestoreSource::PointInTime { from: Some(from), time: *time }
            }
            source => source.clone(),
        }
    }

    /// The tags of a new server.
    fn new_tags(&self) -> BTreeMap<String, String> {
        let mut tags = tags(self.platform);
        if matches!(self.origin(), Origin::Restored(_)) && !self.wanted.secrets_manager() {
            tags.insert(names::TAG_MASTER.to_owned(), "unset".to_owned());
        }
        tags
    }

    /// Whether a server may be made where there is none. One that was there and is gone held data: making an
    /// empty one in its place would hide the loss.
    fn may_be_made(&mut self) -> bool {
        if self.seen.identifier.as_deref() == Some(&self.identifier) {
            let message = format!(
                "database {} is gone, and the operator did not delete it; restore it from its latest backup or snapshot (database.aws.restore)",
                self.identifier
            );
            self.plan.stuck(ConditionReason::NotFound, message, false);
            return false;
        }
        if self.wanted.adopt {
            let message = format!(
                "there is no database {} to adopt; correct database.aws.identifier, or leave adopt out to have it made",
                self.identifier
            );
            self.plan.stuck(ConditionReason::NotFound, message, false);
            return false;
        }
        true
    }

    /// An instance of its own.
    fn instance(&mut self) {
        let wanted = self.wanted_instance();
        let Some(instance) = self.target_instance() else {
            if self.may_be_made() {
                let (tags, origin) = (self.new_tags(), self.origin());
                self.moving(describe_making(&origin));
                self.call(instance::create(self.identifier.clone(), wanted, tags, origin));
            }
            return;
        };
        let changes = instance::changes(&wanted, instance);
        if !self.is_ours(&of_instance(instance), &changes) {
            return;
        }
        self.connect();
        if self.settled(&of_instance(instance), instance.phase()) || heals(instance, &changes) {
            self.tag(&of_instance(instance));
            self.set_master_password(instance);
            self.change_instance(instance, &wanted, changes);
        }
    }

    /// Makes the permitted changes of an instance.
    fn change_instance(
        &mut self,
        instance: &Instance,
        wanted: &Settings<InstanceSetting>,
        changes: Vec<Change<InstanceSetting>>,
    ) -> bool {
        let identifier = instance.identifier.clone();
        let changes = self.possible(changes);
        let mut now =
            self.permitted(changes, InstanceSetting::EngineVersion, InstanceSetting::ParameterGroup);
        if instance.status == "storage-optimization" && now.iter().any(|it| it.setting.is_storage()) {
            now.retain(|change| !change.setting.is_storage());
            self.moving(
                "its storage can be changed again when AWS has optimized the last change, at least six hours after it",
            );
        }
        if !now.is_empty() {
            let fields: Vec<_> = now.iter().map(|change| change.setting.field()).collect();
            self.moving(format!("{} of {identifier} are being changed", fields.join(", ")));
            self.call(instance::modify(instance, wanted, &now));
            return true;
        }
        match instance.parameters {
            Parameters::InForce => {}
            Parameters::Applying => self.moving("its parameters are being applied"),
            Parameters::PendingReboot => {
                let (from, to) = ("as before".to_owned(), "in force after a restart".to_owned());
                if self.plan.permits_step("parameters", from, to, Effect::Restarts, &self.permits) {
                    self.call(rds::Call::RebootInstance { identifier });
                    self.moving("it is being restarted for its parameters");
                    return true;
                }
            }
        }
        false
    }

    /// The changes that may be made now. A new version goes alone, and a new major one with its parameter group:
    /// that of another family fits neither before nor after.
    fn permitted<S: Setting>(&mut self, changes: Vec<Change<S>>, version: S, group: S) -> Vec<Change<S>> {
        let is_major = |it: &Change<S>| it.setting == version && it.effect() == Effect::Replaces;
        let Some(major) = changes.iter().find(|it| is_major(it)).cloned() else {
            let mut now = self.plan.permitted(changes, &self.permits);
            if now.iter().any(|it| it.setting == version) {
                now.retain(|it| it.setting == version);
            }
            return now;
        };
        let (upgrade, others): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|it| it.setting == version || it.setting == group);
        let others = self.plan.permitted(others, &self.permits);
        let approved = !self.plan.permitted(vec![major], &self.permits).is_empty();
        if approved { upgrade } else { others }
    }

    /// What the shared rules go by.
    fn subject(&self) -> Subject<'_> {
        Subject {
            platform: self.platform,
            part: "database",
            identifier: &self.identifier,
            adopt: self.wanted.adopt,
            drift_policy: self.wanted.drift_policy,
            permits: &self.permits,
        }
    }

    /// Leaves out what AWS can't change, and tells it.
    fn possible<S: Setting>(&mut self, changes: Vec<Change<S>>) -> Vec<Change<S>> {
        let mut plan = std::mem::take(&mut self.plan);
        let possible = plan.possible(&self.subject(), self.seen, changes);
        self.plan = plan;
        possible
    }

    /// Whether the server is this platform's. One whose adoption is approved becomes it now.
    fn is_ours<S: Setting>(&mut self, server: &Server<'_>, changes: &[Change<S>]) -> bool {
        let mut plan = std::mem::take(&mut self.plan);
        let ownership = plan.is_ours(&self.subject(), server.noun, server.tags, changes);
        self.plan = plan;
        if ownership == Ownership::Approved {
            self.tag(server);
            self.moving(format!("{} is being taken over", self.identifier));
        }
        ownership == Ownership::Ours
    }

    /// Whether a server can be changed now; else what it does.
    fn settled(&mut self, server: &Server<'_>, phase: Phase) -> bool {
        match phase {
            Phase::Settled => {
                let message = format!("{} is {}", self.identifier, server.status);
                if !matches!(self.plan.state, State::Stuck { .. }) {
                    self.plan.state = State::Ready(message);
                }
                return true;
            }
            Phase::Moving => self.moving(format!("{} is {}", self.identifier, server.status)),
            Phase::Deleting => self.plan.stuck(
                ConditionReason::NotFound,
                format!("{} is being deleted, and not by the operator", self.identifier),
                false,
            ),
            Phase::Stopped => {
                let identifier = self.identifier.clone();
                self.call(match self.wanted.engine {
                    Engine::Instance { .. } => rds::Call::StartInstance { identifier },
                    Engine::Aurora { .. } => rds::Call::StartCluster { identifier },
                });
                self.moving("it is being started");
            }
            Phase::Broken(advice) => self.broken(server.status, advice),
        }
        false
    }

    fn broken(&mut self, status: &str, advice: &str) {
        let message = format!("{} is {status}: {advice}", self.identifier);
        self.plan.stuck(ConditionReason::Failed, message, status == "storage-full");
    }

    /// Our tags, and the user's.
    fn tag(&mut self, server: &Server<'_>) {
        let tags = missing_tags(&tags(self.platform), server.tags);
        if !tags.is_empty() {
            self.call(rds::Call::Tag { arn: server.arn.to_owned(), tags });
        }
    }

    /// A restored database has the master's password of its source.
    fn set_master_password(&mut self, instance: &Instance) {
        if instance.tags.contains_key(names::TAG_MASTER) {
            let secret = master_secret_name(self.platform);
            self.call(rds::Call::SetMasterPassword { identifier: instance.identifier.clone(), secret });
            let keys = BTreeSet::from([names::TAG_MASTER.to_owned()]);
            self.call(rds::Call::Untag { arn: instance.arn.clone(), keys });
        }
    }

    /// An Aurora cluster and its instances.
    fn aurora(&mut self, readers: u8) {
        let group = parameter_group::name(self.platform, self.wanted);
        let wanted = cluster::desired(self.wanted, &group, self.subnet_group().as_deref());
        let Some(cluster) = self.target_cluster() else {
            if self.may_be_made() {
                let (tags, origin) = (self.new_tags(), self.origin());
                self.moving(describe_making(&origin));
                self.call(cluster::create(self.identifier.clone(), wanted, tags, origin));
            }
            return;
        };
        let changes = cluster::changes(&wanted, cluster);
        if !self.is_ours(&of_cluster(cluster), &changes) {
            return;
        }
        self.connect();
        if !self.settled(&of_cluster(cluster), cluster.phase()) {
            return;
        }
        self.tag(&of_cluster(cluster));
        let changes = self.possible(changes);
        let (version, group) =
            (cluster::ClusterSetting::EngineVersion, cluster::ClusterSetting::ParameterGroup);
        let now = self.permitted(changes, version, group);
        if !now.is_empty() {
            let fields: Vec<_> = now.iter().map(|change| change.setting.field()).collect();
            self.moving(format!("{} of {} are being changed", fields.join(", "), self.identifier));
            self.call(cluster::modify(cluster, &wanted, &now));
            return;
        }
        self.members(cluster, 1 + usize::from(readers));
    }

    /// As many instances as wanted; then their settings, readers first and one at a time.
    fn members(&mut self, cluster: &Cluster, wanted: usize) {
        let name = |index: usize| format!("{}-{index}", cluster.identifier);
        let instances = &self.seen.resource.instances;
        let mut members: Vec<&Instance> = instances
            .values()
            .filter(|it| {
                it.settings.get(&InstanceSetting::Cluster).is_some_and(|of| of.text() == cluster.identifier)
            })
            .collect();
        if members.len() < wanted {
            let free = (1..).map(name).find(|name| !instances.contains_key(name)).unwrap_or_default();
            let settings = self.wanted_member(cluster, &free);
            self.moving(format!("instance {free} is being made"));
            self.call(instance::create(free, settings, tags(self.platform), Origin::Member));
            return;
        }
        let is_writer = |it: &Instance| cluster.members.get(&it.identifier) == Some(&true);
        let busy = members.iter().find(|it| it.phase() != Phase::Settled);
        if let Some(busy) = busy {
            match busy.phase() {
                Phase::Broken(advice) => {
                    let message = format!("{} is {}: {advice}", busy.identifier, busy.status);
                    self.plan.stuck(ConditionReason::Failed, message, !is_writer(busy));
                }
                _ => self.moving(format!("{} is {}", busy.identifier, busy.status)),
            }
            return;
        }
        if members.len() > wanted {
            members.retain(|it| !is_writer(it) && owner(self.platform, &it.tags) == Owner::Us);
            if let Some(surplus) = members.last() {
                let identifier = surplus.identifier.clone();
                self.moving(format!("reader {identifier} is being deleted"));
                self.call(rds::Call::DeleteInstance {
                    identifier,
                    final_snapshot: None,
                    delete_backups: false,
                });
            }
            return;
        }
        members.sort_by_key(|it| is_writer(it));
        for member in members {
            let settings = self.wanted_member(cluster, &member.identifier);
            let changes = instance::changes(&settings, member);
            self.tag(&of_instance(member));
            if self.change_instance(member, &settings, changes) {
                return;
            }
        }
    }

    fn wanted_member(&self, cluster: &Cluster, identifier: &str) -> Settings<InstanceSetting> {
        // The tier of a member is its number: the first is preferred.
        let tier = identifier.rsplit('-').next().and_then(|it| it.parse().ok()).unwrap_or(1).clamp(0, 15);
        let subnets = self.subnet_group();
        instance::desired_member(self.wanted, &cluster.identifier, subnets.as_deref(), tier)
    }

    /// What a restore replaced: kept until the restore is confirmed, then deleted as the spec says.
    fn kept(&mut self) {
        let ours = |tags: &BTreeMap<String, String>| owner(self.platform, tags) == Owner::Us;
        let kept: BTreeSet<String> = match self.wanted.engine {
            Engine::Instance { .. } => self
                .seen
                .resource
                .instances
                .values()
                .filter(|it| ours(&it.tags) && it.identifier != self.identifier)
                .map(|it| it.identifier.clone())
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
        if confirmed && matches!(self.plan.state, State::Ready(_)) && self.plan.calls.is_empty() {
            for identifier in &kept {
                self.remove(identifier);
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

    /// How to connect to the server that is there.
    fn connect(&mut self) {
        let connection = match self.wanted.engine {
            Engine::Instance { .. } => self.target_instance().and_then(|instance| {
                let (host, port) = instance.endpoint.clone()?;
                let master = self.master(instance.master_secret.as_ref());
                let resource_id = instance.resource_id.clone();
                rds::serves(&instance.status).then_some(Connection {
                    resource_id,
                    host,
                    port,
                    reader_host: None,
                    master,
                })
            }),
            Engine::Aurora { readers, .. } => self.target_cluster().and_then(|cluster| {
                let (host, port) = cluster.endpoint.clone()?;
                let master = self.master(cluster.master_secret.as_ref());
                let resource_id = cluster.resource_id.clone();
                let reader_host = cluster.reader_endpoint.clone().filter(|_| readers > 0);
                let writer = cluster.members.iter().find(|(_, is_writer)| **is_writer)?.0;
                let serves =
                    self.seen.resource.instances.get(writer).is_some_and(|it| rds::serves(&it.status));
                serves.then_some(Connection { resource_id, host, port, reader_host, master })
            }),
        };
        self.plan.connection = connection;
    }

    fn master(&self, secret: Option<&rds::MasterSecret>) -> Master {
        match secret {
            Some(secret) => Master::SecretsManager(secret.arn.clone()),
            None if self.wanted.secrets_manager() => Master::Unknown,
            None => Master::Kubernetes(master_secret_name(self.platform)),
        }
    }

    fn finish(self) -> DataPlan {
        self.plan.finish(self.platform, self.seen, self.now)
    }
}

/// Where pods reach the database.
pub(super) fn endpoint(platform: &Platform, wanted: &AwsDatabase, connection: &Connection) -> Endpoint {
    let region = platform.aws.as_ref().map(|aws| aws.region.as_str()).unwrap_or_default();
    Endpoint {
        resource_id: connection.resource_id.clone(),
        host: connection.host.clone(),
        reader: connection.reader_host.clone(),
        port: connection.port,
        dbname: wanted.database_name.clone(),
        ca: if wanted.network.tls { rds_ca::of_region(region) } else { None },
    }
}

/// Whether changes help a server that is out of order: more storage for one that is full, other parameters for
/// one that can't start with those it has.
fn heals(instance: &Instance, changes: &[Change<InstanceSetting>]) -> bool {
    instance.status == "storage-full"
        && changes.iter().any(|it| {
            matches!(it.setting, InstanceSetting::AllocatedStorage | InstanceSetting::MaxAllocatedStorage)
        })
}

fn describe_making(origin: &Origin) -> String {
    match origin {
        Origin::Restored(_) => "it is being restored".to_owned(),
        Origin::Empty | Origin::EmptyWithPassword { .. } | Origin::Member => "it is being made".to_owned(),
    }
}

fn of_instance(instance: &Instance) -> Server<'_> {
    Server { noun: "database instance", arn: &instance.arn, status: &instance.status, tags: &instance.tags }
}

fn of_cluster(cluster: &Cluster) -> Server<'_> {
    Server { noun: "Aurora cluster", arn: &cluster.arn, status: &cluster.status, tags: &cluster.tags }
}

/// Name of the Secret with the master's password, where the operator keeps it.
#[must_use]
pub fn master_secret_name(platform: &Platform) -> String {
    platform.name.child(names::DATABASE_MASTER)
}

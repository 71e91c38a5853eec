//! A database in Amazon RDS: what is called, what waits, and how to connect.
//!
//! The order is that of what stands on what: subnet and parameter groups, the server, its settings. One
//! server is changed at a time, and only one that AWS is not at already.

mod aurora;
mod blue_green;
mod creation;
pub mod drill;
mod instance;
mod proxy;
mod removal;

pub use proxy::{unused, vault};
pub use removal::teardown;

use super::{
    call::Call,
    login::{Endpoint, Record},
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
        Change, Effect, Seen, Setting,
        rds::{
            self, Database, Phase,
            cluster::{self, Cluster},
            instance::{Instance, InstanceSetting},
            parameter_group, subnet_group,
        },
    },
    platform::{
        Platform,
        database::{AwsDatabase, Engine, Subnets},
    },
};
use jiff::Timestamp;
use std::collections::BTreeMap;

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
        planner.proxy();
        planner.kept();
    }
    if !platform.suspended {
        planner.stay_connected();
    }
    planner.drill();
    planner.finish()
}

struct Planner<'a> {
    platform: &'a Platform,
    wanted: &'a AwsDatabase,
    seen: &'a Seen<Database>,
    identifier: String,
    /// What it shall be until a blue/green upgrade switches over, where one is ahead.
    blue: Option<AwsDatabase>,
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
        let identifier = wanted.identifier();
        let blue = rds::blue_green::blue(wanted, seen.resource.instances.get(&identifier));
        Self { platform, wanted, seen, identifier, blue, now, permits, plan: DataPlan::default() }
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
        self.plan.facts.proxy = self.told_proxy();
        let has_served = self.connection(&self.identifier).is_some();
        self.plan.facts.identifier = in_use(&self.identifier, self.seen.identifier.as_ref(), has_served);
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
        let upgrades = server.tags.contains_key(names::TAG_UPGRADE);
        if owner(self.platform, server.tags) != Owner::Us || !stops || upgrades {
            let waits = if stops && upgrades { ", and it is not stopped within an upgrade" } else { "" };
            let message = format!("{} is {status}; spec.suspend is true{waits}", self.identifier);
            self.plan.state = State::Ready(message);
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

    /// Subnet and parameter groups. False: a server can't be made before they are there; pods stay connected to one
    /// that is.
    fn groups(&mut self) -> bool {
        if self.server().is_some_and(|(server, _)| owner(self.platform, server.tags) == Owner::Us) {
            self.connect();
        }
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
        let blue = self.blue.clone();
        blue.iter().chain([self.wanted]).all(|database| self.parameter_group(database))
    }

    /// The parameter group of that version of the database. False: it is not there yet.
    fn parameter_group(&mut self, database: &AwsDatabase) -> bool {
        let name = parameter_group::name(self.platform, database);
        let observed = self.seen.resource.parameter_groups.get(&name);
        let group = parameter_group::calls(self.platform, database, tags(self.platform), observed);
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

    /// Pods connect to the server that is wanted, as soon as it takes connections.
    fn connect(&mut self) {
        self.plan.connection = self.connection(&self.identifier);
    }

    /// Until then they stay with the one that they have, which a restore replaces.
    fn stay_connected(&mut self) {
        let before = self.seen.identifier.as_ref().filter(|before| **before != self.identifier);
        if self.plan.connection.is_none()
            && let Some(connection) = before.and_then(|before| self.connection(before))
        {
            self.plan.connection = Some(connection);
            if let State::Stuck { serves, .. } = &mut self.plan.state {
                *serves = true;
            }
        }
    }

    fn connection(&self, identifier: &str) -> Option<Connection> {
        let there = &self.seen.resource;
        let (resource_id, endpoint, reader_host, master) = match self.wanted.engine {
            Engine::Instance { .. } => {
                let instance = there.instances.get(identifier).filter(|it| rds::serves(&it.status))?;
                let Instance { resource_id, endpoint, master_secret, .. } = instance;
                (resource_id, endpoint, None, self.master(master_secret.as_ref()))
            }
            Engine::Aurora { readers, .. } => {
                let cluster = there.clusters.get(identifier)?;
                let writer = cluster.members.iter().find(|(_, is_writer)| **is_writer)?.0;
                there.instances.get(writer).filter(|it| rds::serves(&it.status))?;
                let Cluster { resource_id, endpoint, reader_endpoint, master_secret, .. } = cluster;
                let reader = reader_endpoint.clone().filter(|_| readers > 0);
                (resource_id, endpoint, reader, self.master(master_secret.as_ref()))
            }
        };
        let (host, port) = endpoint.clone()?;
        let (resource_id, proxy) = (resource_id.clone(), self.proxied(identifier));
        Some(Connection { resource_id, host, port, reader_host, proxy, master })
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

/// Where pods reach the database. They are led to its proxy once that reaches it, and stay there while it serves.
/// `record`: what the connection Secret says.
pub(super) fn endpoint(
    platform: &Platform,
    wanted: &AwsDatabase,
    connection: &Connection,
    record: Option<&Record>,
) -> Endpoint {
    let region = platform.aws.as_ref().map(|aws| aws.region.as_str()).unwrap_or_default();
    let direct = Endpoint {
        resource_id: connection.resource_id.clone(),
        host: connection.host.clone(),
        server: connection.host.clone(),
        reader: connection.reader_host.clone(),
        port: connection.port,
        dbname: wanted.database_name.clone(),
        ca: if wanted.network.tls { rds_ca::of_region(region) } else { None },
    };
    let Some(proxy) = &connection.proxy else { return direct };
    let led = Endpoint { host: proxy.host.clone(), ..direct.clone() };
    let stays = record.is_some_and(|record| record.endpoint == led.hash());
    if proxy.reaches || stays { led } else { direct }
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

#[cfg(test)]
mod tests;

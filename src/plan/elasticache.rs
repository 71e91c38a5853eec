//! A cache in Amazon ElastiCache: what is called, what waits, and how to connect.
//!
//! The order is that of what stands on what: subnet group, parameter group and users, then the cache and its
//! settings, one call at a time.

mod removal;

pub use removal::teardown;

use super::{
    call::Call,
    login::Endpoint,
    managed::{
        Connection, DataPlan, Master, Permits, State, in_use, missing_tags,
        rules::{Ownership, Subject},
        tags,
    },
};
use crate::{
    api::{ConditionReason, Management, names},
    managed::{
        Change, Failure, Seen, Setting,
        elasticache::{
            self, Cache, Phase,
            group::{self, Group, GroupSetting},
            parameter_group,
            serverless::{self, Serverless, ServerlessSetting},
            user,
        },
    },
    platform::{
        AwsCache, Platform,
        cache::{Bounds, Nodes, Shape},
        database::Subnets,
    },
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What brings a platform's cache to what the spec says.
#[must_use]
pub fn plan(platform: &Platform, wanted: &AwsCache, seen: &Seen<Cache>, now: Timestamp) -> DataPlan {
    let (restarts, window) = wanted.maintenance();
    let since = seen.pending_since.unwrap_or(now);
    let permits = Permits::new(platform, restarts, window, wanted, since, now);
    let subject = Subject {
        platform,
        part: names::CACHE,
        identifier: &wanted.identifier,
        adopt: wanted.adopt,
        drift_policy: wanted.drift_policy,
        permits: &permits,
    };
    let mut planner = Planner { subject, wanted, seen, plan: DataPlan::default() };
    planner.facts();
    planner.connect();
    if let Some(failure) = &seen.failure {
        planner.unobserved(failure);
    } else if wanted.management == Management::ObserveOnly {
        planner.observe_only();
    } else if platform.suspended {
        planner.suspended();
    } else if planner.foundation() {
        match &wanted.shape {
            Shape::Nodes(nodes) => planner.nodes(nodes),
            Shape::Serverless(bounds) => planner.serverless(*bounds),
        }
    }
    planner.plan.finish(platform, seen, now)
}

struct Planner<'a> {
    subject: Subject<'a>,
    wanted: &'a AwsCache,
    seen: &'a Seen<Cache>,
    plan: DataPlan,
}

/// What both shapes of a cache have in common.
struct Server<'a> {
    noun: &'static str,
    arn: &'a str,
    status: &'a str,
    tags: &'a BTreeMap<String, String>,
}

fn of_group(group: &Group) -> Server<'_> {
    Server { noun: "replication group", arn: &group.arn, status: &group.status, tags: &group.tags }
}

fn of_serverless(cache: &Serverless) -> Server<'_> {
    Server { noun: "serverless cache", arn: &cache.arn, status: &cache.status, tags: &cache.tags }
}

impl<'a> Planner<'a> {
    fn call(&mut self, call: elasticache::Call) {
        self.plan.calls.push(Call::ElastiCache(call));
    }

    fn moving(&mut self, message: impl Into<String>) {
        if !matches!(self.plan.state, State::Stuck { .. }) {
            self.plan.state = State::Moving(message.into());
        }
    }

    fn group(&self) -> Option<&'a Group> {
        self.seen.resource.group.as_ref()
    }

    fn serverless_cache(&self) -> Option<&'a Serverless> {
        self.seen.resource.serverless.as_ref()
    }

    fn status(&self) -> Option<&'a str> {
        match self.wanted.shape {
            Shape::Nodes(_) => self.group().map(|it| it.status.as_str()),
            Shape::Serverless(_) => self.serverless_cache().map(|it| it.status.as_str()),
        }
    }

    /// What the status tells.
    fn facts(&mut self) {
        let (version, primary) = match self.wanted.shape {
            Shape::Nodes(_) => {
                let group = self.group();
                let version = group.and_then(|it| it.settings.get(&GroupSetting::EngineVersion));
                (version.map(ToString::to_string), group.and_then(|it| it.primary.clone()))
            }
            Shape::Serverless(_) => (self.serverless_cache().and_then(|it| it.version.clone()), None),
        };
        let state = self.status().map(str::to_owned);
        let facts = &mut self.plan.facts;
        let has_served = state.as_deref().is_some_and(|state| !matches!(state, "creating" | "create-failed"));
        facts.identifier = in_use(&self.wanted.identifier, self.seen.identifier.as_ref(), has_served);
        (facts.state, facts.version, facts.primary) = (state, version, primary);
    }

    /// How to connect to the cache that is there, once our users may log in. One that is only observed has others.
    fn connect(&mut self) {
        let ours = user::group_identifier(self.subject.platform);
        let admits = |group: Option<&crate::managed::Value>| {
            !self.wanted.tls
                || self.wanted.management == Management::ObserveOnly
                || group.is_some_and(|group| group.text() == ours)
        };
        let found = match &self.wanted.shape {
            Shape::Nodes(nodes) => self
                .group()
                .filter(|it| elasticache::serves(&it.status))
                .filter(|it| admits(it.settings.get(&GroupSetting::UserGroup)))
                .map(|it| {
                    let readers = nodes.replicas > 0 && nodes.shards.is_none();
                    let reader = it.reader_endpoint.clone().filter(|_| readers);
                    (&it.arn, it.created_at, it.endpoint.clone(), reader)
                }),
            Shape::Serverless(_) => self
                .serverless_cache()
                .filter(|it| elasticache::serves(&it.status))
                .filter(|it| admits(it.settings.get(&ServerlessSetting::UserGroup)))
                .map(|it| (&it.arn, it.created_at, it.endpoint.clone(), None)),
        };
        self.plan.connection = found.and_then(|(arn, created_at, endpoint, reader_host)| {
            let (host, port) = endpoint?;
            // An ARN is used again by the next cache of that name.
            let second = created_at.map(Timestamp::as_second).unwrap_or_default();
            let resource_id = format!("{arn}@{second}");
            Some(Connection {
                resource_id,
                host,
                port,
                reader_host,
                proxy: None,
                master: Master::ElastiCache,
            })
        });
    }

    /// What was known stays as it is.
    fn unobserved(&mut self, failure: &Failure) {
        if failure.credentials {
            let serves = self.plan.connection.is_some();
            self.plan.stuck(ConditionReason::SecretMissing, failure.message.clone(), serves);
        } else {
            self.moving(failure.message.clone());
        }
    }

    fn observe_only(&mut self) {
        let identifier = &self.wanted.identifier;
        self.plan.state = match self.status() {
            Some(state) if elasticache::serves(state) => {
                State::Ready(format!("{identifier} is {state}; it is only observed"))
            }
            Some(state) => State::Moving(format!("{identifier} is {state}; it is only observed")),
            None => State::Stuck {
                reason: ConditionReason::NotFound,
                message: format!("there is no cache {identifier}; correct cache.aws.identifier"),
                serves: false,
            },
        };
    }

    fn suspended(&mut self) {
        match self.status() {
            Some(status) => {
                let message = format!("{} is {status}; spec.suspend is true", self.wanted.identifier);
                self.plan.state = State::Ready(message);
            }
            None => self.moving("spec.suspend is true: the cache is not made yet"),
        }
    }

    /// What a cache stands on. False: it can't be made before that is there.
    fn foundation(&mut self) -> bool {
        let (platform, there) = (self.subject.platform, &self.seen.resource);
        let tags = tags(platform);
        let mut calls = Vec::new();
        let mut waits = None;
        if let Shape::Nodes(nodes) = &self.wanted.shape {
            calls.extend(self.subnet_group(&tags));
            let name = parameter_group::name(platform, self.wanted);
            let observed = there.parameter_groups.get(&name);
            let found = parameter_group::calls(platform, self.wanted, nodes, &tags, observed);
            calls.extend(found.calls);
            if observed.is_none_or(|group| group.parameters.is_none()) {
                waits = Some(format!("parameter group {name} is being made"));
            }
            if let Some(refused) = found.refused.first() {
                self.plan.stuck(ConditionReason::InvalidSpec, refused.clone(), true);
            }
        }
        if self.wanted.tls {
            calls.extend(user::calls(platform, self.wanted, &tags, there));
            if there.user_group.as_ref().is_none_or(|group| group.status != "active") {
                waits = waits.or_else(|| Some("its users are being made".to_owned()));
            }
        }
        let is_complete = calls.is_empty() && waits.is_none();
        calls.into_iter().for_each(|call| self.call(call));
        if !is_complete {
            self.moving(waits.unwrap_or_else(|| "what it stands on is being changed".to_owned()));
        }
        is_complete || self.status().is_some()
    }

    fn subnet_group(&self, tags: &BTreeMap<String, String>) -> Option<elasticache::Call> {
        let Subnets::Ids(subnets) = &self.wanted.subnets else { return None };
        let (name, subnets) = (subnet_group_name(self.subject.platform), subnets.clone());
        match &self.seen.resource.subnet_group {
            None => Some(elasticache::Call::CreateSubnetGroup { name, subnets, tags: tags.clone() }),
            Some(there) if *there != subnets => Some(elasticache::Call::ModifySubnetGroup { name, subnets }),
            Some(_) => None,
        }
    }

    /// A replication group.
    fn nodes(&mut self, nodes: &Nodes) {
        let platform = self.subject.platform;
        let subnets = match &self.wanted.subnets {
            Subnets::Default => None,
            Subnets::Group(name) => Some(name.clone()),
            Subnets::Ids(_) => Some(subnet_group_name(platform)),
        };
        let wanted = group::desired(platform, self.wanted, nodes, subnets.as_deref());
        let Some(there) = self.group() else {
            let identifier = self.wanted.identifier.clone();
            let (settings, tags, snapshot) = (wanted, tags(platform), nodes.snapshot_name.clone());
            self.make(elasticache::Call::CreateGroup { identifier, settings, tags, snapshot });
            return;
        };
        let changes = group::changes(&wanted, there);
        let settled = self.seen.settled_generation.is_some();
        let at_once = |change: &Change<GroupSetting>| {
            let is_login = matches!(change.setting, GroupSetting::UserGroup | GroupSetting::AuthToken);
            // It is as wanted, and AWS would change that in its window: someone else ordered so.
            let seen = there.settings.get(&change.setting);
            let takes_back = seen.is_some_and(|seen| change.setting.is_met(&change.to, seen));
            settled && is_login || takes_back
        };
        let mut now = self.permitted(&of_group(there), there.phase(), changes, at_once);
        // A new version brings its parameter group along; while it waits, so does the group.
        let is_version = |setting| matches!(setting, GroupSetting::Engine | GroupSetting::EngineVersion);
        let waits = |field: &str| self.plan.pending.iter().any(|pending| pending.field == field);
        if GroupSetting::ALL.iter().any(|setting| is_version(*setting) && waits(setting.field())) {
            now.retain(|change| change.setting != GroupSetting::ParameterGroup);
        }
        if let Some(call) = group::next(&wanted, nodes, there, &now) {
            self.change(call);
        }
    }

    /// A serverless cache.
    fn serverless(&mut self, bounds: Bounds) {
        let platform = self.subject.platform;
        let wanted = serverless::desired(platform, self.wanted, bounds);
        let Some(there) = self.serverless_cache() else {
            let identifier = self.wanted.identifier.clone();
            let (settings, tags) = (wanted, tags(platform));
            self.make(elasticache::Call::CreateServerless { identifier, settings, tags });
            return;
        };
        let changes = serverless::changes(&wanted, there);
        let settled = self.seen.settled_generation.is_some();
        let at_once =
            |change: &Change<ServerlessSetting>| settled && change.setting == ServerlessSetting::UserGroup;
        let now = self.permitted(&of_serverless(there), there.phase(), changes, at_once);
        if let Some(call) = serverless::next(&wanted, there, &now) {
            self.change(call);
        }
    }

    fn make(&mut self, call: elasticache::Call) {
        if self.plan.may_be_made(&self.subject, self.seen) {
            self.moving("it is being made");
            self.call(call);
        }
    }

    fn change(&mut self, call: elasticache::Call) {
        self.moving(format!("being done: {call}"));
        self.call(call);
    }

    /// The changes that may be made now, to a cache that is ours and that AWS is not at. Our users come back at
    /// once where they were before: without them no pod logs in.
    fn permitted<S: Setting>(
        &mut self,
        server: &Server<'_>,
        phase: Phase,
        changes: Vec<Change<S>>,
        at_once: impl Fn(&Change<S>) -> bool,
    ) -> Vec<Change<S>> {
        match self.plan.is_ours(&self.subject, server.noun, server.tags, &changes) {
            Ownership::Ours => {}
            Ownership::Approved => {
                self.tag(server);
                self.moving(format!("{} is being taken over", self.wanted.identifier));
                return Vec::new();
            }
            Ownership::Foreign => {
                self.plan.connection = None;
                return Vec::new();
            }
        }
        let message = format!("{} is {}", self.wanted.identifier, server.status);
        match phase {
            Phase::Settled => {}
            Phase::Moving => {
                self.moving(message);
                return Vec::new();
            }
            Phase::Deleting => {
                let message = format!("{message}, and not by the operator");
                self.plan.stuck(ConditionReason::NotFound, message, false);
                return Vec::new();
            }
            Phase::Broken(advice) => {
                self.plan.stuck(ConditionReason::Failed, format!("{message}: {advice}"), false);
                return Vec::new();
            }
        }
        if self.plan.calls.is_empty() && !matches!(self.plan.state, State::Stuck { .. }) {
            self.plan.state = State::Ready(message);
        }
        self.tag(server);
        let possible = self.plan.possible(&self.subject, self.seen, changes);
        let (mut now, others): (Vec<_>, Vec<_>) = possible.into_iter().partition(at_once);
        now.extend(self.plan.permitted(others, self.subject.permits));
        now
    }

    /// Our tags, and the user's.
    fn tag(&mut self, server: &Server<'_>) {
        let tags = missing_tags(&tags(self.subject.platform), server.tags);
        if !tags.is_empty() {
            self.call(elasticache::Call::Tag { arn: server.arn.to_owned(), tags });
        }
    }
}

/// Name of the subnet group that the operator makes.
#[must_use]
pub fn subnet_group_name(platform: &Platform) -> String {
    platform.aws_identifier(names::CACHE, 255)
}

/// Where pods reach the cache. A cache has one database, of the number 0.
pub(super) fn endpoint(connection: &Connection) -> Endpoint {
    Endpoint {
        resource_id: connection.resource_id.clone(),
        host: connection.host.clone(),
        server: connection.host.clone(),
        reader: connection.reader_host.clone(),
        port: connection.port,
        dbname: "0".to_owned(),
        // Amazon Trust Services signs the certificates, whom every system knows.
        ca: None,
    }
}

#[cfg(test)]
mod tests;

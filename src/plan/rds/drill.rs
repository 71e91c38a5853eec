//! A restore drill: the database restored into a scratch one, asked a query, and the scratch one removed.
//!
//! Flow: due → restore called → available → asked → result in the status → scratch deleted → gone.
//!
//! Guarantees: one drill runs at a time, and each slot of the schedule is drilled at most once. The scratch database
//! has an identifier that is derived from the slot, and a mark that says when the drill began: a restore whose answer
//! was lost is found again, not made twice, by whoever leads then. The result is written before anything is deleted;
//! whatever is left without a drill that runs is deleted, again and again until it is gone.

use super::{Planner, endpoint, master_secret_name};
use crate::{
    api::{FinishedDrill, RestoreDrillStatus, names, whole_seconds},
    managed::{
        Settings,
        rds::{
            self, Origin, Phase,
            cluster::{self, Cluster, ClusterSetting},
            instance::{self, Instance, InstanceSetting},
            parameter_group,
            scratch::{self, Mark, Scratch},
        },
    },
    plan::{
        call::Call,
        login::Endpoint,
        managed::{Connection, Master, State, tags},
    },
    platform::database::{Engine, RestoreDrill, RestoreSource},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::collections::{BTreeMap, BTreeSet};

/// What is asked where the spec says nothing: how many tables the platform has.
pub const QUERY: &str = "SELECT count(*) FROM information_schema.tables \
     WHERE table_schema NOT IN ('pg_catalog', 'information_schema')";

/// What is to be done about restore drills.
#[derive(Clone, Debug, PartialEq)]
pub struct Drill {
    /// What the status says, apart from what comes of the step.
    pub status: RestoreDrillStatus,
    /// The step.
    pub step: Step,
}

impl Drill {
    /// Whether a drill runs, or something of one is still there.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.status.running.is_some() || self.status.scratch.is_some()
    }
}

/// A step of a drill.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// None.
    Rest,
    /// Calls, in this order.
    Calls(Vec<Call>),
    /// The restored database is asked.
    Ask(Question),
}

/// What a restored database is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Who may set its login.
    pub master: Master,
    /// One query.
    pub query: String,
}

/// What a restored database answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What it shall.
    Passed,
    /// Something else; what.
    Failed(String),
    /// Nothing that tells; it is asked again. Why.
    NotYet(String),
}

/// Writes down what came of the drill that runs.
pub fn conclude(status: &mut RestoreDrillStatus, answer: &Answer, now: Timestamp) {
    let (passed, failure) = match answer {
        Answer::NotYet(message) => {
            status.message = Some(message.clone());
            return;
        }
        Answer::Passed => (true, None),
        Answer::Failed(message) => (false, Some(message.clone())),
    };
    let Some(mark) = status.running.take().as_ref().map(Mark::from) else { return };
    let now = whole_seconds(now);
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs().max(0);
    let (rto, rpo) = (seconds(mark.started_at, now), seconds(mark.restored_to, mark.started_at));
    status.message = None;
    status.last = Some(FinishedDrill {
        slot: Time(mark.slot),
        started_at: Time(mark.started_at),
        finished_at: Time(now),
        passed,
        rto_seconds: passed.then_some(rto),
        rpo_seconds: passed.then_some(rpo),
        message: failure.unwrap_or_else(|| {
            format!("restored and asked within {rto} s; at most the last {rpo} s before were missing")
        }),
    });
    if passed {
        status.last_passed_at = Some(Time(now));
    }
}

impl Scratch {
    /// The instance or cluster that is there; none: nothing is.
    #[must_use]
    pub fn name(&self) -> Option<&String> {
        self.clusters.keys().next().or_else(|| self.instances.keys().next())
    }

    /// Of what is not being deleted.
    fn marks(&self) -> impl Iterator<Item = Mark> {
        let instances = self.instances.values().map(|(mark, it)| (mark, it.phase()));
        let clusters = self.clusters.values().map(|(mark, it)| (mark, it.phase()));
        let all = instances.chain(clusters).filter(|(_, phase)| *phase != Phase::Deleting);
        all.map(|(mark, _)| *mark)
    }

    /// The next calls that delete all but what is of the drill of `kept`. While AWS is at something, it is left.
    pub(super) fn removal(&self, kept: Option<Timestamp>) -> Vec<Call> {
        let can_go = |mark: &Mark, phase: Phase| {
            Some(mark.slot) != kept && !matches!(phase, Phase::Moving | Phase::Deleting)
        };
        let of = |instance: &Instance| instance.settings.get(&InstanceSetting::Cluster).cloned();
        let instances =
            self.instances.values().filter(|(mark, it)| can_go(mark, it.phase())).map(|(_, it)| {
                rds::Call::DeleteInstance {
                    identifier: it.identifier.clone(),
                    final_snapshot: None,
                    // Those of a member are its cluster's.
                    delete_backups: of(it).is_none(),
                }
            });
        let is_empty = |cluster: &Cluster| {
            !self.instances.values().any(|(_, it)| of(it).is_some_and(|it| it.text() == cluster.identifier))
        };
        let clusters =
            self.clusters.values().filter(|(mark, it)| can_go(mark, it.phase()) && is_empty(it)).map(
                |(_, it)| rds::Call::DeleteCluster {
                    identifier: it.identifier.clone(),
                    final_snapshot: None,
                    delete_backups: true,
                },
            );
        instances.chain(clusters).map(Call::Rds).collect()
    }
}

/// What a restored database needs next.
enum Next {
    Wait(String),
    Calls(String, Vec<rds::Call>),
    Ask(Connection),
    Fail(String),
}

impl Planner<'_> {
    /// The next step of restore drills. It stands beside the plan of the database and changes nothing of it.
    pub(super) fn drill(&mut self) {
        let database = &self.seen.resource;
        let before = database.drill.clone();
        self.plan.drill = match &self.wanted.restore_drill {
            _ if self.seen.failure.is_some() => before.map(|status| Drill { status, step: Step::Rest }),
            Some(drill) => Some(self.drilled(drill, before.unwrap_or_default())),
            None => database.scratch.name().map(|name| Drill {
                status: RestoreDrillStatus {
                    next: None,
                    running: None,
                    ..cleaning(before.unwrap_or_default(), name)
                },
                step: Step::Calls(database.scratch.removal(None)),
            }),
        };
    }

    fn drilled(&self, drill: &RestoreDrill, mut status: RestoreDrillStatus) -> Drill {
        let scratch = &self.seen.resource.scratch;
        let last = status.last.as_ref().map(|it| it.slot.0);
        // What AWS has says better when it began than what was written.
        let written = status.running.as_ref().map(Mark::from);
        let newest = scratch.marks().filter(|mark| Some(mark.slot) > last).max_by_key(|mark| mark.slot);
        let current = newest.or(written);
        let done = current.map(|mark| mark.slot).max(last);
        let stands = |at: &Time| drill.schedule.has(at.0) && Some(at.0) > done;
        status.next = status.next.filter(stands).or_else(|| drill.schedule.after(self.now).map(Time));
        status.running = current.map(Into::into);
        status.scratch = scratch.name().cloned();
        let removal = scratch.removal(current.map(|mark| mark.slot));
        match (current, scratch.name()) {
            _ if !removal.is_empty() => {
                let name = scratch.name().map(String::as_str).unwrap_or_default();
                Drill { status: cleaning(status, name), step: Step::Calls(removal) }
            }
            (Some(mark), _) => self.go_on(drill, mark, status),
            (None, Some(name)) => Drill { status: cleaning(status, name), step: Step::Rest },
            (None, None) => self.begin(drill, status),
        }
    }

    /// A new drill, where one is due and the database is at rest.
    fn begin(&self, drill: &RestoreDrill, mut status: RestoreDrillStatus) -> Drill {
        status.message = None;
        let due = status.next.as_ref().map(|at| at.0).filter(|at| *at <= self.now);
        let begun = due.map(|slot| match self.restorable() {
            Ok(restored_to) => Ok(Mark { slot, started_at: whole_seconds(self.now), restored_to }),
            Err(obstacle) => Err(format!("a restore drill is due and waits: {obstacle}")),
        });
        let step = match begun {
            None => Step::Rest,
            Some(Err(message)) => {
                status.message = Some(message);
                Step::Rest
            }
            Some(Ok(mark)) => {
                status.next = drill.schedule.after(self.now).map(Time);
                status.running = Some(mark.into());
                status.message = Some("the restore is called".to_owned());
                Step::Calls(vec![Call::Rds(self.restore_for(drill, mark))])
            }
        };
        Drill { status, step }
    }

    /// The time that a restore brings back at least, or what keeps a drill from beginning.
    fn restorable(&self) -> Result<Timestamp, &'static str> {
        if self.platform.suspended {
            return Err("spec.suspend is true");
        }
        if !matches!(self.plan.state, State::Ready(_)) || !self.plan.calls.is_empty() {
            return Err("the database is not ready, or is being changed; see the condition DatabaseReady");
        }
        self.plan.facts.latest_restorable.ok_or("AWS has no backup of it yet")
    }

    /// The drill that runs.
    fn go_on(&self, drill: &RestoreDrill, mark: Mark, mut status: RestoreDrillStatus) -> Drill {
        let timeout = SignedDuration::try_from(drill.timeout).unwrap_or(SignedDuration::MAX);
        if self.now.duration_since(mark.started_at) >= timeout {
            let at = status.message.take().unwrap_or_default();
            let message = format!("no answer within {timeout:#}: {at}");
            conclude(&mut status, &Answer::Failed(message), self.now);
            return Drill { status, step: Step::Rest };
        }
        let Scratch { instances, clusters } = &self.seen.resource.scratch;
        let name = scratch::identifier(&self.wanted.base_identifier, mark.slot);
        let next = match (clusters.get(&name), instances.get(&name)) {
            (Some((_, cluster)), _) => {
                let member = instances.get(&scratch::member(&name)).map(|(_, it)| it);
                self.next_of_cluster(drill, mark, cluster, member)
            }
            (None, Some((_, instance))) => self.next_of_instance(instance),
            (None, None) => {
                Next::Calls("the restore is called".to_owned(), vec![self.restore_for(drill, mark)])
            }
        };
        let step = match next {
            Next::Wait(message) => {
                status.message = Some(message);
                Step::Rest
            }
            Next::Calls(message, calls) => {
                status.message = Some(message);
                Step::Calls(calls.into_iter().map(Call::Rds).collect())
            }
            // What it answered last stays until it answers again.
            Next::Ask(connection) => Step::Ask(Question {
                endpoint: endpoint(self.platform, self.wanted, &connection, None),
                master: connection.master,
                query: drill.query.clone().unwrap_or_else(|| QUERY.to_owned()),
            }),
            Next::Fail(message) => {
                conclude(&mut status, &Answer::Failed(message), self.now);
                Step::Rest
            }
        };
        Drill { status, step }
    }

    /// The call that restores: like the database, but small, unprotected and without backups of its own.
    fn restore_for(&self, drill: &RestoreDrill, mark: Mark) -> rds::Call {
        let name = scratch::identifier(&self.wanted.base_identifier, mark.slot);
        let from = Some(self.identifier.clone());
        let origin = Origin::Restored(RestoreSource::PointInTime { from, time: None });
        let mut tags = self.drill_tags(mark);
        if !self.wanted.secrets_manager() {
            tags.insert(names::TAG_MASTER.to_owned(), "unset".to_owned());
        }
        match &self.wanted.engine {
            Engine::Instance { .. } => {
                let mut settings = self.wanted_instance();
                settings.extend([
                    (InstanceSetting::MultiAz, false.into()),
                    (InstanceSetting::DeletionProtection, false.into()),
                    (InstanceSetting::BackupRetention, 0.into()),
                ]);
                settings.extend(drill.class.clone().map(|class| (InstanceSetting::Class, class.into())));
                instance::create(name, settings, tags, origin)
            }
            Engine::Aurora { .. } => {
                let group = parameter_group::name(self.platform, self.wanted);
                let mut settings = cluster::desired(self.wanted, &group, self.subnet_group().as_deref());
                settings.insert(ClusterSetting::DeletionProtection, false.into());
                cluster::create(name, settings, tags, origin)
            }
        }
    }

    fn drill_tags(&self, mark: Mark) -> BTreeMap<String, String> {
        let mut tags = tags(self.platform);
        tags.insert(names::TAG_DRILL.to_owned(), mark.to_string());
        tags
    }

    fn next_of_instance(&self, instance: &Instance) -> Next {
        let Instance { identifier, status, .. } = instance;
        if let Some(next) = unusable(identifier, status, instance.phase()) {
            return next;
        }
        let Some((host, port)) = instance.endpoint.clone().filter(|_| rds::serves(status)) else {
            return Next::Wait(format!("{identifier} is {status}"));
        };
        if instance.tags.contains_key(names::TAG_MASTER) {
            let message = format!("the master's password of {identifier} is set");
            let (identifier, secret) = (identifier.clone(), master_secret_name(self.platform));
            let was_managed = instance.master_secret.is_some();
            let set = rds::Call::SetMasterPassword { identifier, secret, was_managed };
            return match instance.phase() {
                Phase::Settled => Next::Calls(message, vec![set, untag_master(&instance.arn)]),
                _ => Next::Wait(message),
            };
        }
        let (resource_id, master) =
            (instance.resource_id.clone(), self.master(instance.master_secret.as_ref()));
        Next::Ask(Connection { resource_id, host, port, reader_host: None, proxy: None, master })
    }

    fn next_of_cluster(
        &self,
        drill: &RestoreDrill,
        mark: Mark,
        cluster: &Cluster,
        member: Option<&Instance>,
    ) -> Next {
        let Cluster { identifier, status, .. } = cluster;
        if let Some(next) = unusable(identifier, status, cluster.phase()) {
            return next;
        }
        let mut calls = Vec::new();
        if member.is_none() {
            let (name, settings) = (scratch::member(identifier), self.scratch_member(drill, cluster));
            calls.push(instance::create(name, settings, self.drill_tags(mark), Origin::Member));
        }
        // A cluster takes this only once it is there.
        if self.wanted.secrets_manager() && cluster.master_secret.is_none() {
            let settings = Settings::from([(ClusterSetting::ManagedMasterPassword, true.into())]);
            let identifier = identifier.clone();
            calls.push(rds::Call::ModifyCluster { identifier, settings, immediately: true });
        }
        if cluster.tags.contains_key(names::TAG_MASTER) {
            let (identifier, secret) = (identifier.clone(), master_secret_name(self.platform));
            let was_managed = cluster.master_secret.is_some();
            calls.push(rds::Call::SetClusterMasterPassword { identifier, secret, was_managed });
            calls.push(untag_master(&cluster.arn));
        }
        if !calls.is_empty() && cluster.phase() == Phase::Settled {
            return Next::Calls(format!("{identifier} gets its instance and its master"), calls);
        }
        let Some(member) = member else { return Next::Wait(format!("{identifier} is {status}")) };
        if let Some(next) = unusable(&member.identifier, &member.status, member.phase()) {
            return next;
        }
        let Some((host, port)) = cluster.endpoint.clone().filter(|_| rds::serves(&member.status)) else {
            return Next::Wait(format!("{} is {}", member.identifier, member.status));
        };
        let (resource_id, master) =
            (cluster.resource_id.clone(), self.master(cluster.master_secret.as_ref()));
        Next::Ask(Connection { resource_id, host, port, reader_host: None, proxy: None, master })
    }

    /// The only instance of a scratch cluster, which nobody monitors.
    fn scratch_member(&self, drill: &RestoreDrill, cluster: &Cluster) -> Settings<InstanceSetting> {
        let mut settings = self.wanted_member(cluster, &scratch::member(&cluster.identifier));
        settings.retain(|setting, _| {
            !matches!(
                setting,
                InstanceSetting::PerformanceInsights
                    | InstanceSetting::PerformanceInsightsRetention
                    | InstanceSetting::MonitoringInterval
                    | InstanceSetting::MonitoringRole
            )
        });
        settings.extend(drill.class.clone().map(|class| (InstanceSetting::Class, class.into())));
        settings
    }
}

fn cleaning(status: RestoreDrillStatus, name: &str) -> RestoreDrillStatus {
    RestoreDrillStatus {
        scratch: Some(name.to_owned()),
        message: Some(format!("{name} is being deleted")),
        ..status
    }
}

/// What no waiting mends.
fn unusable(identifier: &str, status: &str, phase: Phase) -> Option<Next> {
    match phase {
        Phase::Settled | Phase::Moving => None,
        Phase::Broken(_) => {
            Some(Next::Fail(format!("the restored {identifier} became {status}; see its events in RDS")))
        }
        Phase::Stopped | Phase::Deleting => {
            Some(Next::Fail(format!("the restored {identifier} is {status}, and not by the operator")))
        }
    }
}

fn untag_master(arn: &str) -> rds::Call {
    let keys = BTreeSet::from([names::TAG_MASTER.to_owned()]);
    rds::Call::Untag { arn: arn.to_owned(), keys }
}

//! status: what was observed, planned and applied becomes the status of a platform. Pure.
//!
//! `Ready`, `Reconciling` and `Stalled` follow kstatus (the latter two are abnormal when true). Each part has
//! a condition of its own, and the three are made from them. A message says what to do next.

mod drill;
mod parts;
mod transcoding;

use crate::{
    api::{
        ComponentStatus, ConditionReason, ConditionType, DataStatus, PendingChange, StreamingPlatform,
        StreamingPlatformStatus, WaitingFor, whole_seconds,
    },
    apply::cluster::Applied,
    observe::Observed,
    plan::{Plan, WaitReason, Waiting, managed::DataPlan},
    platform::Platform,
    validate::Invalid,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use parts::{Part, Verdict};

/// Most entries of a list in the status, as the schema has it.
const MOST: usize = 32;
/// Longest message of a condition, by the schema of `metav1.Condition`, with room for an ellipsis.
const MESSAGE: usize = 32_000;
/// Most pending changes in the status, as the schema has it.
const PENDING: usize = 64;

/// How far a reconcile came.
#[derive(Clone, Copy, Debug)]
pub enum View<'a> {
    /// What it needs could not be read; the error.
    Unread(&'a str),
    /// The spec can't be carried out.
    Invalid(&'a [Invalid]),
    /// To the end.
    Planned {
        /// The decided spec.
        platform: &'a Platform,
        /// What was observed before anything was done.
        observed: &'a Observed,
        /// What was to be done.
        plan: &'a Plan,
        /// What came of it.
        applied: &'a Applied,
        /// What came of it in AWS.
        aws: &'a crate::apply::aws::Outcome,
    },
    /// The platform goes.
    Deleting {
        /// What is waited for.
        waiting: &'a WaitingFor,
        /// Whether it failed and is tried again.
        held_up: bool,
    },
}

/// Computes the status of `resource`, whose present one is `before`.
#[must_use]
pub fn status(
    resource: &StreamingPlatform,
    before: &StreamingPlatformStatus,
    view: View<'_>,
    now: Timestamp,
) -> StreamingPlatformStatus {
    let generation = resource.metadata.generation;
    let mut conditions = Conditions { generation, now, before: &before.conditions, made: Vec::new() };
    match view {
        View::Unread(error) => {
            let mut status = before.clone();
            let message = format!("could not look at the platform, trying again: {error}");
            conditions.generation = before.observed_generation.or(generation);
            conditions.set(ConditionType::Reconciling, true, ConditionReason::CallFailed, &message);
            if !has(before, ConditionType::Ready) {
                conditions.set(ConditionType::Ready, false, ConditionReason::CallFailed, &message);
            }
            status.conditions = conditions.over_before();
            status
        }
        View::Invalid(findings) => {
            let reason = findings.first().map_or(ConditionReason::InvalidSpec, |finding| finding.reason);
            let message = findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            conditions.set(ConditionType::Ready, false, reason, &message);
            conditions.set(ConditionType::Reconciling, false, reason, "waits for a change of the spec");
            conditions.set(ConditionType::Stalled, true, reason, &message);
            // What runs goes on running: the rest of the status stays as it was.
            StreamingPlatformStatus {
                observed_generation: generation,
                conditions: conditions.over_before(),
                waiting: Vec::new(),
                ..before.clone()
            }
        }
        View::Planned { platform, observed, plan, applied, aws } => {
            let mut parts = parts::parts(platform, observed, plan, applied, aws, served(resource, before));
            parts.extend(transcoding::parts(platform, observed, plan, &aws.transcoding, now));
            let drill = drill::status(&plan.database, &aws.drill, now);
            parts.extend(drill::part(drill.as_ref()));
            summarise(&mut conditions, platform, &parts, applied);
            StreamingPlatformStatus {
                observed_generation: generation,
                conditions: conditions.made,
                components: components(plan, observed),
                endpoints: plan.summary.endpoints.iter().take(MOST).cloned().collect(),
                transcoding: transcoding::status(platform, observed, before.transcoding.as_ref()),
                database: plan
                    .summary
                    .database
                    .as_ref()
                    .map(|data| data_status(&data.status, &plan.database))
                    .map(|status| DataStatus { restore_drill: drill, ..status }),
                cache: plan.summary.cache.as_ref().map(|data| data_status(&data.status, &plan.cache)),
                waiting: waiting(&plan.waiting),
            }
        }
        View::Deleting { waiting, held_up } => {
            let WaitingFor { what, on, message } = waiting;
            let how = if held_up { "the deletion is held up and tried again" } else { "being deleted" };
            let message = format!("{how}; {what} waits for {on}: {message}");
            let reason = ConditionReason::Deleting;
            conditions.set(ConditionType::Ready, false, reason, &message);
            conditions.set(ConditionType::Reconciling, true, reason, &message);
            conditions.set(ConditionType::Stalled, false, reason, "the deletion goes on by itself");
            StreamingPlatformStatus {
                observed_generation: generation,
                conditions: conditions.over_before(),
                waiting: vec![waiting.clone()],
                ..before.clone()
            }
        }
    }
}

/// Whether the workloads of this very generation were available before.
fn served(resource: &StreamingPlatform, before: &StreamingPlatformStatus) -> bool {
    before.observed_generation == resource.metadata.generation
        && before.conditions.iter().any(|condition| {
            condition.type_ == ConditionType::WorkloadsAvailable.as_str() && condition.status == "True"
        })
}

/// Whether writing `new` over `old` would change anything. Conditions of others are not looked at.
#[must_use]
pub fn differs(new: &StreamingPlatformStatus, old: &StreamingPlatformStatus) -> bool {
    let ours = |status: &StreamingPlatformStatus| {
        let mut status = status.clone();
        status
            .conditions
            .retain(|condition| ConditionType::ALL.iter().any(|t| t.as_str() == condition.type_));
        status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
        status
    };
    ours(new) != ours(old)
}

/// Makes conditions, with the transition times of those that were there.
struct Conditions<'a> {
    generation: Option<i64>,
    now: Timestamp,
    before: &'a [Condition],
    made: Vec<Condition>,
}

impl Conditions<'_> {
    fn set(&mut self, kind: ConditionType, is: bool, reason: ConditionReason, message: &str) {
        let status = if is { "True" } else { "False" };
        let was = self.before.iter().find(|old| old.type_ == kind.as_str() && old.status == status);
        let now = whole_seconds(self.now);
        self.made.push(Condition {
            type_: kind.as_str().to_owned(),
            status: status.to_owned(),
            reason: reason.to_string(),
            message: cut(message),
            observed_generation: self.generation,
            last_transition_time: was.map_or(Time(now), |old| old.last_transition_time.clone()),
        });
    }

    /// What was made, and of ours what was there before and was not made anew.
    fn over_before(self) -> Vec<Condition> {
        let mut all = self.made;
        let ours = |old: &&Condition| ConditionType::ALL.iter().any(|kind| kind.as_str() == old.type_);
        for old in self.before.iter().filter(ours) {
            if !all.iter().any(|new| new.type_ == old.type_) {
                all.push(old.clone());
            }
        }
        all
    }
}

/// The conditions of the parts, and the three that are made from them.
fn summarise(conditions: &mut Conditions<'_>, platform: &Platform, parts: &[Part], applied: &Applied) {
    let serving = || parts.iter().filter(|part| part.serves);
    // A failed Job or drill is a matter of its own: the platform itself goes on.
    let apart = [ConditionType::JobsHealthy, ConditionType::RestoreDrillPassed];
    let stuck = parts
        .iter()
        .find(|part| !apart.contains(&part.kind) && matches!(part.verdict, Verdict::Stuck { .. }));
    let worst = serving()
        .find(|part| matches!(part.verdict, Verdict::Stuck { .. }))
        .or_else(|| serving().find(|part| !part.verdict.is_good()));
    match worst {
        None => conditions.set(
            ConditionType::Ready,
            true,
            ConditionReason::AsExpected,
            "all parts are as the spec says",
        ),
        Some(part) => {
            conditions.set(ConditionType::Ready, false, part.verdict.reason(), part.verdict.message());
        }
    }
    match parts.iter().find(|part| matches!(part.verdict, Verdict::Moving { .. })) {
        _ if platform.suspended => conditions.set(
            ConditionType::Reconciling,
            false,
            ConditionReason::Suspended,
            "spec.suspend is true: nothing is changed and no new Job starts; set it to false to go on",
        ),
        Some(part) => {
            conditions.set(ConditionType::Reconciling, true, part.verdict.reason(), part.verdict.message());
        }
        None if applied.changed_anything() => conditions.set(
            ConditionType::Reconciling,
            true,
            ConditionReason::Progressing,
            "objects were changed and take effect",
        ),
        None => conditions.set(
            ConditionType::Reconciling,
            false,
            ConditionReason::AsExpected,
            "nothing is to be done",
        ),
    }
    match stuck {
        Some(part) => {
            conditions.set(ConditionType::Stalled, true, part.verdict.reason(), part.verdict.message());
        }
        None => {
            conditions.set(ConditionType::Stalled, false, ConditionReason::AsExpected, "nothing is stuck");
        }
    }
    for part in parts {
        conditions.set(part.kind, part.verdict.is_good(), part.verdict.reason(), part.verdict.message());
    }
}

/// A database or cache, with what its plan found in AWS.
fn data_status(status: &DataStatus, plan: &DataPlan) -> DataStatus {
    let facts = &plan.facts;
    let time = |at| Time(whole_seconds(at));
    let pending = plan.pending.iter().take(PENDING).map(|change| PendingChange {
        field: change.field.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        effect: change.effect.to_string(),
        at: change.at.map(time),
    });
    DataStatus {
        // It is only named once it served: what is named and gone is never made anew.
        identifier: facts.identifier.clone(),
        state: facts.state.clone(),
        version: facts.version.clone(),
        primary: facts.primary.clone(),
        pending_changes: pending.collect(),
        approval: plan.approval.clone(),
        pending_since: facts.pending_since.map(time),
        proxy: facts.proxy.clone(),
        kept: facts.kept.iter().take(MOST).cloned().collect(),
        settled_generation: facts.settled_generation,
        ..status.clone()
    }
}

fn components(plan: &Plan, observed: &Observed) -> Vec<ComponentStatus> {
    let components = plan.summary.components.iter().take(MOST);
    components
        .map(|component| ComponentStatus {
            name: component.name.clone(),
            image: component.image.clone(),
            replicas: component.replicas,
            available_replicas: parts::available(observed, &component.deployment),
        })
        .collect()
}

fn waiting(waiting: &[Waiting]) -> Vec<WaitingFor> {
    // The list is a map by `what`: one entry each, the first.
    let mut entries: Vec<WaitingFor> = Vec::new();
    for Waiting { what, reason } in waiting {
        let what = what.to_string();
        if entries.len() < MOST && !entries.iter().any(|entry| entry.what == what) {
            entries.push(WaitingFor { what, on: on(reason), message: explain(reason) });
        }
    }
    entries
}

/// What a [`WaitReason`] waits for.
fn on(reason: &WaitReason) -> String {
    match reason {
        WaitReason::ReferenceMissing { reference, .. } => reference.clone(),
        WaitReason::Generating(key) => key.to_string(),
        WaitReason::Aws(what) => what.clone(),
        WaitReason::Database => "the database".to_owned(),
        WaitReason::Cache => "the cache".to_owned(),
        WaitReason::NotServed(kind) => kind.to_string(),
    }
}

/// Why, and what to do.
fn explain(reason: &WaitReason) -> String {
    match reason {
        WaitReason::ReferenceMissing { reference, key: None } => {
            format!("{reference} is missing; create it in the platform's namespace")
        }
        WaitReason::ReferenceMissing { reference, key: Some(key) } => {
            format!("{reference} has no key {key:?}; add it")
        }
        WaitReason::Generating(key) => format!("{key} is being generated"),
        WaitReason::Aws(what) => format!("{what} is not there yet; see the condition TranscodingReady"),
        WaitReason::Database => {
            "its login is made as soon as AWS has it available; see the condition DatabaseReady".to_owned()
        }
        WaitReason::Cache => {
            "its login is made as soon as AWS has it available; see the condition CacheReady".to_owned()
        }
        WaitReason::NotServed(kind) => format!(
            "the cluster does not serve {kind}; install its CustomResourceDefinitions (the Gateway API), or leave route.gateway out to get an Ingress"
        ),
    }
}

fn has(status: &StreamingPlatformStatus, kind: ConditionType) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == kind.as_str())
}

fn cut(message: &str) -> String {
    if message.len() <= MESSAGE {
        return message.to_owned();
    }
    let end = (0..=MESSAGE).rev().find(|&at| message.is_char_boundary(at)).unwrap_or_default();
    format!("{}...", &message[..end])
}

#[cfg(test)]
mod tests;

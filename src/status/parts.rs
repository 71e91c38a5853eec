//! The parts of a platform, and what is to be said of each.

use super::{explain, on};
use crate::{
    api::{ConditionReason, ConditionType, names},
    apply::{
        aws::{self, Outcome},
        cluster::Applied,
    },
    kinds::{Kind, ObjectKey},
    observe::{Observed, Reference, Referenced},
    plan::{
        ComponentSummary, DataSummary, Plan, WaitReason, Waiting,
        managed::{DataPlan, State},
    },
    platform::{Data, Platform},
};

/// A part with its condition.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub kind: ConditionType,
    /// Whether the platform can't serve without it.
    pub serves: bool,
    pub verdict: Verdict,
}

/// What is to be said of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good(String),
    /// Not there yet, and on its way by itself.
    Moving {
        reason: ConditionReason,
        message: String,
    },
    /// Someone must mend something.
    Stuck {
        reason: ConditionReason,
        message: String,
    },
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good(_))
    }

    pub fn reason(&self) -> ConditionReason {
        match self {
            Self::Good(_) => ConditionReason::AsExpected,
            Self::Moving { reason, .. } | Self::Stuck { reason, .. } => *reason,
        }
    }

    pub fn message(&self) -> &str {
        match self {
            Self::Good(message) | Self::Moving { message, .. } | Self::Stuck { message, .. } => message,
        }
    }

    fn moving(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self::Moving { reason, message: message.into() }
    }

    fn stuck(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self::Stuck { reason, message: message.into() }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Stuck { .. } => 0,
            Self::Moving { .. } => 1,
            Self::Good(_) => 2,
        }
    }
}

/// Every part that the spec asks for. `served`: whether the workloads of this generation were available before.
pub(super) fn parts(
    platform: &Platform,
    observed: &Observed,
    plan: &Plan,
    applied: &Applied,
    aws: &Outcome,
    served: bool,
) -> Vec<Part> {
    let looks = Looks { platform, observed, plan, applied, served };
    let mut parts = Vec::new();
    if let Some(data) = &plan.summary.database {
        let kind = ConditionType::DatabaseReady;
        parts.push(match platform.database {
            Some(Data::Aws(_)) => looks.in_aws(kind, names::DATABASE, data, &plan.database, &aws.database),
            _ => Part { kind, serves: true, verdict: looks.data(names::DATABASE, data) },
        });
    }
    if let Some(data) = &plan.summary.cache {
        let kind = ConditionType::CacheReady;
        parts.push(match platform.cache {
            Some(Data::Aws(_)) => looks.in_aws(kind, names::CACHE, data, &plan.cache, &aws.cache),
            _ => Part { kind, serves: true, verdict: looks.data(names::CACHE, data) },
        });
    }
    if !plan.summary.components.is_empty() {
        let (kind, verdict) = (ConditionType::WorkloadsAvailable, looks.workloads());
        parts.push(Part { kind, serves: true, verdict });
    }
    parts
}

/// Replicas of a Deployment that are available.
pub(super) fn available(observed: &Observed, deployment: &ObjectKey) -> i32 {
    i32::try_from(number(observed, deployment, "/status/availableReplicas")).unwrap_or(i32::MAX)
}

struct Looks<'a> {
    platform: &'a Platform,
    observed: &'a Observed,
    plan: &'a Plan,
    applied: &'a Applied,
    served: bool,
}

impl Looks<'_> {
    fn workloads(&self) -> Verdict {
        let of_data = |key: &ObjectKey| self.is_of(names::DATABASE, key) || self.is_of(names::CACHE, key);
        let all = self
            .troubles(|key| !of_data(key))
            .chain(self.plan.summary.components.iter().map(|component| self.component(component)));
        let number = self.plan.summary.components.len();
        worst(all).unwrap_or_else(|| Verdict::Good(format!("{number} components are available")))
    }

    fn component(&self, component: &ComponentSummary) -> Verdict {
        let ComponentSummary { name, deployment, image: _, replicas } = component;
        if let Some(withheld) = self.withheld(name, deployment) {
            return withheld;
        }
        let trouble = self.observed.pod_troubles.get(name);
        let status = |path: &str| number(self.observed, deployment, path);
        let (updated, available) = (status("/status/updatedReplicas"), status("/status/availableReplicas"));
        let current = self.observed.objects.get(deployment).is_some_and(|object| {
            status("/status/observedGeneration") >= object.metadata.generation.unwrap_or_default()
        });
        // More replicas than the least are the autoscaler's: while they start, the component serves.
        let least = self.platform.components.iter().find(|c| c.name == *name).map_or(1, |c| c.scale.min());
        let enough = i64::from(least);
        let rolled_out = updated >= enough && available >= enough && status("/status/replicas") <= updated;
        // An autoscaler's change, or another's, makes a generation too that is not observed yet.
        let told = current || self.served;
        if told && rolled_out && !self.applied.changed().contains(deployment) {
            return Verdict::Good(format!("{name} is available"));
        }
        let detail = trouble.map_or_else(
            || format!("{name}: {available} of {} pods are available", least.max(*replicas)),
            |trouble| format!("{name}: {trouble}"),
        );
        if trouble.is_some_and(|trouble| trouble.starts_with(crate::observe::pods::REFUSED)) {
            return Verdict::stuck(ConditionReason::Refused, detail);
        }
        if current && deadline_exceeded(self.observed, deployment) {
            return Verdict::stuck(ConditionReason::Unavailable, detail);
        }
        match trouble {
            Some(_) => Verdict::moving(ConditionReason::Unavailable, detail),
            None => Verdict::moving(ConditionReason::Progressing, detail),
        }
    }

    fn data(&self, part: &str, data: &DataSummary) -> Verdict {
        let troubles = self.troubles(|key| self.is_of(part, key));
        let itself = match &data.stateful_set {
            None => self.external(part, data),
            Some(key) => self.embedded(part, key),
        };
        worst(troubles.chain([itself.clone()])).unwrap_or(itself)
    }

    /// What runs a part is not as the spec says, and a suspended platform leaves it so.
    fn withheld(&self, part: &str, key: &ObjectKey) -> Option<Verdict> {
        self.plan.summary.withheld.contains(key).then(|| {
            let why = format!(
                "{part}: {key} is not as the spec says, and spec.suspend keeps it so; set it to false"
            );
            Verdict::moving(ConditionReason::Suspended, why)
        })
    }

    fn embedded(&self, part: &str, key: &ObjectKey) -> Verdict {
        if let Some(withheld) = self.withheld(part, key) {
            return withheld;
        }
        let Some(object) = self.observed.objects.get(key) else {
            return Verdict::moving(ConditionReason::Progressing, format!("{part}: {key} is being made"));
        };
        let status = |path: &str| number(self.observed, key, path);
        let current = status("/status/observedGeneration") >= object.metadata.generation.unwrap_or_default();
        if current && status("/status/readyReplicas") >= 1 && status("/status/updatedReplicas") >= 1 {
            return Verdict::Good(format!("{key} is ready"));
        }
        match self.observed.pod_troubles.get(part) {
            Some(trouble) => Verdict::moving(ConditionReason::Unavailable, format!("{part}: {trouble}")),
            None => Verdict::moving(ConditionReason::Progressing, format!("{part}: {key} is starting")),
        }
    }

    /// What is to be said of a database or cache in AWS. With a Secret to connect by and a server that can be
    /// connected to, the platform serves, whatever is being changed.
    fn in_aws(
        &self,
        kind: ConditionType,
        name: &str,
        data: &DataSummary,
        plan: &DataPlan,
        aws: &aws::Applied,
    ) -> Part {
        let connects = plan.connection.is_some() && self.external(name, data).is_good();
        let itself = match &plan.state {
            State::Stuck { reason, message, .. } => Verdict::stuck(*reason, message),
            State::Moving(message) => Verdict::moving(ConditionReason::Progressing, message),
            State::Ready(_) if !connects && !self.platform.suspended => Verdict::moving(
                ConditionReason::Progressing,
                format!("the login of the {name} is being made"),
            ),
            State::Ready(message) => Verdict::Good(message.clone()),
        };
        let failed = aws.failures.iter().map(|failure| {
            let reason = if failure.waiting { ConditionReason::Waiting } else { ConditionReason::CallFailed };
            Verdict::moving(reason, &failure.message)
        });
        let troubles = self.troubles(|key| self.is_of(name, key)).chain(failed);
        let verdict = worst(troubles.chain([itself.clone()])).unwrap_or(itself);
        let stops = matches!(plan.state, State::Stuck { serves: false, .. });
        Part { kind, serves: !connects || stops, verdict }
    }

    fn external(&self, part: &str, data: &DataSummary) -> Verdict {
        let name = &data.status.secret_name;
        match self.observed.references.get(&Reference::Secret(name.clone())) {
            Some(Referenced::Present { keys, .. }) if keys.contains("uri") => {
                Verdict::Good(format!("Secret/{name} says how to connect"))
            }
            Some(Referenced::Present { .. }) => Verdict::stuck(
                ConditionReason::SecretMissing,
                format!("{part}: Secret/{name} has no key \"uri\"; add it"),
            ),
            Some(Referenced::Missing) | None => Verdict::stuck(
                ConditionReason::SecretMissing,
                format!("{part}: Secret/{name} is missing; create it in the platform's namespace"),
            ),
        }
    }

    /// What was refused, failed or waits, of objects that `of_part` picks.
    fn troubles(&self, of_part: impl Fn(&ObjectKey) -> bool + Clone) -> impl Iterator<Item = Verdict> {
        let (refusals, failures) = (of_part.clone(), of_part.clone());
        let refused =
            self.applied.refused().iter().filter(move |(key, _)| refusals(key)).map(|(key, why)| {
                Verdict::stuck(ConditionReason::Refused, format!("the API server refuses {key}: {why}"))
            });
        let failed = self.applied.failed().iter().filter(move |(key, _)| failures(key)).map(|(key, why)| {
            Verdict::moving(
                ConditionReason::CallFailed,
                format!("{key} could not be changed, trying again: {why}"),
            )
        });
        let waiting = self.plan.waiting.iter().filter(move |waiting| of_part(&waiting.what)).map(waits);
        refused.chain(failed).chain(waiting).collect::<Vec<_>>().into_iter()
    }

    fn is_of(&self, part: &str, key: &ObjectKey) -> bool {
        let child = self.platform.name.child(part);
        key.name == child || key.kind == Kind::PersistentVolumeClaim && key.name.contains(&child)
    }
}

fn waits(Waiting { what, reason }: &Waiting) -> Verdict {
    let message = format!("{what} waits for {}: {}", on(reason), explain(reason));
    match reason {
        WaitReason::ReferenceMissing { .. } => Verdict::stuck(ConditionReason::SecretMissing, message),
        WaitReason::NotServed(_) => Verdict::stuck(ConditionReason::Waiting, message),
        WaitReason::Generating(_) | WaitReason::Aws(_) | WaitReason::Database | WaitReason::Cache => {
            Verdict::moving(ConditionReason::Waiting, message)
        }
    }
}

/// The first of the worst verdicts; `None`: all are good.
fn worst(verdicts: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.filter(|verdict| !verdict.is_good()).min_by_key(Verdict::rank)
}

fn deadline_exceeded(observed: &Observed, deployment: &ObjectKey) -> bool {
    let conditions =
        observed.objects.get(deployment).and_then(|o| o.data.pointer("/status/conditions")?.as_array());
    conditions.is_some_and(|all| {
        all.iter().any(|c| c["type"] == "Progressing" && c["reason"] == "ProgressDeadlineExceeded")
    })
}

fn number(observed: &Observed, key: &ObjectKey, pointer: &str) -> i64 {
    observed.objects.get(key).and_then(|object| object.data.pointer(pointer)?.as_i64()).unwrap_or_default()
}

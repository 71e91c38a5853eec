//! The rules of data safety, the same for everything that is managed: what may be made, whose it is, which
//! changes are made, and what is told otherwise.

use super::{DataPlan, Owner, Pending, Permits, State, owner};
use crate::{
    api::{ConditionReason, DriftPolicy},
    managed::{Change, Effect, Seen, Setting, Value},
    platform::Platform,
};
use std::collections::BTreeMap;

/// What the rules go by.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The platform.
    pub platform: &'a Platform,
    /// Its field in the spec: `database` or `cache`.
    pub part: &'static str,
    /// Its identifier.
    pub identifier: &'a str,
    /// Whether it becomes ours.
    pub adopt: bool,
    /// What is done about drift.
    pub drift_policy: DriftPolicy,
    /// Which changes may be made now.
    pub permits: &'a Permits,
}

impl DataPlan {
    /// Whether it may be made where there is none. One that was there and is gone held data: making an empty one
    /// in its place would hide the loss, so that someone has to approve it.
    pub fn may_be_made<T>(&mut self, subject: &Subject<'_>, seen: &Seen<T>) -> bool {
        let Subject { part, identifier, adopt, permits, .. } = subject;
        if seen.identifier.as_deref() == Some(*identifier) {
            let (from, to) = ("gone".to_owned(), "made anew".to_owned());
            let approved = self.permits_step("identifier", from, to, Effect::Replaces, permits);
            if !approved {
                let message = format!(
                    "{part} {identifier} is gone, and the operator did not delete it; approve status.{part}.approval to have it made anew"
                );
                self.stuck(ConditionReason::NotFound, message, false);
            }
            return approved;
        }
        if *adopt {
            let message = format!(
                "there is no {part} {identifier} to adopt; correct {part}.aws.identifier, or leave adopt out to have it made"
            );
            self.stuck(ConditionReason::NotFound, message, false);
            return false;
        }
        true
    }

    /// Whether something with these tags is this platform's, or becomes it now. Tells what stands in the way.
    /// `noun`: what it is.
    pub fn is_ours<S: Setting>(
        &mut self,
        subject: &Subject<'_>,
        noun: &str,
        tags: &BTreeMap<String, String>,
        changes: &[Change<S>],
    ) -> Ownership {
        let Subject { part, identifier, adopt, .. } = subject;
        let message = match owner(subject.platform, tags) {
            Owner::Us => return Ownership::Ours,
            Owner::Nobody if *adopt && subject.permits.is_approved() => return Ownership::Approved,
            Owner::Nobody if *adopt => {
                self.offers(subject, noun, changes);
                return Ownership::Foreign;
            }
            Owner::Other(other) => format!(
                "{noun} {identifier} belongs to platform {other}; name another one in {part}.aws.identifier"
            ),
            Owner::Nobody => format!(
                "there is a {noun} {identifier} that the operator did not make; set {part}.aws.adopt to true to take it over, or name another one in {part}.aws.identifier"
            ),
        };
        self.stuck(ConditionReason::NotOwned, message, false);
        Ownership::Foreign
    }

    /// Shows what taking something over would change.
    fn offers<S: Setting>(&mut self, subject: &Subject<'_>, noun: &str, changes: &[Change<S>]) {
        let Subject { platform, part, identifier, permits, .. } = subject;
        let (from, to) = ("nobody's".to_owned(), format!("{}/{}", platform.namespace, platform.name));
        self.permits_step("adopt", from, to, Effect::Replaces, permits);
        self.pending.extend(changes.iter().map(|change| Pending {
            field: change.setting.field().to_owned(),
            from: shown(change.from.as_ref()),
            to: change.to.to_string(),
            effect: change.effect(),
            at: None,
        }));
        let message = format!(
            "{noun} {identifier} is taken over once that is approved; status.{part}.pendingChanges shows what would change"
        );
        self.stuck(ConditionReason::ApprovalNeeded, message, false);
    }

    /// Leaves out what AWS can't change, and tells it. With drift that is only to be told, everything.
    pub fn possible<S: Setting, T>(
        &mut self,
        subject: &Subject<'_>,
        seen: &Seen<T>,
        changes: Vec<Change<S>>,
    ) -> Vec<Change<S>> {
        let Subject { part, .. } = subject;
        let (impossible, possible): (Vec<_>, Vec<_>) =
            changes.into_iter().partition(|change| change.effect() == Effect::Impossible);
        if let Some(first) = impossible.first() {
            let message = format!(
                "{part}.aws.{} is {} and can't become {}: AWS can't change it; set the field to what it is, or restore a snapshot into another platform",
                first.setting.field(),
                shown(first.from.as_ref()),
                first.to
            );
            self.stuck(ConditionReason::InvalidSpec, message, true);
        }
        if subject.drift_policy == DriftPolicy::Report
            && seen.settled_generation == Some(subject.platform.generation)
            && let Some(first) = possible.first()
        {
            let message = format!(
                "{part}.aws.{} was changed outside to {}; set the field to that, or driftPolicy to Repair",
                first.setting.field(),
                shown(first.from.as_ref())
            );
            self.stuck(ConditionReason::Drifted, message, true);
            return Vec::new();
        }
        possible
    }

    /// Notes what the next plan has to know of this one.
    #[must_use]
    pub fn finish<T>(mut self, platform: &Platform, seen: &Seen<T>, now: jiff::Timestamp) -> Self {
        let converged =
            matches!(self.state, State::Ready(_)) && self.calls.is_empty() && self.pending.is_empty();
        // An approval holds until everything that it was given for is done, step by step.
        let since = (!self.pending.is_empty()).then_some(now);
        self.facts.pending_since = if converged { None } else { seen.pending_since.or(since) };
        self.facts.settled_generation =
            if converged { Some(platform.generation) } else { seen.settled_generation };
        self
    }
}

/// Whose something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This platform's.
    Ours,
    /// Nobody's, and someone approved that it becomes ours: tag it.
    Approved,
    /// Not ours; what to do is told.
    Foreign,
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "unset".to_owned(), ToString::to_string)
}

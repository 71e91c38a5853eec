//! What is to be said of restore drills.

use super::parts::{Part, Verdict};
use crate::{
    api::{ConditionReason, ConditionType, RestoreDrillStatus},
    apply::aws::Drilled,
    plan::{managed::DataPlan, rds::drill::conclude},
};
use jiff::Timestamp;

/// What was planned, and what came of it.
pub(super) fn status(plan: &DataPlan, drilled: &Drilled, now: Timestamp) -> Option<RestoreDrillStatus> {
    let mut status = plan.drill.as_ref()?.status.clone();
    if let Some(failure) = drilled.applied.failures.first() {
        status.message = Some(failure.message.clone());
    }
    if let Some(answer) = &drilled.answer {
        conclude(&mut status, answer, now);
    }
    Some(status)
}

/// Whether the last one passed. The platform serves and goes on without that.
pub(super) fn part(status: Option<&RestoreDrillStatus>) -> Option<Part> {
    let last = status?.last.as_ref()?;
    let verdict = if last.passed {
        Verdict::Good(last.message.clone())
    } else {
        Verdict::Stuck { reason: ConditionReason::RestoreDrillFailed, message: last.message.clone() }
    };
    Some(Part { kind: ConditionType::RestoreDrillPassed, serves: false, verdict })
}

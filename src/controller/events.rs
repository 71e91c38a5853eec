//! Events: what a person sees in `kubectl describe`, told once, when it happens.
//!
//! They come from what a reconcile did and from conditions that changed, so that a platform at rest has none.

use crate::{
    api::{ConditionReason, ConditionType, FinishedDrill, StreamingPlatform, StreamingPlatformStatus, names},
    apply::cluster::{Applied, names_of},
    kinds::PlatformKey,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Client, Resource,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::debug;

/// Within this, an event that comes again is counted in the first one; the same as kube's recorder keeps.
const SERIES: Duration = Duration::from_secs(6 * 60);

/// Longest note that the API server takes, in bytes.
const NOTE: usize = 1024;

/// Publishes events.
///
/// A recorder keeps what it published, as large as it is, and forgets only while it publishes. So each platform has one of
/// its own, and only as long as something is told of it.
pub struct Events {
    client: Client,
    reporter: Reporter,
    recorders: Mutex<HashMap<PlatformKey, (Recorder, Instant)>>,
}

/// An event before it is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether something is wrong.
    pub warning: bool,
    /// Why, as a constant.
    pub reason: String,
    /// What was being done.
    pub action: &'static str,
    /// One or two sentences.
    pub note: String,
}

impl Events {
    /// Publishes as the process called `identity`.
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter =
            Reporter { controller: names::FIELD_MANAGER.into(), instance: Some(identity.to_owned()) };
        Self { client, reporter, recorders: Mutex::default() }
    }

    /// Publishes `notices` about `platform`. An event that can't be written is no reason to fail.
    pub async fn publish(&self, key: &PlatformKey, platform: &StreamingPlatform, notices: Vec<Notice>) {
        if notices.is_empty() {
            self.forget_old(key);
            return;
        }
        let recorder = self.recorder(key);
        for Notice { warning, reason, action, note } in notices {
            let event = Event {
                type_: if warning { EventType::Warning } else { EventType::Normal },
                reason,
                note: Some(truncated(note)),
                action: action.into(),
                secondary: None,
            };
            if let Err(error) = recorder.publish(&event, &platform.object_ref(&())).await {
                debug!(%error, "an event was not written");
            }
        }
    }

    /// Forgets a platform that is gone.
    pub fn forget(&self, key: &PlatformKey) {
        self.recorders().remove(key);
    }

    fn recorder(&self, key: &PlatformKey) -> Recorder {
        let new = || Recorder::new(self.client.clone(), self.reporter.clone());
        let mut recorders = self.recorders();
        let (recorder, used) = recorders.entry(key.clone()).or_insert_with(|| (new(), Instant::now()));
        *used = Instant::now();
        recorder.clone()
    }

    /// There is nothing to tell of a platform: what was told long ago is forgotten.
    fn forget_old(&self, key: &PlatformKey) {
        let mut recorders = self.recorders();
        if recorders.get(key).is_some_and(|(_, used)| used.elapsed() >= SERIES) {
            recorders.remove(key);
        }
    }

    fn recorders(&self) -> MutexGuard<'_, HashMap<PlatformKey, (Recorder, Instant)>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.recorders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was done to the platform's objects.
pub fn of_changes(applied: &Applied) -> Vec<Notice> {
    let notice = |reason: &str, action, verb, keys| Notice {
        warning: false,
        reason: reason.into(),
        action,
        note: format!("{verb} {}", names_of(keys)),
    };
    let mut notices = Vec::new();
    if !applied.changed().is_empty() {
        notices.push(notice("Applied", "Apply", "made or changed", applied.changed()));
    }
    if !applied.pruned().is_empty() {
        notices.push(notice(
            "Pruned",
            "Delete",
            "deleted, as the spec no longer asks for it:",
            applied.pruned(),
        ));
    }
    notices
}

/// What became of the platform between two statuses.
pub fn of_transitions(before: &StreamingPlatformStatus, after: &StreamingPlatformStatus) -> Vec<Notice> {
    [ConditionType::Ready, ConditionType::Stalled, ConditionType::JobsHealthy]
        .into_iter()
        .filter_map(|kind| transition(kind, before, after))
        .chain(finished_drill(before, after))
        .collect()
}

/// Each restore drill is told, also one that fails as the one before did.
fn finished_drill(before: &StreamingPlatformStatus, after: &StreamingPlatformStatus) -> Option<Notice> {
    let last = |status: &StreamingPlatformStatus| -> Option<FinishedDrill> {
        status.database.as_ref()?.restore_drill.as_ref()?.last.clone()
    };
    let drill = last(after).filter(|drill| Some(drill) != last(before).as_ref())?;
    let reason = if drill.passed { "RestoreDrillPassed" } else { "RestoreDrillFailed" };
    Some(Notice { warning: !drill.passed, reason: reason.to_owned(), action: "Drill", note: drill.message })
}

fn transition(
    kind: ConditionType,
    before: &StreamingPlatformStatus,
    after: &StreamingPlatformStatus,
) -> Option<Notice> {
    let (now, was) = (condition(after, kind)?, condition(before, kind));
    if was.is_some_and(|was| was.status == now.status && was.reason == now.reason) {
        return None;
    }
    let good = (now.status == "True") != (kind == ConditionType::Stalled);
    let reason = match (kind, good) {
        // That nothing is wrong with these is news only after something was.
        (ConditionType::Stalled | ConditionType::JobsHealthy, true) if was.is_none() => return None,
        (ConditionType::Stalled, true) => "Resumed",
        (ConditionType::JobsHealthy, true) => "JobsHealthy",
        (_, true) => "Ready",
        // Ready tells it already.
        (ConditionType::Stalled, false)
            if condition(after, ConditionType::Ready).is_some_and(|ready| ready.reason == now.reason) =>
        {
            return None;
        }
        (_, false) => &now.reason,
    };
    let calm = [ConditionReason::Progressing, ConditionReason::Waiting, ConditionReason::Deleting];
    Some(Notice {
        warning: !good && !calm.iter().any(|calm| calm.to_string() == now.reason),
        reason: reason.to_owned(),
        action: "Reconcile",
        note: now.message.clone(),
    })
}

fn condition(status: &StreamingPlatformStatus, kind: ConditionType) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

fn truncated(mut note: String) -> String {
    if note.len() > NOTE {
        let end = (0..=NOTE - 3).rev().find(|&at| note.is_char_boundary(at)).unwrap_or_default();
        note.truncate(end);
        note.push_str("...");
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::StreamingPlatformSpec;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use kube::client::Body;

    fn status(conditions: &[(ConditionType, &str, ConditionReason)]) -> StreamingPlatformStatus {
        let conditions = conditions.iter().map(|(kind, status, reason)| Condition {
            type_: kind.as_str().into(),
            status: (*status).into(),
            reason: reason.to_string(),
            message: "a message".into(),
            last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
            observed_generation: None,
        });
        StreamingPlatformStatus { conditions: conditions.collect(), ..StreamingPlatformStatus::default() }
    }

    fn reasons(before: &StreamingPlatformStatus, after: &StreamingPlatformStatus) -> Vec<(bool, String)> {
        of_transitions(before, after).into_iter().map(|n| (n.warning, n.reason)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_told_is_kept_only_for_so_long() {
        let refused = |_: http::Request<Body>| async { Err::<http::Response<Body>, _>("nowhere") };
        let events = Events::new(Client::new(tower::service_fn(refused), "default"), "a");
        let key = PlatformKey::new("media", "tv");
        let platform = StreamingPlatform::new("tv", StreamingPlatformSpec::default());
        let notice = Notice { warning: false, reason: "Ready".into(), action: "Reconcile", note: "".into() };
        events.publish(&key, &platform, vec![notice]).await;
        events.publish(&key, &platform, Vec::new()).await;
        assert_eq!(events.recorders().len(), 1, "it may come again");
        tokio::time::advance(SERIES).await;
        events.publish(&key, &platform, Vec::new()).await;
        assert_eq!(events.recorders().len(), 0);
    }

    #[test]
    fn a_transition_is_told_once() {
        use ConditionReason::{AsExpected, Progressing, Refused};
        use ConditionType::{Ready, Stalled};
        let new = StreamingPlatformStatus::default();
        let starting = status(&[(Ready, "False", Progressing), (Stalled, "False", AsExpected)]);
        let refused = status(&[(Ready, "False", Refused), (Stalled, "True", Refused)]);
        let ready = status(&[(Ready, "True", AsExpected), (Stalled, "False", AsExpected)]);
        assert_eq!(reasons(&new, &starting), [(false, "Progressing".into())]);
        assert_eq!(reasons(&starting, &starting), []);
        assert_eq!(reasons(&starting, &refused), [(true, "Refused".into())]);
        assert_eq!(reasons(&refused, &ready), [(false, "Ready".into()), (false, "Resumed".into())]);
        assert_eq!(reasons(&ready, &ready), []);
    }

    #[test]
    fn a_note_fits_and_stays_text() {
        let note = truncated("ä".repeat(NOTE));
        assert!(note.len() <= NOTE && note.ends_with("ä..."), "{}", note.len());
        assert_eq!(truncated("short".into()), "short");
    }
}

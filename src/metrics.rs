//! What Prometheus scrapes. No label holds the name of an object, as their number would grow with use. Restore drills
//! are the exception, for each platform has its own, and its alert: their series go with the platform.

use crate::{api::RestoreDrillStatus, kinds::PlatformKey};
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::{fmt, time::Duration};

/// Every metric of the operator. Cheap to clone: clones share their values.
#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<Outcome, Counter>,
    reconcile_seconds: Histogram,
    queued: Gauge,
    running: Gauge,
    writes: Family<Write, Counter>,
    aws_calls: Family<AwsCall, Counter>,
    aws_wait_seconds: Family<Service, Histogram>,
    aws_throttles: Family<Service, Counter>,
    jobs: Family<State, Gauge>,
    messages: Family<State, Gauge>,
    leader: Gauge,
    drill_rto: Family<Platform, Gauge>,
    drill_rpo: Family<Platform, Gauge>,
    drill_passed_at: Family<Platform, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Platform {
    namespace: String,
    platform: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    verb: &'static str,
    kind: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AwsCall {
    service: &'static str,
    operation: String,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Service {
    service: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

/// What one platform adds to the gauges of queues and Jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Jobs whose pod does not run yet.
    pub pending: i64,
    /// Jobs that run.
    pub running: i64,
    /// Messages to be received.
    pub visible: i64,
    /// Messages received and not deleted.
    pub in_flight: i64,
    /// Messages on the dead-letter queue.
    pub dead_lettered: i64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            queued: Gauge::default(),
            running: Gauge::default(),
            writes: Family::default(),
            aws_calls: Family::default(),
            aws_wait_seconds: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 8))
            }),
            aws_throttles: Family::default(),
            jobs: Family::default(),
            messages: Family::default(),
            leader: Gauge::default(),
            drill_rto: Family::default(),
            drill_rpo: Family::default(),
            drill_passed_at: Family::default(),
        }
    }
}

impl Metrics {
    /// Counts a reconcile that ended with `outcome` after `took`.
    pub fn reconciled(&self, outcome: &'static str, took: Duration) {
        self.reconciles.get_or_create(&Outcome { outcome }).inc();
        self.reconcile_seconds.observe(took.as_secs_f64());
    }

    /// Notes how many platforms wait for a reconcile that is due, and how many are being reconciled.
    pub fn work(&self, queued: usize, running: usize) {
        self.queued.set(i64::try_from(queued).unwrap_or(i64::MAX));
        self.running.set(i64::try_from(running).unwrap_or(i64::MAX));
    }

    /// Counts a request that changes something in Kubernetes.
    pub fn wrote(&self, verb: &'static str, kind: impl Into<String>) {
        self.writes.get_or_create(&Write { verb, kind: kind.into() }).inc();
    }

    /// Counts a call to AWS. `status` is that of HTTP, or `none` where there was no answer.
    pub fn aws_call(&self, service: &'static str, operation: impl Into<String>, status: impl Into<String>) {
        self.aws_calls
            .get_or_create(&AwsCall { service, operation: operation.into(), status: status.into() })
            .inc();
    }

    /// Notes that a try of a call took a token of its account's budget, and how long it waited for it.
    pub fn aws_waited(&self, service: &'static str, waited: Duration) {
        self.aws_wait_seconds.get_or_create(&Service { service }).observe(waited.as_secs_f64());
    }

    /// Counts an answer by which AWS says that there were too many calls.
    pub fn aws_throttled(&self, service: &'static str) {
        self.aws_throttles.get_or_create(&Service { service }).inc();
    }

    /// Replaces what one platform added to the gauges by what it adds now.
    pub fn load(&self, before: Load, now: Load) {
        for (state, change) in
            [("pending", now.pending - before.pending), ("running", now.running - before.running)]
        {
            self.jobs.get_or_create(&State { state }).inc_by(change);
        }
        for (state, change) in [
            ("visible", now.visible - before.visible),
            ("in_flight", now.in_flight - before.in_flight),
            ("dead_lettered", now.dead_lettered - before.dead_lettered),
        ] {
            self.messages.get_or_create(&State { state }).inc_by(change);
        }
    }

    /// Notes how the restore drills of a platform went; none: it has none.
    pub fn restore_drill(&self, key: &PlatformKey, drills: Option<&RestoreDrillStatus>) {
        let of = Platform { namespace: key.namespace.clone(), platform: key.name.clone() };
        let last = drills.and_then(|it| it.last.as_ref());
        let passed_at = drills.and_then(|it| it.last_passed_at.as_ref());
        for (gauges, value) in [
            (&self.drill_rto, last.and_then(|it| it.rto_seconds)),
            (&self.drill_rpo, last.and_then(|it| it.rpo_seconds)),
            (&self.drill_passed_at, passed_at.map(|at| at.0.as_second())),
        ] {
            match value {
                Some(value) => drop(gauges.get_or_create(&of).set(value)),
                None => drop(gauges.remove(&of)),
            }
        }
    }

    /// Notes whether this process leads. With the lead goes what only a leader knows: another process tells it from
    /// then on.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
        if !leads {
            self.work(0, 0);
            self.jobs.clear();
            self.messages.clear();
            for drills in [&self.drill_rto, &self.drill_rpo, &self.drill_passed_at] {
                drills.clear();
            }
        }
    }

    /// The metrics as Prometheus reads them.
    ///
    /// # Errors
    /// Never, as a `String` takes whatever is written to it; the signature is the encoder's.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("streaming_operator");
        registry.register("reconciles", "Reconciles by how they ended", self.reconciles.clone());
        registry.register(
            "reconcile_duration_seconds",
            "How long a reconcile took",
            self.reconcile_seconds.clone(),
        );
        registry.register("work_queue_depth", "Platforms whose reconcile is due", self.queued.clone());
        registry.register("work_running", "Platforms that are being reconciled", self.running.clone());
        registry.register(
            "kubernetes_writes",
            "Requests that change something in Kubernetes, by verb and kind",
            self.writes.clone(),
        );
        registry.register(
            "aws_calls",
            "Calls to AWS by service, operation and status",
            self.aws_calls.clone(),
        );
        registry.register(
            "aws_wait_seconds",
            "How long tries of calls to AWS waited for a token of their account's budget, by service",
            self.aws_wait_seconds.clone(),
        );
        registry.register(
            "aws_throttles",
            "Answers of AWS that there were too many calls, by service",
            self.aws_throttles.clone(),
        );
        registry.register("jobs", "Transcoding Jobs of all platforms, by state", self.jobs.clone());
        registry.register("queue_messages", "Messages of all platforms, by state", self.messages.clone());
        registry.register("leader", "1 while this process leads", self.leader.clone());
        registry.register(
            "restore_drill_rto_seconds",
            "From the call of the last restore drill, where it passed, to the restored database's answer",
            self.drill_rto.clone(),
        );
        registry.register(
            "restore_drill_rpo_seconds",
            "Age of the state that the last restore drill, where it passed, brought back, at most",
            self.drill_rpo.clone(),
        );
        registry.register(
            "restore_drill_last_success_timestamp_seconds",
            "When a restore drill passed last",
            self.drill_passed_at.clone(),
        );
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_rendered() {
        let metrics = Metrics::default();
        metrics.reconciled("Converged", Duration::from_millis(3));
        metrics.work(2, 1);
        metrics.wrote("apply", "Deployment");
        metrics.aws_call("sqs", "ReceiveMessage", "ok");
        metrics.aws_waited("rds", Duration::from_millis(250));
        metrics.aws_throttled("rds");
        metrics.load(Load::default(), Load { running: 3, visible: 5, ..Load::default() });
        metrics
            .load(Load { running: 3, visible: 5, ..Load::default() }, Load { running: 1, ..Load::default() });
        metrics.leads(true);
        let (kept, gone) = (PlatformKey::new("media", "tv"), PlatformKey::new("media", "gone"));
        metrics.restore_drill(&kept, Some(&drills()));
        metrics.restore_drill(&gone, Some(&drills()));
        metrics.restore_drill(&gone, None);
        let text = metrics.render().unwrap();
        for line in [
            "streaming_operator_reconciles_total{outcome=\"Converged\"} 1",
            "streaming_operator_reconcile_duration_seconds_count 1",
            "streaming_operator_work_queue_depth 2",
            "streaming_operator_work_running 1",
            "streaming_operator_kubernetes_writes_total{verb=\"apply\",kind=\"Deployment\"} 1",
            "streaming_operator_aws_calls_total{service=\"sqs\",operation=\"ReceiveMessage\",status=\"ok\"} 1",
            "streaming_operator_aws_wait_seconds_count{service=\"rds\"} 1",
            "streaming_operator_aws_throttles_total{service=\"rds\"} 1",
            "streaming_operator_jobs{state=\"running\"} 1",
            "streaming_operator_queue_messages{state=\"visible\"} 0",
            "streaming_operator_leader 1",
            "streaming_operator_restore_drill_rto_seconds{namespace=\"media\",platform=\"tv\"} 480",
            "streaming_operator_restore_drill_rpo_seconds{namespace=\"media\",platform=\"tv\"} 260",
            "streaming_operator_restore_drill_last_success_timestamp_seconds{namespace=\"media\",platform=\"tv\"} 1795323600",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("gone"), "{text}");
    }

    #[test]
    fn who_leads_no_more_tells_nothing_of_platforms() {
        let metrics = Metrics::default();
        metrics.leads(true);
        metrics.work(2, 1);
        metrics.load(Load::default(), Load { running: 3, visible: 5, ..Load::default() });
        metrics.restore_drill(&PlatformKey::new("media", "tv"), Some(&drills()));
        metrics.wrote("apply", "Deployment");
        metrics.leads(false);
        let text = metrics.render().unwrap();
        for gone in ["state=", "platform=", "_depth 2", "_running 1", "_leader 1\n"] {
            assert!(!text.contains(gone), "{gone} is left in\n{text}");
        }
        assert!(text.contains("kubernetes_writes_total{verb=\"apply\",kind=\"Deployment\"} 1"), "{text}");
    }

    fn drills() -> RestoreDrillStatus {
        serde_json::from_value(serde_json::json!({
            "lastPassedAt": "2026-11-22T05:00:00Z",
            "last": {
                "slot": "2026-11-22T04:50:00Z", "startedAt": "2026-11-22T04:52:00Z",
                "finishedAt": "2026-11-22T05:00:00Z", "passed": true, "message": "it passed",
                "rtoSeconds": 480, "rpoSeconds": 260,
            },
        }))
        .unwrap()
    }
}

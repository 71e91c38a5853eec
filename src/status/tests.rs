//! What is said of platforms in all their states.

use super::*;
use crate::{
    kinds::Kind,
    plan::testing::{Cluster, from_spec},
};
use serde_json::{Value, json};

const LATER: i64 = 1_000;

/// A platform with a cluster that has all its objects, none of them looked at by a controller yet.
struct Scene {
    resource: StreamingPlatform,
    cluster: Cluster,
    status: StreamingPlatformStatus,
    clock: i64,
}

impl Scene {
    fn new(spec: Value) -> Self {
        let resource = from_spec(spec);
        let mut cluster = Cluster::with_references(&resource);
        cluster.converge(&resource);
        Self { resource, cluster, status: StreamingPlatformStatus::default(), clock: 0 }
    }

    /// Two components, a database and a cache, of which all are available.
    fn running() -> Self {
        let mut scene = Self::new(json!({
            "frontend": {"image": "a:1", "replicas": 2},
            "backend": {"image": "a:1", "replicas": 2},
            "database": {"provider": "Embedded"},
            "cache": {"provider": "Embedded"},
        }));
        scene.deployment("tv-frontend", 1, 1, 2, 2);
        scene.deployment("tv-backend", 1, 1, 2, 2);
        for name in ["tv-database", "tv-cache"] {
            let status = json!({"observedGeneration": 1, "readyReplicas": 1, "updatedReplicas": 1});
            scene.cluster.edit(
                Kind::StatefulSet,
                name,
                &json!({"metadata": {"generation": 1}, "status": status}),
            );
        }
        scene
    }

    /// Sets what its controller tells of a Deployment.
    fn deployment(&mut self, name: &str, generation: i64, observed: i64, updated: i64, available: i64) {
        let status = json!({
            "observedGeneration": observed, "replicas": updated,
            "updatedReplicas": updated, "availableReplicas": available,
        });
        let patch = json!({"metadata": {"generation": generation}, "status": status});
        self.cluster.edit(Kind::Deployment, name, &patch);
    }

    /// Looks, with what observe found in `pods`.
    fn look(&mut self, pods: &[(&str, &str)]) -> &StreamingPlatformStatus {
        self.clock += LATER;
        let mut observed = self.cluster.observed(&self.resource);
        observed.pod_troubles = pods.iter().map(|(c, t)| ((*c).to_owned(), (*t).to_owned())).collect();
        let (platform, plan) = self.cluster.plan(&self.resource);
        let view = View::Planned {
            platform: &platform,
            observed: &observed,
            plan: &plan,
            applied: &Applied::default(),
            aws: &crate::apply::aws::Outcome::default(),
        };
        self.view(view);
        &self.status
    }

    fn view(&mut self, view: View<'_>) {
        let now = Timestamp::from_second(self.clock).unwrap();
        self.status = status(&self.resource, &self.status, view, now);
    }

    fn is(&self, kind: ConditionType) -> (&str, &str, &str) {
        condition(&self.status, kind)
    }
}

fn condition(status: &StreamingPlatformStatus, kind: ConditionType) -> (&str, &str, &str) {
    let found = status.conditions.iter().find(|c| c.type_ == kind.as_str());
    found.map_or(("", "", ""), |c| (&c.status, &c.reason, &c.message))
}

fn since(status: &StreamingPlatformStatus, kind: ConditionType) -> i64 {
    let found = status.conditions.iter().find(|c| c.type_ == kind.as_str()).unwrap();
    found.last_transition_time.0.as_second()
}

#[test]
fn a_platform_that_runs_is_ready_and_its_status_stays_as_it_is() {
    let mut scene = Scene::running();
    let first = scene.look(&[]).clone();
    for (kind, expected) in [
        (ConditionType::Ready, "True"),
        (ConditionType::Reconciling, "False"),
        (ConditionType::Stalled, "False"),
        (ConditionType::WorkloadsAvailable, "True"),
        (ConditionType::DatabaseReady, "True"),
        (ConditionType::CacheReady, "True"),
        (ConditionType::TranscodingReady, ""),
    ] {
        assert_eq!(scene.is(kind).0, expected, "{kind:?}: {:?}", scene.is(kind));
    }
    assert_eq!(first.observed_generation, Some(1));
    assert!(first.conditions.iter().all(|c| c.observed_generation == Some(1)));
    assert_eq!(first.components.len(), 2);
    assert!(!differs(scene.look(&[]), &first), "time alone changes nothing");
}

#[test]
fn a_transition_has_its_time_and_a_new_message_has_not() {
    let mut scene = Scene::running();
    scene.look(&[]);
    scene.deployment("tv-backend", 2, 2, 2, 1);
    let down = scene.look(&[]).clone();
    assert_eq!(scene.is(ConditionType::Ready).0, "False");
    assert_eq!(since(&down, ConditionType::Ready), 2 * LATER);
    assert_eq!(since(&down, ConditionType::Stalled), LATER);
    let worse = scene.look(&[("backend", "pod x can't pull image a:1")]).clone();
    assert!(scene.is(ConditionType::Ready).2.contains("can't pull image"), "{worse:?}");
    assert_eq!(scene.is(ConditionType::Ready).1, "Unavailable");
    assert_eq!(since(&worse, ConditionType::Ready), 2 * LATER);
    assert!(differs(&worse, &down));
}

#[test]
fn a_generation_that_its_controller_has_not_seen_is_not_called_available() {
    let mut scene = Scene::running();
    scene.deployment("tv-backend", 2, 1, 2, 2);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "False", "the figures are those of another generation");
    scene.deployment("tv-backend", 2, 2, 2, 2);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "True");
    // From here on a generation of the Deployment is an autoscaler's, or another's, not ours.
    scene.deployment("tv-backend", 3, 2, 2, 2);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "True", "scaling is no reason to flap");
}

#[test]
fn replicas_beyond_the_least_are_no_reason_not_to_be_ready() {
    let mut scene = Scene::new(json!({"backend": {"image": "a:1", "autoscaling": {"minReplicas": 2}}}));
    scene.deployment("tv-backend", 1, 1, 1, 1);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "False", "the autoscaler has not set its least yet");
    scene.cluster.autoscale("tv-backend", 5);
    scene.deployment("tv-backend", 1, 1, 3, 2);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "True", "{:?}", scene.status);
    scene.deployment("tv-backend", 1, 1, 3, 1);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "False");
}

#[test]
fn what_someone_must_mend_is_stalled() {
    let mut scene = Scene::running();
    scene.deployment("tv-backend", 1, 1, 0, 0);
    scene.look(&[("backend", "Kubernetes refuses its pods: exceeded quota: few")]);
    assert_eq!(scene.is(ConditionType::Stalled).0, "True");
    assert_eq!(scene.is(ConditionType::Ready).1, "Refused");

    let failed =
        json!({"status": {"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]}});
    scene.cluster.edit(Kind::Deployment, "tv-backend", &failed);
    scene.look(&[]);
    assert_eq!(
        (scene.is(ConditionType::Stalled).0, scene.is(ConditionType::Stalled).1),
        ("True", "Unavailable")
    );
}

#[test]
fn what_waits_is_named_with_what_it_waits_for() {
    let resource = from_spec(json!({"backend": {
        "image": "a:1", "replicas": 1, "envFrom": [{"secretRef": {"name": "keys"}}],
    }}));
    let mut scene =
        Scene { cluster: Cluster::default(), resource, status: StreamingPlatformStatus::default(), clock: 0 };
    let status = scene.look(&[]).clone();
    assert_eq!(status.waiting[0].what, "Deployment/tv-backend");
    assert_eq!(status.waiting[0].on, "Secret/keys");
    assert_eq!(scene.is(ConditionType::Ready).1, "SecretMissing");
    assert!(scene.is(ConditionType::Stalled).2.contains("create it in the platform's namespace"));
}

#[test]
fn an_invalid_spec_leaves_what_is_known_of_what_runs() {
    let mut scene = Scene::running();
    let before = scene.look(&[]).clone();
    let finding = Invalid {
        field: "spec.aws.endpointURL".into(),
        message: "is not on the list".into(),
        reason: ConditionReason::NotAllowed,
    };
    scene.view(View::Invalid(&[finding]));
    assert_eq!(
        scene.is(ConditionType::Stalled),
        ("True", "NotAllowed", "spec.aws.endpointURL: is not on the list")
    );
    assert_eq!(scene.status.components, before.components);
}

#[test]
fn a_platform_that_can_t_be_read_keeps_its_conditions() {
    let mut scene = Scene::running();
    scene.look(&[]);
    scene.view(View::Unread("no answer"));
    assert_eq!(scene.is(ConditionType::Ready).0, "True");
    assert_eq!(
        (scene.is(ConditionType::Reconciling).0, scene.is(ConditionType::Reconciling).1),
        ("True", "CallFailed")
    );
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Reconciling).0, "False");
}

#[test]
fn a_deletion_says_what_it_waits_for() {
    let mut scene = Scene::running();
    scene.look(&[]);
    let jobs =
        WaitingFor { what: "StreamingPlatform".into(), on: "Jobs".into(), message: "2 still run".into() };
    scene.view(View::Deleting { waiting: &jobs, held_up: false });
    assert_eq!(scene.is(ConditionType::Ready).1, "Deleting");
    assert!(scene.is(ConditionType::Reconciling).2.contains("2 still run"));
    assert_eq!(scene.status.waiting, std::slice::from_ref(&jobs));
    let aws = WaitingFor { on: "AWS".into(), message: "AccessDenied: no".into(), ..jobs };
    scene.view(View::Deleting { waiting: &aws, held_up: true });
    assert!(scene.is(ConditionType::Reconciling).2.contains("held up"));
    assert!(scene.is(ConditionType::Reconciling).2.contains("AccessDenied: no"));
    assert_eq!(scene.status.waiting, [aws]);
}

#[test]
fn a_suspended_platform_says_so() {
    let mut scene = Scene::running();
    scene.resource.spec.suspend = Some(true);
    scene.look(&[]);
    assert_eq!(
        (scene.is(ConditionType::Reconciling).0, scene.is(ConditionType::Reconciling).1),
        ("False", "Suspended")
    );
    assert_eq!(scene.is(ConditionType::Ready).0, "True", "what runs goes on");
}

#[test]
fn a_suspended_platform_is_not_ready_for_what_it_withholds() {
    let mut scene = Scene::running();
    scene.resource.spec.suspend = Some(true);
    scene.resource.spec.frontend.as_mut().unwrap().image = Some("a:2".into());
    scene.look(&[]);
    let (status, reason, message) = scene.is(ConditionType::Ready);
    assert_eq!((status, reason), ("False", "Suspended"));
    assert!(message.contains("Deployment/tv-frontend is not as the spec says"), "{message}");
    assert_eq!(scene.is(ConditionType::Reconciling).1, "Suspended");
    scene.resource.spec.suspend = None;
    scene.cluster.converge(&scene.resource);
    scene.look(&[]);
    assert_eq!(scene.is(ConditionType::Ready).0, "True");
}

#[test]
fn conditions_of_others_are_no_difference() {
    let mut scene = Scene::running();
    let ours = scene.look(&[]).clone();
    let mut theirs = ours.clone();
    theirs.conditions.push(Condition {
        type_: "example.com/Audited".into(),
        status: "True".into(),
        reason: "Done".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    });
    assert!(!differs(&ours, &theirs));
}

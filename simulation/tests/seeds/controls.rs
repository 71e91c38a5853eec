//! What is wrong is seen: each invariant, broken by hand.

use crate::inspector::Inspector;
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use rstest::rstest;
use serde_json::{Value, json};
use simulation::{
    aws::{Cloud, Place},
    clock::Clock,
    kubernetes::{
        Cluster,
        resource::{DEPLOYMENTS, EVENTS, JOBS, PLATFORMS, Resource, SECRETS},
        store::{Key, Subresource, Write},
    },
};

/// A cluster with a platform that has one slot, and an image that it ran.
struct Scene {
    cluster: Cluster,
    uid: String,
}

impl Scene {
    fn new() -> Self {
        let mut scene =
            Self { cluster: Cluster::new(Clock::starting_at(Timestamp::UNIX_EPOCH)), uid: String::new() };
        let spec = json!({"frontend": {"image": "a:1"}, "transcoding": {"maxConcurrentJobs": 1}});
        let platform = scene.put(PLATFORMS, "tv", json!({"spec": spec}));
        scene.uid = platform["metadata"]["uid"].as_str().unwrap().to_owned();
        let pod = json!({"containers": [{"image": "a:1"}]});
        let owned = scene.owned(json!({"spec": {"replicas": 1, "template": {"spec": pod}}}));
        scene.put(DEPLOYMENTS, "tv-frontend", owned);
        scene.tell(
            DEPLOYMENTS,
            "tv-frontend",
            json!({"observedGeneration": 1, "updatedReplicas": 1, "availableReplicas": 1}),
        );
        scene
    }

    fn owned(&self, mut value: Value) -> Value {
        value["metadata"]["ownerReferences"] = json!([{"uid": self.uid}]);
        value
    }

    fn put(&self, resource: Resource, name: &str, value: Value) -> Value {
        let key = Key { resource, namespace: "media".to_owned(), name: name.to_owned() };
        self.cluster.with(|store, now| {
            let write = Write { manager: "test", subresource: Subresource::Main, now };
            store.apply(&key, &value, true, write).unwrap()
        })
    }

    fn tell(&self, resource: Resource, name: &str, status: Value) {
        let key = Key { resource, namespace: "media".to_owned(), name: name.to_owned() };
        self.cluster.with(|store, now| {
            let write = Write { manager: "test", subresource: Subresource::Status, now };
            store.replace(&key, &json!({"status": status}), write).unwrap();
        });
    }

    fn ready(&self, generation: i64) {
        let ready = json!({"type": "Ready", "status": "True", "observedGeneration": generation});
        self.tell(PLATFORMS, "tv", json!({"conditions": [ready]}));
    }

    fn job(&self, identity: &str, attempt: u32) {
        let labels = json!({"streamingplatform.dev/identity": identity, "streamingplatform.dev/attempt": attempt.to_string()});
        let mut job = self.owned(json!({"spec": {}}));
        job["metadata"]["labels"] = labels;
        self.put(JOBS, &format!("tc-{identity}-{attempt}"), job);
    }

    fn end(&self, job: &str, how: &str) {
        self.tell(JOBS, job, json!({"conditions": [{"type": how, "status": "True"}]}));
    }

    fn seen(&self) -> String {
        self.seen_with_late(&[])
    }

    /// What is seen where the creation of these Jobs arrived late.
    fn seen_with_late(&self, jobs: &[&str]) -> String {
        let mut inspector = Inspector::default();
        inspector.late_jobs.extend(jobs.iter().map(|job| (*job).to_owned()));
        inspector.look(&self.cluster);
        inspector.broken.join("\n")
    }
}

#[rstest]
#[case::all_is_well(|scene: &Scene| {
    scene.ready(1);
    scene.job("a", 1);
    scene.end("tc-a-1", "Failed");
    scene.job("a", 2);
    scene.end("tc-a-2", "Complete");
    scene.job("b", 1);
}, "")]
#[case::two_jobs(|scene: &Scene| { scene.job("a", 1); scene.job("a", 2); }, "was made while")]
#[case::done_again(|scene: &Scene| {
    scene.job("a", 1);
    scene.end("tc-a-1", "Complete");
    scene.job("a", 2);
}, "was made for work that was done")]
#[case::slots(|scene: &Scene| { scene.job("a", 1); scene.job("b", 1); }, "2 Jobs at a time, and 1 slots")]
#[case::unreached(|scene: &Scene| {
    scene.put(PLATFORMS, "tv", json!({"spec": {"frontend": {"image": "a:2"}}}));
    scene.ready(2);
}, "Ready for generation 2, and tv-frontend never ran a:2")]
#[case::of_the_future(|scene: &Scene| scene.ready(2), "there is only 1")]
#[case::told(|scene: &Scene| {
    scene.put(SECRETS, "login", json!({"data": {"password": BASE64_STANDARD.encode("open sesame")}}));
    scene.put(EVENTS, "tv.1", json!({"note": "the password is open sesame"}));
}, "is in events tv.1")]
#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_seen(#[case] act: impl Fn(&Scene), #[case] expected: &str) {
    let scene = Scene::new();
    act(&scene);
    let seen = scene.seen();
    assert!(if expected.is_empty() { seen.is_empty() } else { seen.contains(expected) }, "{seen}");
}

#[rstest]
#[case::one_beside_it(&["a"], &["b"], "")]
#[case::two_beside_it(&["a"], &["b", "c"], "2 Jobs at a time, and 1 slots")]
#[case::two_that_are_late(&["a", "b"], &["c"], "")]
#[tokio::test(start_paused = true)]
async fn a_job_that_is_late_takes_no_slot_and_excuses_no_other(
    #[case] late: &[&str],
    #[case] others: &[&str],
    #[case] expected: &str,
) {
    let scene = Scene::new();
    [others, late].concat().iter().for_each(|identity| scene.job(identity, 1));
    let late: Vec<String> = late.iter().map(|identity| format!("tc-{identity}-1")).collect();
    let seen = scene.seen_with_late(&late.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(if expected.is_empty() { seen.is_empty() } else { seen.contains(expected) }, "{seen}");
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_missed() {
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let (cloud, mut inspector) = (Cloud::new(clock), Inspector::default());
    let told = ["clip-1".to_owned(), "clip-2".to_owned()].into();
    inspector.done.insert("clip-1".to_owned());
    inspector.nothing_lost(&told, &cloud, &Place::default());
    assert_eq!(inspector.broken, ["clip-2 is neither done nor on any queue"]);
}

#[rstest]
#[case::failed_as_often_as_it_may(&["Failed", "Failed"], "gave up", "")]
#[case::without_a_reason(&["Failed", "Failed"], "", "without a reason")]
#[case::too_early(&["Failed"], "gave up", "was given up too early")]
#[case::done(&["Failed", "Complete"], "gave up", "is done and dead-lettered")]
#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_is_wrong_is_seen(
    #[case] ends: &[&str],
    #[case] reason: &str,
    #[case] expected: &str,
) {
    let scene = Scene::new();
    scene.put(PLATFORMS, "tv", json!({"spec": {"transcoding": {"maxConcurrentJobs": 1, "maxAttempts": 2}}}));
    let mut inspector = Inspector::default();
    for (attempt, how) in (1..).zip(ends) {
        scene.job("a", attempt);
        inspector.look(&scene.cluster);
        scene.end(&format!("tc-a-{attempt}"), how);
    }
    inspector.look(&scene.cluster);
    if ends.contains(&"Complete") {
        inspector.done.insert("clip-a".to_owned());
    }
    let attributes =
        [("reason", reason), ("identity", "a")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    inspector.dead_letter(&attributes.into(), r#"{"key": "clip-a"}"#, &["clip-a".to_owned()].into());
    let seen = inspector.broken.join("\n");
    assert!(if expected.is_empty() { seen.is_empty() } else { seen.contains(expected) }, "{seen}");
}

#[rstest]
#[case::as_many_as_are_right(10, "")]
#[case::one_more(11, "11 requests in a minute; at most 10 are right")]
fn too_many_requests_in_a_minute_are_seen(#[case] in_one: usize, #[case] expected: &str) {
    let mut inspector = Inspector::default();
    let minutes = [(0, 10), (60, in_one), (120, 10)];
    let requests = minutes.into_iter().flat_map(|(at, count)| {
        std::iter::repeat_n(Timestamp::UNIX_EPOCH + std::time::Duration::from_secs(at), count)
    });
    inspector.bounded(requests, 10);
    assert_eq!(inspector.broken.join("\n"), expected);
}

/// A Job too many is seen though another one ended before anyone looked.
#[tokio::test(start_paused = true)]
async fn a_job_too_many_is_seen_after_it_ended() {
    let scene = Scene::new();
    scene.job("a", 1);
    scene.job("b", 1);
    scene.end("tc-a-1", "Complete");
    assert!(scene.seen().contains("2 Jobs at a time, and 1 slots"));
}

use super::*;
use controllers::{Controllers, Exit, Run};
use futures::StreamExt;
use jiff::SignedDuration;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Secret},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::{WatchStreamExt, watcher},
};
use resource::DEPLOYMENTS;
use serde_json::{Value, json};
use store::Key;

fn cluster() -> Cluster {
    Cluster::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()))
}

fn deployment(spec: Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec})
}

fn container(name: &str, image: &str) -> Value {
    json!({"template": {"spec": {"containers": [{"name": name, "image": image}]}}})
}

async fn apply(
    api: &Api<kube::api::DynamicObject>,
    manager: &str,
    force: bool,
    object: &Value,
) -> Result<Value, u16> {
    let mut params = PatchParams::apply(manager);
    params.force = force;
    match api.patch("web", &params, &Patch::Apply(object)).await {
        Ok(object) => Ok(serde_json::to_value(object).unwrap()),
        Err(kube::Error::Api(status)) => Err(status.code),
        Err(error) => panic!("{error}"),
    }
}

fn deployments(cluster: &Cluster) -> Api<kube::api::DynamicObject> {
    let kind = kube::core::GroupVersionKind::gvk("apps", "v1", "Deployment");
    let resource = kube::core::ApiResource::from_gvk_with_plural(&kind, "deployments");
    Api::namespaced_with(cluster.client(), "media", &resource)
}

#[tokio::test]
async fn what_is_no_longer_applied_goes_and_what_others_own_stays() {
    let cluster = cluster();
    let api = deployments(&cluster);
    let mut one = deployment(container("app", "a:1"));
    one["spec"]["replicas"] = json!(2);
    apply(&api, "one", false, &one).await.unwrap();
    apply(&api, "two", false, &deployment(container("sidecar", "s:1"))).await.unwrap();
    let changed = apply(&api, "one", false, &deployment(container("app", "a:2"))).await.unwrap();
    assert_eq!(changed["spec"].get("replicas"), None, "nobody applies it any more");
    let containers = &changed["spec"]["template"]["spec"]["containers"];
    assert_eq!(*containers, json!([{"name": "app", "image": "a:2"}, {"name": "sidecar", "image": "s:1"}]));
    assert_eq!(changed["metadata"]["generation"], 3);
    assert_eq!(apply(&api, "two", false, &deployment(container("app", "a:3"))).await, Err(409));
    let forced = apply(&api, "two", true, &deployment(container("app", "a:3"))).await.unwrap();
    assert_eq!(
        forced["spec"]["template"]["spec"]["containers"],
        json!([{"name": "app", "image": "a:3"}]),
        "two no longer applies its sidecar"
    );
    let same = apply(&api, "two", true, &deployment(container("app", "a:3"))).await.unwrap();
    assert_eq!(
        same["metadata"]["resourceVersion"], forced["metadata"]["resourceVersion"],
        "nothing to write"
    );
    let shared = apply(&api, "three", false, &deployment(container("app", "a:3"))).await.unwrap();
    assert_ne!(
        shared["metadata"]["resourceVersion"], same["metadata"]["resourceVersion"],
        "another owner is news"
    );
    assert_eq!(shared["metadata"]["generation"], same["metadata"]["generation"]);
}

#[tokio::test]
async fn who_owns_a_field_is_told() {
    let cluster = cluster();
    let api = deployments(&cluster);
    apply(&api, "one", false, &deployment(json!({"replicas": 2}))).await.unwrap();
    let patch = Patch::Merge(json!({"spec": {"replicas": 5}}));
    let params = PatchParams { field_manager: Some("scaler".into()), ..PatchParams::default() };
    let scaled = api.patch("web", &params, &patch).await.unwrap();
    let owners: Vec<_> = scaled
        .managed_fields()
        .iter()
        .filter(|it| it.fields_v1.as_ref().unwrap().0.pointer("/f:spec/f:replicas").is_some())
        .map(|it| (it.manager.clone().unwrap(), it.operation.clone().unwrap()))
        .collect();
    assert_eq!(owners, [("scaler".to_owned(), "Update".to_owned())]);
}

#[tokio::test]
async fn a_write_that_was_not_meant_is_a_conflict() {
    let cluster = cluster();
    let api = Api::<ConfigMap>::namespaced(cluster.client(), "media");
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "one"}})).unwrap();
    let made = api.create(&PostParams::default(), &map).await.unwrap();
    assert!(
        matches!(api.create(&PostParams::default(), &map).await, Err(kube::Error::Api(it)) if it.is_already_exists())
    );
    let mut newer = made.clone();
    newer.data = Some([("key".to_owned(), "value".to_owned())].into());
    api.replace("one", &PostParams::default(), &newer).await.unwrap();
    let stale = api.replace("one", &PostParams::default(), &made).await;
    assert!(matches!(stale, Err(kube::Error::Api(it)) if it.is_conflict()));
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: Some("another".into()), resource_version: None }),
        ..DeleteParams::default()
    };
    assert!(matches!(api.delete("one", &params).await, Err(kube::Error::Api(it)) if it.is_conflict()));
    api.delete("one", &DeleteParams::default()).await.unwrap();
    assert_eq!(api.get_opt("one").await.unwrap(), None);
}

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let cluster = cluster();
    let api = Api::<Secret>::namespaced(cluster.client(), "media");
    let secret = json!({"metadata": {"name": "one", "finalizers": ["a/b"]}, "stringData": {"key": "value"}});
    let made = api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    assert_eq!(made.data.unwrap()["key"].0, b"value");
    api.delete("one", &DeleteParams::default()).await.unwrap();
    let marked = api.get("one").await.unwrap();
    assert!(marked.metadata.deletion_timestamp.is_some());
    let patch = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    api.patch("one", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(api.get_opt("one").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_over_gaps_and_lags_as_it_is_told() {
    let cluster = cluster();
    let api = Api::<ConfigMap>::namespaced(cluster.client(), "media");
    let config = watcher::Config::default().labels("of=us");
    let mut seen = Box::pin(watcher(api.clone(), config).default_backoff().applied_objects());
    let mut next = async || {
        // A gap is told as an error, after which the watch goes on.
        let found = async { Box::pin(seen.by_ref().filter_map(async |it| it.ok())).next().await.unwrap() };
        let next = tokio::time::timeout(Duration::from_secs(3600), Box::pin(found)).await;
        next.expect("a watch that goes on").name_any()
    };
    let make = |name: &str, of: &str| {
        let map = json!({"metadata": {"name": name, "labels": {"of": of}}});
        serde_json::from_value::<ConfigMap>(map).unwrap()
    };
    api.create(&PostParams::default(), &make("before", "us")).await.unwrap();
    assert_eq!(next().await, "before");
    api.create(&PostParams::default(), &make("others", "them")).await.unwrap();
    api.create(&PostParams::default(), &make("live", "us")).await.unwrap();
    assert_eq!(next().await, "live");
    cluster.break_watches(false);
    api.create(&PostParams::default(), &make("after", "us")).await.unwrap();
    assert_eq!(next().await, "after");
    cluster.set_watch_lag(Duration::from_secs(60));
    let started = tokio::time::Instant::now();
    api.create(&PostParams::default(), &make("late", "us")).await.unwrap();
    assert_eq!(next().await, "late");
    assert_eq!(started.elapsed().as_secs(), 60);
    cluster.set_watch_lag(Duration::ZERO);
    cluster.break_watches(true);
    let again = [next().await, next().await, next().await, next().await];
    assert_eq!(again, ["after", "before", "late", "live"], "listed anew");
}

#[tokio::test]
async fn faults_befall_requests_before_or_after_they_are_performed() {
    let cluster = cluster();
    let api = Api::<ConfigMap>::namespaced(cluster.client(), "media");
    let make = |name: &str| serde_json::from_value::<ConfigMap>(json!({"metadata": {"name": name}})).unwrap();
    for (effect, is_there) in [
        (Effect::CutRequest, false),
        (Effect::CutReply, true),
        (Effect::Answer(Refusal::unavailable()), false),
    ] {
        let name = format!("{is_there}-{}", cluster.calls().len());
        let answer = effect.clone();
        cluster.set_fault(move |request| request.verb.writes().then(|| answer.clone()));
        api.create(&PostParams::default(), &make(&name)).await.unwrap_err();
        cluster.clear_fault();
        assert_eq!(api.get_opt(&name).await.unwrap().is_some(), is_there, "{effect:?}");
    }
    let statuses: Vec<_> = cluster.calls().iter().map(|call| call.status).collect();
    assert_eq!(statuses, [None, Some(404), None, Some(200), Some(503), Some(404)]);
}

#[tokio::test]
async fn only_the_status_is_written_through_its_subresource() {
    let cluster = cluster();
    let api = Api::<Deployment>::namespaced(cluster.client(), "media");
    let key = Key { resource: DEPLOYMENTS, namespace: "media".into(), name: "web".into() };
    let write = store::Write {
        manager: "test",
        subresource: store::Subresource::Main,
        now: "2026-07-01T12:00:00Z".parse().unwrap(),
    };
    cluster.with(|store, _| store.create(&key, deployment(json!({"replicas": 1})), write).unwrap());
    let patch = Patch::Merge(json!({"spec": {"replicas": 9}, "status": {"availableReplicas": 1}}));
    api.patch_status("web", &PatchParams::default(), &patch).await.unwrap();
    let there = cluster.with(|store, _| store.get(&key).unwrap());
    assert_eq!((&there["spec"]["replicas"], &there["status"]["availableReplicas"]), (&json!(1), &json!(1)));
    assert_eq!(there["metadata"]["generation"], 1);
    let listed = deployments(&cluster).list(&ListParams::default()).await.unwrap();
    assert_eq!(listed.items.len(), 1);
}

fn write() -> store::Write<'static> {
    let now = "2026-07-01T12:00:00Z".parse().unwrap();
    store::Write { manager: "test", subresource: store::Subresource::Main, now }
}

fn key(resource: resource::Resource, name: &str) -> Key {
    Key { resource, namespace: "media".into(), name: name.into() }
}

fn status(cluster: &Cluster, key: &Key, pointer: &str) -> Value {
    cluster.with(|store, _| {
        store.get(key).and_then(|it| it["status"].pointer(pointer).cloned()).unwrap_or_default()
    })
}

fn pods(cluster: &Cluster) -> Vec<String> {
    cluster.with(|store, _| store.list(resource::PODS, None).map(|(key, _)| key.name.clone()).collect())
}

#[tokio::test(start_paused = true)]
async fn a_deployment_becomes_available_and_rolls_without_a_gap() {
    let cluster = cluster();
    tokio::spawn(Controllers::new(&cluster, |_| unreachable!("there is no Job")).run());
    let web = key(DEPLOYMENTS, "web");
    let mut spec = container("app", "a:1");
    spec["replicas"] = json!(2);
    cluster.with(|store, _| store.create(&web, deployment(spec.clone()), write()).unwrap());
    assert_eq!(status(&cluster, &web, "/availableReplicas"), Value::Null);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(status(&cluster, &web, "/availableReplicas"), 2);
    let before = pods(&cluster);
    let patch = json!({"spec": container("app", "a:2")});
    cluster.with(|store, _| store.merge_patch(&web, &patch, write()).unwrap());
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(status(&cluster, &web, "/availableReplicas"), 2, "never fewer");
    }
    let after = pods(&cluster);
    assert!(after.len() == 2 && after.iter().all(|name| !before.contains(name)), "{after:?}");
    cluster.with(|store, now| store.delete(&web, &Value::Null, now).unwrap());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(pods(&cluster), [""; 0], "they go with what owns them");
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_as_its_pod_does_and_outlives_a_disruption() {
    let cluster = cluster();
    let mut runs = 0;
    let controllers = Controllers::new(&cluster, move |_| {
        runs += 1;
        let exit = match runs {
            1 => Exit::Disrupted,
            2 => Exit::Code { code: 0, message: String::new() },
            _ => Exit::Code { code: 65, message: "because".into() },
        };
        Run { lasts: SignedDuration::from_secs(10), exit }
    });
    tokio::spawn(controllers.run());
    let make = |name: &str| {
        let mut job = deployment(container("transcoder", "t:1"));
        job["spec"]["ttlSecondsAfterFinished"] = json!(60);
        cluster.with(|store, _| store.create(&key(resource::JOBS, name), job, write()).unwrap());
        key(resource::JOBS, name)
    };
    let first = make("first");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(status(&cluster, &first, "/succeeded"), 1);
    assert_eq!(pods(&cluster), ["first-0", "first-1"], "the second in the place of the lost one");
    let second = make("second");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(status(&cluster, &second, "/conditions/1/type"), "Failed");
    let pod = key(resource::PODS, "second-0");
    let code = status(&cluster, &pod, "/containerStatuses/0/state/terminated/exitCode");
    assert_eq!(code, 65);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(
        cluster.with(|store, _| store.get(&first).is_none() && store.get(&second).is_none()),
        "their time is over"
    );
    assert_eq!(pods(&cluster), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_job() {
    let cluster = cluster();
    let forever = Run { lasts: SignedDuration::from_hours(1), exit: Exit::OutOfMemory };
    tokio::spawn(Controllers::new(&cluster, move |_| forever.clone()).run());
    let mut job = deployment(container("transcoder", "t:1"));
    job["spec"]["activeDeadlineSeconds"] = json!(30);
    let late = key(resource::JOBS, "late");
    cluster.with(|store, _| store.create(&late, job, write()).unwrap());
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(status(&cluster, &late, "/active"), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(status(&cluster, &late, "/conditions/1/reason"), "DeadlineExceeded");
    assert_eq!(pods(&cluster), [""; 0]);
}

//! Watches: they fill the [`Cluster`] index and announce what changed.
//!
//! Every replica watches, so that one that becomes the leader can act at once. Objects are stripped as they
//! come in: managed fields, the last applied configuration and the specs of pods are the larger part of them.

use crate::{
    api::{StreamingPlatform, names},
    dispatch::outcome::job_of,
    kinds::{Kind, ObjectKey, PlatformKey},
    observe::{
        Reference,
        cluster::{Cluster, platform_of},
        pods,
    },
    packed::Packed,
    plan,
};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod, Secret},
};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, PartialObjectMeta},
    core::NamespaceResourceScope,
    discovery::oneshot::pinned_kind,
    runtime::{WatchStreamExt, watcher},
};
use serde::de::DeserializeOwned;
use std::{collections::HashSet, fmt::Debug, hash::Hash, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

/// How often a cluster that does not serve an optional kind is asked again.
const DISCOVERY_INTERVAL: Duration = Duration::from_secs(60);
/// Objects a page of a list.
const PAGE: u32 = 500;

/// Starts every watch, in `namespaces` or, if there are none, in all.
pub async fn spawn(client: &Client, namespaces: &[String], cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
    let scopes: Vec<Scope> = if namespaces.is_empty() {
        vec![Scope(None)]
    } else {
        namespaces.iter().map(|namespace| Scope(Some(namespace.clone()))).collect()
    };
    let all = watcher::Config::default().page_size(PAGE);
    let ours = all.clone().labels(&format!("{}={}", names::LABEL_MANAGED_BY, names::FIELD_MANAGER));
    for scope in &scopes {
        watch(tasks, Sink::new(Platforms, scope, cluster), scope.api(client), all.clone());
        watch(tasks, Sink::new(Jobs, scope, cluster), scope.api(client), ours.clone());
        watch(tasks, Sink::new(Pods, scope, cluster), scope.api(client), ours.clone());
        // One watch on the metadata of Secrets shows both our own and those that platforms name.
        watch(
            tasks,
            Sink::new(Secrets, scope, cluster),
            scope.api::<PartialObjectMeta<Secret>>(client),
            all.clone(),
        );
        watch(
            tasks,
            Sink::new(ConfigMaps, scope, cluster),
            scope.api::<PartialObjectMeta<ConfigMap>>(client),
            all.clone(),
        );
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_built_in() && *kind != Kind::Secret) {
            watch(
                tasks,
                Sink::new(Objects(kind), scope, cluster),
                scope.dynamic_api(client, kind),
                ours.clone(),
            );
        }
    }
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_built_in()) {
        let optional = Optional { kind, scopes: scopes.clone(), config: ours.clone() };
        optional.spawn(client, cluster, tasks).await;
    }
    cluster.watch_synced();
}

/// A namespace, or all.
#[derive(Clone, Debug)]
struct Scope(Option<String>);

impl Scope {
    fn has(&self, namespace: &str) -> bool {
        self.0.as_deref().is_none_or(|own| own == namespace)
    }

    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match &self.0 {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        }
    }

    fn dynamic_api(&self, client: &Client, kind: Kind) -> Api<DynamicObject> {
        match &self.0 {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &kind.api_resource()),
            None => Api::all_with(client.clone(), &kind.api_resource()),
        }
    }
}

/// A kind that not every cluster serves: watched from the moment that it does.
struct Optional {
    kind: Kind,
    scopes: Vec<Scope>,
    config: watcher::Config,
}

impl Optional {
    async fn spawn(self, client: &Client, cluster: &Arc<Cluster>, tasks: &mut JoinSet<()>) {
        if self.is_served(client).await {
            cluster.set_served(self.kind);
            for scope in self.scopes {
                let api = scope.dynamic_api(client, self.kind);
                let sink = Sink::new(Objects(self.kind), &scope, cluster);
                watch(tasks, sink, api, self.config.clone());
            }
            return;
        }
        let (client, cluster) = (client.clone(), Arc::clone(cluster));
        tasks.spawn(async move {
            while !self.is_served(&client).await {
                tokio::time::sleep(DISCOVERY_INTERVAL).await;
            }
            info!(kind = %self.kind, "the cluster serves this kind from now on");
            let mut watches = JoinSet::new();
            for scope in &self.scopes {
                let api = scope.dynamic_api(&client, self.kind);
                let sink = Sink::new(Objects(self.kind), scope, &cluster);
                watch(&mut watches, sink, api, self.config.clone());
            }
            cluster.synced().await;
            cluster.set_served(self.kind);
            for platform in cluster.platforms.platforms() {
                cluster.announce(platform);
            }
            while watches.join_next().await.is_some() {}
        });
    }

    async fn is_served(&self, client: &Client) -> bool {
        let resource = self.kind.api_resource();
        let kind = kube::core::GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind);
        match pinned_kind(client, &kind).await {
            Ok(_) => true,
            Err(error) => {
                debug!(kind = %self.kind, %error, "not served");
                false
            }
        }
    }
}

/// What a watch does with its objects.
trait Sort: Send + Sync + 'static {
    type Object: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static;
    /// What tells objects of this sort apart.
    type Id: Hash + Eq + Send + Sync;

    /// Takes out what nobody here looks at.
    fn strip(&self, object: &mut Self::Object) {
        strip(object);
    }
    /// `None`: not for us.
    fn id(&self, object: &Self::Object) -> Option<Self::Id>;
    fn put(&self, cluster: &Cluster, id: Self::Id, object: Self::Object);
    fn remove(&self, cluster: &Cluster, id: &Self::Id);
    /// Takes out what is in `scope` and not in `seen`, after a new list.
    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<Self::Id>);
}

struct Sink<S> {
    sort: S,
    scope: Scope,
    cluster: Arc<Cluster>,
}

impl<S> Sink<S> {
    fn new(sort: S, scope: &Scope, cluster: &Arc<Cluster>) -> Self {
        Self { sort, scope: scope.clone(), cluster: Arc::clone(cluster) }
    }
}

fn watch<S: Sort>(tasks: &mut JoinSet<()>, sink: Sink<S>, api: Api<S::Object>, config: watcher::Config) {
    sink.cluster.expect_watch();
    let stream = watcher(api, config).backoff(super::watch_backoff());
    tasks.spawn(async move {
        pin_mut!(stream);
        let mut seen = HashSet::new();
        let mut synced = false;
        while let Some(event) = stream.next().await {
            match event {
                Ok(watcher::Event::Init) => seen.clear(),
                Ok(watcher::Event::InitApply(object)) => {
                    seen.extend(sink.sort.id(&object));
                    sink.put(object);
                }
                Ok(watcher::Event::InitDone) => {
                    sink.sort.retain(&sink.cluster, &sink.scope, &seen);
                    seen = HashSet::new();
                    if !synced {
                        synced = true;
                        sink.cluster.watch_synced();
                    }
                }
                Ok(watcher::Event::Apply(object)) => sink.put(object),
                Ok(watcher::Event::Delete(object)) => {
                    if let Some(id) = sink.sort.id(&object) {
                        sink.sort.remove(&sink.cluster, &id);
                    }
                }
                Err(error) => {
                    let what = std::any::type_name::<S::Object>();
                    warn!(what, %error, "a watch was interrupted; it is taken up again");
                }
            }
        }
    });
}

impl<S: Sort> Sink<S> {
    fn put(&self, mut object: S::Object) {
        if let Some(id) = self.sort.id(&object) {
            self.sort.strip(&mut object);
            self.sort.put(&self.cluster, id, object);
        }
    }
}

fn strip(object: &mut impl ResourceExt) {
    object.managed_fields_mut().clear();
    object.annotations_mut().remove("kubectl.kubernetes.io/last-applied-configuration");
}

struct Platforms;

impl Sort for Platforms {
    type Object = StreamingPlatform;
    type Id = PlatformKey;

    fn id(&self, object: &StreamingPlatform) -> Option<PlatformKey> {
        Some(PlatformKey::new(object.namespace()?, object.name_any()))
    }

    fn put(&self, cluster: &Cluster, id: PlatformKey, object: StreamingPlatform) {
        let new = fingerprint(&object);
        let old = cluster.platforms.insert(id.clone(), (), Arc::new(object));
        // Our own status patches come back here; they are no reason to look again.
        if old.as_deref().map(fingerprint) != Some(new) {
            cluster.announce(id);
        }
    }

    fn remove(&self, cluster: &Cluster, id: &PlatformKey) {
        cluster.platforms.remove(id, &());
        cluster.announce(id.clone());
    }

    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<PlatformKey>) {
        for gone in cluster.platforms.platforms() {
            if scope.has(&gone.namespace) && !seen.contains(&gone) {
                self.remove(cluster, &gone);
            }
        }
    }
}

/// What of a platform matters to a reconcile: not its status.
fn fingerprint(platform: &StreamingPlatform) -> impl PartialEq + use<> {
    let metadata = &platform.metadata;
    (
        metadata.uid.clone(),
        metadata.generation,
        metadata.finalizers.clone(),
        metadata.deletion_timestamp.is_some(),
    )
}

struct Objects(Kind);

impl Objects {
    fn take(cluster: &Cluster, platform: &PlatformKey, key: &ObjectKey) {
        cluster.objects.remove(platform, key);
        cluster.announce(platform.clone());
    }
}

impl Sort for Objects {
    type Object = DynamicObject;
    type Id = (PlatformKey, ObjectKey);

    /// Who owns a Deployment's `replicas` is kept: a hand-over to an autoscaler depends on it.
    fn strip(&self, object: &mut DynamicObject) {
        let mut owners = std::mem::take(object.managed_fields_mut());
        strip(object);
        if self.0 == Kind::Deployment {
            owners.retain_mut(|owner| {
                let Some(fields) = &mut owner.fields_v1 else { return false };
                let owns = fields.0.pointer("/f:spec/f:replicas").is_some();
                fields.0 = serde_json::json!({"f:spec": {"f:replicas": {}}});
                owns
            });
            *object.managed_fields_mut() = owners;
        }
    }

    fn id(&self, object: &DynamicObject) -> Option<Self::Id> {
        Some((platform_of(object)?, ObjectKey::new(self.0, object.name_any())))
    }

    fn put(&self, cluster: &Cluster, (platform, key): Self::Id, object: DynamicObject) {
        let new = Arc::new(Packed::new(&object));
        let old = cluster.objects.insert(platform.clone(), key, Arc::clone(&new));
        if old.as_ref() != Some(&new) {
            cluster.announce(platform);
        }
    }

    fn remove(&self, cluster: &Cluster, (platform, key): &Self::Id) {
        Self::take(cluster, platform, key);
    }

    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<Self::Id>) {
        let mut gone = Vec::new();
        cluster.objects.retain(|platform, key| {
            let keep = key.kind != self.0
                || !scope.has(&platform.namespace)
                || seen.contains(&(platform.clone(), key.clone()));
            if !keep {
                gone.push(platform.clone());
            }
            keep
        });
        for platform in gone {
            cluster.announce(platform);
        }
    }
}

struct Jobs;

impl Sort for Jobs {
    type Object = Job;
    type Id = (PlatformKey, String);

    /// All that is known of a Job is on its metadata and status; its spec is the larger part of it, and Jobs that
    /// ended stay for a while.
    fn strip(&self, object: &mut Job) {
        strip(object);
        object.spec = None;
    }

    fn id(&self, object: &Job) -> Option<Self::Id> {
        Some((platform_of(object)?, object.name_any()))
    }

    fn put(&self, cluster: &Cluster, (platform, name): Self::Id, object: Job) {
        cluster.jobs.insert(platform.clone(), name.clone(), Arc::new(Packed::new(&object)));
        cluster.announce_job(&platform, &name);
    }

    fn remove(&self, cluster: &Cluster, (platform, name): &Self::Id) {
        cluster.jobs.remove(platform, name);
        cluster.announce_job(platform, name);
    }

    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<Self::Id>) {
        cluster.jobs.retain(|platform, name| {
            let keep = !scope.has(&platform.namespace) || seen.contains(&(platform.clone(), name.clone()));
            if !keep {
                cluster.announce_job(platform, name);
            }
            keep
        });
    }
}

/// Pods of transcoding Jobs, which have the name of their Job, and those of components, of which only what is wrong with
/// them matters.
struct Pods;

impl Sort for Pods {
    type Object = Pod;
    type Id = (PlatformKey, Option<String>, String);

    fn strip(&self, object: &mut Pod) {
        strip(object);
        object.spec = None;
    }

    fn id(&self, object: &Pod) -> Option<Self::Id> {
        Some((platform_of(object)?, job_of(object).map(str::to_owned), object.name_any()))
    }

    fn put(&self, cluster: &Cluster, (platform, job, name): Self::Id, object: Pod) {
        if let Some(job) = job {
            let packed = Arc::new(Packed::new(&object));
            cluster.job_pods.insert(platform.clone(), (job.clone(), name), packed);
            cluster.announce_job(&platform, &job);
            return;
        }
        let now = pods::trouble(&object).map(Arc::new);
        let before = match &now {
            Some(trouble) => cluster.troubles.insert(platform.clone(), name, Arc::clone(trouble)),
            None => cluster.troubles.remove(&platform, &name),
        };
        if now != before {
            cluster.announce(platform);
        }
    }

    fn remove(&self, cluster: &Cluster, (platform, job, name): &Self::Id) {
        if let Some(job) = job {
            cluster.job_pods.remove(platform, &(job.clone(), name.clone()));
            cluster.announce_job(platform, job);
        } else if cluster.troubles.remove(platform, name).is_some() {
            cluster.announce(platform.clone());
        }
    }

    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<Self::Id>) {
        let keeps = |platform: &PlatformKey, job: Option<&String>, name: &String| {
            let keep = !scope.has(&platform.namespace)
                || seen.contains(&(platform.clone(), job.cloned(), name.clone()));
            if !keep {
                match job {
                    Some(job) => cluster.announce_job(platform, job),
                    None => cluster.announce(platform.clone()),
                }
            }
            keep
        };
        cluster.troubles.retain(|platform, name| keeps(platform, None, name));
        cluster.job_pods.retain(|platform, (job, name)| keeps(platform, Some(job), name));
    }
}

/// Notes another version of a Secret or ConfigMap; platforms that name it look again.
fn set_version(cluster: &Cluster, namespace: &str, reference: &Reference, version: Option<String>) {
    if cluster.set_version(namespace, reference.clone(), version) {
        for platform in cluster.platforms_where(namespace, |p| plan::references(p).contains(reference)) {
            cluster.announce(platform);
        }
    }
}

fn retain_versions(
    cluster: &Cluster,
    scope: &Scope,
    same_sort: impl Fn(&Reference) -> bool,
    seen: &HashSet<(String, String)>,
    reference: impl Fn(String) -> Reference,
) {
    let seen: HashSet<_> = seen.iter().map(|(ns, name)| (ns.as_str(), reference(name.clone()))).collect();
    let mut gone = Vec::new();
    cluster.retain_versions(|namespace, known| {
        let keep = !same_sort(known) || !scope.has(namespace) || seen.contains(&(namespace, known.clone()));
        if !keep {
            gone.push((namespace.to_owned(), known.clone()));
        }
        keep
    });
    for (namespace, known) in gone {
        for platform in cluster.platforms_where(&namespace, |p| plan::references(p).contains(&known)) {
            cluster.announce(platform);
        }
    }
}

struct Secrets;

impl Secrets {
    fn owned(object: &PartialObjectMeta<Secret>) -> Option<<Objects as Sort>::Id> {
        Some((platform_of(object)?, ObjectKey::new(Kind::Secret, object.name_any())))
    }
}

impl Sort for Secrets {
    type Object = PartialObjectMeta<Secret>;
    type Id = (String, String);

    fn id(&self, object: &Self::Object) -> Option<Self::Id> {
        Some((object.namespace()?, object.name_any()))
    }

    fn put(&self, cluster: &Cluster, (namespace, name): Self::Id, object: Self::Object) {
        let version = object.resource_version();
        if let Some(id) = Self::owned(&object) {
            let mut bare = DynamicObject::new(&name, &Kind::Secret.api_resource());
            bare.metadata = object.metadata;
            Objects(Kind::Secret).put(cluster, id, bare);
        }
        set_version(cluster, &namespace, &Reference::Secret(name), version);
    }

    fn remove(&self, cluster: &Cluster, (namespace, name): &Self::Id) {
        let key = ObjectKey::new(Kind::Secret, name);
        for platform in cluster.objects.platforms() {
            if platform.namespace == *namespace && cluster.objects.get(&platform, &key).is_some() {
                Objects::take(cluster, &platform, &key);
            }
        }
        set_version(cluster, namespace, &Reference::Secret(name.clone()), None);
    }

    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<Self::Id>) {
        let mut gone = Vec::new();
        cluster.objects.retain(|platform, key| {
            let keep = key.kind != Kind::Secret
                || !scope.has(&platform.namespace)
                || seen.contains(&(platform.namespace.clone(), key.name.clone()));
            if !keep {
                gone.push(platform.clone());
            }
            keep
        });
        for platform in gone {
            cluster.announce(platform);
        }
        let is_secret = |known: &Reference| matches!(known, Reference::Secret(_));
        retain_versions(cluster, scope, is_secret, seen, Reference::Secret);
    }
}

struct ConfigMaps;

impl Sort for ConfigMaps {
    type Object = PartialObjectMeta<ConfigMap>;
    type Id = (String, String);

    fn id(&self, object: &Self::Object) -> Option<Self::Id> {
        Some((object.namespace()?, object.name_any()))
    }

    fn put(&self, cluster: &Cluster, (namespace, name): Self::Id, object: Self::Object) {
        set_version(cluster, &namespace, &Reference::ConfigMap(name), object.resource_version());
    }

    fn remove(&self, cluster: &Cluster, (namespace, name): &Self::Id) {
        set_version(cluster, namespace, &Reference::ConfigMap(name.clone()), None);
    }

    fn retain(&self, cluster: &Cluster, scope: &Scope, seen: &HashSet<Self::Id>) {
        let is_map = |known: &Reference| matches!(known, Reference::ConfigMap(_));
        retain_versions(cluster, scope, is_map, seen, Reference::ConfigMap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::outcome::LABEL_JOB;
    use serde_json::{Value, json};

    fn seen<S: Sort>(sort: S, cluster: &Arc<Cluster>) -> Sink<S> {
        Sink::new(sort, &Scope(None), cluster)
    }

    fn of_tv(mut object: Value) -> Value {
        object["metadata"]["namespace"] = json!("default");
        object["metadata"]["name"] = json!("tv-backend");
        object["metadata"]["labels"] = json!({
            "app.kubernetes.io/managed-by": "streaming-operator",
            "app.kubernetes.io/instance": "tv",
            "app.kubernetes.io/name": "backend",
        });
        object
    }

    fn pod(waits_for: Option<&str>, version: &str) -> Pod {
        let state = waits_for.map_or(json!({}), |reason| json!({"waiting": {"reason": reason}}));
        serde_json::from_value(of_tv(json!({
            "metadata": {"resourceVersion": version},
            "status": {"containerStatuses": [{
                "name": "main", "image": "backend:1", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }]},
        })))
        .unwrap()
    }

    #[test]
    fn a_pod_is_a_reason_to_look_where_what_is_wrong_with_it_changes() {
        let cluster = Arc::new(Cluster::default());
        let (pods, mut changes) = (seen(Pods, &cluster), cluster.changes());
        let mut is_told = |change: &dyn Fn()| {
            change();
            changes.try_recv().is_ok()
        };
        assert!(!is_told(&|| pods.put(pod(None, "1"))));
        assert!(is_told(&|| pods.put(pod(Some("ErrImagePull"), "2"))));
        assert!(!is_told(&|| pods.put(pod(Some("ErrImagePull"), "3"))));
        assert!(is_told(&|| pods.put(pod(None, "4"))));
        assert!(!is_told(&|| pods.put(pod(None, "5"))));
        assert!(is_told(&|| pods.put(pod(Some("ErrImagePull"), "6"))));
        let id = Pods.id(&pod(None, "6")).unwrap();
        assert!(is_told(&|| Pods.remove(&cluster, &id)));
        pods.put(pod(None, "7"));
        assert!(!is_told(&|| Pods.remove(&cluster, &id)));
    }

    #[test]
    fn an_object_is_seen_as_the_api_server_told_it_last_without_what_nobody_looks_at() {
        let cluster = Arc::new(Cluster::default());
        let objects = seen(Objects(Kind::Service), &cluster);
        let mut changes = cluster.changes();
        let service = |version: &str| {
            serde_json::from_value::<DynamicObject>(of_tv(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"resourceVersion": version, "managedFields": [{"manager": "kubectl"}]},
                "spec": {"ports": [{"port": 80}]},
            })))
            .unwrap()
        };
        objects.put(service("1"));
        assert!(changes.try_recv().is_ok());
        // A watch that is taken up again tells what it told before.
        objects.put(service("1"));
        assert!(changes.try_recv().is_err());
        objects.put(service("2"));
        assert!(changes.try_recv().is_ok());
        let observed = cluster.observe(&PlatformKey::new("default", "tv")).objects;
        let object = &observed[&ObjectKey::new(Kind::Service, "tv-backend")];
        assert_eq!(object.resource_version().as_deref(), Some("2"));
        assert_eq!(object.data["spec"]["ports"][0]["port"], 80);
        assert!(object.managed_fields().is_empty());
    }

    #[test]
    fn a_job_is_told_to_the_dispatcher_of_its_platform_alone() {
        let cluster = Arc::new(Cluster::default());
        let (jobs, pods) = (seen(Jobs, &cluster), seen(Pods, &cluster));
        let [mut tv, mut radio] =
            ["tv", "radio"].map(|it| cluster.job_changes(&PlatformKey::new("default", it)));
        let mut changes = cluster.changes();
        let mut told = || (tv.try_recv().ok(), radio.try_recv().ok(), changes.try_recv().is_ok());
        let expected = (Some("tv-backend".to_owned()), None, false);
        let job: Job = serde_json::from_value(of_tv(json!({"metadata": {}}))).unwrap();
        let id = Jobs.id(&job).unwrap();
        jobs.put(job);
        assert_eq!(told(), expected);
        let mut pod = pod(None, "1");
        pod.labels_mut().insert(LABEL_JOB.into(), "tv-backend".into());
        pods.put(pod);
        assert_eq!(told(), expected);
        Jobs.remove(&cluster, &id);
        assert_eq!(told(), expected);
        assert_eq!(told(), (None, None, false));
    }
}

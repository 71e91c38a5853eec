//! What the watches saw: an index by platform, read without a request.
//!
//! Watches (`controller/stores.rs`) write into it; reconciles, the dispatcher and the health of the process
//! read. Everything in it is stripped of what nobody here looks at.

use super::{Observed, Reference, pods::Trouble};
use crate::{
    api::{StreamingPlatform, names},
    kinds::{Kind, ObjectKey, PlatformKey},
    packed::Packed,
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, api::DynamicObject};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};
use tokio::sync::{broadcast, mpsc, watch};

/// How many changes a reader may lag behind before it must look at everything.
const CHANGES: usize = 4096;

/// Objects of one sort, by platform and name.
///
/// A platform keeps thousands of Jobs, and each decision looks at all of them: they are lent, and copied only where one
/// changes that is lent.
#[derive(Debug)]
pub struct Index<N, T> {
    inner: RwLock<HashMap<PlatformKey, Lent<N, T>>>,
}

/// The objects of a platform as they were at one moment.
pub type Lent<N, T> = Arc<BTreeMap<N, Arc<T>>>;

impl<N, T> Default for Index<N, T> {
    fn default() -> Self {
        Self { inner: RwLock::default() }
    }
}

impl<N: Ord + Clone, T> Index<N, T> {
    /// The objects of `platform`.
    pub fn of(&self, platform: &PlatformKey) -> Lent<N, T> {
        read(&self.inner).get(platform).cloned().unwrap_or_default()
    }

    /// One object of `platform`.
    pub fn get(&self, platform: &PlatformKey, name: &N) -> Option<Arc<T>> {
        read(&self.inner).get(platform)?.get(name).cloned()
    }

    /// Puts an object in; gives back the one that it replaces.
    pub fn insert(&self, platform: PlatformKey, name: N, object: Arc<T>) -> Option<Arc<T>> {
        let mut inner = write(&self.inner);
        Arc::make_mut(inner.entry(platform).or_default()).insert(name, object)
    }

    /// Takes an object out, and gives it back.
    pub fn remove(&self, platform: &PlatformKey, name: &N) -> Option<Arc<T>> {
        let mut inner = write(&self.inner);
        let objects = inner.get_mut(platform)?;
        let object = Arc::make_mut(objects).remove(name);
        if objects.is_empty() {
            inner.remove(platform);
        }
        object
    }

    /// Keeps what `keep` says.
    pub fn retain(&self, mut keep: impl FnMut(&PlatformKey, &N) -> bool) {
        write(&self.inner).retain(|platform, objects| {
            Arc::make_mut(objects).retain(|name, _| keep(platform, name));
            !objects.is_empty()
        });
    }

    /// Every platform that has such an object.
    pub fn platforms(&self) -> Vec<PlatformKey> {
        read(&self.inner).keys().cloned().collect()
    }

    fn all<R>(&self, namespace: &str, mut each: impl FnMut(&PlatformKey, &T) -> Option<R>) -> Vec<R> {
        read(&self.inner)
            .iter()
            .filter(|(platform, _)| platform.namespace == namespace)
            .flat_map(|(platform, objects)| objects.values().map(move |object| (platform, object)))
            .filter_map(|(platform, object)| each(platform, object))
            .collect()
    }
}

/// What the watches saw of the cluster.
#[derive(Debug)]
pub struct Cluster {
    /// The platforms themselves.
    pub platforms: Index<(), StreamingPlatform>,
    /// Objects that carry a platform's labels; of Secrets only the metadata.
    pub objects: Index<ObjectKey, Packed<DynamicObject>>,
    /// Transcoding Jobs.
    pub jobs: Index<String, Packed<Job>>,
    /// Pods of transcoding Jobs by the Job's name and their own, without their spec.
    pub job_pods: Index<(String, String), Packed<Pod>>,
    /// What is wrong with pods of components, by the pod's name.
    pub troubles: Index<String, Trouble>,
    /// Resource versions of all Secrets and ConfigMaps in the watched namespaces.
    versions: RwLock<HashMap<(String, Reference), String>>,
    served: RwLock<BTreeSet<Kind>>,
    changes: broadcast::Sender<PlatformKey>,
    /// Who is told of the Jobs of a platform. One channel for all would wake every dispatcher for every Job.
    job_changes: RwLock<HashMap<PlatformKey, mpsc::UnboundedSender<String>>>,
    unsynced: watch::Sender<usize>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            platforms: Index::default(),
            objects: Index::default(),
            jobs: Index::default(),
            job_pods: Index::default(),
            troubles: Index::default(),
            versions: RwLock::default(),
            served: RwLock::default(),
            changes: broadcast::Sender::new(CHANGES),
            job_changes: RwLock::default(),
            // One for the start of the watches itself: before, nothing is synced.
            unsynced: watch::Sender::new(1),
        }
    }
}

impl Cluster {
    /// Platforms that change from now on: spec, finalizers or deletion, but not the status; objects that they own, what is
    /// wrong with pods of their components, Secrets and ConfigMaps that they name. A reader that lags behind gets an
    /// error and must look at everything.
    pub fn changes(&self) -> broadcast::Receiver<PlatformKey> {
        self.changes.subscribe()
    }

    /// Tells readers of [`Self::changes`].
    pub fn announce(&self, platform: PlatformKey) {
        // An error says that nobody listens, as on a replica that does not lead.
        drop(self.changes.send(platform));
    }

    /// Names of the transcoding Jobs of `platform` that change from now on, themselves or a pod of theirs. Who asked last
    /// is told.
    pub fn job_changes(&self, platform: &PlatformKey) -> mpsc::UnboundedReceiver<String> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut senders = write(&self.job_changes);
        senders.retain(|_, sender| !sender.is_closed());
        senders.insert(platform.clone(), sender);
        receiver
    }

    /// Tells the reader of [`Self::job_changes`].
    pub fn announce_job(&self, platform: &PlatformKey, job: &str) {
        if let Some(sender) = read(&self.job_changes).get(platform) {
            // An error says that it listens no more.
            drop(sender.send(job.to_owned()));
        }
    }

    /// The platform of that key.
    pub fn platform(&self, key: &PlatformKey) -> Option<Arc<StreamingPlatform>> {
        self.platforms.get(key, &())
    }

    /// Platforms of `namespace` that `matches`.
    pub fn platforms_where(
        &self,
        namespace: &str,
        matches: impl Fn(&StreamingPlatform) -> bool,
    ) -> Vec<PlatformKey> {
        self.platforms.all(namespace, |key, platform| matches(platform).then(|| key.clone()))
    }

    /// Resource version of a Secret or ConfigMap, if it is there.
    pub fn version(&self, namespace: &str, reference: &Reference) -> Option<String> {
        read(&self.versions).get(&(namespace.to_owned(), reference.clone())).cloned()
    }

    /// Notes the resource version of a Secret or ConfigMap; `None`: it is gone. True if that is news.
    pub fn set_version(&self, namespace: &str, reference: Reference, version: Option<String>) -> bool {
        let key = (namespace.to_owned(), reference);
        let mut versions = write(&self.versions);
        match version {
            Some(version) => versions.insert(key, version.clone()).as_ref() != Some(&version),
            None => versions.remove(&key).is_some(),
        }
    }

    /// Forgets Secrets and ConfigMaps that `keep` does not name.
    pub fn retain_versions(&self, mut keep: impl FnMut(&str, &Reference) -> bool) {
        write(&self.versions).retain(|(namespace, reference), _| keep(namespace, reference));
    }

    /// Optional kinds that the cluster serves.
    pub fn served(&self) -> BTreeSet<Kind> {
        read(&self.served).clone()
    }

    /// Notes that the cluster serves an optional kind.
    pub fn set_served(&self, kind: Kind) {
        write(&self.served).insert(kind);
    }

    /// One more watch has to list its objects before [`Self::synced`].
    pub fn expect_watch(&self) {
        self.unsynced.send_modify(|n| *n += 1);
    }

    /// A watch has listed its objects for the first time, or all watches were started.
    pub fn watch_synced(&self) {
        self.unsynced.send_modify(|n| *n = n.saturating_sub(1));
    }

    /// Whether every watch has listed its objects.
    pub fn is_synced(&self) -> bool {
        *self.unsynced.borrow() == 0
    }

    /// Waits until every watch has listed its objects.
    pub async fn synced(&self) {
        // The sender is a field of self, so that it can't be gone.
        drop(self.unsynced.subscribe().wait_for(|n| *n == 0).await);
    }

    /// What the watches know of one platform. References, AWS and dispatch are read elsewhere.
    pub fn observe(&self, key: &PlatformKey) -> Observed {
        let kept = self.objects.of(key);
        let objects = kept.iter().map(|(key, object)| (key.clone(), object.unpack())).collect();
        let of_pods = self.troubles.of(key);
        let pod_troubles = super::pods::troubles(&objects, of_pods.values().map(AsRef::as_ref));
        Observed { objects, pod_troubles, served: self.served(), ..Observed::default() }
    }
}

/// The platform that an object belongs to by its labels.
pub fn platform_of(object: &impl ResourceExt) -> Option<PlatformKey> {
    let labels = object.labels();
    if labels.get(names::LABEL_MANAGED_BY).map(String::as_str) != Some(names::FIELD_MANAGER) {
        return None;
    }
    Some(PlatformKey::new(object.namespace()?, labels.get(names::LABEL_INSTANCE)?))
}

// A panic while one of these locks is held leaves whole entries behind: reading on is safe.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

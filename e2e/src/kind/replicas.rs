//! The operator's replicas: who leads, how a leader dies, and what the pods go through meanwhile.

use super::{Check, Cluster, OPERATOR, OPERATOR_NAMESPACE, eventually, node};
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams},
    runtime::{
        WatchStreamExt,
        utils::Backoff,
        watcher::{self, watcher},
    },
};
use serde::de::DeserializeOwned;
use std::{collections::BTreeMap, fmt::Debug, pin::pin, time::Duration};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

/// Exit code of a container whose process was killed by SIGKILL.
const SIGKILLED: i32 = 128 + 9;
/// How long a lease may be without a holder that acts, and some more.
const ELECTION: Duration = Duration::from_secs(120);

impl Cluster {
    /// The operator's pod that leads, once it is one of those that are not ending.
    ///
    /// # Errors
    /// When none leads in time.
    pub async fn leader(&self) -> Result<Pod> {
        let pods = self.operator_pods();
        eventually("a pod of the operator leads", Duration::from_secs(60), async || {
            let holders = self.lease_holders().await?;
            let leader = pods.list(&ListParams::default()).await?.into_iter().find(|pod| {
                pod.metadata.deletion_timestamp.is_none()
                    && holders.iter().any(|holder| holder.starts_with(&pod.name_any()))
            });
            Ok(leader.map_or(Check::NotYet(format!("holders: {holders:?}")), Check::Done))
        })
        .await
    }

    /// Deletes the pod that leads, which ends in order and hands over.
    ///
    /// # Errors
    /// When none leads, or it can't be deleted.
    pub async fn stop_leader(&self) -> Result<()> {
        let leader = self.leader().await?.name_any();
        self.operator_pods().delete(&leader, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Kills the process that leads with SIGKILL, in its node. Gives back its pod, and when that was.
    ///
    /// # Errors
    /// When none leads, or the process can't be killed.
    pub async fn kill_leader(&self) -> Result<(Pod, Instant)> {
        let leader = self.leader().await?;
        let id = container(&leader)?;
        let killed = Instant::now();
        node::run(&["ctr", "--namespace", "k8s.io", "tasks", "kill", "--signal", "SIGKILL", &id]).await?;
        Ok((leader, killed))
    }

    /// Likewise, and takes the pod away at once, so that its container is not started again: another pod has to wait
    /// until the lease lapses.
    ///
    /// # Errors
    /// When none leads, or it can't be killed or deleted.
    pub async fn kill_leader_with_its_pod(&self) -> Result<Instant> {
        let (leader, killed) = self.kill_leader().await?;
        self.operator_pods().delete(&leader.name_any(), &DeleteParams::default().grace_period(0)).await?;
        Ok(killed)
    }

    /// Kills the process that leads with SIGKILL, in its node, and waits until the kubelet has seen it die.
    ///
    /// # Errors
    /// When none leads, the process can't be killed, or it could still release its lease.
    pub async fn crash_leader(&self) -> Result<()> {
        let (leader, _) = self.kill_leader().await?;
        let (name, killed) = (leader.name_any(), container(&leader)?);
        let holders = self.lease_holders().await?;
        ensure!(
            holders.iter().any(|holder| holder.starts_with(&name)),
            "{name} released its lease: {holders:?}"
        );
        let pods = self.operator_pods();
        let code = eventually("the kubelet sees the crash", Duration::from_secs(30), async || {
            let status = pods.get(&name).await?.status.and_then(|s| s.container_statuses).unwrap_or_default();
            let ends = status.iter().flat_map(|c| [&c.state, &c.last_state]).flatten();
            let ends: Vec<_> = ends.filter_map(|state| state.terminated.as_ref()).collect();
            let end =
                ends.iter().find(|end| end.container_id.as_deref().is_some_and(|id| id.ends_with(&killed)));
            Ok(end.map_or_else(|| Check::NotYet(format!("{status:?}")), |end| Check::Done(end.exit_code)))
        })
        .await?;
        ensure!(code == SIGKILLED, "{name} ended by itself with {code}");
        Ok(())
    }

    /// How often the operator's lease changed hands. A watch that was cut may tell later than this.
    ///
    /// # Errors
    /// When the lease can't be read.
    pub async fn term(&self) -> Result<i32> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let lease = leases.get(OPERATOR).await?;
        lease.spec.and_then(|spec| spec.lease_transitions).context("a lease that was taken")
    }

    /// Waits until the lease has changed hands more often than that.
    ///
    /// # Errors
    /// When it has not in time.
    pub async fn next_term(&self, term: i32) -> Result<()> {
        eventually("another leader", ELECTION, async || {
            let now = self.term().await?;
            Ok(if now > term { Check::Done(()) } else { Check::NotYet(format!("term {now}")) })
        })
        .await
    }

    /// The operator's pods.
    #[must_use]
    pub fn operator_pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE)
    }

    async fn lease_holders(&self) -> Result<Vec<String>> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE);
        let leases = leases.list(&ListParams::default()).await?;
        Ok(leases.into_iter().filter_map(|lease| lease.spec?.holder_identity).collect())
    }
}

/// Id of the pod's one container, as containerd knows it.
fn container(pod: &Pod) -> Result<String> {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_deref());
    let id = statuses.and_then(|all| all.first()?.container_id.as_deref());
    let id =
        id.and_then(|id| id.strip_prefix("containerd://")).context("the pod has no running container")?;
    Ok(id.to_owned())
}

/// Follows the operator's Lease and pods.
pub struct Replicas {
    seen: watch::Receiver<Seen>,
    /// They end with this.
    _tasks: JoinSet<()>,
}

/// What was seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Who led, one after the other.
    pub terms: Vec<Term>,
    /// Since when nobody holds the lease, where it was released.
    released: Option<Instant>,
    /// How often containers of each pod that ever was were restarted, at first and last sight, by the pod's UID.
    pub restarts: BTreeMap<String, (i32, i32)>,
}

/// A time for which one replica leads.
#[derive(Clone, Debug)]
pub struct Term {
    /// Its name.
    pub holder: String,
    /// How often the lease had changed hands before.
    pub number: i32,
    /// When the change was seen.
    pub seen: Instant,
    /// How long nobody held the lease before, where it was released.
    pub vacancy: Option<Duration>,
}

impl Seen {
    fn lease(&mut self, lease: Lease) {
        let Some(spec) = lease.spec else { return };
        let seen = Instant::now();
        let Some(holder) = spec.holder_identity.filter(|holder| !holder.is_empty()) else {
            self.released.get_or_insert(seen);
            return;
        };
        let number = spec.lease_transitions.unwrap_or_default();
        if self.terms.last().is_none_or(|last| (&last.holder, last.number) != (&holder, number)) {
            let vacancy = self.released.take().map(|released| seen - released);
            self.terms.push(Term { holder, number, seen, vacancy });
        }
    }

    fn pod(&mut self, pod: &Pod) {
        let statuses = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        let restarts = statuses.map(|container| container.restart_count).sum();
        self.restarts.entry(pod.uid().unwrap_or_default()).or_insert((restarts, restarts)).1 = restarts;
    }
}

impl Replicas {
    /// Begins to follow them. An API server that is away is waited for.
    #[must_use]
    pub fn follow(client: &Client) -> Self {
        let (sender, seen) = watch::channel(Seen::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(each(client.clone(), sender.clone(), |seen, lease| seen.lease(lease)));
        tasks.spawn(each(client.clone(), sender, |seen, pod| seen.pod(&pod)));
        Self { seen, _tasks: tasks }
    }

    /// What was seen up to now.
    #[must_use]
    pub fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until a term begins after that moment; how long after it was seen.
    ///
    /// # Errors
    /// When none begins in time.
    pub async fn takeover(&self, after: Instant) -> Result<Duration> {
        let mut seen = self.seen.clone();
        let next = |seen: &Seen| seen.terms.last().is_some_and(|term| term.seen > after);
        let found = timeout(ELECTION, seen.wait_for(next)).await;
        let found = found.with_context(|| format!("no other leader: {:?}", self.now().terms))??;
        Ok(found.terms.iter().find(|term| term.seen > after).context("a term")?.seen - after)
    }

    /// How long nobody held the lease, each time that it was released and taken since this began.
    #[must_use]
    pub fn hand_overs(&self) -> Vec<Duration> {
        self.now().terms.iter().filter_map(|term| term.vacancy).collect()
    }

    /// How often containers of the operator were restarted since this began.
    #[must_use]
    pub fn restarts(&self) -> i32 {
        self.now().restarts.values().map(|(first, last)| last - first).sum()
    }
}

/// What is measured must not wait for who measures.
struct EverySecond;

impl Iterator for EverySecond {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }
}

impl Backoff for EverySecond {
    fn reset(&mut self) {}
}

/// Tells every state of every object of a kind in the operator's namespace.
async fn each<K>(client: Client, seen: watch::Sender<Seen>, note: impl Fn(&mut Seen, K))
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Debug
        + Send
        + 'static,
    K::DynamicType: Default,
{
    let objects = watcher(Api::<K>::namespaced(client, OPERATOR_NAMESPACE), watcher::Config::default());
    let mut objects = pin!(objects.backoff(EverySecond).touched_objects());
    while let Some(object) = objects.next().await {
        if let Ok(object) = object {
            seen.send_modify(|seen| note(seen, object));
        }
    }
}

//! Leader election over a `coordination.k8s.io/v1` Lease, by the rules of client-go.
//!
//! **Guarantees.** Whether a lease has lapsed is judged by when a change of the record was *seen*, never by
//! comparing clocks. A leader that can't renew stops acting [`Timing::deadline`] after its last renewal, which
//! is before [`Timing::duration`], after which another may take over. A release hands over at once, because
//! candidates watch the Lease.
//!
//! **Caveats.** A lease can't stop a deposed leader's last write from arriving late: writes are harmless when
//! late (`docs/decisions/0005-lease-of-our-own.md`).

use crate::surroundings::Clock;
use futures::{Stream, StreamExt};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client, ResourceExt,
    api::{ObjectMeta, PostParams},
    runtime::{WatchStreamExt, watcher::watch_object},
};
use std::{future::Future, pin::pin, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How long a lease lasts and how it is renewed.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// After so long without a change seen, a lease may be taken over.
    pub duration: Duration,
    /// How often a leader renews.
    pub renew: Duration,
    /// How long after its last renewal a leader that can't renew stops.
    pub deadline: Duration,
    /// How long to wait after a failed attempt.
    pub retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            deadline: Duration::from_secs(10),
            retry: Duration::from_secs(1),
        }
    }
}

/// A candidate for leadership.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    clock: Clock,
}

/// Held leadership: the record as it was last written, and when that was begun.
pub struct Leadership {
    record: Lease,
    renewed: Instant,
    is_abrupt: bool,
}

impl Leadership {
    /// Whether another one, or this one before a restart, led and did not give the lease up: what it sent may still
    /// arrive.
    #[must_use]
    pub fn is_abrupt(&self) -> bool {
        self.is_abrupt
    }
}

/// The lease is someone else's, or could not be renewed in time.
#[derive(Debug, thiserror::Error)]
#[error("lost the lease {name}: {why}; another replica takes over")]
pub struct Lost {
    name: String,
    why: String,
}

/// Whether a record that was seen may be taken.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Now,
    /// When it lapses, if it is not renewed.
    At(Instant),
}

impl Candidate {
    /// A candidate called `identity` for the Lease `name` in `namespace`.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        timing: Timing,
        clock: Clock,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            timing,
            clock,
        }
    }

    /// Waits until this candidate leads; `None`: it was told to stop before. A request for the lease that is on its way is
    /// waited for whatever happens: what it takes, nobody else would give up.
    pub async fn elected(&self, stop: &CancellationToken) -> Option<Leadership> {
        let mut records = pin!(self.records());
        let mut seen: Option<(Option<Lease>, Instant)> = None;
        let mut not_before = Instant::now();
        loop {
            let claim = seen.as_ref().map(|(record, at)| self.claim(record.as_ref(), *at));
            let due = async {
                match claim {
                    Some(Claim::Now) => sleep_until(not_before).await,
                    Some(Claim::At(lapse)) => sleep_until(lapse.max(not_before)).await,
                    None => futures::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                Some(record) = records.next() => {
                    // Only a renewal or a change of holder counts; an annotation does not prolong a lease.
                    let changed = seen.as_ref().is_none_or(|(old, _)| spec(old.as_ref()) != spec(record.as_ref()));
                    let at = match &seen { Some((_, at)) if !changed => *at, _ => Instant::now() };
                    seen = Some((record, at));
                }
                () = due => {
                    let record = seen.as_ref().and_then(|(record, _)| record.as_ref());
                    match self.take(record).await {
                        Ok(leadership) => {
                            info!(identity = %self.identity, lease = %self.name, "leads");
                            return Some(leadership);
                        }
                        Err(error) => debug!(%error, "could not take the lease"),
                    }
                    not_before = Instant::now() + self.timing.retry;
                }
            }
        }
    }

    /// Renews until it can't.
    pub async fn hold(&self, leadership: &mut Leadership) -> Lost {
        loop {
            sleep_until(leadership.renewed + self.timing.renew).await;
            if let Err(lost) = self.renew(leadership).await {
                return lost;
            }
        }
    }

    /// Gives the lease up, so that another can lead at once. Failing to is logged: the lease then lapses.
    pub async fn release(&self, leadership: Leadership) {
        let mut record = leadership.record;
        if let Some(spec) = &mut record.spec {
            spec.holder_identity = None;
            spec.renew_time = Some(MicroTime(self.clock.now()));
        }
        match self.bounded(self.api.replace(&self.name, &PostParams::default(), &record)).await {
            Ok(_) => info!(lease = %self.name, "released"),
            Err(error) => {
                warn!(%error, lease = %self.name, "could not release the lease; it lapses by itself");
            }
        }
    }

    async fn renew(&self, leadership: &mut Leadership) -> Result<(), Lost> {
        let deadline = leadership.renewed + self.timing.deadline;
        loop {
            let begun = Instant::now();
            match timeout(deadline.saturating_duration_since(begun), self.write_renewal(leadership)).await {
                Ok(Ok(record)) => {
                    (leadership.record, leadership.renewed) = (record, begun);
                    return Ok(());
                }
                Ok(Err(Renewal::Taken(by))) => return Err(self.lost(format!("{by} holds it"))),
                Ok(Err(Renewal::Failed(error))) => warn!(%error, lease = %self.name, "can't renew the lease"),
                Err(_elapsed) => {}
            }
            if Instant::now() + self.timing.retry >= deadline {
                return Err(self.lost(format!("no renewal for {:?}", self.timing.deadline)));
            }
            sleep(self.timing.retry).await;
        }
    }

    async fn write_renewal(&self, leadership: &mut Leadership) -> Result<Lease, Renewal> {
        let mut record = leadership.record.clone();
        if let Some(spec) = &mut record.spec {
            spec.renew_time = Some(MicroTime(self.clock.now()));
        }
        match self.api.replace(&self.name, &PostParams::default(), &record).await {
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                // Someone wrote to it: another leader, or a person an annotation, or ourselves in a request
                // whose answer was lost.
                let current = self.api.get(&self.name).await.map_err(Renewal::Failed)?;
                match holder(Some(&current)) {
                    Some(holder) if holder == self.identity => {
                        leadership.record = current;
                        Err(Renewal::Failed(kube::Error::Api(status)))
                    }
                    other => Err(Renewal::Taken(other.unwrap_or("nobody").to_owned())),
                }
            }
            other => other.map_err(Renewal::Failed),
        }
    }

    async fn take(&self, seen: Option<&Lease>) -> Result<Leadership, kube::Error> {
        let renewed = Instant::now();
        let now = MicroTime(self.clock.now());
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: Some(
                i32::try_from(self.timing.duration.as_secs()).unwrap_or(i32::MAX).max(1),
            ),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(
                seen.and_then(|lease| lease.spec.as_ref()?.lease_transitions).map_or(0, |n| n + 1),
            ),
            ..LeaseSpec::default()
        };
        let record = match seen {
            Some(lease) => {
                let record = Lease { spec: Some(spec), ..lease.clone() };
                self.bounded(self.api.replace(&self.name, &PostParams::default(), &record)).await?
            }
            None => {
                let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
                let record = Lease { metadata, spec: Some(spec) };
                self.bounded(self.api.create(&PostParams::default(), &record)).await?
            }
        };
        Ok(Leadership { record, renewed, is_abrupt: holder(seen).is_some() })
    }

    async fn bounded<T>(
        &self,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, kube::Error> {
        let limit = self.timing.renew;
        timeout(limit, request).await.unwrap_or_else(|elapsed| Err(kube::Error::Service(elapsed.into())))
    }

    fn claim(&self, record: Option<&Lease>, seen: Instant) -> Claim {
        match holder(record) {
            None => Claim::Now,
            // Ours from before a restart under the same name: nobody else acts under it.
            Some(holder) if holder == self.identity => Claim::Now,
            Some(_) => {
                let seconds = record.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds);
                let duration = seconds
                    .and_then(|seconds| u64::try_from(seconds).ok())
                    .map_or(self.timing.duration, Duration::from_secs);
                Claim::At(seen + duration)
            }
        }
    }

    fn records(&self) -> impl Stream<Item = Option<Lease>> + use<> {
        let name = self.name.clone();
        watch_object(self.api.clone(), &name).backoff(super::watch_backoff()).filter_map(move |record| {
            let record = match record {
                Ok(record) => Some(record.filter(|lease| lease.name_any() == name)),
                Err(error) => {
                    warn!(%error, "can't watch the lease");
                    None
                }
            };
            std::future::ready(record)
        })
    }

    fn lost(&self, why: String) -> Lost {
        Lost { name: self.name.clone(), why }
    }
}

enum Renewal {
    Taken(String),
    Failed(kube::Error),
}

fn spec(record: Option<&Lease>) -> Option<&LeaseSpec> {
    record?.spec.as_ref()
}

fn holder(record: Option<&Lease>) -> Option<&str> {
    spec(record)?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn candidate() -> Candidate {
        let config = kube::Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        let client = Client::try_from(config).unwrap();
        Candidate::new(client, "system", "operator", "me", Timing::default(), Clock::default())
    }

    fn held_by(holder: Option<&str>, seconds: Option<i32>) -> Lease {
        let spec = LeaseSpec {
            holder_identity: holder.map(str::to_owned),
            lease_duration_seconds: seconds,
            ..LeaseSpec::default()
        };
        Lease { spec: Some(spec), ..Lease::default() }
    }

    #[rstest]
    #[case::none(None, None)]
    #[case::released(Some(held_by(None, Some(15))), None)]
    #[case::released_by_an_empty_name(Some(held_by(Some(""), Some(15))), None)]
    #[case::ours(Some(held_by(Some("me"), Some(15))), None)]
    #[case::held(Some(held_by(Some("other"), Some(15))), Some(15))]
    #[case::by_its_own_duration(Some(held_by(Some("other"), Some(40))), Some(40))]
    #[case::without_a_duration(Some(held_by(Some("other"), None)), Some(15))]
    #[tokio::test]
    async fn a_lease_is_free_when_nobody_holds_it(#[case] record: Option<Lease>, #[case] wait: Option<u64>) {
        let seen = Instant::now();
        let expected = wait.map_or(Claim::Now, |seconds| Claim::At(seen + Duration::from_secs(seconds)));
        assert_eq!(candidate().claim(record.as_ref(), seen), expected);
    }

    #[test]
    fn a_leader_stops_before_another_may_begin() {
        let timing = Timing::default();
        assert!(timing.deadline < timing.duration);
        assert!(timing.renew + timing.retry < timing.deadline, "a renewal may fail once");
    }
}

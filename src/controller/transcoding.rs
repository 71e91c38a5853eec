//! Transcoding within a reconcile: AWS is observed and changed, and the dispatcher told what to work by.

use super::brake::Brake;
use crate::{
    api::{StreamingPlatform, WaitingFor},
    apply::{self, aws::Passwords},
    aws::Account,
    dispatch::{Config, Dispatcher, Policy, message::Places},
    kinds::PlatformKey,
    managed::Failure,
    metrics::Load,
    observe::{Observed, aws::Observer, cluster::Cluster},
    packed::Packed,
    plan::{
        Plan,
        call::Call,
        transcoding::{Queues, deletes, teardown},
        workload::job,
    },
    platform::{Platform, Transcoding as Wanted},
    surroundings::Surroundings,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Client, ResourceExt};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// What is left to do where AWS will never answer again.
pub(super) const LET_GO: &str = "to leave in AWS what is there, take the finalizer away by hand";

/// While Jobs drain, look again after this.
const POLL: Duration = Duration::from_secs(2);

/// What a reconcile needs for transcoding.
pub(super) struct Transcoding {
    cluster: Arc<Cluster>,
    observer: Observer,
    dispatcher: Arc<Dispatcher>,
    brake: Brake,
    client: Client,
    /// Platforms whose end came so far, with the UID and the generation that it was the end of.
    ended: Mutex<HashMap<PlatformKey, Life>>,
}

/// UID and generation of a platform.
type Life = (Option<String>, Option<i64>);

/// How far the end of a platform's transcoding has come.
pub(super) enum End {
    /// Everything is settled.
    Done,
    /// Something goes on.
    Waiting {
        /// What.
        waiting: WaitingFor,
        /// Look again after this.
        look_after: Duration,
    },
    /// Something failed and is tried again.
    HeldUp(WaitingFor),
}

impl Transcoding {
    pub fn new(
        surroundings: &Surroundings,
        cluster: &Arc<Cluster>,
        changed: mpsc::UnboundedSender<PlatformKey>,
        stop: &CancellationToken,
    ) -> Self {
        let Surroundings { client, accounts, .. } = surroundings;
        let dispatcher = Dispatcher::new(surroundings.clone(), Arc::clone(cluster), changed, stop);
        Self {
            cluster: Arc::clone(cluster),
            observer: Observer::new(accounts.clone()),
            dispatcher: Arc::new(dispatcher),
            brake: Brake::default(),
            client: client.clone(),
            ended: Mutex::default(),
        }
    }

    /// What ends after the lease is released: receives in flight.
    pub fn dispatcher(&self) -> Arc<Dispatcher> {
        Arc::clone(&self.dispatcher)
    }

    /// The account of a platform, as its credentials are now.
    pub async fn account(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        observed: &Observed,
    ) -> Result<Option<Account>, Failure> {
        let deleting = resource.metadata.deletion_timestamp.is_some();
        self.observer.account(platform, &observed.references, deleting).await
    }

    /// Adds what is there in AWS, and what the dispatcher does.
    pub async fn observe(
        &self,
        key: &PlatformKey,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: &Result<Option<Account>, Failure>,
        observed: &mut Observed,
    ) {
        if platform.transcoding.is_none() {
            return;
        }
        observed.dispatch = self.dispatcher.report(key);
        observed.queue_claimed_by = claimed_by(&self.cluster, key, resource);
        let jobs = observed.dispatch.as_ref().map(|report| report.jobs).unwrap_or_default();
        let busy = jobs.pending + jobs.running + jobs.retrying > 0;
        let usable = match account {
            Ok(Some(account)) => Ok(account),
            Ok(None) => return,
            Err(failure) => Err(failure),
        };
        observed.transcoding = Box::pin(self.observer.observe(resource, platform, usable, busy)).await;
    }

    /// Makes the planned calls, and tells the dispatcher what the plan found.
    pub async fn apply(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        plan: &Plan,
        account: Option<&Account>,
    ) -> apply::aws::Applied {
        let Some(wanted) = &platform.transcoding else { return apply::aws::Applied::default() };
        // Without an account or queues what runs goes on as it did: both may come back.
        let Some(account) = account else { return apply::aws::Applied::default() };
        let applied = self.call(key, platform, account, &plan.transcoding.calls).await;
        if plan.transcoding.problems.iter().any(|problem| problem.blocking) {
            self.dispatcher.configure(key, None);
        } else if let Some(queues) = &plan.transcoding.queues {
            self.dispatcher.configure(key, config(platform, wanted, queues, account.clone(), None));
        }
        applied
    }

    /// Makes calls, but not those that were made a moment ago.
    async fn call(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        account: &Account,
        calls: &[Call],
    ) -> apply::aws::Applied {
        if calls.is_empty() {
            self.brake.release(key);
            return apply::aws::Applied::default();
        }
        self.observer.changes(key, calls);
        if let Some(held) = self.brake.holds(key, calls) {
            return apply::aws::Applied { changed: 0, failures: vec![held] };
        }
        let applied = apply::aws::apply(account, &self.passwords(platform), calls).await;
        if applied.failures.is_empty() {
            self.brake.made_calls(key, calls);
        }
        applied
    }

    fn passwords(&self, platform: &Platform) -> Passwords {
        Passwords::new(self.client.clone(), &platform.namespace)
    }

    /// Brings the end of a platform's transcoding a step further: drain, then what AWS holds.
    pub async fn end(
        &self,
        key: &PlatformKey,
        platform: &Platform,
        observed: &Observed,
        account: Option<&Account>,
        deleted_at: Timestamp,
    ) -> End {
        let Some(wanted) = &platform.transcoding else { return End::Done };
        let failure = observed.transcoding.as_ref().and_then(|there| there.failure.as_ref());
        // Its keys were deleted with it, as happens with a namespace, and no others can come.
        if failure.is_some_and(|failure| failure.credentials) && !deletes(wanted) {
            warn!(
                "without credentials; the queues and buckets stay, as the spec says, and so does the entry for the queue on the input bucket"
            );
            self.forget(key);
            return End::Done;
        }
        if let Some(failure) = failure {
            let message = format!("{}; {LET_GO}", failure.message);
            return End::HeldUp(waiting("AWS", message));
        }
        let (Some(account), Some(there)) = (account, &observed.transcoding) else {
            return End::HeldUp(waiting("AWS", format!("spec.aws is missing; set it; {LET_GO}")));
        };
        let queues =
            crate::plan::transcoding::plan(platform, Some(there), observed.queue_claimed_by.as_deref());
        let deadline = deleted_at + signed(wanted.drain_timeout);
        if let Some(queues) = queues.queues.filter(|_| observed.queue_claimed_by.is_none()) {
            let config = config(platform, wanted, &queues, account.clone(), Some(deadline));
            self.dispatcher.configure(key, config);
            let report = self.dispatcher.report(key);
            if !report.as_ref().is_some_and(|report| report.drained) {
                return End::Waiting { waiting: draining(report.as_ref(), deadline), look_after: POLL };
            }
        }
        let calls = teardown(platform, there);
        if calls.is_empty() {
            self.forget(key);
            return End::Done;
        }
        let applied = apply::aws::apply(account, &self.passwords(platform), &calls).await;
        self.observer.forget(key);
        match applied.failures.iter().find(|failure| !failure.waiting) {
            Some(failure) => End::HeldUp(waiting("AWS", &failure.message)),
            None => End::Waiting {
                waiting: waiting("AWS", "queues and buckets are being deleted, as the spec says"),
                look_after: POLL,
            },
        }
    }

    /// Whether nothing is left to settle of a platform as it is now. A new leader looks again.
    pub fn has_ended(&self, key: &PlatformKey, resource: &StreamingPlatform) -> bool {
        self.all_ended().get(key) == Some(&(resource.uid(), resource.metadata.generation))
    }

    /// Nothing is left to settle.
    pub fn ended(&self, key: &PlatformKey, resource: &StreamingPlatform) {
        self.all_ended().insert(key.clone(), (resource.uid(), resource.metadata.generation));
    }

    fn all_ended(&self) -> MutexGuard<'_, HashMap<PlatformKey, Life>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the transcoding of a platform that AWS can't be asked for. Where nothing is to be deleted there,
    /// queues and buckets stay as they are, with the entry for the queue on the input bucket.
    pub fn abandon(&self, key: &PlatformKey, platform: &Platform, why: &str) -> End {
        if platform.transcoding.as_ref().is_some_and(deletes) || platform.deletes_data_in_aws() {
            return End::HeldUp(waiting("AWS", format!("{why}; {LET_GO}")));
        }
        warn!(why, "AWS can't be asked; what is there stays, as the spec says");
        self.forget(key);
        End::Done
    }

    /// The platform is gone.
    pub fn forget(&self, key: &PlatformKey) {
        self.dispatcher.configure(key, None);
        self.observer.forget(key);
        self.brake.release(key);
        self.all_ended().remove(key);
    }
}

/// What a platform adds to the gauges.
pub(super) fn load(observed: &Observed) -> Load {
    let jobs = observed.dispatch.as_ref().map(|report| report.jobs).unwrap_or_default();
    let depth = |queue: Option<&crate::managed::sqs::Queue>| queue.map(|it| it.depth).unwrap_or_default();
    let there = observed.transcoding.as_ref();
    let work = depth(there.and_then(|it| it.queue.as_ref()));
    let dead_letter = depth(there.and_then(|it| it.dead_letter.as_ref()));
    Load {
        pending: jobs.pending,
        running: jobs.running,
        visible: work.visible,
        in_flight: work.in_flight,
        dead_lettered: dead_letter.visible + dead_letter.in_flight,
    }
}

/// What the dispatcher works by.
fn config(
    platform: &Platform,
    wanted: &Wanted,
    queues: &Queues,
    account: Account,
    draining: Option<Timestamp>,
) -> Option<Config> {
    let Queues { url, arn, dead_letter_url, events_url } = queues;
    Some(Config {
        policy: Policy {
            namespace: platform.namespace.clone(),
            platform: platform.name.to_string(),
            queue_url: url.clone(),
            queue_arn: arn.clone(),
            visibility: signed(wanted.visibility_timeout),
            max_jobs: wanted.max_concurrent_jobs as usize,
            max_attempts: wanted.max_attempts,
            retention: signed(wanted.job_retention),
            suspended: platform.suspended,
            draining,
            places: Places {
                input_bucket: wanted.input.name.clone(),
                input_prefix: wanted.input.prefix.clone(),
                output_bucket: wanted.output.name.clone(),
                output_prefix: wanted.output.prefix.clone(),
            },
        },
        dead_letter_url: dead_letter_url.clone(),
        events_url: events_url.clone(),
        prototype: Packed::new(&job::prototype(platform)?),
        profile: wanted.profile.clone(),
        account,
        uid: platform.uid.clone(),
    })
}

fn draining(report: Option<&crate::dispatch::Report>, deadline: Timestamp) -> WaitingFor {
    let running = report.map_or(0, |report| report.jobs.pending + report.jobs.running);
    waiting(
        "transcoding Jobs",
        format!(
            "{running} Jobs may go on until {deadline:.0} (transcoding.drainTimeout); then they are deleted and their messages go back to the queue"
        ),
    )
}

/// The platform's deletion waits.
pub(super) fn waiting(on: &str, message: impl Into<String>) -> WaitingFor {
    WaitingFor { what: "StreamingPlatform".to_owned(), on: on.to_owned(), message: message.into() }
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Another platform that has a queue of this one: whose operator made it, or who named it before.
fn claimed_by(cluster: &Cluster, key: &PlatformKey, resource: &StreamingPlatform) -> Option<String> {
    let (mine, my_claim) = (queues(resource), claim(resource, key));
    if mine.is_empty() {
        return None;
    }
    cluster
        .platforms
        .platforms()
        .into_iter()
        .filter(|other| other != key)
        .filter_map(|other| Some((cluster.platform(&other)?, other)))
        .filter(|(platform, other)| claim(platform, other) < my_claim && !held(platform).is_disjoint(&mine))
        .map(|(_, other)| other.to_string())
        .min()
}

/// What makes a platform's claim on a queue the better one; the least wins.
fn claim(platform: &StreamingPlatform, key: &PlatformKey) -> (bool, Option<Timestamp>, String) {
    let transcoding = platform.spec.transcoding.as_ref();
    let named = transcoding.and_then(|it| it.queue.as_ref()).is_some_and(|queue| queue.url.is_some());
    (named, platform.creation_timestamp().map(|Time(at)| at), key.to_string())
}

/// Queues that a platform keeps others from. What a spec names is believed until the operator has looked: whoever
/// knows the URL of another team's queue could stop it else, with no right to the queue.
fn held(platform: &StreamingPlatform) -> HashSet<(String, String)> {
    let looked = platform.status.as_ref().and_then(|status| status.observed_generation);
    let read = looked.is_some() && looked == platform.metadata.generation;
    identified(platform, if read { Vec::new() } else { named(platform) })
}

/// The queues of a platform: those that its spec names, and those that were read.
fn queues(platform: &StreamingPlatform) -> HashSet<(String, String)> {
    identified(platform, named(platform))
}

/// URLs of queues in the spec.
fn named(platform: &StreamingPlatform) -> Vec<&String> {
    let spec = platform.spec.transcoding.as_ref().and_then(|it| it.queue.as_ref());
    spec.into_iter().flat_map(|it| [&it.url, &it.dead_letter_queue_url]).flatten().collect()
}

/// These queues and those of the status, by region, endpoint, account and name: one queue has URLs of several forms.
fn identified(platform: &StreamingPlatform, named: Vec<&String>) -> HashSet<(String, String)> {
    let place = platform.spec.aws.as_ref().map(|aws| {
        let endpoint = aws.endpoint_url.as_deref().unwrap_or_default().trim_end_matches('/');
        format!("{} {endpoint}", aws.region)
    });
    let place = place.unwrap_or_default();
    let status = platform.status.as_ref().and_then(|status| status.transcoding.as_ref());
    let read = status.into_iter().flat_map(|it| [&it.queue_url, &it.dead_letter_queue_url]).flatten();
    named
        .into_iter()
        .chain(read)
        .map(|url| {
            let mut path = url.trim_end_matches('/').rsplitn(3, '/');
            let (name, account) = (path.next().unwrap_or_default(), path.next().unwrap_or_default());
            (place.clone(), format!("{account}/{name}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    fn platform(endpoint: &str, url: &str) -> StreamingPlatform {
        serde_json::from_value(json!({
            "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
            "metadata": {"name": "tv", "namespace": "media"},
            "spec": {
                "aws": {"region": "eu-central-1", "endpointURL": endpoint},
                "transcoding": {"queue": {"url": url, "deadLetterQueueURL": format!("{url}-dead")}},
            },
        }))
        .unwrap()
    }

    #[rstest]
    #[case("http://a", "https://sqs.eu-central-1.amazonaws.com/1/q", true)]
    #[case("http://a/", "https://sqs.eu-central-1.amazonaws.com/1/q/", true)]
    #[case("http://a", "https://eu-central-1.queue.amazonaws.com/1/q", true)]
    #[case("http://b", "https://sqs.eu-central-1.amazonaws.com/1/q", false)]
    #[case("http://a", "https://sqs.eu-central-1.amazonaws.com/2/q", false)]
    #[case("http://a", "https://sqs.eu-central-1.amazonaws.com/1/q2", false)]
    fn one_queue_is_known_by_each_of_its_urls(#[case] endpoint: &str, #[case] url: &str, #[case] same: bool) {
        let one = queues(&platform("http://a", "https://sqs.eu-central-1.amazonaws.com/1/q"));
        assert_eq!(!queues(&platform(endpoint, url)).is_disjoint(&one), same);
    }

    #[rstest]
    #[case::not_looked_at_yet(None, false, true)]
    #[case::an_edit_not_looked_at_yet(Some(1), false, true)]
    #[case::looked_at_in_vain(Some(2), false, false)]
    #[case::read(Some(2), true, true)]
    fn naming_a_queue_that_can_t_be_read_keeps_nobody_from_it(
        #[case] observed: Option<i64>,
        #[case] read: bool,
        #[case] keeps: bool,
    ) {
        let url = "https://sqs.eu-central-1.amazonaws.com/1/q";
        let mut other = platform("http://a", url);
        other.metadata.generation = Some(2);
        let transcoding = read.then(|| json!({"queueURL": url}));
        let status = json!({"observedGeneration": observed, "transcoding": transcoding});
        other.status = serde_json::from_value(status).unwrap();
        assert_eq!(!held(&other).is_disjoint(&queues(&platform("http://a", url))), keeps);
    }

    #[test]
    fn a_queue_belongs_to_whose_operator_made_it_else_to_the_first() {
        let mut made = platform("http://a", "");
        made.spec.transcoding.as_mut().unwrap().queue = None;
        made.metadata.creation_timestamp = Some(Time(Timestamp::from_second(9).unwrap()));
        let named = |second: i64| {
            let mut named = platform("http://a", "https://sqs.eu-central-1.amazonaws.com/1/q");
            named.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
            claim(&named, &PlatformKey::new("media", "named"))
        };
        assert!(claim(&made, &PlatformKey::new("media", "made")) < named(1));
        assert!(named(1) < named(2));
    }
}

//! What was observed in AWS: the queues and buckets of one platform.
//!
//! Settings of queues and buckets change rarely and are read again after minutes, or after we changed them.
//! The depth of a queue is read every quarter of a minute while something goes on, else once a minute.

pub mod cache;
pub mod database;
pub mod elasticache;
pub mod inventory;
pub mod proxy;
pub mod rds;
pub mod s3;
pub mod sqs;

use crate::{
    api::{QueueDepth, StreamingPlatform},
    aws::{AccessError, Account, Accounts},
    kinds::PlatformKey,
    managed::{Failure, s3::Bucket, sqs::Queue as SeenQueue},
    platform::{Credentials, Platform, Queue, Transcoding as Wanted},
};
use kube::ResourceExt;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Reference, Referenced};

/// How long settings are believed, before jitter.
const SETTINGS: Duration = Duration::from_secs(600);
/// How long the depth of a queue is believed while something goes on.
const BUSY: Duration = Duration::from_secs(15);
/// How long it is believed while nothing does.
const IDLE: Duration = Duration::from_secs(60);

/// Suffix of the name of the queue that work arrives on.
pub const WORK_QUEUE: &str = "transcoding";
/// Suffix of the name of its dead-letter queue.
pub const DEAD_LETTER_QUEUE: &str = "dead-letter";
/// Suffix of the name of the queue that outcomes go to.
pub const EVENTS_QUEUE: &str = "events";

/// The queue, its dead-letter and events queues and the buckets of one platform.
#[derive(Clone, Debug, Default)]
pub struct Transcoding {
    /// URL of the queue that work arrives on; none: it is not there yet.
    pub queue_url: Option<String>,
    /// URL of the queue that outcomes go to; none: it is not there yet.
    pub events_queue_url: Option<String>,
    /// The queue that work arrives on.
    pub queue: Option<SeenQueue>,
    /// Its dead-letter queue.
    pub dead_letter: Option<SeenQueue>,
    /// The queue that outcomes go to.
    pub events: Option<SeenQueue>,
    /// Where uploads arrive.
    pub input: Option<Bucket>,
    /// Where outputs go.
    pub output: Option<Bucket>,
    /// Buckets that the status named before: they were there once, and may have held data.
    pub seen_buckets: BTreeSet<String>,
    /// Why AWS could not be observed now; what is here then is what was last seen.
    pub failure: Option<Failure>,
    /// When to look again.
    pub refresh_after: Duration,
}

impl Transcoding {
    /// Whether everything is there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.queue.is_some()
            && self.dead_letter.is_some()
            && self.events.is_some()
            && self.input.is_some()
            && self.output.is_some()
    }
}

/// Observes, and remembers what it saw. Cheap to clone: clones share their memory.
#[derive(Clone)]
pub struct Observer {
    accounts: Accounts,
    seen: Arc<Mutex<HashMap<PlatformKey, Seen>>>,
}

struct Seen {
    uid: String,
    generation: i64,
    transcoding: Transcoding,
    /// When all settings were read; none: some could not be.
    settings_at: Option<Instant>,
    depth_at: Instant,
}

impl Observer {
    /// Has seen nothing yet.
    #[must_use]
    pub fn new(accounts: Accounts) -> Self {
        Self { accounts, seen: Arc::default() }
    }

    /// The account of a platform. One that is `deleting` may outlive its Secret: its last keys still serve.
    ///
    /// # Errors
    /// A [`Failure`] where the platform names a Secret that is not there or lacks a key.
    pub async fn account(
        &self,
        platform: &Platform,
        references: &BTreeMap<Reference, Referenced>,
        deleting: bool,
    ) -> Result<Option<Account>, Failure> {
        let Some(aws) = &platform.aws else { return Ok(None) };
        let hash = match &aws.credentials {
            Credentials::Secret(name) => match references.get(&Reference::Secret(name.clone())) {
                Some(Referenced::Present { content_hash, .. }) => Some(content_hash.as_str()),
                _ => None,
            },
            Credentials::Operator | Credentials::Role(_) => None,
        };
        let account = self.accounts.account(&platform.namespace, aws, hash).await;
        let last = if deleting { self.accounts.last(&platform.namespace, aws) } else { None };
        match (account, last) {
            (Ok(account), _) | (Err(AccessError::SecretMissing(_)), Some(account)) => Ok(Some(account)),
            (Err(error), _) => Err(Failure {
                credentials: !matches!(error, AccessError::Unreadable { .. }),
                message: error.to_string(),
            }),
        }
    }

    /// What is there of a platform's transcoding. `busy`: whether something goes on in it.
    pub async fn observe(
        &self,
        resource: &StreamingPlatform,
        platform: &Platform,
        account: Result<&Account, &Failure>,
        busy: bool,
    ) -> Option<Transcoding> {
        let wanted = platform.transcoding.as_ref()?;
        let key = PlatformKey::new(&platform.namespace, platform.name.as_str());
        let uid = resource.uid().unwrap_or_default();
        let generation = platform.generation;
        let before = self.memory().remove(&key).filter(|seen| seen.uid == uid);
        let fresh = before.as_ref().is_some_and(|seen| {
            seen.generation == generation
                && seen.transcoding.is_complete()
                && seen.settings_at.is_some_and(|at| at.elapsed() < SETTINGS + jitter(&uid))
        });
        let now = Instant::now();
        let (seen, failure) = match (account, before) {
            (Err(failure), before) => (before, Some(failure.clone())),
            (Ok(account), Some(before)) if fresh => {
                let (seen, failure) = refresh_depth(account, before, busy).await;
                (Some(seen), failure)
            }
            (Ok(account), before) => {
                let before = before.map(|seen| seen.transcoding).unwrap_or_default();
                let (transcoding, failure) = settings(account, platform, wanted, before).await;
                let settings_at = failure.is_none().then_some(now);
                (Some(Seen { uid, generation, transcoding, settings_at, depth_at: now }), failure)
            }
        };
        let mut transcoding = seen.as_ref().map(|seen| seen.transcoding.clone()).unwrap_or_default();
        transcoding.failure = failure;
        if let Some(seen) = seen {
            self.memory().insert(key, seen);
        }
        transcoding.seen_buckets = seen_buckets(resource);
        transcoding.refresh_after = if busy { BUSY } else { IDLE };
        Some(transcoding)
    }

    /// Forgets what was seen of a platform: it is gone, or was changed.
    pub fn forget(&self, key: &PlatformKey) {
        self.memory().remove(key);
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<PlatformKey, Seen>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spreads platforms that were observed together.
fn jitter(uid: &str) -> Duration {
    let sum: u64 = uid.bytes().map(u64::from).sum();
    Duration::from_secs(sum % 120)
}

fn seen_buckets(resource: &StreamingPlatform) -> BTreeSet<String> {
    let status = resource.status.as_ref().and_then(|status| status.transcoding.as_ref());
    status.into_iter().flat_map(|it| [it.input_bucket.clone(), it.output_bucket.clone()]).flatten().collect()
}

/// Reads all settings. What can't be read stays as it was `before`, and why is told beside it: trouble with a
/// bucket is no reason to leave a queue alone.
async fn settings(
    account: &Account,
    platform: &Platform,
    wanted: &Wanted,
    before: Transcoding,
) -> (Transcoding, Option<Failure>) {
    let (queues, buckets) =
        tokio::join!(Box::pin(queues(account, platform, wanted)), Box::pin(buckets(account, wanted)));
    let mut seen = before;
    let mut failures = Vec::new();
    match queues {
        Ok([work, dead_letter, events]) => {
            seen.queue_url = work.as_ref().map(|queue| queue.url.clone());
            seen.events_queue_url = events.as_ref().map(|queue| queue.url.clone());
            (seen.queue, seen.dead_letter, seen.events) = (work, dead_letter, events);
        }
        Err(message) => failures.push(message),
    }
    match buckets {
        Ok([input, output]) => (seen.input, seen.output) = (input, output),
        Err(message) => failures.push(message),
    }
    let failure =
        (!failures.is_empty()).then(|| Failure { credentials: false, message: failures.join("; ") });
    (seen, failure)
}

async fn queues(
    account: &Account,
    platform: &Platform,
    wanted: &Wanted,
) -> Result<[Option<SeenQueue>; 3], String> {
    let (work, dead_letter) = match &wanted.queue {
        Queue::Managed { .. } => tokio::try_join!(
            sqs::find(account, platform.aws_name(WORK_QUEUE)),
            sqs::find(account, platform.aws_name(DEAD_LETTER_QUEUE)),
        )?,
        Queue::Existing { url, dead_letter_url } => {
            tokio::try_join!(sqs::describe(account, url), sqs::describe(account, dead_letter_url))?
        }
    };
    Ok([work, dead_letter, sqs::find(account, platform.aws_name(EVENTS_QUEUE)).await?])
}

async fn buckets(account: &Account, wanted: &Wanted) -> Result<[Option<Bucket>; 2], String> {
    let (input, output) = tokio::try_join!(
        s3::describe(account, &wanted.input.name, wanted.input.managed.is_some()),
        s3::describe(account, &wanted.output.name, wanted.output.managed.is_some()),
    )?;
    Ok([input, output])
}

/// Reads only how much is on the queues. One that is gone is looked for anew the next time.
async fn refresh_depth(account: &Account, mut seen: Seen, busy: bool) -> (Seen, Option<Failure>) {
    // A little less, so that a reconcile which comes for it at this interval finds it due.
    let interval = if busy { BUSY } else { IDLE };
    if seen.depth_at.elapsed() + Duration::from_secs(1) < interval {
        return (seen, None);
    }
    let url = |queue: &Option<SeenQueue>| queue.as_ref().map(|it| it.url.clone()).unwrap_or_default();
    let (work, dead_letter) = (url(&seen.transcoding.queue), url(&seen.transcoding.dead_letter));
    match tokio::try_join!(sqs::depth(account, &work), sqs::depth(account, &dead_letter)) {
        Ok((work, dead_letter)) => {
            set_depth(&mut seen.transcoding.queue, work);
            set_depth(&mut seen.transcoding.dead_letter, dead_letter);
        }
        Err(message) => return (seen, Some(Failure { credentials: false, message })),
    }
    seen.transcoding.queue_url = seen.transcoding.queue.as_ref().map(|queue| queue.url.clone());
    seen.depth_at = Instant::now();
    (seen, None)
}

fn set_depth(queue: &mut Option<SeenQueue>, depth: Option<QueueDepth>) {
    match (queue.as_mut(), depth) {
        (Some(queue), Some(depth)) => queue.depth = depth,
        _ => *queue = None,
    }
}

//! What was observed in AWS: the queues and buckets of one platform.
//!
//! Settings of queues and buckets change rarely: each is read again after minutes, or after we changed it. AWS takes
//! few such calls a second, so that what was read is not read again because something else was changed or failed.
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
    managed::{
        Failure,
        s3::{Bucket, Call as BucketCall, Notification},
        sqs::Queue as SeenQueue,
    },
    packed::Packed,
    plan::call::Call,
    platform::{self, Credentials, Platform, Queue, Transcoding as Wanted},
};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
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
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
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
    #[serde(skip)]
    pub seen_buckets: BTreeSet<String>,
    /// Why AWS could not be observed now; what is here then is what was last seen.
    #[serde(skip)]
    pub failure: Option<Failure>,
    /// When to look again.
    #[serde(skip)]
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
    account: Account,
    /// Hash of what it was read for.
    wanted: [u8; 32],
    /// Of what the settings are.
    addresses: [Address; Part::ALL.len()],
    transcoding: Packed<Transcoding>,
    /// What was changed since it was read, or could not be read.
    stale: BTreeSet<Part>,
    /// Since when settings are believed.
    settings_at: Instant,
    depth_at: Instant,
}

/// Name or URL in AWS, and whether the operator manages it: of what it does not it reads less.
type Address = (String, bool);

/// One of a platform's queues and buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    WorkQueue,
    DeadLetterQueue,
    EventsQueue,
    Input,
    Output,
    /// Of the input bucket only whom it tells of uploads, which is set after all else. Reading the bucket reads it, too.
    Notifications,
}

impl Part {
    const ALL: [Self; 6] = [
        Self::WorkQueue,
        Self::DeadLetterQueue,
        Self::EventsQueue,
        Self::Input,
        Self::Output,
        Self::Notifications,
    ];

    /// The name of a queue that is there before is its URL.
    fn address(self, platform: &Platform, wanted: &Wanted) -> Address {
        let bucket = |bucket: &platform::Bucket| (bucket.name.clone(), bucket.managed.is_some());
        match (self, &wanted.queue) {
            (Self::WorkQueue, Queue::Existing { url, .. }) => (url.clone(), false),
            (Self::DeadLetterQueue, Queue::Existing { dead_letter_url, .. }) => {
                (dead_letter_url.clone(), false)
            }
            (Self::WorkQueue, Queue::Managed { .. }) => (platform.aws_name(WORK_QUEUE), true),
            (Self::DeadLetterQueue, Queue::Managed { .. }) => (platform.aws_name(DEAD_LETTER_QUEUE), true),
            (Self::EventsQueue, _) => (platform.aws_name(EVENTS_QUEUE), true),
            (Self::Input | Self::Notifications, _) => bucket(&wanted.input),
            (Self::Output, _) => bucket(&wanted.output),
        }
    }

    fn is_bucket(self) -> bool {
        matches!(self, Self::Input | Self::Output | Self::Notifications)
    }

    fn is_there(self, seen: &Transcoding) -> bool {
        match self {
            Self::WorkQueue => seen.queue.is_some(),
            Self::DeadLetterQueue => seen.dead_letter.is_some(),
            Self::EventsQueue => seen.events.is_some(),
            Self::Input => seen.input.is_some(),
            Self::Output => seen.output.is_some(),
            Self::Notifications => true,
        }
    }

    /// Whether it is otherwise after a call for the queue or bucket that it is, or is a part of.
    fn is_changed_by(self, call: &Call) -> bool {
        match call {
            Call::S3(BucketCall::Announce { .. } | BucketCall::Silence { .. }) => self != Self::Input,
            _ => self != Self::Notifications,
        }
    }

    async fn read(self, account: &Account, (name, managed): Address) -> Result<Read, String> {
        let queue = async |name: String| match managed {
            true => sqs::find(account, name).await,
            false => sqs::describe(account, &name).await,
        };
        Ok(match self {
            Self::WorkQueue => Read::WorkQueue(queue(name).await?),
            Self::DeadLetterQueue => Read::DeadLetterQueue(queue(name).await?),
            Self::EventsQueue => Read::EventsQueue(queue(name).await?),
            Self::Input => Read::Input(s3::describe(account, &name, managed).await?),
            Self::Output => Read::Output(s3::describe(account, &name, managed).await?),
            Self::Notifications => Read::Notifications(s3::notifications(account, &name).await?),
        })
    }
}

/// What was read; `None`: it is not there.
enum Read {
    WorkQueue(Option<SeenQueue>),
    DeadLetterQueue(Option<SeenQueue>),
    EventsQueue(Option<SeenQueue>),
    Input(Option<Bucket>),
    Output(Option<Bucket>),
    Notifications(Vec<Notification>),
}

fn last_segment(url: &str) -> &str {
    url.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
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
        let addresses = Part::ALL.map(|part| part.address(platform, wanted));
        let wanted = Sha256::digest(format!("{:?}", (&platform.aws, wanted))).into();
        let before = self.memory().remove(&key).filter(|seen| seen.uid == uid);
        let mut transcoding = before.as_ref().map(|seen| seen.transcoding.unpack()).unwrap_or_default();
        let now = Instant::now();
        let (seen, failure) = match account {
            Err(failure) => (before, Some(failure.clone())),
            Ok(account) => {
                let mut seen = before.unwrap_or_else(|| Seen {
                    uid: uid.clone(),
                    account: account.clone(),
                    wanted,
                    addresses: addresses.clone(),
                    transcoding: Packed::new(&transcoding),
                    stale: Part::ALL.into(),
                    settings_at: now,
                    depth_at: now,
                });
                if seen.account != *account || seen.settings_at.elapsed() >= SETTINGS + jitter(&uid) {
                    (seen.account, seen.settings_at) = (account.clone(), now);
                    seen.stale = Part::ALL.into();
                }
                // Changes are planned from a fresh look; other edits of the spec need none.
                if seen.wanted != wanted {
                    (seen.wanted, seen.addresses) = (wanted, addresses);
                    seen.stale = Part::ALL.into();
                }
                seen.stale.extend(Part::ALL.into_iter().filter(|part| !part.is_there(&transcoding)));
                let failure = settings(account, &mut seen, &mut transcoding).await;
                let depth_failure = refresh_depth(account, &mut seen, &mut transcoding, busy).await;
                let failure = failure.or(depth_failure);
                seen.transcoding = Packed::new(&transcoding);
                (Some(seen), failure)
            }
        };
        if let Some(seen) = seen {
            self.memory().insert(key, seen);
        }
        transcoding.failure = failure;
        transcoding.seen_buckets = seen_buckets(resource);
        transcoding.refresh_after = if busy { BUSY } else { IDLE };
        Some(transcoding)
    }

    /// Forgets what these calls change of a platform.
    pub fn changes(&self, key: &PlatformKey, calls: &[Call]) {
        let mut memory = self.memory();
        let Some(seen) = memory.get_mut(key) else { return };
        for call in calls {
            let changed = match call {
                Call::S3(call) => call.bucket(),
                Call::Sqs(call) => last_segment(call.queue()),
                Call::Rds(_) | Call::ElastiCache(_) => continue,
            };
            for (part, (name, _)) in Part::ALL.into_iter().zip(&seen.addresses) {
                if last_segment(name) == changed && part.is_changed_by(call) {
                    seen.stale.insert(part);
                }
            }
        }
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

/// Reads what is stale. What can't be read stays as it was, and why is told: trouble with a bucket is no reason to
/// leave a queue alone.
async fn settings(account: &Account, seen: &mut Seen, transcoding: &mut Transcoding) -> Option<Failure> {
    let now = Instant::now();
    if seen.stale.contains(&Part::Input) {
        seen.stale.remove(&Part::Notifications);
    }
    let addresses = Part::ALL.into_iter().zip(seen.addresses.clone());
    let stale = addresses.filter(|(part, _)| seen.stale.contains(part));
    let reads = stale.map(|(part, address)| async move { (part, part.read(account, address).await) });
    let read = futures::future::join_all(reads.map(Box::pin)).await;
    // One message a service: what keeps one queue from being read mostly keeps the others, too.
    let mut failures = BTreeMap::new();
    let mut done = BTreeSet::new();
    for (part, result) in read {
        match result {
            Ok(read) => {
                done.insert(part);
                seen.stale.remove(&part);
                transcoding.put(read);
            }
            Err(message) => {
                failures.entry(part.is_bucket()).or_insert(message);
                // Perhaps the bucket is gone.
                if part == Part::Notifications {
                    seen.stale.insert(Part::Input);
                }
            }
        }
    }
    if done.is_superset(&[Part::WorkQueue, Part::DeadLetterQueue].into()) {
        seen.depth_at = now;
    }
    let message = failures.into_values().collect::<Vec<_>>().join("; ");
    (!message.is_empty()).then_some(Failure { credentials: false, message })
}

impl Transcoding {
    fn put(&mut self, read: Read) {
        let url = |queue: &Option<SeenQueue>| queue.as_ref().map(|queue| queue.url.clone());
        match read {
            Read::WorkQueue(queue) => (self.queue_url, self.queue) = (url(&queue), queue),
            Read::DeadLetterQueue(queue) => self.dead_letter = queue,
            Read::EventsQueue(queue) => (self.events_queue_url, self.events) = (url(&queue), queue),
            Read::Input(bucket) => self.input = bucket,
            Read::Output(bucket) => self.output = bucket,
            Read::Notifications(there) => {
                if let Some(input) = &mut self.input {
                    input.notifications = there;
                }
            }
        }
    }
}

/// Reads only how much is on the queues. One that is gone is looked for anew the next time.
async fn refresh_depth(
    account: &Account,
    seen: &mut Seen,
    transcoding: &mut Transcoding,
    busy: bool,
) -> Option<Failure> {
    // A little less, so that a reconcile which comes for it at this interval finds it due.
    let interval = if busy { BUSY } else { IDLE };
    if seen.depth_at.elapsed() + Duration::from_secs(1) < interval {
        return None;
    }
    let url = |queue: &Option<SeenQueue>| queue.as_ref().map(|it| it.url.clone());
    let work = url(&transcoding.queue)?;
    let dead_letter = url(&transcoding.dead_letter)?;
    match tokio::try_join!(sqs::depth(account, &work), sqs::depth(account, &dead_letter)) {
        Ok((work, dead_letter)) => {
            set_depth(&mut transcoding.queue, work);
            set_depth(&mut transcoding.dead_letter, dead_letter);
        }
        Err(message) => return Some(Failure { credentials: false, message }),
    }
    transcoding.queue_url = transcoding.queue.as_ref().map(|queue| queue.url.clone());
    seen.depth_at = Instant::now();
    None
}

fn set_depth(queue: &mut Option<SeenQueue>, depth: Option<QueueDepth>) {
    match (queue.as_mut(), depth) {
        (Some(queue), Some(depth)) => queue.depth = depth,
        _ => *queue = None,
    }
}

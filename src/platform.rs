//! platform: a [`Platform`] whose every field is decided and checked.
//!
//! Made by [`crate::validate`] only. What comes after sees this and never the raw resource.

use crate::api::{
    BucketDeletionPolicy, DatabaseDeletionPolicy, DeletionPolicy, Management, Port, Probes, Route,
    ServiceAccount, ServiceExposure, Size, names,
};
use k8s_openapi::api::core::v1::{Affinity, EnvFromSource, EnvVar, ResourceRequirements, Toleration};
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, fmt, time::Duration};

pub mod cache;
pub mod database;
pub mod schedule;

pub use cache::AwsCache;
pub use database::AwsDatabase;

/// A platform that can be planned.
#[derive(Clone, Debug, PartialEq)]
pub struct Platform {
    /// Its name, from which those of its children are made.
    pub name: PlatformName,
    /// Its namespace, which is that of all its objects.
    pub namespace: String,
    /// Its UID: the owner of its objects and the root of its names in AWS.
    pub uid: String,
    /// The generation of the spec that this was made of.
    pub generation: i64,
    /// Whether nothing may be changed.
    pub suspended: bool,
    /// How large it is.
    pub size: Size,
    /// How AWS is reached.
    pub aws: Option<Aws>,
    /// Frontend, backend, worker and services, in this order.
    pub components: Vec<Component>,
    /// The database.
    pub database: Option<Data<AwsDatabase>>,
    /// The cache.
    pub cache: Option<Data<AwsCache>>,
    /// Transcoding of uploads.
    pub transcoding: Option<Transcoding>,
    /// The token of pending changes that someone approved.
    pub approved: Option<String>,
    /// Name of the restore that someone confirmed.
    pub confirmed_restore: Option<String>,
    /// `DbiResourceId` of the instance that an upgrade replaced and that someone lets go.
    pub confirmed_upgrade: Option<String>,
    /// Value of the annotation that asks for a new login.
    pub rotate_login: Option<String>,
}

impl Platform {
    /// The component of that role, of which there is at most one but for [`Role::Service`].
    #[must_use]
    pub fn component(&self, role: Role) -> Option<&Component> {
        self.components.iter().find(|component| component.role == role)
    }

    /// Whether the operator has anything to do for it in AWS.
    #[must_use]
    pub fn calls_aws(&self) -> bool {
        self.transcoding.is_some() || self.database_in_aws().is_some() || self.cache_in_aws().is_some()
    }

    /// Whether a database or cache in AWS is deleted with it.
    #[must_use]
    pub fn deletes_data_in_aws(&self) -> bool {
        let goes =
            |management, policy| management == Management::Full && policy != DatabaseDeletionPolicy::Retain;
        self.database_in_aws().is_some_and(|it| goes(it.management, it.deletion_policy))
            || self.cache_in_aws().is_some_and(|it| goes(it.management, it.deletion_policy))
    }

    /// Its database, where it is in AWS.
    #[must_use]
    pub fn database_in_aws(&self) -> Option<&AwsDatabase> {
        match &self.database {
            Some(Data::Aws(database)) => Some(database),
            Some(Data::Embedded(_) | Data::External { .. }) | None => None,
        }
    }

    /// Its cache, where it is in AWS.
    #[must_use]
    pub fn cache_in_aws(&self) -> Option<&AwsCache> {
        match &self.cache {
            Some(Data::Aws(cache)) => Some(cache),
            Some(Data::Embedded(_) | Data::External { .. }) | None => None,
        }
    }

    /// Name of something in AWS: `<platform>-<ten base32 characters of the UID's digest>-<suffix>`. A
    /// platform that is deleted and made again under the same name gets other names. Without a UID (it was
    /// never in a cluster) the ten characters are `x`.
    #[must_use]
    pub fn aws_name(&self, suffix: &str) -> String {
        if self.uid.is_empty() {
            return format!("{}-xxxxxxxxxx-{suffix}", self.name);
        }
        let digest = data_encoding::BASE32_NOPAD.encode(&Sha256::digest(self.uid.as_bytes()));
        format!("{}-{}-{suffix}", self.name, digest[..10].to_ascii_lowercase())
    }

    /// Identifier of something in RDS or ElastiCache, of at most `longest` characters: as [`Self::aws_name`], but
    /// with a name that is cut where needed and without two hyphens in a row, which they refuse.
    #[must_use]
    pub fn aws_identifier(&self, suffix: &str, longest: usize) -> String {
        let full = self.aws_name(suffix);
        let tail = &full[self.name.as_str().len() + 1..];
        let words = self.name.as_str().split('-').filter(|word| !word.is_empty());
        let mut head = words.collect::<Vec<_>>().join("-");
        head.truncate(longest.saturating_sub(tail.len() + 1));
        format!("{}-{tail}", head.trim_end_matches('-'))
    }

    /// Labels of an object of this platform.
    #[must_use]
    pub fn labels(&self, component: &str) -> BTreeMap<String, String> {
        [
            (names::LABEL_NAME, component),
            (names::LABEL_INSTANCE, self.name.as_str()),
            (names::LABEL_PART_OF, self.name.as_str()),
            (names::LABEL_MANAGED_BY, names::FIELD_MANAGER),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    /// Labels that select the pods of one component, or of all.
    #[must_use]
    pub fn selector(&self, component: Option<&str>) -> BTreeMap<String, String> {
        [(names::LABEL_INSTANCE, Some(self.name.as_str())), (names::LABEL_NAME, component)]
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned())))
            .collect()
    }
}

/// Name of a platform: a DNS label of at most [`names::MAX_PLATFORM_NAME`] characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlatformName(String);

impl PlatformName {
    /// Takes a name that may be one. `None` where children's names could not be made from it.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let valid = name.len() <= names::MAX_PLATFORM_NAME
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && !name.ends_with('-')
            && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        valid.then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Name of a child: `<platform>-<part>`.
    #[must_use]
    pub fn child(&self, part: &str) -> String {
        format!("{}-{part}", self.0)
    }
}

impl fmt::Display for PlatformName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How AWS is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    /// Region.
    pub region: String,
    /// With whose rights.
    pub credentials: Credentials,
    /// An emulator or VPC endpoint, without a slash at its end.
    pub endpoint_url: Option<String>,
    /// The user's tags.
    pub tags: BTreeMap<String, String>,
}

/// A role, and for whom it is assumed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssumedRole {
    /// Its ARN.
    pub arn: String,
    /// What the operator says to STS, and the role's trust policy compares: `<prefix>/<namespace>/<platform>`.
    pub external_id: String,
}

impl AssumedRole {
    /// The role as one platform assumes it. The platform has no say in the external id, so that none can pass
    /// for another. The prefix is the administrator's.
    #[must_use]
    pub fn new(arn: &str, prefix: &str, namespace: &str, platform: &str) -> Self {
        Self { arn: arn.to_owned(), external_id: format!("{prefix}/{namespace}/{platform}") }
    }
}

/// With whose rights the operator calls AWS.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credentials {
    /// The operator's own.
    Operator,
    /// Those of a role that the operator assumes.
    Role(AssumedRole),
    /// Keys in a Secret of the platform's namespace.
    Secret(String),
}

/// What a component is to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// The web application.
    Frontend,
    /// The API.
    Backend,
    /// Background work.
    Worker,
    /// One of `spec.services`.
    Service,
}

/// A long-running workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Component {
    /// `frontend`, `backend`, `worker` or a service's name.
    pub name: String,
    /// What it is to the platform.
    pub role: Role,
    /// Path of its field in the spec, for messages.
    pub field: String,
    /// Image.
    pub image: Image,
    /// Secrets to pull the image with.
    pub image_pull_secrets: Vec<String>,
    /// Entrypoint.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Ports; at least one.
    pub ports: Vec<Port>,
    /// The user's variables.
    pub env: Vec<EnvVar>,
    /// The user's sources of variables.
    pub env_from: Vec<EnvFromSource>,
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// The user's probes; none: by the image.
    pub probes: Option<Probes>,
    /// Its service account.
    pub service_account: ServiceAccount,
    /// Where it may run.
    pub scheduling: Scheduling,
    /// What the user merges over the pod template.
    pub pod_template: Option<serde_json::Value>,
    /// How many.
    pub scale: Scale,
    /// How its Service is exposed.
    pub exposure: ServiceExposure,
    /// A way in from outside.
    pub route: Option<Route>,
}

impl Component {
    /// The port that is probed and routed to.
    #[must_use]
    pub fn first_port(&self) -> &Port {
        &self.ports[0]
    }

    /// Whether anything outside the platform may connect.
    #[must_use]
    pub fn is_public(&self) -> bool {
        self.role == Role::Frontend
            || self.route.is_some()
            || self.exposure.kind.unwrap_or_default() != crate::api::ServiceType::ClusterIP
    }
}

/// Where pods may run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheduling {
    /// Labels that a node must have.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    pub tolerations: Vec<Toleration>,
    /// Affinity.
    pub affinity: Option<Affinity>,
    /// Priority class.
    pub priority_class_name: Option<String>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its reference.
    pub reference: String,
    /// Whether it is the operator's own, whose user and probes are known.
    pub bundled: bool,
}

/// How many replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// So many.
    Fixed(i32),
    /// As many as the load asks for.
    Auto {
        /// Fewest.
        min: i32,
        /// Most.
        max: i32,
        /// Mean CPU use aimed at, in percent of the request.
        target_cpu_percent: i32,
    },
}

impl Scale {
    /// Fewest replicas.
    #[must_use]
    pub fn min(self) -> i32 {
        match self {
            Self::Fixed(replicas) | Self::Auto { min: replicas, .. } => replicas,
        }
    }
}

/// A database or cache; `A` is what it is in AWS.
#[derive(Clone, Debug, PartialEq)]
pub enum Data<A> {
    /// AWS runs it.
    Aws(Box<A>),
    /// The operator runs it in the cluster.
    Embedded(Embedded),
    /// Someone else runs it; the Secret's key `uri` tells where it is.
    External {
        /// Name of the Secret.
        secret: String,
    },
}

/// A server that the operator runs in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// Image.
    pub image: String,
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// Size of its volume.
    pub storage_size: String,
    /// Storage class of its volume; none: the cluster's default.
    pub storage_class: Option<String>,
    /// What becomes of the volume.
    pub deletion_policy: DeletionPolicy,
}

/// Uploads in a bucket become messages, messages become Jobs, Jobs fill another bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Transcoding {
    /// The queue.
    pub queue: Queue,
    /// How long a received message stays hidden unless extended.
    pub visibility_timeout: Duration,
    /// Where uploads arrive.
    pub input: Bucket,
    /// Where outputs go.
    pub output: Bucket,
    /// Origins that may upload from a browser.
    pub upload_origins: Vec<String>,
    /// How many Jobs at once.
    pub max_concurrent_jobs: u32,
    /// How often a transcode is tried.
    pub max_attempts: u32,
    /// How long a deleted platform lets running Jobs finish.
    pub drain_timeout: Duration,
    /// How long a settled Job is kept.
    pub job_retention: Duration,
    /// The ladder.
    pub profile: contract::Profile,
    /// The Job.
    pub job: JobTemplate,
}

/// The queue that work arrives on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The operator makes it, with its dead-letter queue.
    Managed {
        /// KMS key; none: SQS's own.
        kms_key_id: Option<String>,
        /// What becomes of it when the platform is deleted.
        deletion_policy: DeletionPolicy,
    },
    /// It exists and is only used.
    Existing {
        /// Its URL.
        url: String,
        /// URL of its dead-letter queue.
        dead_letter_url: String,
    },
}

/// A bucket, or the part of it below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// Empty, or ends in `/`.
    pub prefix: String,
    /// What it shall be where the operator makes it; none: it exists and is only used.
    pub managed: Option<ManagedBucket>,
}

/// A bucket that the operator makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedBucket {
    /// What becomes of it when the platform is deleted.
    pub deletion_policy: BucketDeletionPolicy,
    /// What becomes of its objects by age.
    pub lifecycle: Lifecycle,
    /// KMS key that new objects are encrypted with; none: S3's own.
    pub kms_key_id: Option<String>,
}

/// What becomes of objects by age, in days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lifecycle {
    /// The parts of an upload that was never completed are deleted.
    pub abort_uploads_after_days: u32,
    /// They move to Standard-IA.
    pub infrequent_access_after_days: Option<u32>,
    /// They move to Glacier Instant Retrieval.
    pub glacier_after_days: Option<u32>,
    /// A version is deleted, so long after another replaced it.
    pub expire_noncurrent_after_days: Option<u32>,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self {
            abort_uploads_after_days: 7,
            infrequent_access_after_days: None,
            glacier_after_days: None,
            expire_noncurrent_after_days: None,
        }
    }
}

/// The Job that transcodes one source.
#[derive(Clone, Debug, PartialEq)]
pub struct JobTemplate {
    /// Image.
    pub image: Image,
    /// Secrets to pull the image with.
    pub image_pull_secrets: Vec<String>,
    /// Requests and limits.
    pub resources: ResourceRequirements,
    /// Room for source and output.
    pub scratch_size: String,
    /// How long one attempt may run from the start of its pod.
    pub deadline: Duration,
    /// Its service account.
    pub service_account: ServiceAccount,
    /// Where it may run.
    pub scheduling: Scheduling,
    /// What the user merges over the pod template.
    pub pod_template: Option<serde_json::Value>,
}

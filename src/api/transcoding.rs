//! `spec.transcoding`: uploads in a bucket become messages, messages become Jobs, Jobs fill another bucket.

use super::{DeletionPolicy, Scheduling, ServiceAccount, schema};
use k8s_openapi::{
    api::core::v1::{LocalObjectReference, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use kube::{KubeSchema, core::Duration};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One transcoding Job for each message on an SQS queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.queue) && has(self.queue.url) ? self.queue.url : '') == (has(oldSelf.queue) && has(oldSelf.queue.url) ? oldSelf.queue.url : '')",
    "transcoding.queue.url can't be changed: the messages on the old queue would be left without a reader; make another platform for the other queue"))]
#[x_kube(validation = ("(has(self.input) && has(self.input.bucket) ? self.input.bucket : '') == (has(oldSelf.input) && has(oldSelf.input.bucket) ? oldSelf.input.bucket : '')",
    "transcoding.input.bucket can't be changed: the old one goes on announcing its uploads to this platform; make another platform for the other bucket"))]
#[x_kube(validation = ("(has(self.output) && has(self.output.bucket) ? self.output.bucket : '') == (has(oldSelf.output) && has(oldSelf.output.bucket) ? oldSelf.output.bucket : '')",
    "transcoding.output.bucket can't be changed: the videos in the old one could no longer be played; make another platform for the other bucket"))]
#[x_kube(validation = ("!has(self.output) || !has(self.output.allowedOrigins)",
    "transcoding.output.allowedOrigins: browsers upload into the input bucket only; set transcoding.input.allowedOrigins"))]
#[x_kube(validation = ("!has(self.output) || !has(self.output.lifecycle) || !has(self.output.lifecycle.expireNoncurrentAfterDays)",
    "transcoding.output.lifecycle.expireNoncurrentAfterDays: the output bucket keeps no old versions; leave it out"))]
#[x_kube(validation = ("!has(self.input) || !has(self.output) || !has(self.input.bucket) || !has(self.output.bucket) || self.input.bucket != self.output.bucket || (has(self.input.prefix) && has(self.output.prefix) && !self.input.prefix.startsWith(self.output.prefix) && !self.output.prefix.startsWith(self.input.prefix))",
    "transcoding: input and output overlap, so that each output would be transcoded again; use two buckets, or prefixes of which neither begins with the other"))]
pub struct Transcoding {
    /// The queue; made with its dead-letter queue when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// Where uploads arrive; a versioned bucket is made when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Bucket>,
    /// Where outputs go; a private bucket is made when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Bucket>,
    /// How many Jobs may run at once; 5, 20 or 100 by `spec.size` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub max_concurrent_jobs: Option<i32>,
    /// How often a transcode is tried before its message goes to the dead-letter queue; 3 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub max_attempts: Option<i32>,
    /// How long a platform that is deleted lets running Jobs finish; `10m` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    #[x_kube(validation = ("duration(self) <= duration('24h')", "transcoding.drainTimeout is at most 24h"))]
    pub drain_timeout: Option<Duration>,
    /// How long a settled Job and its log are kept; `1h` when left out, and never less than twice the
    /// queue's visibility timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    #[x_kube(validation = ("duration(self) <= duration('720h')", "transcoding.jobRetention is at most 720h (30 days)"))]
    pub job_retention: Option<Duration>,
    /// The ladder; H.264 in 1080p, 720p, 480p, 360p and 240p when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// The Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobTemplate>,
}

/// The SQS queue that work arrives on, with its dead-letter queue and the queue that outcomes go to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("has(self.url) == has(self.deadLetterQueueURL)",
    "transcoding.queue: an existing queue needs both url and deadLetterQueueURL; leave both out and the operator makes them"))]
#[x_kube(validation = ("!has(self.url) || !self.url.endsWith('.fifo')",
    "transcoding.queue.url: a FIFO queue would let one slow transcode block all others of its group; use a standard queue"))]
#[x_kube(validation = ("!has(self.url) || !has(self.deadLetterQueueURL) || self.url != self.deadLetterQueueURL",
    "transcoding.queue: url and deadLetterQueueURL must be two queues"))]
#[x_kube(validation = ("!(has(self.url) && has(self.deletionPolicy))",
    "transcoding.queue.deletionPolicy belongs to queues that the operator makes: an existing queue is never deleted"))]
pub struct Queue {
    /// URL of an existing standard queue. The operator must be its only consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://\S+$"))]
    pub url: Option<String>,
    /// URL of the existing queue's dead-letter queue.
    #[serde(default, rename = "deadLetterQueueURL", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512), regex(pattern = r"^https?://\S+$"))]
    pub dead_letter_queue_url: Option<String>,
    /// How long a received message stays hidden from others unless the operator extends it, which it does
    /// while a Job runs; `5m` when left out, between 30 s and 12 h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    #[x_kube(validation = ("duration(self) >= duration('30s') && duration(self) <= duration('12h')",
        "transcoding.queue.visibilityTimeout is between 30s and 12h"))]
    pub visibility_timeout: Option<Duration>,
    /// KMS key (id, ARN or alias) that encrypts queues the operator makes; SQS's own key when left out. The
    /// key's policy must admit `s3.amazonaws.com`, or S3 can't announce uploads.
    #[serde(default, rename = "kmsKeyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: Option<String>,
    /// What becomes of queues that the operator made when the platform is deleted; `Retain` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

/// A bucket, or a part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!(has(self.bucket) && has(self.deletionPolicy))",
    "deletionPolicy belongs to buckets that the operator makes: an existing bucket is never deleted"))]
#[x_kube(validation = ("!(has(self.bucket) && (has(self.lifecycle) || has(self.encryption)))",
    "lifecycle and encryption belong to buckets that the operator makes: of an existing bucket it changes nothing but its own notification"))]
pub struct Bucket {
    /// Name of an existing bucket; one is made when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 63), regex(pattern = r"^[a-z0-9][a-z0-9.-]*[a-z0-9]$"))]
    pub bucket: Option<String>,
    /// Only keys under this prefix; ends in `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 512), regex(pattern = r"^[^/].*/$"))]
    pub prefix: Option<String>,
    /// Web origins that may upload from a browser, such as `https://tv.example.com`. For the input bucket; the
    /// frontend's own route is admitted without being named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 253), regex(pattern = r"^(\*|https?://[^/]+)$")), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_origins: Vec<String>,
    /// What becomes of the objects of a bucket that the operator makes, by their age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<BucketLifecycle>,
    /// How new objects are encrypted in a bucket that the operator makes; with S3's own keys when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<BucketEncryption>,
    /// What becomes of a bucket that the operator made when the platform is deleted; `Retain` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<BucketDeletionPolicy>,
}

/// What becomes of a bucket when its platform is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BucketDeletionPolicy {
    /// It stays.
    #[default]
    Retain,
    /// It is deleted if it is empty: no object, no old version. Else the deletion of the platform waits and says so.
    DeleteIfEmpty,
    /// It is deleted with every object and version in it.
    DeleteWithContents,
}

/// What becomes of objects by age, in days. An object below 128 KiB does not move.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.infrequentAccessAfterDays) || !has(self.glacierAfterDays) || self.glacierAfterDays >= self.infrequentAccessAfterDays + 30",
    "lifecycle.glacierAfterDays must be at least 30 days after infrequentAccessAfterDays"))]
pub struct BucketLifecycle {
    /// They move to S3 Standard-IA, whose storage costs less and whose reads cost more; never when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 36500))]
    pub infrequent_access_after_days: Option<i32>,
    /// They move to S3 Glacier Instant Retrieval; never when left out. It is read as fast as S3 Standard, so that
    /// videos still play and sources can be transcoded again; the other Glacier classes, whose objects must be
    /// restored first, are not offered. Every read costs, and so do 90 days of storage at the least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub glacier_after_days: Option<i32>,
    /// A version of an upload is deleted for good, so long after another replaced it or it was deleted; never
    /// when left out. For the input bucket, which keeps old versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub expire_noncurrent_after_days: Option<i32>,
    /// The parts of an upload that was never completed are deleted; 7 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36500))]
    pub abort_uploads_after_days: Option<i32>,
}

/// Encryption with a customer key.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BucketEncryption {
    /// KMS key (ARN, id or alias) that new objects are encrypted with, by way of a bucket key. Jobs, backend and
    /// worker need rights on it. What is there stays as it is encrypted.
    #[serde(rename = "kmsKeyID")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key_id: String,
}

/// What is made of a source. See `docs/job-contract.md`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("(has(self.segmentSeconds) ? self.segmentSeconds : 6) % (has(self.gopSeconds) ? self.gopSeconds : 2) == 0",
    "transcoding.profile: segmentSeconds (6 when left out) must be a multiple of gopSeconds (2 when left out), or segments could not begin with a keyframe"))]
pub struct Profile {
    /// Video renditions, by height. Never scales up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["height"]))]
    pub renditions: Vec<Rendition>,
    /// Bit rate of the audio, in bit/s; 128000 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 16000, max = 512_000))]
    pub audio_bitrate: Option<i32>,
    /// Length of a segment, in seconds; 6 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub segment_seconds: Option<i32>,
    /// Length of a closed group of pictures, in seconds; 2 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub gop_seconds: Option<i32>,
    /// Highest frame rate; 60 when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 120))]
    pub max_frame_rate: Option<i32>,
    /// x264 preset; `veryfast` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(
        pattern = r"^(ultrafast|superfast|veryfast|faster|fast|medium|slow|slower|veryslow)$"
    ))]
    pub preset: Option<String>,
    /// Take a truncated source as far as it goes instead of refusing it; false when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_partial: Option<bool>,
    /// Largest source accepted, in pixels of one frame; 35389440 (8192x4320) when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_source_pixels: Option<i32>,
    /// Longest source accepted, in seconds; 86400 (24 hours) when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub max_source_seconds: Option<i32>,
}

/// One rung of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rendition {
    /// The shorter side, in pixels: 720 for 720p. Even.
    #[schemars(range(min = 64, max = 4320))]
    #[x_kube(validation = ("self % 2 == 0", "transcoding.profile.renditions[].height must be even: 4:2:0 video has no odd sizes"))]
    pub height: i32,
    /// Target bit rate of the video, in bit/s.
    #[schemars(range(min = 50_000, max = 100_000_000))]
    pub bitrate: i32,
}

/// The Job that transcodes one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobTemplate {
    /// Image that keeps the Job contract (`docs/job-contract.md`); the bundled transcoder when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^\S+$"))]
    pub image: Option<String>,
    /// Secrets to pull the image with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// CPU and memory; 1 CPU and 1Gi requested when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Room for the source and the output while a Job runs; 20Gi when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    #[x_kube(validation = ("isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "transcoding.job.scratchSize must be a positive quantity such as 20Gi"))]
    pub scratch_size: Option<Quantity>,
    /// How long one attempt may run, from the start of its pod; `6h` when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    #[x_kube(validation = ("duration(self) >= duration('1m') && duration(self) <= duration('168h')",
        "transcoding.job.deadline is between 1m and 168h"))]
    pub deadline: Option<Duration>,
    /// The service account that the Jobs run as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<ServiceAccount>,
    /// Where the Jobs may run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduling: Option<Scheduling>,
    /// A PodTemplateSpec merged over what the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::kubernetes_object")]
    pub pod_template: Option<serde_json::Value>,
}

impl Profile {
    /// The contract's profile: what is left out takes the contract's defaults.
    #[must_use]
    pub fn resolve(&self) -> contract::Profile {
        let default = contract::Profile::default();
        let or = |value: Option<i32>, other: u32| value.map_or(other, i32::unsigned_abs);
        contract::Profile {
            renditions: if self.renditions.is_empty() {
                default.renditions
            } else {
                self.renditions
                    .iter()
                    .map(|r| contract::profile::Rendition {
                        height: r.height.unsigned_abs(),
                        bitrate: r.bitrate.unsigned_abs(),
                    })
                    .collect()
            },
            audio_bitrate: or(self.audio_bitrate, default.audio_bitrate),
            segment_seconds: or(self.segment_seconds, default.segment_seconds),
            gop_seconds: or(self.gop_seconds, default.gop_seconds),
            max_frame_rate: or(self.max_frame_rate, default.max_frame_rate),
            preset: self.preset.clone().unwrap_or(default.preset),
            allow_partial: self.allow_partial.unwrap_or(default.allow_partial),
            max_source_pixels: self
                .max_source_pixels
                .map_or(default.max_source_pixels, |pixels| pixels.unsigned_abs().into()),
            max_source_seconds: or(self.max_source_seconds, default.max_source_seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn admitted(profile: Value) -> bool {
        serde_json::from_value::<Profile>(profile).unwrap().resolve().check().is_ok()
    }

    /// The schema's bounds of a type's numbers, by their names.
    fn bounds(schema: &schemars::Schema) -> Vec<(String, i64, i64)> {
        let fields = schema.as_value()["properties"].as_object().unwrap();
        let bound = |field: &Value, name| field[name].as_f64().map(|bound| bound as i64);
        fields
            .iter()
            .filter_map(|(name, field)| {
                Some((name.clone(), bound(field, "minimum")?, bound(field, "maximum")?))
            })
            .collect()
    }

    #[test]
    fn the_schema_of_a_profile_has_the_bounds_of_the_contract() {
        let mut found = 0;
        for (name, least, most) in bounds(&schemars::schema_for!(Profile)) {
            let with = |value: i64| {
                let mut profile = json!({"gopSeconds": 1, "segmentSeconds": 20});
                profile[&name] = json!(value);
                admitted(profile)
            };
            assert!(with(least) && with(most), "{name} from {least} to {most} is refused");
            assert!(!with(least - 1) && !with(most + 1), "{name} is admitted beyond {least} and {most}");
            found += 1;
        }
        for (name, least, most) in bounds(&schemars::schema_for!(Rendition)) {
            let with = |value: i64| {
                let mut rendition = json!({"height": 720, "bitrate": 900_000});
                rendition[&name] = json!(value);
                admitted(json!({"renditions": [rendition]}))
            };
            assert!(with(least) && with(most), "{name} from {least} to {most} is refused");
            assert!(!with(least - 2) && !with(most + 2), "{name} is admitted beyond {least} and {most}");
            found += 1;
        }
        assert_eq!(found, 8, "bounds were not found in the schema");
    }

    #[test]
    fn the_schema_of_a_profile_has_the_presets_of_the_contract() {
        let schema = schemars::schema_for!(Profile);
        let pattern = schema.as_value()["properties"]["preset"]["pattern"].as_str().unwrap();
        let presets: Vec<&str> = pattern.trim_matches(['^', '$', '(', ')']).split('|').collect();
        assert_eq!(presets.len(), 9, "{presets:?}");
        assert!(presets.iter().all(|preset| admitted(json!({"preset": preset}))), "{presets:?}");
        assert!(!admitted(json!({"preset": "placebo"})));
    }
}

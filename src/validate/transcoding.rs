//! Transcoding: queue, buckets, Job.

use super::{Figures, Findings, component, duration};
use crate::{
    api,
    platform::{Bucket, Image, JobTemplate, Lifecycle, ManagedBucket, Platform, Queue, Role, Transcoding},
    quantity,
    settings::Settings,
};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The transcoding of a platform whose other parts are resolved.
pub(super) fn resolve(
    spec: &api::Transcoding,
    platform: &Platform,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Transcoding> {
    let field = "spec.transcoding";
    let queue_spec = spec.queue.clone().unwrap_or_default();
    let visibility_timeout = duration(
        "spec.transcoding.queue.visibilityTimeout",
        queue_spec.visibility_timeout,
        5 * MINUTE,
        MINUTE / 2..=12 * HOUR,
        findings,
    );
    let job_retention = duration(
        &format!("{field}.jobRetention"),
        spec.job_retention,
        HOUR,
        Duration::ZERO..=720 * HOUR,
        findings,
    );
    let input = bucket(spec.input.as_ref(), platform, "input", findings);
    let output = bucket(spec.output.as_ref(), platform, "output", findings);
    if input.name == output.name
        && (input.prefix.starts_with(&output.prefix) || output.prefix.starts_with(&input.prefix))
    {
        findings.invalid(
            field,
            "input and output overlap, so that each output would be transcoded again; use two buckets, or prefixes of which neither begins with the other",
        );
    }
    let profile = spec.profile.clone().unwrap_or_default().resolve();
    if let Err(error) = profile.check() {
        findings.invalid(format!("{field}.profile"), error.to_string());
    }
    let slots = match platform.size {
        api::Size::Small => 5,
        api::Size::Medium => 20,
        api::Size::Large => 100,
    };
    Some(Transcoding {
        queue: queue(&queue_spec, findings)?,
        visibility_timeout,
        upload_origins: upload_origins(spec, platform),
        input,
        output,
        max_concurrent_jobs: spec.max_concurrent_jobs.map_or(slots, i32::unsigned_abs),
        max_attempts: spec.max_attempts.map_or(3, i32::unsigned_abs),
        drain_timeout: duration(
            &format!("{field}.drainTimeout"),
            spec.drain_timeout,
            10 * MINUTE,
            Duration::ZERO..=24 * HOUR,
            findings,
        ),
        // While a settled Job is there, a late duplicate of its message finds it.
        job_retention: job_retention.max(2 * visibility_timeout),
        profile,
        job: job(spec.job.clone().unwrap_or_default(), settings, findings),
    })
}

fn queue(spec: &api::Queue, findings: &mut Findings) -> Option<Queue> {
    match (&spec.url, &spec.dead_letter_queue_url) {
        (None, None) => Some(Queue::Managed {
            kms_key_id: spec.kms_key_id.clone(),
            deletion_policy: spec.deletion_policy.unwrap_or_default(),
        }),
        (Some(url), Some(dead_letter_url)) => {
            Some(Queue::Existing { url: url.clone(), dead_letter_url: dead_letter_url.clone() })
        }
        _ => {
            findings.invalid(
                "spec.transcoding.queue",
                "an existing queue needs both url and deadLetterQueueURL; leave both out and the operator makes them",
            );
            None
        }
    }
}

fn bucket(spec: Option<&api::Bucket>, platform: &Platform, part: &str, findings: &mut Findings) -> Bucket {
    let spec = spec.cloned().unwrap_or_default();
    let field = format!("spec.transcoding.{part}");
    if spec.bucket.is_some()
        && (spec.deletion_policy.is_some() || spec.lifecycle.is_some() || spec.encryption.is_some())
    {
        findings.invalid(
            &field,
            "deletionPolicy, lifecycle and encryption belong to buckets that the operator makes; of an existing bucket it changes nothing but its own notification",
        );
    }
    let lifecycle = lifecycle(&field, &spec.lifecycle.unwrap_or_default(), findings);
    if part == "output" && lifecycle.expire_noncurrent_after_days.is_some() {
        findings.invalid(
            format!("{field}.lifecycle.expireNoncurrentAfterDays"),
            "the output bucket keeps no old versions; leave it out",
        );
    }
    let managed = ManagedBucket {
        deletion_policy: spec.deletion_policy.unwrap_or_default(),
        lifecycle,
        kms_key_id: spec.encryption.map(|encryption| encryption.kms_key_id),
    };
    Bucket {
        managed: spec.bucket.is_none().then_some(managed),
        name: spec.bucket.unwrap_or_else(|| platform.aws_name(part)),
        prefix: spec.prefix.unwrap_or_default(),
    }
}

/// S3 wants 30 days between the two moves: "Transitioning objects using Amazon S3 Lifecycle" of its user guide.
fn lifecycle(field: &str, spec: &api::BucketLifecycle, findings: &mut Findings) -> Lifecycle {
    if let (Some(first), Some(second)) = (spec.infrequent_access_after_days, spec.glacier_after_days)
        && second < first.saturating_add(30)
    {
        findings.invalid(
            format!("{field}.lifecycle"),
            "glacierAfterDays must be at least 30 days after infrequentAccessAfterDays",
        );
    }
    let days = |days: Option<i32>| days.map(i32::unsigned_abs);
    Lifecycle {
        abort_uploads_after_days: days(spec.abort_uploads_after_days)
            .unwrap_or(Lifecycle::default().abort_uploads_after_days),
        infrequent_access_after_days: days(spec.infrequent_access_after_days),
        glacier_after_days: days(spec.glacier_after_days),
        expire_noncurrent_after_days: days(spec.expire_noncurrent_after_days),
    }
}

/// What the spec names, and where the frontend's own route is.
fn upload_origins(spec: &api::Transcoding, platform: &Platform) -> Vec<String> {
    let mut origins = spec.input.as_ref().map(|input| input.allowed_origins.clone()).unwrap_or_default();
    if let Some(route) = platform.component(Role::Frontend).and_then(|frontend| frontend.route.as_ref()) {
        // A Gateway's listener decides on TLS, and the operator does not read it.
        let schemes: &[&str] = match (&route.gateway, &route.tls) {
            (Some(_), _) => &["http", "https"],
            (None, Some(_)) => &["https"],
            (None, None) => &["http"],
        };
        origins.extend(schemes.iter().map(|scheme| format!("{scheme}://{}", route.hostname)));
    }
    origins.sort();
    origins.dedup();
    origins
}

fn job(spec: api::JobTemplate, settings: &Settings, findings: &mut Findings) -> JobTemplate {
    let field = "spec.transcoding.job";
    let figures = Figures { cpu: "1", memory: "1Gi", memory_limit: "4Gi" };
    let scratch_size = spec.scratch_size.map_or_else(|| "20Gi".to_owned(), |size| size.0);
    if quantity::nanos(&scratch_size).is_none_or(|value| value <= 0) {
        findings.invalid(format!("{field}.scratchSize"), "must be a positive quantity such as 20Gi");
    }
    JobTemplate {
        image: spec.image.map_or_else(
            || Image { reference: settings.images.transcoder.clone(), bundled: true },
            |reference| Image { reference, bundled: false },
        ),
        image_pull_secrets: spec.image_pull_secrets.into_iter().map(|secret| secret.name).collect(),
        resources: figures.complete(field, spec.resources, findings),
        scratch_size,
        deadline: duration(
            &format!("{field}.deadline"),
            spec.deadline,
            6 * HOUR,
            MINUTE..=168 * HOUR,
            findings,
        ),
        service_account: spec.service_account.unwrap_or_default(),
        scheduling: component::scheduling(field, spec.scheduling.as_ref(), findings),
        pod_template: spec.pod_template,
    }
}

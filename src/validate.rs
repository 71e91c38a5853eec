//! validate: the spec becomes a [`Platform`] of decided and checked values.
//!
//! Pure. The API server's schema and CEL rules refuse most mistakes before; what is checked here again is
//! what the types of a [`Platform`] promise, what a manifest that never saw an API server may get wrong
//! (`streaming-operator plan`), and what only the administrator's settings can tell.

mod cache;
mod component;
mod database;
mod transcoding;

pub use crate::platform::Platform;
pub(crate) use component::holds_secret;

use crate::{
    api::{
        self, CacheProvider, ConditionReason, DatabaseDeletionPolicy, DatabaseProvider, DeletionPolicy, Size,
        StreamingPlatform, StreamingPlatformSpec, names,
    },
    observe::Observed,
    plan,
    platform::{AssumedRole, Aws, AwsCache, AwsDatabase, Credentials, Data, Embedded, PlatformName},
    quantity,
    settings::Settings,
};
use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};
use kube::ResourceExt;
use std::{collections::BTreeMap, time::Duration};

/// A field that can't be carried out, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    /// Path of the field, from `metadata` or `spec`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
    /// [`ConditionReason::InvalidSpec`], or [`ConditionReason::NotAllowed`] where it is the administrator's to change.
    pub reason: ConditionReason,
}

/// What was found wrong so far.
#[derive(Debug, Default)]
struct Findings(Vec<Invalid>);

impl Findings {
    fn invalid(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.push(field, message, ConditionReason::InvalidSpec);
    }

    fn push(&mut self, field: impl Into<String>, message: impl Into<String>, reason: ConditionReason) {
        self.0.push(Invalid { field: field.into(), message: message.into(), reason });
    }
}

/// Decides every field of a platform and checks it, also whether the administrator admits it.
///
/// # Errors
/// Everything that is wrong with it, in the order of the spec.
pub fn validate(
    resource: &StreamingPlatform,
    observed: &Observed,
    settings: &Settings,
) -> Result<Platform, Vec<Invalid>> {
    let platform = resolve(resource, observed, settings)?;
    let refusals = refusals(&platform, settings);
    if refusals.is_empty() { Ok(platform) } else { Err(refusals) }
}

/// Decides every field of a platform and checks it, but for what the administrator admits.
///
/// # Errors
/// As [`validate`].
pub(crate) fn resolve(
    resource: &StreamingPlatform,
    observed: &Observed,
    settings: &Settings,
) -> Result<Platform, Vec<Invalid>> {
    let mut findings = Findings::default();
    let spec = &resource.spec;
    let namespace = resource.namespace().unwrap_or_else(|| "default".to_owned());
    let Some(name) = PlatformName::new(&resource.name_any()) else {
        findings.invalid(
            "metadata.name",
            "at most 40 characters, lower-case letters, digits and `-`, beginning with a letter, because the names of Services and Jobs are made from it",
        );
        return Err(findings.0);
    };
    let size = spec.size.unwrap_or_default();
    let annotation = |name: &str| resource.annotations().get(name).cloned();
    check_dependencies(spec, &mut findings);
    let mut platform = Platform {
        name,
        uid: resource.uid().unwrap_or_default(),
        generation: resource.metadata.generation.unwrap_or_default(),
        suspended: spec.suspend.unwrap_or_default(),
        size,
        aws: None,
        components: component::resolve(spec, size, settings, &mut findings),
        database: spec.database.as_ref().and_then(|it| database(it, size, settings, &mut findings)),
        cache: spec.cache.as_ref().and_then(|it| cache(it, size, settings, &mut findings)),
        transcoding: None,
        approved: annotation(names::ANNOTATION_APPROVE),
        confirmed_restore: annotation(names::ANNOTATION_CONFIRM_RESTORE),
        confirmed_upgrade: annotation(names::ANNOTATION_CONFIRM_UPGRADE),
        rotate_login: annotation(names::ANNOTATION_ROTATE_LOGIN),
        namespace,
    };
    platform.aws = spec.aws.as_ref().map(|aws| resolve_aws(aws, &platform, settings, &mut findings));
    if let Some(spec) = spec.database.as_ref().filter(|it| it.provider == DatabaseProvider::Aws) {
        platform.database =
            database::resolve(spec, &platform, &mut findings).map(|it| Data::Aws(Box::new(it)));
    }
    if let Some(spec) = spec.cache.as_ref().filter(|it| it.provider == CacheProvider::Aws) {
        platform.cache = cache::resolve(spec, &platform, &mut findings).map(|it| Data::Aws(Box::new(it)));
    }
    if let Some(spec) = &spec.transcoding {
        platform.transcoding = transcoding::resolve(spec, &platform, settings, &mut findings);
    }
    if findings.0.is_empty() {
        for (field, message) in plan::workload::pod::lint(&platform, observed) {
            findings.invalid(field, message);
        }
    }
    if findings.0.is_empty() { Ok(platform) } else { Err(findings.0) }
}

/// Decides and checks what of a platform lives outside of the cluster, which is all that its deletion needs: what is
/// wrong with its pods holds nothing up.
///
/// # Errors
/// As [`validate`].
pub(crate) fn resolve_outside(
    resource: &StreamingPlatform,
    observed: &Observed,
    settings: &Settings,
) -> Result<Platform, Vec<Invalid>> {
    let mut resource = resource.clone();
    let spec = &mut resource.spec;
    (spec.frontend, spec.backend, spec.worker) = (None, None, None);
    spec.services.clear();
    if let Some(job) = spec.transcoding.as_mut().and_then(|it| it.job.as_mut()) {
        job.pod_template = None;
    }
    resolve(&resource, observed, settings)
}

/// What one part of a platform needs of another.
fn check_dependencies(spec: &StreamingPlatformSpec, findings: &mut Findings) {
    if spec.transcoding.is_some() && spec.aws.is_none() {
        findings.invalid("spec.aws", "required by spec.transcoding: its queue and buckets live in AWS");
    }
    let in_aws = spec.database.as_ref().is_some_and(|it| it.provider == DatabaseProvider::Aws);
    if in_aws && spec.aws.is_none() {
        findings.invalid("spec.aws", "required by spec.database with provider AWS");
    }
    let in_aws = spec.cache.as_ref().is_some_and(|it| it.provider == CacheProvider::Aws);
    if in_aws && spec.aws.is_none() {
        findings.invalid("spec.aws", "required by spec.cache with provider AWS");
    }
    let bundled =
        |component: &Option<api::Component>| component.as_ref().is_some_and(|it| it.image.is_none());
    if bundled(&spec.frontend) && spec.backend.is_none() {
        findings.invalid(
            "spec.frontend",
            "the bundled frontend needs spec.backend; add `backend: {}` or set an image of your own",
        );
    }
    for (name, component) in [("backend", &spec.backend), ("worker", &spec.worker)] {
        if bundled(component) && (spec.database.is_none() || spec.transcoding.is_none()) {
            findings.invalid(
                format!("spec.{name}"),
                format!("the bundled {name} needs spec.database and spec.transcoding; add them or set an image of your own"),
            );
        }
    }
}

/// What of a platform the administrator does not admit.
pub(crate) fn refusals(platform: &Platform, settings: &Settings) -> Vec<Invalid> {
    let mut findings = Findings::default();
    let mut refuse = |field, message| findings.push(field, message, ConditionReason::NotAllowed);
    let Some(aws) = &platform.aws else { return Vec::new() };
    let namespace = &platform.namespace;
    match &aws.credentials {
        Credentials::Role(role) if !settings.admits_role(namespace, &role.arn) => refuse(
            "spec.aws.roleARN",
            format!(
                "namespace {namespace} may not assume {}; ask the administrator to add it to the operator's --allowed-role-arns",
                role.arn
            ),
        ),
        // Where the operator calls nothing in AWS, the section is for pods.
        Credentials::Operator if platform.calls_aws() && !settings.admits_operator_identity(namespace) => {
            refuse(
                "spec.aws",
                format!(
                    "without roleARN or credentialsSecretRef the operator's own identity would be used, which namespace {namespace} may not; set one of them, or ask the administrator to add the namespace to the operator's --operator-identity-namespaces"
                ),
            );
        }
        Credentials::Role(_) | Credentials::Operator | Credentials::Secret(_) => {}
    }
    if let Some(url) = &aws.endpoint_url
        && !settings.admits_endpoint(url)
    {
        refuse(
            "spec.aws.endpointURL",
            format!(
                "{url} is not among the operator's --allowed-aws-endpoints; ask the administrator to add it, or leave the field out for AWS itself"
            ),
        );
    }
    findings.0
}

fn resolve_aws(aws: &api::Aws, platform: &Platform, settings: &Settings, findings: &mut Findings) -> Aws {
    let assumed = |role: &str| {
        AssumedRole::new(role, &settings.external_id_prefix, &platform.namespace, platform.name.as_str())
    };
    let credentials = match (&aws.role_arn, &aws.credentials_secret_ref) {
        (None, None) => Credentials::Operator,
        (Some(role), None) => Credentials::Role(assumed(role)),
        (None, Some(secret)) => Credentials::Secret(secret.name.clone()),
        (Some(_), Some(_)) => {
            findings.invalid("spec.aws", "set roleARN or credentialsSecretRef, not both");
            Credentials::Operator
        }
    };
    Aws {
        region: aws.region.clone(),
        credentials,
        endpoint_url: aws.endpoint_url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
        tags: aws.tags.clone(),
    }
}

fn database(
    spec: &api::Database,
    size: Size,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Data<AwsDatabase>> {
    let figures = match size {
        Size::Small => Figures { cpu: "100m", memory: "256Mi", memory_limit: "1Gi" },
        Size::Medium => Figures { cpu: "500m", memory: "1Gi", memory_limit: "2Gi" },
        Size::Large => Figures { cpu: "2", memory: "4Gi", memory_limit: "8Gi" },
    };
    match spec.provider {
        // It needs to know the rest of the platform.
        DatabaseProvider::Aws => None,
        DatabaseProvider::External => external("spec.database", spec.external.as_ref(), findings),
        DatabaseProvider::Embedded => embedded(
            "spec.database.embedded",
            spec.embedded.as_ref(),
            &EmbeddedDefaults { image: &settings.images.postgres, figures, storage_size: "10Gi" },
            findings,
        )
        .map(|data| Data::Embedded(Embedded { deletion_policy: in_cluster(spec.deletion_policy), ..data })),
    }
}

fn cache(
    spec: &api::Cache,
    size: Size,
    settings: &Settings,
    findings: &mut Findings,
) -> Option<Data<AwsCache>> {
    let figures = match size {
        Size::Small => Figures { cpu: "50m", memory: "64Mi", memory_limit: "256Mi" },
        Size::Medium => Figures { cpu: "250m", memory: "512Mi", memory_limit: "1Gi" },
        Size::Large => Figures { cpu: "500m", memory: "2Gi", memory_limit: "4Gi" },
    };
    match spec.provider {
        // It needs to know the rest of the platform.
        CacheProvider::Aws => None,
        CacheProvider::External => external("spec.cache", spec.external.as_ref(), findings),
        CacheProvider::Embedded => embedded(
            "spec.cache.embedded",
            spec.embedded.as_ref(),
            &EmbeddedDefaults { image: &settings.images.redis, figures, storage_size: "1Gi" },
            findings,
        )
        .map(|data| Data::Embedded(Embedded { deletion_policy: in_cluster(spec.deletion_policy), ..data })),
    }
}

/// A volume has no snapshot of the operator's: what does not say `Delete` stays.
fn in_cluster(policy: Option<DatabaseDeletionPolicy>) -> DeletionPolicy {
    match policy {
        Some(DatabaseDeletionPolicy::Delete) => DeletionPolicy::Delete,
        Some(DatabaseDeletionPolicy::Retain | DatabaseDeletionPolicy::Snapshot) | None => {
            DeletionPolicy::Retain
        }
    }
}

fn external<A>(
    field: &str,
    spec: Option<&api::ExternalConnection>,
    findings: &mut Findings,
) -> Option<Data<A>> {
    let Some(connection) = spec else {
        findings.invalid(format!("{field}.external"), "required by provider External");
        return None;
    };
    Some(Data::External { secret: connection.secret_ref.name.clone() })
}

struct EmbeddedDefaults<'a> {
    image: &'a str,
    figures: Figures,
    storage_size: &'a str,
}

fn embedded(
    field: &str,
    spec: Option<&api::Embedded>,
    defaults: &EmbeddedDefaults<'_>,
    findings: &mut Findings,
) -> Option<Embedded> {
    let spec = spec.cloned().unwrap_or_default();
    let storage = spec.storage.unwrap_or_default();
    let storage_size = storage.size.map_or_else(|| defaults.storage_size.to_owned(), |size| size.0);
    if quantity::nanos(&storage_size).is_none_or(|value| value <= 0) {
        findings.invalid(format!("{field}.storage.size"), "must be a positive quantity such as 10Gi");
        return None;
    }
    Some(Embedded {
        image: spec.image.unwrap_or_else(|| defaults.image.to_owned()),
        resources: defaults.figures.complete(field, spec.resources, findings),
        storage_size,
        storage_class: storage.storage_class_name,
        deletion_policy: api::DeletionPolicy::default(),
    })
}

/// What a container is given where the manifest names nothing. There is no CPU limit: it would throttle
/// where there is CPU to spare.
#[derive(Clone, Copy, Debug)]
struct Figures {
    cpu: &'static str,
    memory: &'static str,
    memory_limit: &'static str,
}

impl Figures {
    /// The user's resources, completed so that every container requests CPU and memory: an autoscaler needs
    /// the one, the scheduler both.
    fn complete(
        self,
        field: &str,
        resources: Option<ResourceRequirements>,
        findings: &mut Findings,
    ) -> ResourceRequirements {
        let quantities = |pairs: &[(&str, &str)]| -> BTreeMap<String, Quantity> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect()
        };
        let Some(mut resources) = resources else {
            return ResourceRequirements {
                requests: Some(quantities(&[("cpu", self.cpu), ("memory", self.memory)])),
                limits: Some(quantities(&[("memory", self.memory_limit)])),
                claims: None,
            };
        };
        let limits = resources.limits.clone().unwrap_or_default();
        let requests = resources.requests.get_or_insert_default();
        for (name, quantity) in quantities(&[("cpu", self.cpu), ("memory", self.memory)]) {
            requests.entry(name.clone()).or_insert_with(|| limits.get(&name).cloned().unwrap_or(quantity));
        }
        for (name, request) in requests.iter() {
            let Some(request) = quantity::nanos(&request.0) else {
                findings.invalid(
                    format!("{field}.resources.requests.{name}"),
                    "is no quantity; write for example 500m or 1Gi",
                );
                continue;
            };
            if limits
                .get(name)
                .and_then(|limit| quantity::nanos(&limit.0))
                .is_some_and(|limit| limit < request)
            {
                findings.invalid(
                    format!("{field}.resources.requests.{name}"),
                    "is greater than the limit; raise the limit or lower the request",
                );
            }
        }
        resources
    }
}

/// A duration within bounds, or the default.
fn duration(
    field: &str,
    value: Option<kube::core::Duration>,
    default: Duration,
    bounds: std::ops::RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Duration {
    let Some(value) = value else { return default };
    let seconds = Duration::from(value);
    if value.is_negative() || !bounds.contains(&seconds) {
        findings.invalid(field, format!("must lie between {:?} and {:?}", bounds.start(), bounds.end()));
    }
    seconds
}

#[cfg(test)]
mod tests;

//! The variables that the operator sets: how components and Jobs learn where everything is.

use crate::{
    api::names,
    observe::Observed,
    platform::{Aws, Component, Credentials, Data, JobTemplate, Platform, Role, Transcoding},
    quantity,
};
use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector};

/// Variables of a component, before the user's own, which win.
pub(super) fn of_component(platform: &Platform, component: &Component, observed: &Observed) -> Vec<EnvVar> {
    let mut variables = of_any_pod(platform);
    if component.role == Role::Frontend {
        if let Some(backend) = platform.component(Role::Backend) {
            let host = platform.name.child(&backend.name);
            let port = backend.first_port().container_port;
            variables.push(literal("BACKEND_URL", format!("http://{host}:{port}")));
        }
        if let Some((aws, transcoding)) = platform.aws.as_ref().zip(platform.transcoding.as_ref()) {
            variables.push(literal("UPLOAD_ORIGINS", upload_origin(aws, transcoding)));
        }
        return variables;
    }
    if let Some(data) = &platform.database {
        let secret = connection_secret(platform, names::DATABASE, data);
        variables.push(from_secret("DATABASE_URL", &secret, "uri", false));
        if matches!(data, Data::Aws(database) if database.network.tls) && component.image.bundled {
            variables.push(from_secret("PGSSLROOTCERT", &secret, "ca.crt", false));
        }
    }
    if let Some(data) = &platform.cache {
        let secret = connection_secret(platform, names::CACHE, data);
        variables.push(from_secret("CACHE_URL", &secret, "uri", false));
    }
    variables.extend(platform.aws.iter().flat_map(of_aws));
    if let Some(transcoding) = &platform.transcoding {
        variables.extend([
            literal("INPUT_BUCKET", &transcoding.input.name),
            literal("INPUT_PREFIX", &transcoding.input.prefix),
            literal("OUTPUT_BUCKET", &transcoding.output.name),
            literal("OUTPUT_PREFIX", &transcoding.output.prefix),
        ]);
        let queues = observed.transcoding.as_ref();
        let work = queues.and_then(|it| it.queue_url.as_ref());
        let events = queues.and_then(|it| it.events_queue_url.as_ref());
        variables.extend(work.map(|url| literal("TRANSCODING_QUEUE_URL", url)));
        variables.extend(events.map(|url| literal("EVENTS_QUEUE_URL", url)));
    }
    if component.role == Role::Backend {
        variables.push(from_secret("API_TOKEN", &platform.name.child(names::API_TOKEN), "token", false));
    }
    variables
}

/// What a component is told and AWS has not got yet.
pub(super) fn missing_in_aws(
    platform: &Platform,
    component: &Component,
    observed: &Observed,
) -> Option<&'static str> {
    platform.transcoding.as_ref()?;
    let queues = observed.transcoding.as_ref();
    let known = queues.is_some_and(|it| it.queue_url.is_some() && it.events_queue_url.is_some());
    (component.role != Role::Frontend && !known).then_some("the transcoding queue and the events queue")
}

/// Variables of a transcoding Job, without its request.
pub(super) fn of_job(platform: &Platform, job: &JobTemplate) -> Vec<EnvVar> {
    let mut variables = of_any_pod(platform);
    variables.push(literal("SCRATCH_DIR", super::workload::job::SCRATCH));
    // The limit of an emptyDir can't be seen from inside.
    let bytes = quantity::nanos(&job.scratch_size).map(|nanos| nanos / 1_000_000_000);
    variables.extend(bytes.map(|bytes| literal("SCRATCH_BYTES", bytes.to_string())));
    variables.extend(platform.aws.iter().flat_map(of_aws));
    variables
}

/// Secret with which to connect to the database or cache.
pub(super) fn connection_secret<A>(platform: &Platform, part: &str, data: &Data<A>) -> String {
    match data {
        Data::Aws(_) | Data::Embedded(_) => platform.name.child(part),
        Data::External { secret } => secret.clone(),
    }
}

fn of_any_pod(platform: &Platform) -> Vec<EnvVar> {
    let pod_name = EnvVarSource {
        field_ref: Some(ObjectFieldSelector { field_path: "metadata.name".to_owned(), ..Default::default() }),
        ..Default::default()
    };
    vec![
        literal("PLATFORM_NAME", platform.name.as_str()),
        literal("PLATFORM_NAMESPACE", &platform.namespace),
        EnvVar { name: "POD_NAME".to_owned(), value_from: Some(pod_name), value: None },
    ]
}

fn of_aws(aws: &Aws) -> Vec<EnvVar> {
    let mut variables = vec![literal("AWS_REGION", &aws.region)];
    variables.extend(aws.endpoint_url.as_ref().map(|url| literal("AWS_ENDPOINT_URL", url)));
    if let Credentials::Secret(secret) = &aws.credentials {
        variables.extend([
            from_secret("AWS_ACCESS_KEY_ID", secret, "accessKeyID", false),
            from_secret("AWS_SECRET_ACCESS_KEY", secret, "secretAccessKey", false),
            from_secret("AWS_SESSION_TOKEN", secret, "sessionToken", true),
        ]);
    }
    variables
}

/// Where browsers send uploads: presigned URLs name this origin.
fn upload_origin(aws: &Aws, transcoding: &Transcoding) -> String {
    let domain = if aws.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    aws.endpoint_url
        .clone()
        .unwrap_or_else(|| format!("https://{}.s3.{}.{domain}", transcoding.input.name, aws.region))
}

/// A variable with a value that everyone may read.
pub(super) fn literal(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.into()), value_from: None }
}

/// A variable with the value of a Secret's key.
pub(super) fn from_secret(name: &str, secret: &str, key: &str, optional: bool) -> EnvVar {
    let selector = SecretKeySelector {
        name: secret.to_owned(),
        key: key.to_owned(),
        optional: optional.then_some(true),
    };
    let source = EnvVarSource { secret_key_ref: Some(selector), ..Default::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}

//! preview: what a manifest would make, without a cluster (`streaming-operator plan -f`).

mod schema;

use super::{Plan, WaitReason, plan, references, workload};
use crate::{
    api::StreamingPlatform,
    kinds::Kind,
    observe::{
        Observed, Reference, Referenced,
        aws::{DEAD_LETTER_QUEUE, EVENTS_QUEUE, WORK_QUEUE},
    },
    platform::{Platform, Queue},
    settings::Settings,
    validate::{refusals, resolve},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{CustomResourceExt, Resource, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write, sync::LazyLock};

/// What manifests would make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// The objects as YAML documents. Values of Secrets are not among them.
    pub yaml: String,
    /// What the manifests leave to the cluster, in one sentence each.
    pub warnings: Vec<String>,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// The file is no YAML.
    #[error("{file} is no YAML: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong and where.
        message: String,
    },
    /// There is no platform in the file.
    #[error("{file} holds no {kind} of {api_version}")]
    NoPlatform {
        /// The file.
        file: String,
        /// What was looked for.
        kind: String,
        /// What was looked for.
        api_version: String,
    },
    /// Fields are wrong.
    #[error("{}", lines(.file, .findings))]
    Invalid {
        /// The file.
        file: String,
        /// Field and what is wrong with it.
        findings: Vec<String>,
    },
    /// The result could not be written as YAML.
    #[error("the result can't be written as YAML: {0}")]
    Output(String),
}

/// The CRD's schema of a spec.
static SPEC_SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut crd = serde_json::to_value(StreamingPlatform::crd()).unwrap_or_default();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].take()
});

fn lines(file: &str, findings: &[String]) -> String {
    findings.iter().map(|finding| format!("{file}: {finding}")).collect::<Vec<_>>().join("\n")
}

/// What the manifests in a file would make. `file` is its name, for errors.
///
/// Secrets and ConfigMaps in the same file are taken to be there; others that are named are, too, with a
/// warning.
///
/// # Errors
/// When the file is no YAML, holds no platform, or one that is wrong.
pub fn preview(file: &str, manifests: &str, settings: &Settings) -> Result<Preview, PreviewError> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(manifests)
        .map_err(|error| PreviewError::Syntax { file: file.to_owned(), message: error.to_string() })?;
    let (kind, api_version) = (StreamingPlatform::kind(&()), StreamingPlatform::api_version(&()));
    let mut preview = Preview::default();
    let mut platforms = 0;
    for document in documents.iter().filter(|it| it["kind"] == *kind && it["apiVersion"] == *api_version) {
        platforms += 1;
        let platform = read(file, document)?;
        one(file, &platform, &documents, settings, &mut preview)?;
    }
    if platforms == 0 {
        return Err(PreviewError::NoPlatform {
            file: file.to_owned(),
            kind: kind.into_owned(),
            api_version: api_version.into_owned(),
        });
    }
    Ok(preview)
}

/// A platform by the schema that the API server has, so that an error names the field.
fn read(file: &str, document: &Value) -> Result<StreamingPlatform, PreviewError> {
    let invalid = |findings| PreviewError::Invalid { file: file.to_owned(), findings };
    let mut findings = Vec::new();
    schema::check("spec", &document["spec"], &SPEC_SCHEMA, &mut findings);
    if !findings.is_empty() {
        return Err(invalid(findings));
    }
    if let Err(error) = ObjectMeta::deserialize(&document["metadata"]) {
        return Err(invalid(vec![format!("metadata: {error}")]));
    }
    StreamingPlatform::deserialize(document).map_err(|error| invalid(vec![format!("spec: {error}")]))
}

fn one(
    file: &str,
    resource: &StreamingPlatform,
    documents: &[Value],
    settings: &Settings,
    preview: &mut Preview,
) -> Result<(), PreviewError> {
    let mut observed = observed(resource, documents);
    let platform = resolve(resource, &observed, settings).map_err(|findings| PreviewError::Invalid {
        file: file.to_owned(),
        findings: findings.iter().map(ToString::to_string).collect(),
    })?;
    // The operator's settings may be others than those at hand here.
    preview.warnings.extend(refusals(&platform, settings).iter().map(ToString::to_string));
    if let Some(transcoding) = &platform.transcoding {
        let name = |suffix| match &transcoding.queue {
            Queue::Existing { url, .. } if suffix == WORK_QUEUE => url.clone(),
            _ => format!("<url of {}>", platform.aws_name(suffix)),
        };
        let queues = observed.transcoding.get_or_insert_default();
        queues.queue_url = Some(name(WORK_QUEUE));
        queues.events_queue_url = Some(name(EVENTS_QUEUE));
        preview.warnings.push(format!(
            "{}: names in AWS hold ten characters made from the platform's UID, which are shown as `xxxxxxxxxx`",
            platform.name
        ));
    }
    let plan = plan_with_everything(&platform, &mut observed, preview);
    render(&platform, plan, preview)
}

/// What the file itself brings.
fn observed(resource: &StreamingPlatform, documents: &[Value]) -> Observed {
    let namespace = resource.namespace();
    let present = |reference: &Reference| {
        let (kind, name) = match reference {
            Reference::ConfigMap(name) => ("ConfigMap", name),
            Reference::Secret(name) => ("Secret", name),
        };
        let document = documents.iter().find(|it| {
            it["kind"] == kind
                && it["metadata"]["name"] == name.as_str()
                && it["metadata"]["namespace"].as_str() == namespace.as_deref()
        })?;
        let keys = ["data", "stringData", "binaryData"]
            .into_iter()
            .filter_map(|field| document[field].as_object())
            .flat_map(|values| values.keys().cloned())
            .collect();
        Some((reference.clone(), Referenced::Present { keys, content_hash: String::new() }))
    };
    Observed {
        references: references(resource).iter().filter_map(present).collect(),
        served: Kind::ALL.into_iter().filter(|kind| !kind.is_built_in()).collect(),
        ..Observed::default()
    }
}

/// The plan once everything that pods read is there.
fn plan_with_everything(platform: &Platform, observed: &mut Observed, preview: &mut Preview) -> Plan {
    loop {
        let plan = plan(platform, observed, Timestamp::UNIX_EPOCH);
        let generated = plan.generate.iter().map(|it| it.name.as_str()).collect::<BTreeSet<_>>();
        let missing: BTreeSet<_> = plan
            .waiting
            .iter()
            .filter_map(|waiting| match &waiting.reason {
                WaitReason::ReferenceMissing { reference, key } => Some((reference.clone(), key.clone())),
                WaitReason::Generating(object) => Some((object.to_string(), None)),
                _ => None,
            })
            .collect();
        if missing.is_empty() {
            return plan;
        }
        for (object, key) in missing {
            let Some((kind, name)) = object.split_once('/') else { continue };
            let reference = if kind == "Secret" { Reference::Secret } else { Reference::ConfigMap };
            let known = observed.references.entry(reference(name.to_owned())).or_insert_with(|| {
                Referenced::Present { keys: BTreeSet::new(), content_hash: String::new() }
            });
            if let (Referenced::Present { keys, .. }, Some(key)) = (known, &key) {
                keys.insert(key.clone());
            }
            if !generated.contains(name) {
                let key = key.map(|key| format!(" with the key {key}")).unwrap_or_default();
                preview.warnings.push(format!(
                    "{}: {object}{key} is not in this file and must be in namespace {}",
                    platform.name, platform.namespace
                ));
            }
        }
    }
}

fn render(platform: &Platform, plan: Plan, preview: &mut Preview) -> Result<(), PreviewError> {
    let Plan {
        generate,
        hand_over: _,
        apply,
        prune: _,
        waiting: _,
        transcoding: _,
        database: _,
        cache: _,
        summary: _,
    } = plan;
    for secret in generate {
        let values: Value = secret
            .template
            .iter()
            .map(|(key, value)| (key.clone(), json!(value.replace("{random}", "<generated>"))))
            .collect();
        let document = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": secret.name, "namespace": platform.namespace, "labels": secret.labels },
            "stringData": values,
        });
        write_document(None, document, preview)?;
    }
    for desired in apply {
        write_document(None, serde_json::to_value(desired.object).unwrap_or_default(), preview)?;
    }
    if let Some(job) = workload::job::prototype(platform) {
        let mut document = serde_json::to_value(job).unwrap_or_default();
        document["metadata"]["name"] = json!("tc-<identity>-<attempt>");
        let comment = "One for each upload; name and TRANSCODE_REQUEST are set when its message arrives.";
        write_document(Some(comment), document, preview)?;
    }
    if let Some(transcoding) = &platform.transcoding {
        let mut made = Vec::new();
        if let Queue::Managed { .. } = transcoding.queue {
            made.extend([WORK_QUEUE, DEAD_LETTER_QUEUE].map(|it| format!("queue {}", platform.aws_name(it))));
        }
        made.push(format!("queue {}", platform.aws_name("events")));
        let buckets = [&transcoding.input, &transcoding.output];
        made.extend(buckets.iter().filter(|it| it.managed.is_some()).map(|it| format!("bucket {}", it.name)));
        for line in made {
            write_line(&mut preview.yaml, &format!("# in AWS: {line}"))?;
        }
    }
    Ok(())
}

fn write_document(
    comment: Option<&str>,
    mut document: Value,
    preview: &mut Preview,
) -> Result<(), PreviewError> {
    // What only a cluster can tell: the owner's UID and the hash over it.
    if let Some(metadata) = document["metadata"].as_object_mut() {
        metadata.remove("ownerReferences");
        let annotations = metadata.get_mut("annotations").and_then(Value::as_object_mut);
        if let Some(annotations) = annotations {
            annotations.remove(crate::api::names::ANNOTATION_APPLIED);
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    if let Some(annotations) = document
        .pointer_mut("/spec/template/metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Value::as_object_mut)
    {
        annotations.remove(crate::api::names::ANNOTATION_CONFIG);
    }
    write_line(&mut preview.yaml, "---")?;
    if let Some(comment) = comment {
        write_line(&mut preview.yaml, &format!("# {comment}"))?;
    }
    let yaml = serde_saphyr::to_string(&document).map_err(|error| PreviewError::Output(error.to_string()))?;
    write_line(&mut preview.yaml, yaml.trim_end())
}

fn write_line(yaml: &mut String, line: &str) -> Result<(), PreviewError> {
    writeln!(yaml, "{line}").map_err(|error| PreviewError::Output(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing;
    use rstest::rstest;

    #[rstest]
    #[case::no_yaml("spec: [", "is no YAML")]
    #[case::no_platform("kind: Pod\napiVersion: v1\n", "holds no StreamingPlatform")]
    #[case::no_metadata(&platform("spec: {}").replace("{name: tv}", ""), "metadata: invalid type: null")]
    #[case::wrong_name(&platform("spec: {}").replace("tv", "1"), "metadata: invalid type: integer")]
    #[case::typo(&platform("spec: {frontendd: {}}"), "spec.frontendd: there is no such field")]
    #[case::wrong_type(&platform("spec: {frontend: {replicas: many}}"), "spec.frontend.replicas: must be an integer")]
    #[case::out_of_range(&platform("spec: {frontend: {replicas: -1}}"), "spec.frontend.replicas: must be at least 0")]
    #[case::missing(&platform("spec: {aws: {}}"), "spec.aws.region: is required")]
    #[case::pattern(&platform("spec: {aws: {region: Mumbai}}"), "spec.aws.region: must match")]
    #[case::ages(&platform("spec: {database: {provider: AWS, aws: {loginRotationInterval: 307500000000000000m}}}"), "loginRotationInterval: must match")]
    #[case::choice(&platform("spec: {size: Huge}"), "spec.size: must be one of Small, Medium, Large")]
    #[case::rule(&platform("spec: {frontend: {}}"), "spec.frontend: the bundled frontend needs spec.backend")]
    #[case::in_a_list(
        &platform("spec: {services: [{name: a, image: b, ports: [{name: p}]}]}"),
        "spec.services[0].ports[0].containerPort: is required"
    )]
    fn an_error_names_file_and_field(#[case] manifest: &str, #[case] expected: &str) {
        let error = preview("platform.yaml", manifest, &testing::settings()).unwrap_err().to_string();
        assert!(error.starts_with("platform.yaml"), "{error}");
        assert!(error.contains(expected), "{error}");
    }

    fn platform(spec: &str) -> String {
        format!(
            "apiVersion: streamingplatform.dev/v1alpha1\nkind: StreamingPlatform\nmetadata: {{name: tv}}\n{spec}\n"
        )
    }

    #[test]
    fn what_is_not_in_the_file_is_a_warning() {
        let manifest = platform(
            "spec: {services: [{name: a, image: b, envFrom: [{secretRef: {name: there}}, {secretRef: {name: elsewhere}}]}]}",
        );
        let manifests = format!(
            "{manifest}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: there}}\nstringData: {{TOKEN: hunter2}}\n"
        );
        let preview = preview("platform.yaml", &manifests, &testing::settings()).unwrap();
        assert_eq!(
            preview.warnings,
            ["tv: Secret/elsewhere is not in this file and must be in namespace default"]
        );
        assert!(preview.yaml.contains("kind: Deployment"));
        assert!(!preview.yaml.contains("hunter2"));
    }
}

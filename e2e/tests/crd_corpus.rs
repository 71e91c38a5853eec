//! The API server refuses each wrong manifest of the corpus for the reason that its first line states, and
//! accepts the valid ones, the examples, and everything that is planned of the examples.

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    apiserver::ApiServer,
    kind::{Check, eventually},
};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use streaming_operator::{
    plan::preview::preview,
    settings::{Images, RolePattern, Settings},
};

const PLATFORMS: &str = "/apis/streamingplatform.dev/v1alpha1/namespaces";
/// What begins the first line of a wrong manifest; the rest must be part of the refusal.
const REFUSED: &str = "# refused: ";

/// A file of the corpus: the manifests in it, applied one after the other.
struct Case {
    file: String,
    expected: Option<String>,
    manifests: Vec<Value>,
}

fn folder(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn corpus(part: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder("tests/crd_corpus").join(part))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let expected = text.lines().next().and_then(|line| line.strip_prefix(REFUSED)).map(str::to_owned);
        let manifests = serde_saphyr::from_multiple(&text).with_context(|| path.display().to_string())?;
        cases.push(Case { file: path.display().to_string(), expected, manifests });
    }
    Ok(cases)
}

/// Sends one object as `kubectl` does: unknown fields are an error.
async fn send(
    client: &Client,
    request: http::request::Builder,
    object: &Value,
) -> Result<Value, kube::Error> {
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request = request.header("content-type", "application/json").body(body);
    client.request(request.map_err(kube::Error::HttpError)?).await
}

/// Creates the first manifest and replaces it by those that follow. The last answer counts.
async fn run(client: &Client, namespace: &str, case: &Case) -> Result<Result<(), String>> {
    let collection = format!("{PLATFORMS}/{namespace}/streamingplatforms");
    let mut version: Option<Value> = None;
    for (index, manifest) in case.manifests.iter().enumerate() {
        let mut manifest = manifest.clone();
        let name = manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let request = match &version {
            None => http::Request::post(format!("{collection}?fieldValidation=Strict")),
            Some(version) => {
                manifest["metadata"]["resourceVersion"] = version.clone();
                http::Request::put(format!("{collection}/{name}?fieldValidation=Strict"))
            }
        };
        match send(client, request, &manifest).await {
            Ok(made) => version = Some(made["metadata"]["resourceVersion"].clone()),
            Err(kube::Error::Api(status)) if index + 1 == case.manifests.len() => {
                return Ok(Err(status.message));
            }
            Err(error) => bail!("{}: manifest {index}: {error}", case.file),
        }
    }
    Ok(Ok(()))
}

/// Each case in a namespace of its own, so that none meets another's platform.
async fn judge(
    part: &str,
    judged: impl Fn(&Case, Result<(), String>) -> Result<(), String>,
) -> Result<usize> {
    let server = ApiServer::start().await?;
    let client = server.client().await?;
    let cases = corpus(part)?;
    let mut failures = Vec::new();
    for case in &cases {
        let namespace = server.namespace("corpus").await?;
        if let Err(failure) = judged(case, run(&client, &namespace, case).await?) {
            failures.push(format!("{}: {failure}", case.file));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(cases.len())
}

fn refused_as_expected(case: &Case, outcome: Result<(), String>) -> Result<(), String> {
    let expected = case.expected.as_deref().ok_or("its first line does not say why it is refused")?;
    match outcome {
        Ok(()) => Err("was accepted".to_owned()),
        Err(message) if message.contains(expected) => Ok(()),
        Err(message) => Err(format!("was refused, but not for `{expected}`: {message}")),
    }
}

#[tokio::test]
async fn wrong_manifests_are_refused_for_the_reason_they_state() -> Result<()> {
    let number = judge("wrong", refused_as_expected).await?;
    ensure!(number >= 40, "a corpus of {number} is too small");
    Ok(())
}

#[tokio::test]
async fn wrong_changes_are_refused_for_the_reason_they_state() -> Result<()> {
    let number = judge("wrong_change", refused_as_expected).await?;
    ensure!(number >= 8, "a corpus of {number} is too small");
    Ok(())
}

#[tokio::test]
async fn valid_manifests_are_accepted() -> Result<()> {
    let number = judge("valid", |_, outcome| outcome).await?;
    ensure!(number >= 8, "a corpus of {number} is too small");
    Ok(())
}

fn settings() -> Settings {
    Settings {
        allowed_aws_endpoints: vec!["http://172.31.240.1:4566".into()],
        operator_identity_namespaces: vec!["*".into()],
        allowed_roles: vec![RolePattern {
            namespace: "*".into(),
            role_arn: "arn:aws:iam::*:role/media-*".into(),
        }],
        ..Settings::new(Images::named(|name| format!("example.com/{name}:1")))
    }
}

/// Where objects of a kind are created.
fn path(object: &Value, namespace: &str) -> Result<String> {
    let plural = match object["kind"].as_str().context("a kind")? {
        "NetworkPolicy" => "networkpolicies".to_owned(),
        "Ingress" => "ingresses".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let version = object["apiVersion"].as_str().context("an apiVersion")?;
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    Ok(format!("{root}/namespaces/{namespace}/{plural}"))
}

/// Creates one planned object, and tries what its controller would do: create a pod of its template.
async fn create(client: &Client, namespace: &str, mut object: Value) -> Result<()> {
    object["metadata"]["namespace"] = json!(namespace);
    let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
    if object["kind"] == "Job" {
        object["metadata"]["name"] = json!("tc-identity-1");
    }
    let uri = format!("{}?fieldValidation=Strict", path(&object, namespace)?);
    send(client, http::Request::post(uri), &object).await.with_context(|| what.clone())?;
    if let Some(template) = object.pointer("/spec/template") {
        let mut pod = template.clone();
        pod["apiVersion"] = json!("v1");
        pod["kind"] = json!("Pod");
        pod["metadata"]["name"] = json!("pod");
        if let Some(claim) = object.pointer("/spec/volumeClaimTemplates/0/metadata/name") {
            let volumes = pod["spec"]["volumes"].as_array_mut().context("volumes")?;
            volumes.push(json!({ "name": claim, "persistentVolumeClaim": { "claimName": "claim" } }));
        }
        let uri = format!("{}?dryRun=All&fieldValidation=Strict", path(&pod, namespace)?);
        send(client, http::Request::post(uri), &pod).await.with_context(|| format!("a pod of {what}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_planned_of_the_examples_is_accepted_under_restricted_pod_security() -> Result<()> {
    let server = ApiServer::start().await?;
    let client = server.client().await?;
    for example in ["minimal", "demo", "external"] {
        let namespace = server.namespace(example).await?;
        let restricted =
            json!({ "metadata": { "labels": { "pod-security.kubernetes.io/enforce": "restricted" } } });
        let namespaces = Api::<Namespace>::all(client.clone());
        namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(&restricted)).await?;
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &namespace);
        eventually("the default service account is there", Duration::from_secs(60), async || {
            let there = accounts.get_opt("default").await?.is_some();
            Ok(if there { Check::Done(()) } else { Check::NotYet("it is not".into()) })
        })
        .await?;
        let file = format!("{example}.yaml");
        let manifests = fs::read_to_string(folder("../examples").join(&file))?;
        let preview = preview(&file, &manifests, &settings())?;
        let objects: Vec<Value> = serde_saphyr::from_multiple(&preview.yaml)?;
        ensure!(objects.len() > 10, "only {} objects", objects.len());
        for object in objects {
            create(&client, &namespace, object).await.with_context(|| file.clone())?;
        }
    }
    Ok(())
}

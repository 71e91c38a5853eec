//! What the author of a platform tries, to get at more than the namespace.

use super::{DEADLINE, Test, condition};
use anyhow::{Context, Result, ensure};
use e2e::{
    apiserver::{ApiServer, settings},
    kind::{Check, eventually},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Namespace, Pod, Secret, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use streaming_operator::{
    api::{ConditionType, StreamingPlatform, names},
    plan::preview::preview,
};
use tokio::net::TcpListener;

/// Who must refuse a pod template.
#[derive(Clone, Copy, PartialEq)]
enum Refused {
    /// The operator, and the restricted standard by itself.
    ByStandard,
    /// The operator alone: the standard says nothing of it.
    ByOperator,
}

/// A namespace where the API server enforces the restricted standard.
async fn restricted(server: &ApiServer, name: &str) -> Result<(Client, String)> {
    let (client, namespace) = (server.client().await?, server.namespace(name).await?);
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.patch(&namespace, &PatchParams::default(), &Patch::Merge(&label)).await?;
    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &namespace);
    eventually("the namespace has its service account", DEADLINE, async || {
        let there = accounts.get_opt("default").await?.is_some();
        Ok(if there { Check::Done(()) } else { Check::NotYet("not yet".to_owned()) })
    })
    .await?;
    Ok((client, namespace))
}

/// What the operator makes of a platform, as documents; an error where it refuses.
fn planned(namespace: &str, backend: &Value) -> Result<Vec<Value>> {
    let manifest = json!({
        "apiVersion": "streamingplatform.dev/v1alpha1",
        "kind": "StreamingPlatform",
        "metadata": {"name": "tv", "namespace": namespace},
        "spec": {
            "aws": {"region": "eu-central-1", "credentialsSecretRef": {"name": "aws"}},
            "frontend": {},
            "backend": backend,
            "worker": {},
            "services": [{"name": "srs", "image": "example.com/srs:1"}],
            "transcoding": {},
            "database": {"provider": "Embedded"},
            "cache": {"provider": "Embedded"},
        },
    });
    let preview = preview("tv.yaml", &manifest.to_string(), &settings(namespace))?;
    Ok(serde_saphyr::from_multiple(&preview.yaml)?)
}

/// Asks the API server for a pod of a template, which it does not make.
async fn try_pod(client: &Client, namespace: &str, template: &Value) -> Result<(), kube::Error> {
    let mut pod = template.clone();
    pod["metadata"]["generateName"] = json!("try-");
    let pod: Pod = serde_json::from_value(pod).map_err(kube::Error::SerdeError)?;
    let params = PostParams { dry_run: true, ..PostParams::default() };
    Api::namespaced(client.clone(), namespace).create(&params, &pod).await.map(drop)
}

/// Whether the standard refuses the Deployment's pods, once the API server has merged a template over them.
async fn standard_refuses(client: &Client, namespace: &str, template: &Value) -> Result<bool> {
    let deployments = Api::<Deployment>::namespaced(client.clone(), namespace);
    let params = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = json!({"spec": {"template": template}});
    let merged = deployments.patch("tv-backend", &params, &Patch::Strategic(&patch)).await?;
    let merged = serde_json::to_value(merged.spec.context("a spec")?.template)?;
    match try_pod(client, namespace, &merged).await {
        Ok(()) => Ok(false),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(status.message.contains("violates PodSecurity"))
        }
        Err(error) => Err(error.into()),
    }
}

fn container(fields: Value) -> Value {
    let mut container = fields;
    container["name"] = json!("backend");
    json!({"spec": {"containers": [container]}})
}

fn pod(fields: Value) -> Value {
    json!({"spec": fields})
}

fn tricks() -> Vec<(&'static str, Refused, Value)> {
    use Refused::{ByOperator, ByStandard};
    let elsewhere = json!({"httpGet": {"host": "169.254.169.254", "port": 80, "path": "/latest"}});
    let sidecar = json!({
        "name": "sidecar", "image": "i", "resources": {"requests": {"cpu": "1", "memory": "1Mi"}},
        "securityContext": {
            "privileged": true, "allowPrivilegeEscalation": true, "capabilities": {"drop": ["ALL"]}
        },
    });
    let token =
        json!({"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}});
    vec![
        ("the node's files", ByStandard, pod(json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}))),
        ("the node's network", ByStandard, pod(json!({"hostNetwork": true}))),
        ("the node's processes", ByStandard, pod(json!({"hostPID": true}))),
        ("the node's memory", ByStandard, pod(json!({"hostIPC": true}))),
        (
            "a port of the node",
            ByStandard,
            container(json!({"ports": [{"containerPort": 8080, "hostPort": 80}]})),
        ),
        (
            "all privileges",
            ByStandard,
            container(json!({"securityContext": {"allowPrivilegeEscalation": null, "privileged": true}})),
        ),
        ("a privileged sidecar", ByStandard, pod(json!({"containers": [sidecar]}))),
        ("a privileged start", ByStandard, pod(json!({"initContainers": [sidecar]}))),
        (
            "a capability",
            ByStandard,
            container(json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}})),
        ),
        ("root", ByStandard, container(json!({"securityContext": {"runAsUser": 0}}))),
        ("root in doubt", ByStandard, container(json!({"securityContext": {"runAsNonRoot": false}}))),
        (
            "every system call",
            ByStandard,
            container(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
        ),
        (
            "a label of SELinux",
            ByStandard,
            pod(json!({"securityContext": {"seLinuxOptions": {"type": "RuntimeDefault"}}})),
        ),
        (
            "a user of SELinux",
            ByStandard,
            container(json!({"securityContext": {"seLinuxOptions": {"user": "system_u"}}})),
        ),
        (
            "no AppArmor",
            ByStandard,
            container(json!({"securityContext": {"appArmorProfile": {"type": "Unconfined"}}})),
        ),
        (
            "no AppArmor, as of old",
            ByStandard,
            json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/backend": "unconfined"}}}),
        ),
        (
            "a setting of the kernel",
            ByStandard,
            pod(json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}})),
        ),
        ("a call by the kubelet", ByStandard, container(json!({"livenessProbe": elsewhere}))),
        (
            "a call by the kubelet at the start",
            ByStandard,
            container(json!({"lifecycle": {"postStart": elsewhere}})),
        ),
        (
            "another service account",
            ByOperator,
            pod(json!({"serviceAccountName": "default", "serviceAccount": "default"})),
        ),
        (
            "another service account and its token",
            ByOperator,
            pod(json!({"serviceAccountName": "default", "volumes": [token]})),
        ),
        ("a token of the account", ByOperator, pod(json!({"automountServiceAccountToken": true}))),
    ]
}

#[tokio::test]
async fn no_pod_template_gets_at_node_kubelet_or_another_identity() -> Result<()> {
    let server = ApiServer::shared().await;
    let (client, namespace) = restricted(server, "restricted").await?;
    let documents = planned(&namespace, &json!({}))?;
    for account in documents.iter().filter(|it| it["kind"] == "ServiceAccount") {
        let account = serde_json::from_value(account.clone())?;
        Api::<ServiceAccount>::namespaced(client.clone(), &namespace)
            .create(&PostParams::default(), &account)
            .await?;
    }
    // What the operator makes by itself keeps the standard.
    let mut admitted = 0;
    for document in &documents {
        let mut template = document["spec"]["template"].clone();
        // What a StatefulSet adds for its claims.
        for claim in document["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let name = &claim["metadata"]["name"];
            let volumes = template["spec"]["volumes"].as_array_mut().context("volumes")?;
            volumes.push(json!({"name": name, "persistentVolumeClaim": {"claimName": name}}));
        }
        if template["spec"].is_object() {
            let tried = try_pod(&client, &namespace, &template).await;
            tried.with_context(|| format!("{} {}", document["kind"], document["metadata"]["name"]))?;
            admitted += 1;
        }
    }
    assert_eq!(admitted, 7, "four Deployments, two StatefulSets, a Job");

    let mut deployment: Value = documents
        .iter()
        .find(|it| it["kind"] == "Deployment" && it["metadata"]["name"] == "tv-backend")
        .context("the backend")?
        .clone();
    deployment["spec"]["replicas"] = json!(0);
    let deployment: Deployment = serde_json::from_value(deployment)?;
    Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), &deployment).await?;
    let mut wrong = Vec::new();
    for (trick, refused, template) in tricks() {
        let told = match planned(&namespace, &json!({"podTemplate": template})) {
            Ok(_) => "nothing".to_owned(),
            Err(error) => error.to_string(),
        };
        if !told.contains("spec.backend.podTemplate: ") {
            wrong.push(format!("{trick}: the operator says {told}"));
        }
        let by_standard = standard_refuses(&client, &namespace, &template).await;
        if !by_standard.as_ref().is_ok_and(|it| *it == (refused == Refused::ByStandard)) {
            wrong.push(format!("{trick}: refused by the standard: {by_standard:?}"));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_secret_of_another_namespace_is_not_read() -> Result<()> {
    let test = Test::start("curious").await?;
    let other = ApiServer::shared().await.namespace("victim").await?;
    let keys = Secret {
        metadata: ObjectMeta { name: Some("keys".to_owned()), ..ObjectMeta::default() },
        string_data: Some(
            ["accessKeyID", "secretAccessKey"].map(|key| (key.to_owned(), "theirs".to_owned())).into(),
        ),
        ..Secret::default()
    };
    Api::namespaced(test.client.clone(), &other).create(&PostParams::default(), &keys).await?;
    let names = [
        format!("../../{other}/secrets/keys"),
        format!("..%2f..%2f{other}%2fsecrets%2fkeys"),
        format!("{other}/keys"),
        "keys?x=".to_owned(),
    ];
    for (number, name) in names.iter().enumerate() {
        let platform = format!("tv-{number}");
        let spec = json!({
            "aws": {"region": "eu-central-1", "credentialsSecretRef": {"name": name}},
            "transcoding": {},
        });
        test.apply(&platform, spec).await?;
        let status = test.status(&platform, "it says that this is no name", |status| {
            condition(status, ConditionType::Ready).2.contains("is no name of a Secret")
        });
        let status = status.await?;
        ensure!(condition(&status, ConditionType::Ready).0 == "False", "{name}");
    }
    let read = test.operator.requests.reads();
    let of_secrets: Vec<_> = read.iter().filter(|path| path.contains("/secrets/")).collect();
    assert_eq!(of_secrets, [] as [&String; 0]);
    test.operator.stop().await
}

#[tokio::test]
async fn an_address_that_is_not_admitted_is_never_called() -> Result<()> {
    let test = Test::start("caller").await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    test.secret("keys", json!({"accessKeyID": "key", "secretAccessKey": "secret"})).await?;
    let aws = json!({
        "region": "eu-central-1", "endpointURL": endpoint, "credentialsSecretRef": {"name": "keys"},
    });
    test.apply("tv", json!({"aws": aws, "transcoding": {}})).await?;
    let refused = test.status("tv", "it is not admitted", |status| {
        condition(status, ConditionType::Ready).1 == "NotAllowed"
    });
    refused.await?;
    // As if it had been admitted before: there is something to settle when it goes.
    let finalizers = json!({"metadata": {"finalizers": [names::FINALIZER]}});
    test.merge::<StreamingPlatform>("tv", finalizers).await?;
    test.delete::<StreamingPlatform>("tv").await?;
    test.gone::<StreamingPlatform>("tv").await?;
    // Does not block, as it was one of tokio's.
    let called = listener.into_std()?.accept();
    ensure!(called.is_err(), "{endpoint} was called");
    test.operator.stop().await
}

//! Following a cluster: every Secret, and all that is said.

use super::{Lines, Record, Said, SecretValue};
use anyhow::{Context, Result};
use axum::{Router, body::Bytes, extract::State, http::StatusCode};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, io::Lines as LogLines};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, LogParams},
    discovery::{Discovery, verbs},
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, common::v1::any_value};
use prost::Message;
use serde_json::Value;
use std::{
    collections::HashSet,
    net::SocketAddr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, time::interval};

/// Groups that show what others show, or change all the time without saying anything.
const PASSED_OVER: [&str; 2] = ["metrics.k8s.io", "events.k8s.io"];
/// Where `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How often `/metrics` of each of our pods is read.
const SCRAPE: Duration = Duration::from_secs(10);
/// `app.kubernetes.io/name` of the pods that have metrics.
const MEASURED: &str = "app.kubernetes.io/name in (streaming-operator, frontend, backend, worker)";

/// What follows one cluster.
#[derive(Clone)]
struct Witness {
    client: Client,
    secrets: Arc<Lines>,
    said: Arc<Lines>,
    /// Ids of the containers whose logs are followed.
    heard: Arc<Mutex<HashSet<String>>>,
}

/// Writes down what is and what is said, until it is told to end. Traces are received at `traces`.
///
/// # Errors
/// When the record can't be written, the cluster does not answer, or the address is taken.
pub async fn follow(client: Client, record: &Record, traces: SocketAddr) -> Result<()> {
    let witness = Witness {
        client,
        secrets: Arc::new(Lines::create(&record.secrets())?),
        said: Arc::new(Lines::create(&record.said())?),
        heard: Arc::default(),
    };
    let discovery = Discovery::new(witness.client.clone()).exclude(&PASSED_OVER).run_aggregated().await?;
    for (kind, can) in discovery.groups().flat_map(|group| group.recommended_resources()) {
        if can.supports_operation(verbs::LIST) && can.supports_operation(verbs::WATCH) {
            tokio::spawn(witness.clone().watch(kind));
        }
    }
    tokio::spawn(witness.clone().scrape());
    let listener = TcpListener::bind(traces).await.with_context(|| format!("receive traces at {traces}"))?;
    let receive = async |State(witness): State<Witness>, body: Bytes| {
        // Texts stand in a protobuf as they are.
        witness.say(&trace(body.clone()), String::from_utf8_lossy(&body).into_owned());
        StatusCode::OK
    };
    Ok(axum::serve(listener, Router::new().fallback(receive).with_state(witness)).await?)
}

impl Witness {
    fn say(&self, place: &str, text: String) {
        self.said.append(&Said { place: place.to_owned(), text }).expect("the record can be written");
    }

    async fn watch(self, kind: ApiResource) {
        let objects: Api<DynamicObject> = Api::all_with(self.client.clone(), &kind);
        let mut events = pin!(watcher(objects, Config::default()).default_backoff());
        while let Some(event) = events.next().await {
            let Ok(Event::Apply(object) | Event::InitApply(object) | Event::Delete(object)) = event else {
                continue;
            };
            self.see(&kind, object);
        }
    }

    fn see(&self, kind: &ApiResource, mut object: DynamicObject) {
        let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
        if kind.group.is_empty() && kind.kind == "Secret" {
            for field in ["data", "stringData"] {
                let taken = object.data.as_object_mut().and_then(|fields| fields.remove(field));
                for (key, value) in taken.as_ref().and_then(Value::as_object).into_iter().flatten() {
                    let base64 = value.as_str().unwrap_or_default().to_owned();
                    let value = SecretValue { secret: name.clone(), key: key.clone(), base64 };
                    self.secrets.append(&value).expect("the record can be written");
                }
            }
            if let Some(applied) = object.annotations_mut().remove(LAST_APPLIED) {
                self.say(&format!("last-applied of Secret {name}"), applied);
            }
        }
        if kind.group.is_empty()
            && kind.kind == "Pod"
            && let Ok(pod) = object.clone().try_parse::<Pod>()
        {
            self.listen(&pod);
        }
        self.say(&format!("object {} {name}", kind.kind), serde_json::to_string(&object).unwrap_or_default());
    }

    /// Follows the logs of containers that were not there before.
    fn listen(&self, pod: &Pod) {
        let Some(status) = &pod.status else { return };
        let all = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
        for container in all {
            let Some(id) = started(container) else { continue };
            let new = self.heard.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
            if new {
                let (namespace, pod) = (pod.namespace().unwrap_or_default(), pod.name_any());
                tokio::spawn(self.clone().hear(namespace, pod, container.name.clone()));
            }
        }
    }

    async fn hear(self, namespace: String, pod: String, container: String) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &namespace);
        let params = LogParams { container: Some(container.clone()), follow: true, ..LogParams::default() };
        // A pod that is gone before its log is asked for left it on the node, or took it with it.
        let Ok(log) = pods.log_stream(&pod, &params).await else { return };
        let mut lines: LogLines<_> = log.lines();
        while let Ok(Some(line)) = lines.try_next().await {
            self.say(&format!("log {namespace}/{pod}/{container}"), line);
        }
    }

    async fn scrape(self) {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let mut ticks = interval(SCRAPE);
        loop {
            ticks.tick().await;
            let Ok(found) = pods.list(&ListParams::default().labels(MEASURED)).await else { continue };
            for pod in found {
                let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
                for port in containers.flat_map(|container| container.ports.iter().flatten()) {
                    self.read_metrics(&pod, port.container_port).await;
                }
            }
        }
    }

    async fn read_metrics(&self, pod: &Pod, port: i32) {
        let (namespace, name) = (pod.namespace().unwrap_or_default(), pod.name_any());
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/metrics");
        let Ok(request) = http::Request::get(path).body(Vec::new()) else { return };
        // Not every port has metrics, and not every pod is up.
        if let Ok(text) = self.client.request_text(request).await {
            self.say(&format!("metrics {namespace}/{name}"), text);
        }
    }
}

/// The place that an export of spans is: it names whose they are.
fn trace(export: Bytes) -> String {
    let spans = ExportTraceServiceRequest::decode(export).unwrap_or_default().resource_spans;
    let attributes = spans.into_iter().filter_map(|it| it.resource).flat_map(|it| it.attributes);
    let services = attributes.filter(|it| it.key == "service.name").filter_map(|it| it.value?.value);
    let name = services.into_iter().find_map(|it| match it {
        any_value::Value::StringValue(name) => Some(name),
        _ => None,
    });
    format!("trace of {}", name.unwrap_or_default())
}

fn started(container: &ContainerStatus) -> Option<&str> {
    let state = container.state.as_ref()?;
    (state.running.is_some() || state.terminated.is_some()).then_some(())?;
    container.container_id.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::{
        common::v1::{AnyValue, KeyValue},
        resource::v1::Resource,
        trace::v1::ResourceSpans,
    };

    #[test]
    fn an_export_of_spans_tells_whose_they_are() {
        let value = AnyValue { value: Some(any_value::Value::StringValue("backend".to_owned())) };
        let name = KeyValue { key: "service.name".to_owned(), value: Some(value), ..KeyValue::default() };
        let resource = Resource { attributes: vec![name], ..Resource::default() };
        let spans = ResourceSpans { resource: Some(resource), ..ResourceSpans::default() };
        let export = ExportTraceServiceRequest { resource_spans: vec![spans] };
        assert_eq!(trace(export.encode_to_vec().into()), "trace of backend");
        assert_eq!(trace(Bytes::from_static(b"no protobuf")), "trace of ");
    }
}

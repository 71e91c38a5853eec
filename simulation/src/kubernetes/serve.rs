//! Requests and their answers.

use super::{
    Call, Cluster, Effect, cut,
    request::{Request, Verb},
    resource::{self, Resource},
    status::Refusal,
    store::{Store, Write},
    watch,
};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use std::{convert::Infallible, io};

/// The body of an answer.
pub(super) type Answer = UnsyncBoxBody<Bytes, Infallible>;

impl Cluster {
    /// Answers a request, or cuts the connection.
    pub(super) async fn serve(self, request: http::Request<Body>) -> Result<Response<Answer>, io::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let Some(request) = Request::read(&parts, &body) else {
            return Ok(discovery(parts.uri.path()));
        };
        let now = self.clock.now();
        let mut inner = self.inner();
        let effect = inner.fault.as_mut().and_then(|fault| fault(&request));
        let answer = match effect {
            Some(Effect::CutRequest) => None,
            Some(Effect::Answer(refusal)) => Some(Err(refusal)),
            Some(Effect::CutReply) => {
                // What becomes of it, nobody hears.
                drop(perform(&mut inner.store, &request, now));
                None
            }
            None => Some(perform(&mut inner.store, &request, now)),
        };
        self.tell(&inner);
        let status = match &answer {
            Some(Ok(_)) if request.verb == Verb::Create => Some(201),
            Some(Ok(_)) => Some(200),
            Some(Err(refusal)) => Some(refusal.code),
            None => None,
        };
        let verb = request.verb.clone();
        inner.calls.push(Call { at: now, request: request.clone(), status });
        drop(inner);
        match (answer.ok_or_else(cut)?, verb) {
            (Ok(_), Verb::Watch { since, bookmarks }) => {
                Ok(response(200, watch::stream(self, request, since, bookmarks)))
            }
            (Ok(value), _) => Ok(json_response(status.unwrap_or(200), &shown(&request, value))),
            (Err(refusal), _) => Ok(json_response(refusal.code, &refusal.written())),
        }
    }
}

fn perform(store: &mut Store, request: &Request, now: Timestamp) -> Result<Value, Refusal> {
    let key = request.key();
    let write = Write { manager: &request.manager, subresource: request.subresource, now };
    match &request.verb {
        Verb::Get => store.get(&key).ok_or_else(|| Refusal::not_found(&key)),
        Verb::List => Ok(list(store, request)),
        // One that comes too late is told so by its first event, as the API server's cache does.
        Verb::Watch { .. } => Ok(Value::Null),
        Verb::Create => store.create(&key, request.body.clone(), write),
        Verb::Replace => store.replace(&key, &request.body, write),
        Verb::Apply { force } => store.apply(&key, &request.body, *force, write),
        Verb::Merge => store.merge_patch(&key, &request.body, write),
        Verb::Delete => store.delete(&key, &request.body["preconditions"], now),
    }
}

fn list(store: &Store, request: &Request) -> Value {
    let all = store.list(request.resource, request.namespace.as_deref());
    let items =
        all.filter(|(key, value)| request.selects(key, value)).map(|(_, value)| shown(request, value));
    let kind = if request.metadata_only { "PartialObjectMetadata" } else { request.resource.kind };
    json!({
        "apiVersion": if request.metadata_only { "meta.k8s.io/v1".to_owned() } else { request.resource.api_version() },
        "kind": format!("{kind}List"),
        "metadata": {"resourceVersion": store.revision().to_string()},
        "items": items.collect::<Vec<_>>(),
    })
}

/// An object as the client wants it.
pub(super) fn shown(request: &Request, mut object: Value) -> Value {
    if request.metadata_only && object.get("items").is_none() {
        let metadata = object["metadata"].take();
        return json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
    }
    object
}

/// What is served in a group and version.
fn discovery(path: &str) -> Response<Answer> {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (group, version) = match segments.as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => ("?", ""),
    };
    let served = |it: &&Resource| it.group == group && it.version == version;
    let resources: Vec<Value> = resource::ALL
        .iter()
        .filter(served)
        .map(|it| json!({"name": it.plural, "singularName": "", "namespaced": true, "kind": it.kind, "verbs": ["list"]}))
        .collect();
    if resources.is_empty() {
        let refusal = Refusal { code: 404, reason: "NotFound", message: format!("there is no {path}") };
        return json_response(404, &refusal.written());
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources,
    });
    json_response(200, &list)
}

fn json_response(status: u16, value: &Value) -> Response<Answer> {
    response(status, Answer::new(Full::from(value.to_string())))
}

fn response(status: u16, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

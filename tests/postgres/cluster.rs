//! One Secret behind the API of Kubernetes: enough for a connection Secret to be read, made and patched.

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, client::Body};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

/// The Secret, as it is stored, and what befalls the writes of its data.
#[derive(Clone, Default)]
pub struct Cluster(Arc<Mutex<Option<Value>>>, Arc<Mutex<Fate>>);

#[derive(Clone, Copy, Default)]
pub enum Fate {
    #[default]
    Performed,
    /// As by an admission policy.
    Refused,
    /// No answer ever comes.
    Lost,
}

impl Cluster {
    pub fn secrets(&self) -> Api<Secret> {
        let cluster = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let cluster = cluster.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.expect("a whole request").to_bytes();
                let fate = *cluster.1.lock().unwrap();
                let (status, answer) = match fate {
                    Fate::Refused if writes_data(&body) => failure(StatusCode::FORBIDDEN, "Forbidden"),
                    Fate::Lost if writes_data(&body) => std::future::pending().await,
                    _ => cluster.answer(&parts.method, &body),
                };
                let response =
                    Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, Infallible>(response.expect("a response"))
            }
        });
        Api::namespaced(Client::new(service, "media"), "media")
    }

    /// Its content.
    pub fn secret(&self) -> Option<Secret> {
        let stored = self.0.lock().unwrap().clone()?;
        Some(serde_json::from_value(stored).unwrap())
    }

    pub fn value(&self, key: &str) -> Option<String> {
        let data = self.secret()?.data?;
        Some(String::from_utf8(data.get(key)?.0.clone()).unwrap())
    }

    /// As if somebody else had written.
    pub fn put(&self, secret: &Value) {
        *self.0.lock().unwrap() = Some(secret.clone());
    }

    pub fn befalls(&self, fate: Fate) {
        *self.1.lock().unwrap() = fate;
    }

    fn answer(&self, method: &Method, body: &[u8]) -> (StatusCode, Value) {
        let mut stored = self.0.lock().unwrap();
        if method == Method::GET {
            return match &*stored {
                Some(secret) => (StatusCode::OK, secret.clone()),
                None => failure(StatusCode::NOT_FOUND, "NotFound"),
            };
        }
        let sent: Value = serde_json::from_slice(body).expect("JSON");
        let mut secret = match &*stored {
            Some(_) if method == Method::POST => return failure(StatusCode::CONFLICT, "AlreadyExists"),
            None if method == Method::PATCH => return failure(StatusCode::NOT_FOUND, "NotFound"),
            None => json!({}),
            Some(secret) => secret.clone(),
        };
        let version = |secret: &Value| secret["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        let now = version(&secret);
        if version(&sent).is_some_and(|expected| Some(expected) != now) {
            return failure(StatusCode::CONFLICT, "Conflict");
        }
        json_patch::merge(&mut secret, &sent);
        let next = now.map_or(1, |version| version.parse::<u32>().unwrap() + 1);
        secret["metadata"]["resourceVersion"] = json!(next.to_string());
        *stored = Some(secret.clone());
        (StatusCode::OK, secret)
    }
}

fn writes_data(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|sent| sent["data"].is_object())
}

fn failure(status: StatusCode, reason: &str) -> (StatusCode, Value) {
    let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": reason, "reason": reason, "code": status.as_u16()});
    (status, answer)
}

//! What the operator asked of Kubernetes, by the API server's audit log: how much, and each write with its body.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// What the log holds: every request of the operator once it is answered, and the body of what it writes.
pub fn policy() -> Value {
    json!({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [
            {"level": "Request", "users": ["operator"], "verbs": ["create", "update", "patch", "delete"]},
            {"level": "Metadata", "users": ["operator"]},
            {"level": "None"},
        ],
    })
}

/// The log, read from where it was read to before.
pub struct AuditLog {
    path: PathBuf,
    from: u64,
}

/// One request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Verb, as RBAC knows it.
    pub verb: String,
    /// Path and query.
    #[serde(rename = "requestURI")]
    pub uri: String,
    #[serde(default)]
    object_ref: ObjectRef,
    /// The body.
    pub request_object: Option<Value>,
    response_status: Option<Status>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Request {
    /// Plural of the kind, with a subresource after a slash.
    pub fn resource(&self) -> String {
        match self.object_ref.subresource.as_str() {
            "" => self.object_ref.resource.clone(),
            subresource => format!("{}/{subresource}", self.object_ref.resource),
        }
    }

    /// Whether it changes something, other than who leads.
    pub fn writes(&self) -> bool {
        matches!(self.verb.as_str(), "create" | "update" | "patch" | "delete") && !self.renews()
    }

    /// Whether it is about who leads.
    pub fn renews(&self) -> bool {
        self.object_ref.resource == "leases"
    }

    /// Whether it was carried out.
    pub fn succeeded(&self) -> bool {
        self.response_status.as_ref().and_then(|status| status.code).is_some_and(|code| code < 300)
    }
}

impl AuditLog {
    /// The log at that path, from its beginning.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), from: 0 }
    }

    /// The requests since the last look.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn news(&mut self) -> Result<Vec<Request>> {
        let mut file = File::open(&self.path).with_context(|| format!("open {}", self.path.display()))?;
        file.seek(SeekFrom::Start(self.from))?;
        let (mut reader, mut requests, mut line) = (BufReader::new(file), Vec::new(), String::new());
        loop {
            line.clear();
            let read = reader.read_line(&mut line)?;
            // The last line may still be written.
            if !line.ends_with('\n') {
                return Ok(requests);
            }
            self.from += read as u64;
            requests.push(serde_json::from_str(&line).with_context(|| format!("read {line}"))?);
        }
    }
}

/// How often each verb was used on each resource.
pub fn counts<'a>(requests: impl Iterator<Item = &'a Request>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(format!("{} {}", request.verb, request.resource())).or_default() += 1;
    }
    counts
}

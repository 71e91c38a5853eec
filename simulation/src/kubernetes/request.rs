//! Requests, as a client writes them.

use super::{
    resource::Resource,
    store::{Key, Subresource},
};
use bytes::Bytes;
use http::{Method, request::Parts};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// One object.
    Get,
    /// All of a kind.
    List,
    /// What happens from a version on.
    Watch {
        /// The version.
        since: u64,
        /// Whether the versions in between are told.
        bookmarks: bool,
    },
    /// A new one.
    Create,
    /// Another one in its place.
    Replace,
    /// Server-side apply.
    Apply {
        /// Whether fields of others are taken over.
        force: bool,
    },
    /// A JSON merge patch.
    Merge,
    /// Its end.
    Delete,
}

impl Verb {
    /// As RBAC names it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch { .. } => "watch",
            Self::Create => "create",
            Self::Replace => "update",
            Self::Apply { .. } | Self::Merge => "patch",
            Self::Delete => "delete",
        }
    }

    /// Whether it changes something.
    #[must_use]
    pub fn writes(&self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch { .. })
    }
}

/// A request for objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What is asked for.
    pub verb: Verb,
    /// Of what kind.
    pub resource: Resource,
    /// Of which namespace; none: of all.
    pub namespace: Option<String>,
    /// Of which name; none: of a collection.
    pub name: Option<String>,
    /// Of which part.
    pub subresource: Subresource,
    /// Labels that are asked for.
    pub labels: BTreeMap<String, String>,
    /// One name that is asked for among all.
    pub field_name: Option<String>,
    /// How many pods of a Job succeeded.
    pub field_successful: Option<u64>,
    /// Whether only the metadata is wanted.
    pub metadata_only: bool,
    /// Who writes.
    pub manager: String,
    /// What is sent.
    pub body: Value,
}

impl Request {
    /// Reads a request; none: it is not for objects.
    #[must_use]
    pub fn read(parts: &Parts, body: &Bytes) -> Option<Self> {
        let segments: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some((*namespace).to_owned()), rest),
            rest => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (*plural, None, Subresource::Main),
            [plural, name] => (*plural, Some((*name).to_owned()), Subresource::Main),
            [plural, name, "status"] => (*plural, Some((*name).to_owned()), Subresource::Status),
            _ => return None,
        };
        let resource = Resource::find(group, version, plural)?;
        let query: BTreeMap<String, String> =
            url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let is_set = |name: &str| query.get(name).is_some_and(|value| value == "true");
        let header =
            |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let verb = match (&parts.method, &name) {
            (&Method::GET, Some(_)) => Verb::Get,
            (&Method::GET, None) if is_set("watch") => Verb::Watch {
                since: query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or_default(),
                bookmarks: is_set("allowWatchBookmarks"),
            },
            (&Method::GET, None) => Verb::List,
            (&Method::POST, None) => Verb::Create,
            (&Method::PUT, Some(_)) => Verb::Replace,
            (&Method::PATCH, Some(_)) if header("content-type").starts_with("application/apply-patch") => {
                Verb::Apply { force: is_set("force") }
            }
            (&Method::PATCH, Some(_)) => Verb::Merge,
            (&Method::DELETE, Some(_)) => Verb::Delete,
            _ => return None,
        };
        let pairs = query.get("labelSelector").map(String::as_str).unwrap_or_default().split(',');
        let labels = pairs.filter_map(|pair| pair.split_once('=')).map(own_both).collect();
        let fields = query.get("fieldSelector").map(String::as_str).unwrap_or_default();
        Some(Self {
            verb,
            resource,
            namespace,
            name,
            subresource,
            labels,
            field_name: fields.strip_prefix("metadata.name=").map(str::to_owned),
            field_successful: fields.strip_prefix("status.successful=").and_then(|count| count.parse().ok()),
            metadata_only: header("accept").contains("as=PartialObjectMetadata"),
            manager: query.get("fieldManager").cloned().unwrap_or_else(|| "unknown".to_owned()),
            body: serde_json::from_slice(body).unwrap_or_default(),
        })
    }

    /// The object that is meant; one that is made may have its name in its metadata.
    #[must_use]
    pub fn key(&self) -> Key {
        let own = |name: &str| self.body["metadata"][name].as_str().map(str::to_owned);
        Key {
            resource: self.resource,
            namespace: self.namespace.clone().unwrap_or_default(),
            name: self.name.clone().or_else(|| own("name")).unwrap_or_default(),
        }
    }

    /// Whether an object is among those that are asked for.
    #[must_use]
    pub fn selects(&self, key: &Key, object: &Value) -> bool {
        key.resource == self.resource
            && self.namespace.as_ref().is_none_or(|wanted| *wanted == key.namespace)
            && self.field_name.as_ref().is_none_or(|wanted| *wanted == key.name)
            && self.field_successful.is_none_or(|wanted| wanted == succeeded(object))
            && self.labels.iter().all(|(name, value)| object["metadata"]["labels"][name] == **value)
    }
}

fn succeeded(job: &Value) -> u64 {
    job["status"]["succeeded"].as_u64().unwrap_or_default()
}

fn own_both((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.trim_start_matches('=').to_owned())
}

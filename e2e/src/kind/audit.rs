//! What the operator asked the API server for, by the audit log, and what it may ask for.

use super::{Cluster, OPERATOR, OPERATOR_NAMESPACE, variable};
use anyhow::{Context, Result};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
};

/// Says in an entry whether RBAC allowed the request.
const DECISION: &str = "authorization.k8s.io/decision";
/// Of a request that made something.
const CREATED: u16 = 201;

/// One verb on one resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group; empty for the core.
    pub group: String,
    /// Plural, with the subresource after a slash.
    pub resource: String,
    /// Verb.
    pub verb: String,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.verb, self.group, self.resource)
    }
}

/// The audit log from a point in time on.
pub struct AuditLog {
    path: PathBuf,
    from: u64,
}

/// What the log shows.
#[derive(Debug, Default)]
pub struct Requests {
    /// Rights that were made use of.
    pub used: BTreeSet<Right>,
    /// Rights that were missing.
    pub denied: BTreeSet<Right>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    verb: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ObjectRef {
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    api_group: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

impl AuditLog {
    /// The log from now on.
    ///
    /// # Errors
    /// When there is none: then the cluster was made before it had one.
    pub fn from_now() -> Result<Self> {
        let path = PathBuf::from(variable("AUDIT_LOG")?);
        let from = path.metadata().with_context(|| format!("no audit log at {}", path.display()))?.len();
        Ok(Self { path, from })
    }

    /// The requests up to now.
    ///
    /// # Errors
    /// When the log can't be read.
    pub fn requests(&self) -> Result<Requests> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.from))?;
        let mut requests = Requests::default();
        for line in BufReader::new(file).lines() {
            // The last line may still be written.
            let Ok(entry) = serde_json::from_str::<Entry>(&line?) else { continue };
            let Some(of) = entry.object_ref else { continue };
            let resource = match of.subresource.as_str() {
                "" => of.resource,
                subresource => format!("{}/{subresource}", of.resource),
            };
            let right = Right { group: of.api_group, resource, verb: entry.verb };
            if entry.annotations.get(DECISION).is_some_and(|decision| decision == "forbid") {
                requests.denied.insert(right);
                continue;
            }
            // Server-side apply of what is not there yet is authorised as patch and as create.
            if right.verb == "patch"
                && entry.response_status.is_some_and(|status| status.code == Some(CREATED))
            {
                requests.used.insert(Right { verb: "create".into(), ..right.clone() });
            }
            requests.used.insert(right);
        }
        Ok(requests)
    }
}

/// What the chart grants the operator.
///
/// # Errors
/// When the roles are not there.
pub async fn granted(cluster: &Cluster) -> Result<BTreeSet<Right>> {
    let everywhere: Api<ClusterRole> = Api::all(cluster.client.clone());
    let own: Api<Role> = Api::namespaced(cluster.client.clone(), OPERATOR_NAMESPACE);
    let mut rules = everywhere.get(OPERATOR).await?.rules.unwrap_or_default();
    rules.extend(own.get(&format!("{OPERATOR}-leader-election")).await?.rules.unwrap_or_default());
    Ok(rules.into_iter().flat_map(rights).collect())
}

fn rights(rule: PolicyRule) -> Vec<Right> {
    let mut rights = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            let right = |verb: &String| Right {
                group: group.clone(),
                resource: resource.clone(),
                verb: verb.clone(),
            };
            rights.extend(rule.verbs.iter().map(right));
        }
    }
    rights
}

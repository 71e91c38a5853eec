//! RDS for PostgreSQL and Aurora PostgreSQL.

mod blue_green;
mod cluster;
mod data;
mod engine;
mod events;
mod groups;
mod instance;
mod maintenance;
mod operations;
mod parameters;
mod postgres;
mod progress;
mod proxy;
mod snapshot;
mod subnets;
mod tags;
mod throttle;
pub mod times;
mod window;

pub use blue_green::Deployment;
pub use cluster::{Cluster, Member, Origin as ClusterOrigin, Scaling};
pub use data::Data;
pub use engine::Version;
pub use events::Event;
pub use groups::{Group, ParameterGroups};
pub use instance::{Instance, Origin, ParameterState, Settings};
pub use maintenance::Maintenance;
pub use postgres::{NoSession, Session};
pub use progress::{Progress, Status};
pub use proxy::{Proxy, Target};
pub use snapshot::{ClusterSnapshot, Snapshot};
pub use subnets::{Subnet, SubnetGroup};
pub use window::Window;

use super::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml},
    secrets::Secrets,
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};

const AVAILABLE: Status = "available";

/// RDS in one account and region. By name: of subnets their id, of keys theirs.
#[derive(Clone, Debug)]
pub struct Rds {
    /// DB instances.
    pub instances: BTreeMap<String, Instance>,
    /// Aurora clusters.
    pub clusters: BTreeMap<String, Cluster>,
    /// DB snapshots.
    pub snapshots: BTreeMap<String, Snapshot>,
    /// DB cluster snapshots.
    pub cluster_snapshots: BTreeMap<String, ClusterSnapshot>,
    /// DB parameter groups.
    pub groups: ParameterGroups,
    /// DB cluster parameter groups.
    pub cluster_groups: ParameterGroups,
    /// Subnets of the account, which a test may add to.
    pub subnets: BTreeMap<String, Subnet>,
    /// DB subnet groups.
    pub subnet_groups: BTreeMap<String, SubnetGroup>,
    /// KMS keys that RDS may use, by their id, with an alias (`alias/media`) or none.
    pub keys: BTreeMap<String, Option<String>>,
    /// Proxies.
    pub proxies: BTreeMap<String, Proxy>,
    /// Blue/green deployments, by identifier.
    pub deployments: BTreeMap<String, Deployment>,
    /// Events, oldest first.
    pub events: Vec<Event>,
    failures: VecDeque<(Status, String)>,
    created: u64,
    throttles: throttle::Throttles,
    stale: throttle::Stale,
}

impl Default for Rds {
    fn default() -> Self {
        Self {
            instances: BTreeMap::new(),
            clusters: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            cluster_snapshots: BTreeMap::new(),
            groups: ParameterGroups::of_instances(),
            cluster_groups: ParameterGroups::of_clusters(),
            subnets: subnets::default_subnets(),
            subnet_groups: BTreeMap::from([("default".to_owned(), subnets::default_group())]),
            keys: BTreeMap::new(),
            proxies: BTreeMap::new(),
            deployments: BTreeMap::new(),
            events: Vec::new(),
            failures: VecDeque::new(),
            created: 0,
            throttles: throttle::Throttles::default(),
            stale: throttle::Stale::default(),
        }
    }
}

/// What is due.
#[derive(Clone, Debug)]
enum Due {
    Instance(String, instance::Due),
    Cluster(String, cluster::Due),
    Snapshot(String),
    ClusterSnapshot(String),
    Proxy(String),
    Deployment(String),
}

impl Rds {
    pub(super) fn advance(&mut self, now: Timestamp, place: &Place, secrets: &mut Secrets) {
        while let Some((at, due)) = self.next_due().filter(|(at, _)| *at <= now) {
            match due {
                Due::Instance(name, due) => self.instance_happens(&name, due, at, place, secrets),
                Due::Cluster(name, due) => self.cluster_happens(&name, due, at, place, secrets),
                Due::Snapshot(name) => self.snapshot_happens(&name),
                Due::ClusterSnapshot(name) => self.cluster_snapshot_happens(&name),
                Due::Proxy(name) => self.proxy_happens(&name, at),
                Due::Deployment(id) => self.deployment_happens(&id, at),
            }
        }
    }

    fn next_due(&self) -> Option<(Timestamp, Due)> {
        let instances = self.instances.iter().filter_map(|(name, instance)| {
            instance.due().map(|(at, due)| (at, Due::Instance(name.clone(), due)))
        });
        let clusters = self.clusters.iter().filter_map(|(name, cluster)| {
            cluster.due().map(|(at, due)| (at, Due::Cluster(name.clone(), due)))
        });
        let snapshots = self
            .snapshots
            .iter()
            .filter_map(|(name, snapshot)| Some((snapshot.due()?, Due::Snapshot(name.clone()))));
        let cluster_snapshots = self
            .cluster_snapshots
            .iter()
            .filter_map(|(name, snapshot)| Some((snapshot.due()?, Due::ClusterSnapshot(name.clone()))));
        let proxies =
            self.proxies.iter().filter_map(|(name, proxy)| Some((proxy.due()?, Due::Proxy(name.clone()))));
        let deployments = self
            .deployments
            .iter()
            .filter_map(|(id, deployment)| Some((deployment.due()?, Due::Deployment(id.clone()))));
        let snapshots = snapshots.chain(cluster_snapshots);
        instances.chain(clusters).chain(snapshots).chain(proxies).chain(deployments).min_by_key(|(at, _)| *at)
    }

    pub(super) fn call(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Answer, Fault> {
        self.throttles.take(operation, now)?;
        if operation.starts_with("Describe") || operation.starts_with("List") {
            return match self.past(now, place, secrets) {
                Some((mut past, then)) => past.perform(operation, parameters, then, place, secrets),
                None => self.perform(operation, parameters, now, place, secrets),
            }
            .map(Answer::from);
        }
        let answer = self.perform(operation, parameters, now, place, secrets);
        self.remember(now);
        answer.map(Answer::from)
    }

    fn instance(&self, name: &str) -> Result<&Instance, Fault> {
        self.instances.get(name).ok_or_else(|| no_instance(name))
    }

    fn instance_mut(&mut self, name: &str) -> Result<&mut Instance, Fault> {
        self.instances.get_mut(name).ok_or_else(|| no_instance(name))
    }

    /// ARN of the key that an id, ARN or alias names.
    fn key_arn(&self, given: &str, place: &Place) -> Result<String, Fault> {
        let name = given.rsplit_once(":key/").map_or(given, |(_, id)| id);
        let alias = name.rsplit(':').next().unwrap_or(name);
        let found = self.keys.iter().find(|(id, named)| *id == name || named.as_deref() == Some(alias));
        found.map(|(id, _)| place.arn("kms", &format!("key/{id}"))).ok_or_else(|| {
            Fault::bad_request(
                "KMSKeyNotAccessibleFault",
                format!("The specified KMS key [{given}] does not exist, is not enabled or you do not have permissions to access it."),
            )
        })
    }

    /// Text that names a resource for good: no other resource of this account ever gets it.
    fn next_token(&mut self, place: &Place, name: &str, length: usize) -> String {
        self.created += 1;
        token(&[&place.account, &place.region, name, &self.created.to_string()], length)
    }
}

fn no_instance(name: &str) -> Fault {
    Fault::not_found("DBInstanceNotFound", format!("DBInstance {name} not found."))
}

fn invalid_value(message: impl Into<String>) -> Fault {
    Fault::bad_request("InvalidParameterValue", message)
}

fn invalid_combination(message: impl Into<String>) -> Fault {
    Fault::bad_request("InvalidParameterCombination", message)
}

/// An identifier in lower case, as RDS keeps it: 1 to 63 letters, digits or hyphens, a letter first, no hyphen last or
/// twice.
fn identifier(parameters: &Parameters, name: &str) -> Result<String, Fault> {
    let given = parameters.required(name)?;
    // The older protocol takes ARNs too.
    let text = given.rsplit(':').next().unwrap_or(given).to_lowercase();
    let is_valid = text.len() <= 63
        && text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.ends_with('-')
        && !text.contains("--");
    is_valid.then_some(text).ok_or_else(|| {
        invalid_value(format!(
            "The parameter {name} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens: {given}"
        ))
    })
}

/// A number that stands for names.
fn seed(names: &[&str]) -> u64 {
    let hash = Sha256::digest(names.join("/").as_bytes());
    hash.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Letters and digits that stand for names; at most 52.
fn token(names: &[&str], length: usize) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let hash = Sha256::digest(names.join("/").as_bytes());
    let more = Sha256::digest(hash);
    let letters = hash.iter().chain(more.iter()).map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    letters.take(length).collect()
}

/// A host name of RDS.
fn host(name: &str, place: &Place) -> String {
    format!("{name}.c{}.{}.rds.amazonaws.com", token(&[&place.account, &place.region], 11), place.region)
}

fn tag(key: &str, value: &str) -> Xml {
    Xml::new().text("Key", key).text("Value", value)
}

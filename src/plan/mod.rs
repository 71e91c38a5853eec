//! plan: what is to be done to bring the observed to the desired, as data.
//!
//! Pure: no client, no clock, no randomness. Waiting is a value. The plan of a converged platform is empty.

mod cache;
pub mod call;
pub mod check;
mod database;
mod diff;
pub mod elasticache;
mod environment;
mod gate;
pub mod login;
pub mod managed;
mod merge;
mod object;
pub mod preview;
pub mod rds;
mod references;
mod server;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod transcoding;
pub mod workload;

pub use references::references;

use crate::{
    api::{DataStatus, DatabaseDeletionPolicy, Endpoint, Management, names},
    kinds::{Kind, ObjectKey},
    observe::{Observed, Reference, Referenced},
    platform::{Platform, Scale},
};
use jiff::{SignedDuration, Timestamp};
use kube::api::DynamicObject;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Everything that one reconcile does, in the order of the fields.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Secrets to generate, because they are not there. An existing one is never overwritten.
    pub generate: Vec<GeneratedSecret>,
    /// Deployments whose number of replicas is to be handed over to their autoscaler.
    pub hand_over: Vec<HandOver>,
    /// Objects to apply, because they are absent or differ in a field that we own.
    pub apply: Vec<Desired>,
    /// Objects to delete, because the spec no longer asks for them.
    pub prune: Vec<ObjectKey>,
    /// Queues and buckets.
    pub transcoding: transcoding::TranscodingPlan,
    /// The database in AWS.
    pub database: managed::DataPlan,
    /// The cache in AWS.
    pub cache: managed::DataPlan,
    /// What can't be done yet, and why.
    pub waiting: Vec<Waiting>,
    /// What the platform consists of, for the status.
    pub summary: Summary,
}

/// An object as it shall be: only the fields that we own.
#[derive(Clone, Debug)]
pub struct Desired {
    /// Which object.
    pub key: ObjectKey,
    /// Its fields, complete with labels, owner and the hash of the intent. Where it has a UID, only the
    /// object with that UID is meant: the API server refuses to make another.
    pub object: DynamicObject,
}

/// A Secret with a random value, made once. It gets its owner, if it has one, by [`Plan::apply`] as soon as
/// it is observed: an owner that is applied can be taken away again, one that it was made with can't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedSecret {
    /// Name of the Secret.
    pub name: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Values by key. `{random}` stands for 32 random characters of `[A-Za-z0-9]`, the same in every value.
    pub template: BTreeMap<String, String>,
}

/// A Deployment whose `replicas` we own although an autoscaler is there.
///
/// Whoever stops to apply a field that nobody else owns resets it to its default, which for `replicas` is 1.
/// So another field manager ([`crate::api::names::HAND_OVER_MANAGER`]) applies the observed number first.
/// The next plan leaves the field out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandOver {
    /// Name of the Deployment.
    pub deployment: String,
    /// UID of the Deployment; no other one is meant.
    pub uid: String,
    /// The number of replicas that was observed.
    pub replicas: i64,
}

/// Something that can't be done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What waits.
    pub what: ObjectKey,
    /// On what and why.
    pub reason: WaitReason,
}

/// Why something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// A Secret or ConfigMap that it reads is missing.
    ReferenceMissing {
        /// `Secret/name` or `ConfigMap/name`.
        reference: String,
        /// The key, where the object is there and the key is not.
        key: Option<String>,
    },
    /// The Secret is ours and about to be generated.
    Generating(ObjectKey),
    /// The queue or a bucket is not there yet.
    Aws(String),
    /// The database in AWS can't be connected to yet.
    Database,
    /// The cache in AWS can't be connected to yet.
    Cache,
    /// The cluster does not serve this kind.
    NotServed(Kind),
}

/// What a platform consists of.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The components, in the order of the spec.
    pub components: Vec<ComponentSummary>,
    /// Where they can be reached.
    pub endpoints: Vec<Endpoint>,
    /// The database, and the StatefulSet that runs it where the operator does.
    pub database: Option<DataSummary>,
    /// The cache, likewise.
    pub cache: Option<DataSummary>,
    /// Objects that are not as the spec says and stay so, because the platform is suspended.
    pub withheld: Vec<ObjectKey>,
}

/// A component.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentSummary {
    /// Its name within the platform.
    pub name: String,
    /// Its Deployment.
    pub deployment: ObjectKey,
    /// The image that the spec resolves to.
    pub image: String,
    /// Replicas wanted now.
    pub replicas: i32,
}

/// A database or cache.
#[derive(Clone, Debug, PartialEq)]
pub struct DataSummary {
    /// As the status shows it.
    pub status: DataStatus,
    /// The StatefulSet that must be ready; none: someone else runs it.
    pub stateful_set: Option<ObjectKey>,
}

/// Brings the observed to the desired.
#[must_use]
pub fn plan(platform: &Platform, observed: &Observed, now: Timestamp) -> Plan {
    let intent = intent(platform, observed);
    let keys: BTreeSet<_> = intent.keys();
    let mut plan = Plan {
        transcoding: transcoding::plan(
            platform,
            observed.transcoding.as_ref(),
            observed.queue_claimed_by.as_deref(),
        ),
        database: database_in_aws(platform, observed, now),
        cache: cache_in_aws(platform, observed, now),
        summary: summary(platform, observed),
        ..Plan::default()
    };
    for draft in intent.drafts {
        match gate::gate(platform, draft, observed) {
            Ok(desired) => {
                if diff::differs(&desired, observed) {
                    plan.apply.push(desired);
                }
            }
            Err(waiting) => plan.waiting.extend(waiting),
        }
    }
    plan.apply.sort_by_key(|desired| Kind::ALL.iter().position(|kind| *kind == desired.key.kind));
    plan.hand_over = intent.hand_over;
    plan.generate = intent.generate;
    // One that someone else made is as good.
    plan.generate.retain(|secret| {
        let reference = Reference::Secret(secret.name.clone());
        !observed.objects.contains_key(&ObjectKey::new(Kind::Secret, &secret.name))
            && !matches!(observed.references.get(&reference), Some(Referenced::Present { .. }))
    });
    plan.database.login = database_login(platform, observed, &plan, now);
    plan.cache.login = cache_login(platform, observed, &plan, now);
    // Nobody connects by a proxy any more that no Secret and no pod names.
    let login = plan.database.login.as_ref().map(|login| &login.step);
    if matches!(login, Some(login::Step::Nothing { .. })) && rolled_out(observed, &plan) {
        plan.database.calls.extend(unused_proxies(platform, observed, &plan.database));
    }
    plan.prune = observed
        .objects
        .iter()
        .filter(|(key, object)| !keys.contains(key) && diff::is_owned(platform, key.kind, object))
        .map(|(key, _)| key.clone())
        .collect();
    if platform.suspended {
        let Plan {
            generate,
            hand_over,
            apply,
            prune,
            transcoding: _,
            database: _,
            cache: _,
            waiting: _,
            summary,
        } = &mut plan;
        summary.withheld = apply.drain(..).map(|desired| desired.key).collect();
        generate.clear();
        hand_over.clear();
        prune.clear();
        plan.database.login = None;
        plan.cache.login = None;
    }
    debug_assert_eq!(check::check(platform, &plan), Vec::<String>::new());
    plan
}

fn database_in_aws(platform: &Platform, observed: &Observed, now: Timestamp) -> managed::DataPlan {
    match (platform.database_in_aws(), &observed.database) {
        (Some(wanted), Some(seen)) => rds::plan(platform, wanted, seen, now),
        _ => managed::DataPlan::default(),
    }
}

fn cache_in_aws(platform: &Platform, observed: &Observed, now: Timestamp) -> managed::DataPlan {
    match (platform.cache_in_aws(), &observed.cache) {
        (Some(wanted), Some(seen)) => elasticache::plan(platform, wanted, seen, now),
        _ => managed::DataPlan::default(),
    }
}

fn unused_proxies(platform: &Platform, observed: &Observed, plan: &managed::DataPlan) -> Vec<call::Call> {
    match (platform.database_in_aws(), &observed.database) {
        (Some(wanted), Some(seen)) => rds::unused(platform, wanted, &seen.resource, plan),
        _ => Vec::new(),
    }
}

/// What is to be done about the login of a database in AWS, once it can be connected to.
fn database_login(
    platform: &Platform,
    observed: &Observed,
    plan: &Plan,
    now: Timestamp,
) -> Option<managed::LoginPlan> {
    let (wanted, connection) = (platform.database_in_aws()?, plan.database.connection.as_ref()?);
    // A proxy that could not be looked at is not gone: pods stay where they are.
    if observed.database.as_ref().is_some_and(|seen| seen.failure.is_some()) {
        return None;
    }
    if wanted.management == Management::ObserveOnly || connection.master == managed::Master::Unknown {
        return None;
    }
    let record = login_record(platform, observed, names::DATABASE);
    let login = Login {
        part: names::DATABASE,
        endpoint: rds::endpoint(platform, wanted, connection, record.as_ref()),
        vault: observed.database.as_ref().and_then(|seen| rds::vault(platform, wanted, &seen.resource)),
        record,
        interval: wanted.login_rotation_interval,
        refused: observed.database.as_ref().is_some_and(|seen| seen.login_refused),
        master: connection.master.clone(),
        deletion_policy: wanted.deletion_policy,
        holds: plan.database.holds_login,
    };
    Some(login.plan(platform, observed, plan, now))
}

/// What is to be done about the login of a cache in AWS, once it can be connected to.
fn cache_login(
    platform: &Platform,
    observed: &Observed,
    plan: &Plan,
    now: Timestamp,
) -> Option<managed::LoginPlan> {
    let (wanted, connection) = (platform.cache_in_aws()?, plan.cache.connection.as_ref()?);
    if wanted.management == Management::ObserveOnly {
        return None;
    }
    let login = Login {
        part: names::CACHE,
        record: login_record(platform, observed, names::CACHE),
        vault: None,
        endpoint: elasticache::endpoint(connection),
        interval: wanted.login_rotation_interval.filter(|_| wanted.tls),
        refused: observed.cache.as_ref().is_some_and(|seen| seen.login_refused),
        master: connection.master.clone(),
        deletion_policy: wanted.deletion_policy,
        holds: plan.cache.holds_login,
    };
    Some(login.plan(platform, observed, plan, now))
}

/// What the connection Secret says of the login that it holds.
fn login_record(platform: &Platform, observed: &Observed, part: &str) -> Option<login::Record> {
    let key = ObjectKey::new(Kind::Secret, platform.name.child(part));
    let annotations = observed.objects.get(&key)?.metadata.annotations.as_ref()?;
    login::Record::parse(annotations.get(names::ANNOTATION_LOGIN)?)
}

/// What a login of a database or cache is planned from.
struct Login {
    part: &'static str,
    record: Option<login::Record>,
    vault: Option<login::Vault>,
    endpoint: login::Endpoint,
    interval: Option<Duration>,
    refused: bool,
    master: managed::Master,
    deletion_policy: DatabaseDeletionPolicy,
    holds: bool,
}

impl Login {
    fn plan(
        self,
        platform: &Platform,
        observed: &Observed,
        plan: &Plan,
        now: Timestamp,
    ) -> managed::LoginPlan {
        let Self { part, record, vault, endpoint, interval, refused, master, deletion_policy, holds } = self;
        let interval = interval.map(SignedDuration::try_from);
        let step = login::plan(&login::Facts {
            record: record.as_ref(),
            endpoint: &endpoint,
            now,
            interval: interval.and_then(Result::ok).unwrap_or(SignedDuration::MAX),
            asked: platform.rotate_login.as_deref(),
            refused,
            vault: vault.as_ref(),
            may_rotate: !holds && rolled_out(observed, plan),
        });
        managed::LoginPlan {
            step,
            from: record,
            endpoint,
            master,
            vault,
            labels: platform.labels(part),
            // What is retained keeps what opens it.
            retained: deletion_policy == DatabaseDeletionPolicy::Retain,
        }
    }
}

/// Whether no pod is left of an earlier template.
fn rolled_out(observed: &Observed, plan: &Plan) -> bool {
    let changes = plan.apply.iter().any(|desired| desired.key.kind == Kind::Deployment);
    let of_now = |deployment: &ObjectKey| {
        let number = |pointer| object::integer(observed, deployment, pointer).unwrap_or_default();
        let generation = observed.objects.get(deployment).and_then(|it| it.metadata.generation);
        number("/status/observedGeneration") >= generation.unwrap_or_default()
            && number("/status/updatedReplicas") == number("/status/replicas")
    };
    !changes && plan.summary.components.iter().all(|component| of_now(&component.deployment))
}

/// What shall be, before it is known what can be.
#[derive(Debug, Default)]
struct Intent {
    drafts: Vec<object::Draft>,
    generate: Vec<GeneratedSecret>,
    hand_over: Vec<HandOver>,
    /// Objects that something else than a plan's apply keeps as they shall be.
    kept: Vec<ObjectKey>,
}

impl Intent {
    /// Everything that shall be there, whether it can be made yet or not.
    fn keys(&self) -> BTreeSet<ObjectKey> {
        let secrets = self.generate.iter().map(|secret| ObjectKey::new(Kind::Secret, &secret.name));
        self.drafts
            .iter()
            .map(|draft| draft.key.clone())
            .chain(secrets)
            .chain(self.kept.iter().cloned())
            .collect()
    }
}

fn intent(platform: &Platform, observed: &Observed) -> Intent {
    let mut intent = Intent::default();
    database::add(platform, observed, &mut intent);
    cache::add(platform, observed, &mut intent);
    workload::add(platform, observed, &mut intent);
    intent
}

fn summary(platform: &Platform, observed: &Observed) -> Summary {
    let components = platform.components.iter().map(|component| {
        let deployment = ObjectKey::new(Kind::Deployment, platform.name.child(&component.name));
        let replicas = match component.scale {
            Scale::Fixed(replicas) => replicas,
            Scale::Auto { min, .. } => object::integer(observed, &deployment, "/spec/replicas")
                .and_then(|replicas| i32::try_from(replicas).ok())
                .unwrap_or(min),
        };
        let image = component.image.reference.clone();
        ComponentSummary { name: component.name.clone(), deployment, image, replicas }
    });
    Summary {
        components: components.collect(),
        endpoints: platform.components.iter().map(|it| workload::route::endpoint(platform, it)).collect(),
        database: platform.database.as_ref().map(|data| server::summary(platform, names::DATABASE, data)),
        cache: platform.cache.as_ref().map(|data| server::summary(platform, names::CACHE, data)),
        withheld: Vec::new(),
    }
}

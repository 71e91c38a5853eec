//! One platform with a cache, of its operator what the cache takes, the cloud, and a cluster for its Secret.

use crate::world::{REGION, settings};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, api::DynamicObject};
use serde_json::{Value, json};
use simulation::{
    aws::{ACCOUNT, Call, Cloud, Place, elasticache::ElastiCache},
    clock::Clock,
    kubernetes::{Cluster, resource::SECRETS, store::Key},
};
use std::{collections::BTreeMap, time::Duration};
use streaming_operator::{
    api::{DataStatus, StreamingPlatform},
    apply::{
        aws::{Applied, Outcome, Passwords, apply_in_order},
        cache_login::{Login, Staged},
        connection::{Connection, Protocol, Target},
    },
    aws::{Account, Accounts, Unheard},
    kinds::{Kind, ObjectKey},
    managed::{Seen, elasticache},
    metrics::Metrics,
    observe::{Observed, Reference, Referenced, aws::cache::Caches},
    plan::{self, Plan, managed::Removal},
    platform::{Aws, Credentials, Platform},
    status::{self, View},
    validate::validate,
};
use tokio::time::Instant;

/// How often the operator looks while something moves.
const BUSY: Duration = Duration::from_secs(15);
/// And else.
const IDLE: Duration = Duration::from_secs(60);
/// How long something may take.
const LONGEST: Duration = Duration::from_secs(4 * 3600);

pub struct CacheWorld {
    pub cloud: Cloud,
    pub resource: StreamingPlatform,
    /// The operator's memory; see [`Self::new_leader`].
    staged: Option<Staged>,
    unheard: Unheard,
    changed_at: Option<Instant>,
    caches: Caches,
    account: Account,
    cluster: Cluster,
    client: Client,
    /// The login that the Secret held before the present one.
    pub login_before: Option<(String, String)>,
}

impl CacheWorld {
    /// A Wednesday at noon, and a platform with this below `spec.cache.aws`.
    pub async fn new(aws: &str) -> Self {
        let cloud = Cloud::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()));
        Self::in_cloud(cloud, "tv", aws).await
    }

    /// Another platform of the same account.
    pub async fn in_cloud(cloud: Cloud, name: &str, aws: &str) -> Self {
        let aws: Value = serde_saphyr::from_str(aws).unwrap();
        let resource = serde_json::from_value(json!({
            "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
            "metadata": {"name": name, "namespace": "media", "uid": format!("uid-of-{name}"), "generation": 1},
            "spec": {"aws": {"region": REGION}, "cache": {"provider": "AWS", "aws": aws}},
        }));
        Self::of(cloud, resource.unwrap()).await
    }

    /// Of this platform.
    pub async fn of(cloud: Cloud, resource: StreamingPlatform) -> Self {
        let cluster = Cluster::new(cloud.clock());
        let client = cluster.client();
        let accounts = Accounts::with_config(client.clone(), Metrics::default(), cloud.sdk_config(REGION));
        let aws = Aws {
            region: REGION.to_owned(),
            credentials: Credentials::Operator,
            endpoint_url: None,
            tags: BTreeMap::new(),
        };
        let account = accounts.account("media", &aws, None).await.unwrap();
        Self {
            cloud,
            resource,
            staged: None,
            unheard: Unheard::default(),
            changed_at: None,
            caches: Caches::default(),
            account,
            cluster,
            client,
            login_before: None,
        }
    }

    /// Changes the spec below `spec.cache.aws` as a user does.
    pub fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut spec = serde_json::to_value(&self.resource.spec).unwrap();
        change(&mut spec["cache"]["aws"]);
        self.set_spec(spec);
    }

    pub fn set_spec(&mut self, spec: Value) {
        self.resource.spec = serde_json::from_value(spec).unwrap();
        *self.resource.metadata.generation.get_or_insert(0) += 1;
    }

    pub fn deletion_policy(&mut self, policy: &str) {
        let mut spec = serde_json::to_value(&self.resource.spec).unwrap();
        spec["cache"]["deletionPolicy"] = json!(policy);
        self.set_spec(spec);
    }

    pub fn annotate(&mut self, name: &str, value: &str) {
        self.resource.metadata.annotations.get_or_insert_default().insert(name.into(), value.into());
    }

    /// Another replica takes over, and knows nothing.
    pub fn new_leader(&mut self) {
        (self.staged, self.changed_at) = (None, None);
        (self.unheard, self.caches) = (Unheard::default(), Caches::default());
    }

    pub fn now(&self) -> Timestamp {
        self.cloud.clock().now()
    }

    pub fn elasticache<T>(&self, act: impl FnOnce(&mut ElastiCache, Timestamp) -> T) -> T {
        let place = Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
        self.cloud.with(&place, |region, now| act(&mut region.elasticache, now))
    }

    pub fn status(&self) -> DataStatus {
        self.resource.status.clone().and_then(|status| status.cache).unwrap_or_default()
    }

    pub fn identifier(&self) -> String {
        self.status().identifier.expect("it is there")
    }

    /// The condition `CacheReady`: status, reason and message.
    pub fn condition(&self) -> (String, String, String) {
        let conditions = self.resource.status.as_ref().map(|it| it.conditions.as_slice()).unwrap_or_default();
        let found = conditions.iter().find(|it| it.type_ == "CacheReady").expect("a condition");
        (found.status.clone(), found.reason.clone(), found.message.clone())
    }

    /// Actions that change something, in order.
    pub fn changes(&self) -> Vec<String> {
        let is_change = |call: &Call| !call.action.contains(":Describe") && !call.action.contains(":List");
        let calls = self.cloud.calls();
        let named = |call: &Call| call.action.trim_start_matches("elasticache:").to_owned();
        calls.iter().filter(|call| is_change(call)).map(named).collect()
    }

    pub fn changes_since(&self, from: usize) -> Vec<String> {
        self.changes().split_off(from)
    }

    /// A value of the connection Secret.
    pub fn secret(&self, key: &str) -> Option<String> {
        String::from_utf8(self.stored()?.data?.remove(key)?.0).ok()
    }

    /// The connection Secret.
    fn stored(&self) -> Option<Secret> {
        let key = Key { resource: SECRETS, namespace: "media".into(), name: self.secret_name() };
        let stored = self.cluster.with(|store, _| store.get(&key))?;
        Some(serde_json::from_value(stored).unwrap())
    }

    fn secret_name(&self) -> String {
        format!("{}-cache", self.resource.metadata.name.as_deref().unwrap())
    }

    /// User and password of the connection Secret.
    pub fn login(&self) -> Option<(String, String)> {
        Some((self.secret("username")?, self.secret("password")?))
    }

    pub fn lets_in(&self, login: &(String, String)) -> bool {
        let identifier = self.identifier();
        self.elasticache(|it, _| it.lets_in(&identifier, &login.0, Some(&login.1)))
    }

    fn observed(&self, seen: Option<Seen<elasticache::Cache>>) -> Observed {
        let mut observed = Observed { cache: seen, ..Observed::default() };
        let name = self.secret_name();
        let referenced = match self.stored() {
            Some(Secret { metadata, data: Some(data), .. }) => {
                let keys = data.keys().cloned().collect();
                let content_hash = format!("{data:?}");
                let mut object = DynamicObject::new(&name, &Kind::Secret.api_resource());
                object.metadata = metadata;
                observed.objects.insert(ObjectKey::new(Kind::Secret, &name), object);
                Referenced::Present { keys, content_hash }
            }
            // It is not there, or only claimed.
            _ => Referenced::Missing,
        };
        observed.references.insert(Reference::Secret(name), referenced);
        observed
    }

    pub fn platform(&self) -> Platform {
        validate(&self.resource, &self.observed(None), &settings()).unwrap()
    }

    async fn look(&self, platform: &Platform, age: Duration) -> Seen<elasticache::Cache> {
        let wanted = platform.cache_in_aws().unwrap();
        let not_before = Instant::now().checked_sub(age).max(self.changed_at).unwrap_or_else(Instant::now);
        self.caches.observe(&self.resource, platform, wanted, Ok(&self.account), not_before).await.seen
    }

    async fn call(&mut self, calls: &[plan::call::Call]) -> Applied {
        let passwords = Passwords::new(self.client.clone(), "media");
        let applied = apply_in_order(&self.account, &passwords, calls).await;
        self.caches.forget(&self.account, calls);
        if !calls.is_empty() {
            self.changed_at = Some(Instant::now());
        }
        applied
    }

    /// Brings the platform one step further.
    pub async fn reconcile(&mut self) -> Plan {
        let platform = self.platform();
        let seen = self.look(&platform, BUSY).await;
        let observed = self.observed(Some(seen));
        let plan = plan::plan(&platform, &observed, self.now());
        let mut applied = self.call(&plan.cache.calls).await;
        let before = self.login();
        if let Some(login) = &plan.cache.login {
            let connection = Connection {
                secrets: Api::namespaced(self.client.clone(), "media"),
                metrics: Metrics::default(),
                target: Target {
                    name: format!("{}-cache", platform.name),
                    labels: login.labels.clone(),
                    owner: None,
                    retained: false,
                },
                endpoint: login.endpoint.clone(),
                protocol: Protocol::Redis { tls: true },
                vault: None,
            };
            let login = Login {
                account: &self.account,
                connection: &connection,
                platform: &platform,
                plan: login,
                seen: observed.cache.as_ref().unwrap(),
                unheard: &self.unheard,
            };
            match login.carry_out(&mut self.staged).await {
                Ok(true) => self.changed_at = Some(Instant::now()),
                Ok(false) => {}
                Err(failure) => applied.failures.push(failure),
            }
        }
        if self.login() != before {
            self.login_before = before;
        }
        let aws = Outcome { cache: applied, ..Outcome::default() };
        let view = View::Planned {
            platform: &platform,
            observed: &observed,
            plan: &plan,
            applied: &streaming_operator::apply::cluster::Applied::default(),
            aws: &aws,
        };
        let before = self.resource.status.clone().unwrap_or_default();
        self.resource.status = Some(status::status(&self.resource, &before, view, self.now()));
        plan
    }

    /// Reconciles as the operator does while something moves, until `done`. Fails after [`LONGEST`].
    pub async fn until(&mut self, what: &str, done: impl Fn(&Self, &Plan) -> bool) {
        for _ in 0..LONGEST.as_secs() / BUSY.as_secs() {
            let plan = self.reconcile().await;
            if done(self, &plan) {
                return;
            }
            tokio::time::advance(BUSY).await;
        }
        panic!("not reached within {LONGEST:?}: {what}; {:?}\n{:#?}", self.condition(), self.changes());
    }

    /// Until the cache can be used and nothing is to be done.
    pub async fn settle(&mut self) {
        self.until("ready", |world, plan| world.condition().0 == "True" && plan.cache.calls.is_empty()).await;
    }

    /// Reconciles for so long, as the operator does while nothing moves.
    pub async fn idle(&mut self, minutes: u64) {
        for _ in 0..minutes * 60 / IDLE.as_secs() {
            self.reconcile().await;
            tokio::time::advance(IDLE).await;
        }
    }

    /// Reconciles every half hour for so many days, which each window contains.
    pub async fn days(&mut self, days: u64) {
        for _ in 0..days * 48 {
            self.reconcile().await;
            tokio::time::advance(Duration::from_secs(1800)).await;
        }
    }

    /// Removes the cache as the finalizer does, and tells what held it up.
    pub async fn delete(&mut self) -> Result<(), String> {
        for _ in 0..1000 {
            let platform = self.platform();
            let seen = self.look(&platform, Duration::ZERO).await;
            assert_eq!(seen.failure, None);
            match plan::elasticache::teardown(&platform, platform.cache_in_aws().unwrap(), &seen) {
                Removal::Done => return Ok(()),
                Removal::HeldUp(message) => return Err(message),
                Removal::Waiting(_) => {}
                Removal::Calls(calls) => {
                    let applied = self.call(&calls).await;
                    if let Some(failure) = applied.failures.iter().find(|failure| !failure.waiting) {
                        return Err(failure.message.clone());
                    }
                }
            }
            tokio::time::advance(BUSY).await;
        }
        panic!("never deleted: {:#?}", self.changes());
    }
}

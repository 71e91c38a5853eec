//! One platform, its operator and the cloud, without a Kubernetes: the status is kept here, and of Secrets
//! only that they are there.

use jiff::Timestamp;
use k8s_openapi::{api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{Client, api::DynamicObject, client::Body};
use simulation::{
    aws::{ACCOUNT, Call, Cloud, Place, rds::Rds, secrets::Secrets},
    clock::Clock,
};
use std::{collections::BTreeSet, convert::Infallible, time::Duration};
use streaming_operator::{
    api::{DataStatus, StreamingPlatform, names},
    apply::{
        aws::{Applied, Drilled, Outcome, Passwords, apply_in_order},
        master,
        postgres::{Login, Password},
        vault,
    },
    aws::{Account, Accounts},
    kinds::{Kind, ObjectKey},
    managed::{Seen, rds},
    metrics::Metrics,
    observe::{Observed, Reference, Referenced, aws::database::Databases},
    plan::{
        self, Plan, login,
        managed::{LoginPlan, Removal},
        rds::drill::{Answer, Question, Step},
    },
    platform::{Aws, Credentials, Platform},
    settings::{Images, Settings},
    status::{self, View},
    validate::validate,
};
use tokio::time::Instant;

pub const REGION: &str = "eu-central-1";
/// How often the operator looks while something moves.
const BUSY: Duration = Duration::from_secs(15);
/// And else.
const IDLE: Duration = Duration::from_secs(60);

/// How long anything may take: storage that AWS optimizes takes longest.
const LONGEST: Duration = Duration::from_secs(8 * 3600);

pub struct World {
    pub cloud: Cloud,
    pub resource: StreamingPlatform,
    pub account: Account,
    /// What the connection Secret says of its login.
    pub login: Option<login::Record>,
    /// What a restored database answers.
    pub answer: Answer,
    databases: Databases,
    client: Client,
    changed_at: Option<Instant>,
}

/// What one reconcile found and did.
pub struct Pass {
    pub plan: Plan,
    pub applied: Applied,
    pub drilled: Drilled,
}

impl World {
    /// A Wednesday at noon, and a platform with this spec below `spec.database.aws`.
    pub async fn new(aws: &str) -> Self {
        let cloud = Cloud::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()));
        Self::in_cloud(cloud, "tv", aws).await
    }

    /// Another platform of the same account.
    pub async fn in_cloud(cloud: Cloud, name: &str, aws: &str) -> Self {
        let aws: serde_json::Value = serde_saphyr::from_str(aws).unwrap();
        let resource = serde_json::from_value(serde_json::json!({
            "apiVersion": "streamingplatform.dev/v1alpha1", "kind": "StreamingPlatform",
            "metadata": {"name": name, "namespace": "media", "uid": format!("uid-of-{name}"), "generation": 1},
            "spec": {"aws": {"region": REGION}, "database": {"provider": "AWS", "aws": aws}},
        }));
        Self::of(cloud, resource.unwrap()).await
    }

    /// Of this platform.
    pub async fn of(cloud: Cloud, resource: StreamingPlatform) -> Self {
        let client = no_cluster();
        let accounts = Accounts::with_config(client.clone(), Metrics::default(), cloud.sdk_config(REGION));
        let aws = Aws {
            region: REGION.to_owned(),
            credentials: Credentials::Operator,
            endpoint_url: None,
            tags: std::collections::BTreeMap::new(),
        };
        let account = accounts.account("media", &aws, None).await.unwrap();
        Self {
            cloud,
            resource,
            account,
            login: None,
            answer: Answer::Passed,
            databases: Databases::default(),
            client,
            changed_at: None,
        }
    }

    /// Changes the spec below `spec.database.aws` as a user does.
    pub fn edit(&mut self, change: impl FnOnce(&mut serde_json::Value)) {
        let mut spec = serde_json::to_value(&self.resource.spec).unwrap();
        change(&mut spec["database"]["aws"]);
        self.set_spec(spec);
    }

    pub fn set_spec(&mut self, spec: serde_json::Value) {
        self.resource.spec = serde_json::from_value(spec).unwrap();
        *self.resource.metadata.generation.get_or_insert(0) += 1;
    }

    pub fn annotate(&mut self, name: &str, value: &str) {
        self.resource.metadata.annotations.get_or_insert_default().insert(name.into(), value.into());
    }

    /// Secrets of the platform's namespace.
    pub fn secrets(&self) -> kube::Api<Secret> {
        kube::Api::namespaced(self.client.clone(), "media")
    }

    pub fn now(&self) -> Timestamp {
        self.cloud.clock().now()
    }

    pub fn rds<T>(&self, act: impl FnOnce(&mut Rds, Timestamp) -> T) -> T {
        let place = Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
        self.cloud.with(&place, |region, now| act(&mut region.rds, now))
    }

    /// Secrets in Secrets Manager.
    pub fn secret<T>(&self, act: impl FnOnce(&mut Secrets, Timestamp) -> T) -> T {
        let place = Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
        self.cloud.with(&place, |region, now| act(&mut region.secrets, now))
    }

    pub fn status(&self) -> DataStatus {
        self.resource.status.clone().and_then(|status| status.database).unwrap_or_default()
    }

    /// The condition `DatabaseReady`: status, reason and message.
    pub fn condition(&self) -> (String, String, String) {
        let found = self.condition_of("DatabaseReady");
        (found.status.clone(), found.reason.clone(), found.message.clone())
    }

    /// Whether the platform serves.
    pub fn serves(&self) -> bool {
        self.condition_of("Ready").status == "True"
    }

    fn condition_of(&self, kind: &str) -> &Condition {
        let conditions = self.resource.status.as_ref().map(|it| it.conditions.as_slice()).unwrap_or_default();
        conditions.iter().find(|it| it.type_ == kind).expect("a condition")
    }

    /// Actions that change something, in order; all of which went well unless `failed` is asked for.
    pub fn changes(&self) -> Vec<String> {
        let is_change = |call: &Call| !call.action.contains(":Describe") && !call.action.contains(":List");
        self.cloud.calls().iter().filter(|call| is_change(call)).map(|call| call.action.clone()).collect()
    }

    /// The calls since the first `from` ones that change something.
    pub fn changes_since(&self, from: usize) -> Vec<String> {
        self.changes().split_off(from)
    }

    fn observed(&self, seen: Option<Seen<rds::Database>>) -> Observed {
        let mut observed = Observed { database: seen, ..Observed::default() };
        let name = format!("{}-database", self.resource.metadata.name.as_deref().unwrap());
        let reference = Reference::Secret(name.clone());
        let Some(record) = &self.login else {
            observed.references.insert(reference, Referenced::Missing);
            return observed;
        };
        let keys = BTreeSet::from(["uri".to_owned()]);
        let content_hash = format!("{record:?}");
        observed.references.insert(reference, Referenced::Present { keys, content_hash });
        let mut secret = DynamicObject::new(&name, &Kind::Secret.api_resource());
        let record = serde_json::to_string(record).unwrap();
        secret.metadata.annotations = Some([(names::ANNOTATION_LOGIN.to_owned(), record)].into());
        observed.objects.insert(ObjectKey::new(Kind::Secret, &name), secret);
        observed
    }

    pub fn platform(&self) -> Platform {
        validate(&self.resource, &self.observed(None), &settings()).unwrap()
    }

    async fn look(&self, platform: &Platform, age: Duration) -> Seen<rds::Database> {
        let wanted = platform.database_in_aws().unwrap();
        let not_before = Instant::now().checked_sub(age).max(self.changed_at).unwrap_or_else(Instant::now);
        self.databases.observe(&self.resource, platform, wanted, Ok(&self.account), not_before).await.seen
    }

    /// Brings the platform one step further.
    pub async fn reconcile(&mut self) -> Pass {
        let platform = self.platform();
        let seen = self.look(&platform, BUSY).await;
        let observed = self.observed(Some(seen));
        let plan = plan::plan(&platform, &observed, self.now());
        let passwords = Passwords::new(self.client.clone(), "media");
        let applied = apply_in_order(&self.account, &passwords, &plan.database.calls).await;
        self.databases.forget(&self.account, &plan.database.calls);
        if !plan.database.calls.is_empty() {
            self.changed_at = Some(Instant::now());
        }
        if let Some(login) = &plan.database.login {
            self.log_in(login).await;
        }
        let drilled = self.drill(&plan).await;
        let aws = Outcome { database: applied.clone(), drill: drilled.clone(), ..Outcome::default() };
        let view = View::Planned {
            platform: &platform,
            observed: &observed,
            plan: &plan,
            applied: &streaming_operator::apply::cluster::Applied::default(),
            aws: &aws,
        };
        let before = self.resource.status.clone().unwrap_or_default();
        self.resource.status = Some(status::status(&self.resource, &before, view, self.now()));
        Pass { plan, applied, drilled }
    }

    /// Sets no login, but gives it to the proxy and writes down what the Secret would say.
    async fn log_in(&mut self, plan: &LoginPlan) {
        use login::Step;
        let (Step::Set { record, .. } | Step::Store { record } | Step::Rewrite { record }) = &plan.step
        else {
            return;
        };
        if let Some(vault) = plan.vault.as_ref().filter(|vault| !vault.holds(record)) {
            let username = format!("user {:?}", record.user);
            let login = Login { username, password: Password::new("correct-horse") };
            if vault::store(&self.account, vault, record, &login).await.is_err() {
                return;
            }
        }
        self.login = Some(record.clone());
        self.changed_at = Some(Instant::now());
    }

    async fn drill(&mut self, plan: &Plan) -> Drilled {
        match plan.database.drill.as_ref().map(|drill| &drill.step) {
            Some(Step::Calls(calls)) => {
                let passwords = Passwords::new(self.client.clone(), "media");
                let applied = apply_in_order(&self.account, &passwords, calls).await;
                if !calls.is_empty() {
                    self.changed_at = Some(Instant::now());
                }
                Drilled { applied, answer: None }
            }
            Some(Step::Ask(question)) => {
                Drilled { answer: Some(self.ask(question).await), ..Drilled::default() }
            }
            Some(Step::Rest) | None => Drilled::default(),
        }
    }

    async fn ask(&self, question: &Question) -> Answer {
        match master::login(&self.account, &self.secrets(), &question.master).await {
            Ok(_) => self.answer.clone(),
            Err(error) => Answer::NotYet(error.to_string()),
        }
    }

    /// What another operator begins with that leads from now on.
    pub fn next_operator(&mut self) {
        (self.databases, self.changed_at) = (Databases::default(), None);
    }

    /// Reconciles as the operator does, every 15 s or 60 s, until `done`. Fails after [`LONGEST`].
    pub async fn until(&mut self, what: &str, done: impl Fn(&Self, &Pass) -> bool) {
        for _ in 0..LONGEST.as_secs() / BUSY.as_secs() {
            let pass = self.reconcile().await;
            if done(self, &pass) {
                return;
            }
            tokio::time::advance(BUSY).await;
        }
        panic!("not reached within {LONGEST:?}: {what}; {:?}\n{:#?}", self.condition(), self.changes());
    }

    /// Until the database can be used and nothing is to be done.
    pub async fn settle(&mut self) {
        self.until("ready", |world, pass| {
            world.condition().0 == "True" && pass.plan.database.calls.is_empty()
        })
        .await;
    }

    /// Reconciles for so long, as the operator does while nothing moves.
    pub async fn idle(&mut self, hours: u64) {
        for _ in 0..hours * 3600 / IDLE.as_secs() {
            let pass = self.reconcile().await;
            assert_eq!(pass.applied.failures, [], "{:?}", pass.plan.database.calls);
            tokio::time::advance(IDLE).await;
        }
    }

    /// Reconciles every ten minutes for eight days, so that every window has been.
    pub async fn eight_days(&mut self) {
        for _ in 0..8 * 24 * 6 {
            self.reconcile().await;
            tokio::time::advance(Duration::from_secs(600)).await;
        }
    }

    /// Removes the database as the finalizer does, and tells what held it up.
    pub async fn delete(&mut self) -> Result<(), String> {
        for _ in 0..1000 {
            let platform = self.platform();
            let seen = self.look(&platform, Duration::ZERO).await;
            let wanted = platform.database_in_aws().unwrap();
            match plan::rds::teardown(&platform, wanted, &seen) {
                Removal::Done => return Ok(()),
                Removal::HeldUp(message) => return Err(message),
                Removal::Waiting(_) => {}
                Removal::Calls(calls) => {
                    let passwords = Passwords::new(self.client.clone(), "media");
                    let applied = apply_in_order(&self.account, &passwords, &calls).await;
                    self.changed_at = Some(Instant::now());
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

pub fn settings() -> Settings {
    Settings {
        allowed_roles: vec!["*=arn:aws:iam::123456789012:role/*".parse().unwrap()],
        operator_identity_namespaces: vec!["*".to_owned()],
        ..Settings::new(Images::named(|name| format!("example.com/{name}:1")))
    }
}

/// A cluster of which only the master's Secret is ever read.
fn no_cluster() -> Client {
    let answer = |_: http::Request<Body>| async {
        let secret = Secret {
            data: Some(
                [("username", "master"), ("password", "correct-horse")]
                    .map(|(key, value)| (key.to_owned(), k8s_openapi::ByteString(value.into())))
                    .into(),
            ),
            ..Secret::default()
        };
        let body = serde_json::to_vec(&secret).unwrap();
        Ok::<_, Infallible>(http::Response::new(Body::from(body)))
    };
    Client::new(tower::service_fn(answer), "default")
}

//! Rotations through the connection Secret, while pods log in all the time.

use crate::{
    cluster::{Cluster, Fate},
    server::{MASTER_PASSWORD, check, create, master, set_login},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::json;
use service_common::testing::Postgres;
use std::{
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    time::Duration,
};
use streaming_operator::{
    api::names,
    apply::{
        connection::{Connection, ConnectionError, Pending, Protocol, Target, server},
        postgres::{Existing, Login, Password, Server},
        sessions::Postgres as Sessions,
    },
    metrics::Metrics,
    plan::login::{Endpoint, Facts, ROTATION_INTERVAL, Record, Step, User, Why, plan},
};
use tokio::time::timeout;

fn target() -> Target {
    Target { name: "tv-database".into(), labels: [].into(), owner: None, retained: false }
}

fn owner(uid: &str) -> OwnerReference {
    OwnerReference { kind: "StreamingPlatform".into(), uid: uid.into(), ..OwnerReference::default() }
}

struct Platform {
    cluster: Cluster,
    connection: Connection,
    now: Timestamp,
}

impl Platform {
    async fn new(postgres: &Postgres) -> Self {
        create(postgres, "app").await;
        let cluster = Cluster::default();
        let endpoint = Endpoint {
            resource_id: "db-1".into(),
            host: "127.0.0.1".into(),
            server: "127.0.0.1".into(),
            reader: None,
            port: postgres.port,
            dbname: "app".into(),
            ca: None,
        };
        let connection = Connection {
            secrets: cluster.secrets(),
            metrics: Metrics::default(),
            target: target(),
            endpoint,
            protocol: Protocol::Postgres,
            vault: None,
        };
        Self { cluster, connection, now: Timestamp::UNIX_EPOCH }
    }

    fn record(&self) -> Option<Record> {
        Record::parse(self.cluster.secret()?.annotations().get(names::ANNOTATION_LOGIN)?)
    }

    async fn step(&self, refused: bool) -> Step {
        let record = self.record();
        plan(&Facts {
            record: record.as_ref(),
            endpoint: &self.connection.endpoint,
            now: self.now,
            interval: ROTATION_INTERVAL,
            asked: None,
            refused,
            vault: None,
            may_rotate: true,
        })
    }

    async fn carry_out(&self, step: &Step) -> Result<bool, ConnectionError> {
        let from = self.record();
        self.connection
            .carry_out(
                from.as_ref(),
                step,
                Existing::Grant,
                &Sessions::default(),
                async { Ok(master()) },
                &Pending::default(),
            )
            .await
    }

    /// One reconcile; returns what was done.
    async fn reconcile(&self, refused: bool) -> Step {
        let step = self.step(refused).await;
        self.carry_out(&step).await.unwrap();
        step
    }

    /// What a pod that starts now logs in with.
    fn pod(&self) -> (Server, Login) {
        let login = Login {
            username: self.cluster.value("username").unwrap(),
            password: Password::new(self.cluster.value("password").unwrap()),
        };
        (server(&self.connection.endpoint), login)
    }
}

/// Three rotations of a password under load: one task is always a pod that starts, the others are old pods
/// whose pool reconnects. A pod lives until the next rotation is through, as [`Facts::may_rotate`] demands.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_rotations_fail_no_login() {
    const LOGINS_BETWEEN: u32 = 20;
    let postgres = Postgres::start(None);
    let mut platform = Platform::new(&postgres).await;
    assert!(matches!(platform.reconcile(false).await, Step::Set { why: Why::New, .. }));
    let mut users = vec![platform.pod().1.username];
    let mut passwords = vec![platform.pod().1.password.reveal().to_owned()];
    let total = AtomicU32::new(0);
    for _ in 0..3 {
        let (done, new, old) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        let old_pod = platform.pod();
        platform.now += ROTATION_INTERVAL;
        let logins = |count: &AtomicU32| count.load(Ordering::SeqCst);
        let reached = |from: u32, count| async move {
            while logins(count) < from + LOGINS_BETWEEN {
                tokio::task::yield_now().await;
            }
        };
        let starting = async {
            while !done.load(Ordering::SeqCst) {
                let (server, login) = platform.pod();
                check(&server, &login).await.expect("a pod that starts");
                new.fetch_add(1, Ordering::SeqCst);
            }
        };
        let reconnecting = async {
            while !done.load(Ordering::SeqCst) {
                check(&old_pod.0, &old_pod.1).await.expect("an old pod");
                old.fetch_add(1, Ordering::SeqCst);
            }
        };
        let rotating = async {
            reached(0, &new).await;
            let Step::Set { why: Why::Due, record } = platform.reconcile(false).await else {
                panic!("a rotation is due")
            };
            let (before, before_old) = (logins(&new), logins(&old));
            reached(before, &new).await;
            reached(before_old, &old).await;
            done.store(true, Ordering::SeqCst);
            record
        };
        let (record, (), ()) = tokio::join!(rotating, starting, reconnecting);
        assert_eq!(record.set_at, platform.now);
        total.fetch_add(logins(&new) + logins(&old), Ordering::SeqCst);
        users.push(platform.pod().1.username);
        passwords.push(platform.pod().1.password.reveal().to_owned());
    }
    assert_eq!(users, ["app_platform_a", "app_platform_b", "app_platform_a", "app_platform_b"]);
    let total = total.into_inner();
    assert!(total >= 3 * 3 * LOGINS_BETWEEN, "{total} logins");
    assert!(matches!(platform.reconcile(false).await, Step::Nothing { .. }));

    // The server has written each statement down, and no password.
    let log = postgres.log();
    assert!(log.contains("ALTER ROLE \"app_platform_b\" WITH LOGIN"), "statements are logged");
    assert!(log.contains("SCRAM-SHA-256$4096:"), "passwords come as verifiers");
    passwords.push(MASTER_PASSWORD.to_owned());
    assert!(passwords.iter().all(|password| !log.contains(password)), "a password is in the log");
}

#[tokio::test]
async fn a_crash_before_the_secret_is_written_harms_nobody() {
    let postgres = Postgres::start(None);
    let mut platform = Platform::new(&postgres).await;
    platform.reconcile(false).await;
    platform.now += ROTATION_INTERVAL;
    let (server, in_use) = platform.pod();
    // Set, and lost with the process that set it.
    set_login(&server, &master(), User::B, Existing::Grant).await.unwrap();
    check(&server, &in_use).await.unwrap();
    assert!(matches!(platform.reconcile(false).await, Step::Set { why: Why::Due, .. }));
    let (_, next) = platform.pod();
    check(&server, &next).await.unwrap();
    check(&server, &in_use).await.unwrap();
}

#[tokio::test]
async fn a_late_leader_sets_no_password_that_is_in_use() {
    let postgres = Postgres::start(None);
    let mut platform = Platform::new(&postgres).await;
    platform.reconcile(false).await;
    platform.now += ROTATION_INTERVAL;
    let (from, step) = (platform.record(), platform.step(false).await);
    platform.reconcile(false).await;
    let (server, in_use) = platform.pod();
    let unasked = async { panic!("the master is not needed") };
    let late = platform
        .connection
        .carry_out(from.as_ref(), &step, Existing::Grant, &Sessions::default(), unasked, &Pending::default())
        .await;
    assert!(matches!(late, Err(ConnectionError::Changed(_))), "{late:?}");
    check(&server, &in_use).await.unwrap();

    // Somebody writes before it is claimed.
    let step = Step::Set { why: Why::Asked, record: Record { user: User::A, ..platform.record().unwrap() } };
    let from = platform.record();
    let cluster = platform.cluster.clone();
    let meanwhile = async move {
        let mut secret = json!(cluster.secret());
        secret["metadata"]["resourceVersion"] = json!("99");
        cluster.put(&secret);
        Ok(master())
    };
    let late = platform
        .connection
        .carry_out(
            from.as_ref(),
            &step,
            Existing::Grant,
            &Sessions::default(),
            meanwhile,
            &Pending::default(),
        )
        .await;
    assert!(matches!(late, Err(ConnectionError::Changed(_))), "{late:?}");
    assert_eq!(platform.pod().1, in_use);
}

#[tokio::test]
async fn tries_that_fail_claim_the_secret_once_and_lead_nobody_to_it() {
    let postgres = Postgres::start(None);
    let platform = Platform::new(&postgres).await;
    let step = platform.step(false).await;
    let pending = Pending::default();
    for _ in 0..2 {
        let wrong = async { Ok(Login { password: Password::new("wrong"), ..master() }) };
        let sessions = Sessions::default();
        let tried =
            platform.connection.carry_out(None, &step, Existing::Grant, &sessions, wrong, &pending).await;
        assert!(matches!(tried, Err(ConnectionError::Login(_))), "{tried:?}");
    }
    let claimed = platform.cluster.secret().unwrap();
    assert_eq!((claimed.resource_version().as_deref(), claimed.data), (Some("1"), None));
    let checked = platform.connection.check(&Sessions::default()).await;
    assert!(matches!(checked, Err(ConnectionError::Missing(_))), "{checked:?}");

    // Who comes after it claims it anew.
    platform.reconcile(false).await;
    platform.connection.check(&Sessions::default()).await.unwrap();
    assert!(!platform.cluster.secret().unwrap().annotations().contains_key(names::ANNOTATION_CLAIM));
}

/// A login that was sent may arrive after the next one was set: then there is another claim.
#[tokio::test]
async fn a_login_that_was_sent_is_never_sent_by_the_same_claim_again_but_where_it_was_refused() {
    let postgres = Postgres::start(None);
    let platform = Platform::new(&postgres).await;
    let step = platform.step(false).await;
    let (pending, sessions) = (Pending::default(), Sessions::default());
    let try_it = || {
        let master = async { Ok(master()) };
        platform.connection.carry_out(None, &step, Existing::Grant, &sessions, master, &pending)
    };
    let claim = || platform.cluster.secret().unwrap().annotations()[names::ANNOTATION_CLAIM].clone();
    platform.cluster.befalls(Fate::Refused);
    assert!(matches!(try_it().await, Err(ConnectionError::Kube { .. })));
    let refused = claim();
    assert!(matches!(try_it().await, Err(ConnectionError::Kube { .. })));
    assert_eq!(claim(), refused);

    platform.cluster.befalls(Fate::Lost);
    assert!(timeout(Duration::from_secs(2), try_it()).await.is_err());
    assert_eq!(claim(), refused);
    assert!(timeout(Duration::from_secs(2), try_it()).await.is_err());
    assert_ne!(claim(), refused);
}

#[tokio::test]
async fn a_retained_login_stays_without_an_owner_until_another_one_is_in_its_place() {
    let postgres = Postgres::start(None);
    let mut platform = Platform::new(&postgres).await;
    platform.connection.target = Target { owner: Some(owner("before")), retained: true, ..target() };
    let owners = |platform: &Platform| {
        let secret = platform.cluster.secret().unwrap();
        secret.owner_references().iter().map(|it| it.uid.clone()).collect::<Vec<_>>()
    };
    // What holds no login goes with the platform.
    platform.cluster.befalls(Fate::Refused);
    platform.carry_out(&platform.step(false).await).await.unwrap_err();
    assert_eq!(owners(&platform), ["before"]);
    platform.cluster.befalls(Fate::Performed);
    platform.reconcile(false).await;
    assert_eq!(owners(&platform), [""; 0]);

    // Another platform of that name has another database.
    platform.connection.target = Target { owner: Some(owner("after")), ..target() };
    platform.connection.endpoint.resource_id = "db-2".into();
    platform.cluster.befalls(Fate::Refused);
    let step = platform.step(false).await;
    assert!(matches!(step, Step::Set { why: Why::AnotherDatabase, .. }), "{step:?}");
    platform.carry_out(&step).await.unwrap_err();
    assert_eq!(owners(&platform), [""; 0]);
    platform.cluster.befalls(Fate::Performed);
    let mut secret = json!(platform.cluster.secret());
    secret["metadata"]["ownerReferences"] =
        json!([OwnerReference { kind: "Backup".into(), ..owner("other") }]);
    platform.cluster.put(&secret);
    platform.carry_out(&step).await.unwrap();
    assert_eq!(owners(&platform), ["other", "after"]);
}

#[tokio::test]
async fn a_refused_login_is_replaced_and_a_new_host_keeps_it() {
    let postgres = Postgres::start(None);
    let mut platform = Platform::new(&postgres).await;
    assert!(matches!(
        platform.connection.check(&Sessions::default()).await,
        Err(ConnectionError::Missing(_))
    ));
    platform.reconcile(false).await;
    platform.connection.check(&Sessions::default()).await.unwrap();
    platform.now += SignedDuration::from_hours(1);

    let mut admin = crate::server::session(&platform.pod().0, &master()).await;
    crate::server::run(&mut admin, "ALTER ROLE app_platform_a PASSWORD 'broken'").await.unwrap();
    let refused = platform.connection.check(&Sessions::default()).await;
    assert!(matches!(refused, Err(ConnectionError::Login(error)) if error.is_refused()));
    assert!(matches!(platform.reconcile(true).await, Step::Set { why: Why::Refused, .. }));
    platform.connection.check(&Sessions::default()).await.unwrap();

    let before = platform.pod().1;
    platform.connection.endpoint.host = "localhost".into();
    let step = platform.step(false).await;
    assert!(matches!(step, Step::Rewrite { .. }));
    let unasked = async { panic!("the master is not needed") };
    let from = platform.record();
    platform
        .connection
        .carry_out(from.as_ref(), &step, Existing::Grant, &Sessions::default(), unasked, &Pending::default())
        .await
        .unwrap();
    assert_eq!(platform.pod().1, before);
    assert_eq!(platform.cluster.value("host").as_deref(), Some("localhost"));
    platform.connection.check(&Sessions::default()).await.unwrap();
    assert!(matches!(platform.step(false).await, Step::Nothing { .. }));
}

#[tokio::test]
async fn the_secret_of_an_embedded_database_is_not_overwritten() {
    let postgres = Postgres::start(None);
    let platform = Platform::new(&postgres).await;
    let embedded = json!({"metadata": {"name": "tv-database"}, "data": {"username": "cGxhdGZvcm0=", "password": "eA=="}});
    platform.cluster.put(&embedded);
    let step = plan(&Facts {
        record: None,
        endpoint: &platform.connection.endpoint,
        now: platform.now,
        interval: ROTATION_INTERVAL,
        asked: None,
        refused: false,
        vault: None,
        may_rotate: true,
    });
    let unasked = async { panic!("the master is not needed") };
    let kept = platform
        .connection
        .carry_out(None, &step, Existing::Grant, &Sessions::default(), unasked, &Pending::default())
        .await;
    assert!(matches!(kept, Err(ConnectionError::NotOurs(_))), "{kept:?}");
    assert_eq!(platform.cluster.value("password").as_deref(), Some("x"));
}

//! A database in AWS from its making to its end, against an emulator that has a real PostgreSQL behind each endpoint.

use super::{DEADLINE, Test, condition};
use anyhow::{Context, Result, ensure};
use aws_sdk_rds::types::{DbInstance, DbSnapshot};
use e2e::{
    apiserver::{ApiServer, Kubelet, Operator, REGION, settings},
    fakecloud::Fakecloud,
    kind::{
        Check,
        aws::{ACCESS_KEY, SECRET_KEY},
        eventually,
    },
    wire::{Fault, Wire},
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use std::cell::Cell;
use streaming_operator::api::{ConditionType, DataStatus, FinishedDrill, StreamingPlatform, names};

/// The connection Secret.
const SECRET: &str = "tv-database";
/// How often the operator's SDK makes a call that fails in passing.
const TRIES: usize = 3;

/// A platform with a backend and a database in AWS.
struct Scene {
    test: Test,
    wire: Wire,
    rds: aws_sdk_rds::Client,
    spec: Value,
}

fn spec(endpoint: &str) -> Value {
    json!({
        "aws": {"region": REGION, "endpointURL": endpoint, "credentialsSecretRef": {"name": "keys"}},
        "backend": {"image": "test/app:1", "replicas": 1},
        "database": {
            "provider": "AWS",
            "aws": {
                "masterPassword": "Kubernetes",
                "network": {"tls": false},
                "maintenance": {"restarts": "Immediately"},
            },
        },
    })
}

async fn operator(namespace: &str, wire: &Wire) -> Result<Operator> {
    let mut settings = settings(namespace);
    settings.allowed_aws_endpoints = vec![wire.url.clone()];
    Operator::with(ApiServer::shared().await, settings, "first").await
}

impl Scene {
    /// Applies the platform. `faults` happen from its first call on.
    async fn start(name: &str, faults: impl FnOnce(&Wire)) -> Result<Self> {
        let (server, fakecloud) = (ApiServer::shared().await, Fakecloud::shared().await);
        let (client, namespace) = (server.client().await?, server.namespace(name).await?);
        let wire = Wire::to(&fakecloud.endpoint).await?;
        faults(&wire);
        let test = Test {
            operator: operator(&namespace, &wire).await?,
            _kubelet: Kubelet::start(client.clone(), &namespace),
            client,
            namespace,
        };
        test.secret("keys", json!({"accessKeyID": ACCESS_KEY, "secretAccessKey": SECRET_KEY})).await?;
        let scene = Self { rds: aws_sdk_rds::Client::new(&fakecloud.sdk), spec: spec(&wire.url), test, wire };
        scene.test.apply("tv", scene.spec.clone()).await?;
        Ok(scene)
    }

    /// The same, and waits until the platform is ready and at rest.
    async fn ready(name: &str) -> Result<Self> {
        let scene = Self::start(name, |_| {}).await?;
        scene.settled().await?;
        Ok(scene)
    }

    /// Waits until the platform is ready and at rest.
    async fn settled(&self) -> Result<DataStatus> {
        let status = self.test.ready("tv").await?;
        assert_eq!(condition(&status, ConditionType::DatabaseReady).0, "True");
        status.database.context("a status of the database")
    }

    /// Changes the database's part of the spec.
    async fn change(&mut self, change: impl FnOnce(&mut Value)) -> Result<()> {
        change(&mut self.spec["database"]);
        self.test.apply("tv", self.spec.clone()).await
    }

    async fn annotate(&self, annotation: &str, value: &str) -> Result<()> {
        let patch = json!({"metadata": {"annotations": {annotation: value}}});
        self.test.merge::<StreamingPlatform>("tv", patch).await?;
        Ok(())
    }

    /// What the connection Secret says.
    async fn login(&self) -> Result<Login> {
        let secret = self.test.api::<Secret>().get(SECRET).await?;
        let data = secret.data.context("a Secret with data")?;
        let value = |key: &str| -> Result<String> {
            let value = data.get(key).with_context(|| format!("no {key}"))?;
            Ok(String::from_utf8(value.0.clone())?)
        };
        Ok(Login { uri: value("uri")?, username: value("username")? })
    }

    /// Waits until the connection Secret says something else than `before`.
    async fn another_login(&self, before: &Login) -> Result<Login> {
        eventually("the Secret has another login", DEADLINE, async || {
            let login = self.login().await?;
            if login != *before {
                return Ok(Check::Done(login));
            }
            let platform = self.test.api::<StreamingPlatform>().get("tv").await?;
            Ok(Check::NotYet(format!("the same; {:?}", platform.status)))
        })
        .await
    }

    /// Ends the operator and starts one that remembers nothing; it looks at everything anew.
    async fn next_operator(&mut self) -> Result<()> {
        let next = operator(&self.test.namespace, &self.wire).await?;
        std::mem::replace(&mut self.test.operator, next).crash();
        self.test.converges(0).await
    }

    /// The platform's instances.
    async fn instances(&self) -> Result<Vec<DbInstance>> {
        let all = self.rds.describe_db_instances().send().await?.db_instances.unwrap_or_default();
        let ours = |it: &DbInstance| {
            let mut tags = it.tag_list().iter();
            tags.any(|tag| {
                tag.key() == Some(names::TAG_NAMESPACE) && tag.value() == Some(&self.test.namespace)
            })
        };
        Ok(all.into_iter().filter(ours).collect())
    }

    async fn snapshots(&self, of: &str) -> Result<Vec<DbSnapshot>> {
        let found = self.rds.describe_db_snapshots().db_instance_identifier(of).send().await?;
        Ok(found.db_snapshots.unwrap_or_default())
    }

    /// Takes a snapshot and waits until it can be restored.
    async fn snapshot(&self, of: &str, name: &str) -> Result<()> {
        let request = self.rds.create_db_snapshot().db_instance_identifier(of);
        request.db_snapshot_identifier(name).send().await?;
        eventually("the snapshot is available", DEADLINE, async || {
            let all = self.snapshots(of).await?;
            let status = all.iter().find(|it| it.db_snapshot_identifier() == Some(name));
            Ok(match status.and_then(DbSnapshot::status) {
                Some("available") => Check::Done(()),
                other => Check::NotYet(format!("{other:?}")),
            })
        })
        .await
    }

    /// Waits until nothing but these instances is the platform's.
    async fn only(&self, wanted: &[&str]) -> Result<()> {
        eventually(&format!("the instances are {wanted:?}"), DEADLINE, async || {
            let instances = self.instances().await?;
            let found: Vec<_> = instances.iter().filter_map(DbInstance::db_instance_identifier).collect();
            Ok(if found == wanted { Check::Done(()) } else { Check::NotYet(format!("{found:?}")) })
        })
        .await
    }

    /// Lets a restore drill be due, as if the operator had been down since, and waits until it has ended.
    async fn drill_due_since(&self, slot: &str) -> Result<FinishedDrill> {
        let patch = Patch::Merge(json!({"status": {"database": {"restoreDrill": {"next": slot}}}}));
        let platforms = self.test.api::<StreamingPlatform>();
        platforms.patch_status("tv", &PatchParams::default(), &patch).await?;
        eventually(&format!("the drill of {slot} has ended"), DEADLINE, async || {
            let status = platforms.get("tv").await?.status;
            let drills = status.and_then(|it| it.database?.restore_drill).unwrap_or_default();
            let ended = drills.last.clone().filter(|it| it.slot.0.to_string() == slot);
            Ok(ended.map_or(Check::NotYet(format!("{drills:?}")), Check::Done))
        })
        .await
    }

    async fn deleted(&self) -> Result<()> {
        self.test.delete::<StreamingPlatform>("tv").await?;
        self.test.gone::<StreamingPlatform>("tv").await?;
        self.only(&[]).await
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Login {
    uri: String,
    username: String,
}

impl Login {
    async fn connect(&self) -> Result<PgConnection> {
        let connection = PgConnection::connect(&self.uri).await;
        connection.with_context(|| format!("{} can't log in", self.username))
    }

    /// Makes a table of videos with one row.
    async fn fill(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        connection.execute("CREATE TABLE videos (title text)").await?;
        connection.execute("INSERT INTO videos VALUES ('kept')").await?;
        Ok(())
    }

    async fn titles(&self) -> Result<Vec<String>> {
        Ok(sqlx::query_scalar("SELECT title FROM videos").fetch_all(&mut self.connect().await?).await?)
    }
}

#[tokio::test]
async fn a_database_is_made_used_and_then_left_alone() -> Result<()> {
    let mut scene = Scene::ready("db-made").await?;
    let login = scene.login().await?;
    login.fill().await?;
    assert_eq!(login.titles().await?, ["kept"]);
    let creates = scene.wire.calls().iter().filter(|call| *call == "CreateDBInstance").count();
    assert_eq!(creates, 1);

    let changes = scene.wire.changes();
    for round in 0..3 {
        scene.next_operator().await?;
        assert_eq!(scene.wire.changes()[changes.len()..], [] as [String; 0], "round {round}");
        assert_eq!(scene.test.operator.requests.writes(), [] as [String; 0], "round {round}");
    }
    assert_eq!(scene.login().await?, login);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn no_login_fails_while_it_is_rotated() -> Result<()> {
    let scene = Scene::ready("db-rotated").await?;
    let first = scene.login().await?;
    first.fill().await?;
    let (rotated, logins) = (Cell::new(false), Cell::new(0_u32));
    let load = async {
        while !rotated.get() {
            ensure!(scene.login().await?.titles().await? == ["kept"]);
            logins.set(logins.get() + 1);
        }
        Ok(())
    };
    let rotations = async {
        let mut before = first.clone();
        for round in ["1", "2", "3"] {
            scene.annotate(names::ANNOTATION_ROTATE_LOGIN, round).await?;
            let after = scene.another_login(&before).await?;
            ensure!(after.username != before.username);
            before.titles().await.context("pods that were started before go on")?;
            scene.settled().await?;
            before = after;
        }
        rotated.set(true);
        Ok(())
    };
    tokio::try_join!(load, rotations)?;
    assert!(logins.get() > 3, "{} logins", logins.get());
    first.connect().await.expect_err("the first password was replaced");
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_restore_brings_the_rows_back_and_what_it_replaces_is_kept_until_it_is_confirmed() -> Result<()> {
    let mut scene = Scene::ready("db-restored").await?;
    let old = scene.login().await?;
    old.fill().await?;
    let first = scene.settled().await?.identifier.context("an identifier")?;
    let snapshot = format!("{first}-good");
    scene.snapshot(&first, &snapshot).await?;
    old.connect().await?.execute("DROP TABLE videos").await?;

    scene
        .change(|database| {
            database["aws"]["restore"] = json!({"name": "one", "snapshotIdentifier": snapshot});
        })
        .await?;
    let new = scene.another_login(&old).await?;
    assert_eq!(new.titles().await?, ["kept"]);
    let status = scene.settled().await?;
    let second = format!("{first}-one");
    assert_eq!(status.identifier.as_deref(), Some(second.as_str()));
    scene.only(&[&first, &second]).await?;
    old.titles().await.expect_err("the damaged database has no table");

    scene.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one").await?;
    scene.only(&[&second]).await?;
    scene.settled().await?;
    assert_eq!(new.titles().await?, ["kept"]);
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_deleted_platform_leaves_a_final_snapshot() -> Result<()> {
    let scene = Scene::ready("db-snapshot").await?;
    let identifier = scene.settled().await?.identifier.context("an identifier")?;
    scene.deleted().await?;
    let snapshots = scene.snapshots(&identifier).await?;
    let [snapshot] = &snapshots[..] else { panic!("one snapshot, not {snapshots:?}") };
    let name = snapshot.db_snapshot_identifier().unwrap_or_default();
    assert!(name.starts_with(&format!("{identifier}-final-")), "{name}");
    assert_eq!(snapshot.status(), Some("available"));
    scene.test.operator.stop().await
}

#[tokio::test]
async fn deletion_in_words_leaves_nothing() -> Result<()> {
    let mut scene = Scene::ready("db-deleted").await?;
    let identifier = scene.settled().await?.identifier.context("an identifier")?;
    scene.change(|database| database["deletionPolicy"] = json!("Delete")).await?;
    scene.settled().await?;
    scene.deleted().await?;
    assert_eq!(scene.snapshots(&identifier).await?, []);
    let groups = scene.rds.describe_db_parameter_groups().send().await?;
    let left = groups.db_parameter_groups().iter().filter_map(|it| it.db_parameter_group_name());
    assert!(left.clone().all(|name| !name.contains(&identifier)), "{:?}", left.collect::<Vec<_>>());
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_making_whose_answer_is_lost_makes_one_database() -> Result<()> {
    let scene =
        Scene::start("db-cut", |wire| wire.fault("CreateDBInstance", Fault::AnswerCut, TRIES)).await?;
    let status = scene.settled().await?;
    assert!(scene.wire.is_sound());
    scene.only(&[status.identifier.as_deref().context("an identifier")?]).await?;
    scene.login().await?.fill().await?;
    scene.test.operator.stop().await
}

#[tokio::test]
async fn descriptions_that_lag_behind_make_no_second_database() -> Result<()> {
    let missing = Fault::Refused("DBParameterGroupNotFound");
    let scene = Scene::start("db-lagging", |wire| wire.fault("DescribeDBParameters", missing, 2)).await?;
    let creates = || scene.wire.calls().iter().filter(|call| *call == "CreateDBInstance").count();
    eventually("the database is made", DEADLINE, async || {
        Ok(if creates() > 0 { Check::Done(()) } else { Check::NotYet("no".into()) })
    })
    .await?;
    scene.wire.fault("DescribeDBInstances", Fault::Stale, 2);
    let status = scene.settled().await?;
    assert!(scene.wire.is_sound());
    scene.only(&[status.identifier.as_deref().context("an identifier")?]).await?;
    scene.test.operator.stop().await
}

#[tokio::test]
async fn a_restore_drill_asks_the_copy_and_leaves_only_the_database() -> Result<()> {
    let mut scene = Scene::ready("db-drill").await?;
    let login = scene.login().await?;
    login.fill().await?;
    let drill = |query: &str| json!({"schedule": "0 0 1 1 *", "query": query});
    scene.change(|database| database["aws"]["restoreDrill"] = drill("SELECT count(*) FROM videos")).await?;
    let database = scene.settled().await?.identifier.context("an identifier")?;

    let passed = scene.drill_due_since("2025-01-01T00:00:00Z").await?;
    assert!(passed.passed, "{passed:?}");
    assert!(passed.rto_seconds.is_some_and(|rto| rto < 600) && passed.rpo_seconds.is_some(), "{passed:?}");
    scene.only(&[&database]).await?;

    let query = "SELECT count(*) FROM videos WHERE title = 'lost'";
    scene.change(|database| database["aws"]["restoreDrill"] = drill(query)).await?;
    scene.settled().await?;
    let failed = scene.drill_due_since("2026-01-01T00:00:00Z").await?;
    assert!(!failed.passed && failed.message.ends_with("is 0"), "{failed:?}");
    scene.only(&[&database]).await?;
    let status = scene.settled().await?;
    let drills = status.restore_drill.context("a status of drills")?;
    assert_eq!(drills.last_passed_at, Some(passed.finished_at));

    let restores = scene.wire.calls().iter().filter(|call| *call == "RestoreDBInstanceToPointInTime").count();
    assert_eq!(restores, 2);
    assert_eq!(scene.login().await?, login, "nothing points to the copy");
    assert_eq!(login.titles().await?, ["kept"]);
    scene.test.operator.stop().await
}

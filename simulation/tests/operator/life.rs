//! The examples' whole lives, and the calls that each step of them makes: docs/lives.

use crate::{cache_world::CacheWorld, world::REGION, world::World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use simulation::{
    aws::{Call, Cloud, rds::Subnet},
    clock::Clock,
};
use std::{collections::BTreeMap, env, fmt::Write, fs, path::PathBuf, time::Duration};
use streaming_operator::api::{StreamingPlatform, names};

const PRODUCTION: &str = include_str!("../../../examples/production.yaml");
const DEVELOPMENT: &str = include_str!("../../../examples/development.yaml");

/// How often the operator looks while something moves.
const BUSY: Duration = Duration::from_secs(15);
/// And else.
const IDLE: Duration = Duration::from_secs(60);
/// How long a step may take.
const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// What names a resource in a call, the first that it has.
const NAMES: &[&str] = &[
    "TargetDBInstanceIdentifier",
    "DBInstanceIdentifier",
    "DBClusterIdentifier",
    "DBSubnetGroupName",
    "DBClusterParameterGroupName",
    "DBParameterGroupName",
    "ReplicationGroupId",
    "CacheSubnetGroupName",
    "CacheParameterGroupName",
    "UserId",
    "UserGroupId",
    "ResourceName",
];

/// A platform with its database and its cache in one account.
struct Life {
    database: World,
    cache: CacheWorld,
    /// What is written of it.
    story: String,
    told: usize,
}

impl Life {
    async fn of(name: &str, manifest: &str) -> Self {
        let manifest = manifest.replace("ap-south-1", REGION);
        let mut resource: StreamingPlatform = serde_saphyr::from_str(&manifest).unwrap();
        resource.metadata.uid = Some("uid-of-tv".to_owned());
        resource.metadata.generation = Some(1);
        let cloud = Cloud::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()));
        let database = World::of(cloud.clone(), resource.clone()).await;
        let subnets = ('a'..='c').enumerate().map(|(index, zone)| {
            let subnet = Subnet { vpc: "vpc-1".to_owned(), zone };
            (format!("subnet-0a1b2c3d4e5f6000{}", index + 1), subnet)
        });
        database.rds(|rds, _| rds.subnets.extend(subnets));
        let story = format!(
            "# The life of `examples/{name}.yaml`, call by call\n\n\
             What the operator calls in AWS at each step: every call that changes something, with the time since the\n\
             step began, and how many that only read. The account is the stateful fake of `simulation/`; its times are\n\
             of the order of AWS's. It is looked at every 15 s while something moves, else once a minute, by six\n\
             descriptions of RDS and seven of ElastiCache, which all platforms of an account share. Written by\n\
             `simulation/tests/operator/life.rs`, which fails when a call changes.\n"
        );
        Self { cache: CacheWorld::of(cloud, resource).await, database, story, told: 0 }
    }

    /// Changes the spec as a user does.
    fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut spec = serde_json::to_value(&self.database.resource.spec).unwrap();
        change(&mut spec);
        self.database.set_spec(spec.clone());
        self.cache.set_spec(spec);
    }

    async fn look(&mut self) -> bool {
        let database = self.database.reconcile().await;
        let cache = self.cache.reconcile().await;
        let calls = database.plan.database.calls.len() + cache.cache.calls.len();
        let ready = calls == 0 && self.database.condition().0 == "True" && self.cache.condition().0 == "True";
        tokio::time::advance(if ready { IDLE } else { BUSY }).await;
        ready
    }

    /// Looks as long as the operator does, until all is ready and `done`.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        for _ in 0..LONGEST.as_secs() / BUSY.as_secs() {
            if self.look().await && done(self) {
                return;
            }
        }
        panic!("never: {:?} {:?}", self.database.condition(), self.cache.condition());
    }

    /// Looks for so many minutes.
    async fn minutes(&mut self, minutes: i64) {
        let end = self.database.now() + SignedDuration::from_mins(minutes);
        while self.database.now() < end {
            self.look().await;
        }
    }

    /// Ends a step of the story: the calls since the last one, and what the status says now.
    fn tell(&mut self, title: &str, what: &str, since: Timestamp) {
        self.tell_calls(title, what, since);
        self.tell_status();
    }

    /// The calls since the last step.
    fn tell_calls(&mut self, title: &str, what: &str, since: Timestamp) {
        let calls = self.database.cloud.calls();
        let news = &calls[self.told..];
        let _ = write!(self.story, "\n## {title}\n\n{what}\n\n");
        let (reads, changes): (Vec<&Call>, Vec<&Call>) = news.iter().partition(|call| is_read(call));
        if changes.is_empty() {
            self.story += "Nothing is changed.\n";
        } else {
            self.story += "| after | call | of | with |\n|---|---|---|---|\n";
            for call in changes {
                self.story += &row(call, since);
            }
        }
        let mut counts = BTreeMap::<&str, usize>::new();
        reads.iter().for_each(|call| *counts.entry(&call.action).or_default() += 1);
        let mut times = BTreeMap::<usize, Vec<&str>>::new();
        counts.iter().for_each(|(action, count)| times.entry(*count).or_default().push(action));
        let listed = times.iter().rev().map(|(count, actions)| match actions[..] {
            [_, _, _, _, ..] => format!("{count} × {} descriptions", actions.len()),
            _ => format!("{count} × {}", actions.join(", ")),
        });
        let _ = write!(self.story, "\nReads: {}.\n", listed.collect::<Vec<_>>().join("; "));
        self.told = calls.len();
    }

    fn tell_status(&mut self) {
        let (database, cache) = (self.database.condition(), self.cache.condition());
        let _ = write!(
            self.story,
            "\n`DatabaseReady` is {}: {}. `CacheReady` is {}: {}.\n",
            database.0, database.2, cache.0, cache.2
        );
    }

    fn identifier(&self) -> String {
        self.database.status().identifier.unwrap()
    }

    async fn applied(&mut self) {
        let since = self.database.now();
        self.until(|_| true).await;
        self.tell("Applied, until it is ready", "`kubectl apply`.", since);
        let since = self.database.now();
        self.minutes(60).await;
        self.tell("Idle for an hour", "Nothing happens.", since);
    }

    /// The platform goes, with database and cache.
    async fn deleted(&mut self, what: &str) {
        let since = self.database.now();
        self.database.delete().await.unwrap();
        self.cache.delete().await.unwrap();
        self.tell_calls("Deleted", what, since);
    }

    fn check(self, name: &str) {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/lives/{name}.md"));
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&path, &self.story).unwrap();
            return;
        }
        let written = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == self.story,
            "docs/lives/{name}.md: run `make generate`, look at the difference, commit"
        );
    }
}

fn is_read(call: &Call) -> bool {
    [":Describe", ":List", ":Get"].iter().any(|verb| call.action.contains(verb))
}

/// A call as a row of a table. What makes something has too many parameters to list; see the golden files of
/// `src/plan`.
fn row(call: &Call, since: Timestamp) -> String {
    let Call { at, action, parameters, error, .. } = call;
    let name = NAMES.iter().find_map(|name| Some((*name, parameters.get(name)?)));
    let (key, name) = name.unwrap_or_default();
    let name = name.rsplit(':').next().unwrap_or(name);
    let tells = |it: &str| {
        let of_a_restore =
            ["Source", "RestoreTo", "Snapshot", "UseLatest"].iter().any(|part| it.contains(part));
        match action {
            makes if makes.contains(":Create") || makes.contains("Tag") => false,
            restores if restores.contains(":Restore") => of_a_restore && it != "CopyTagsToSnapshot",
            _ => it != "ApplyImmediately" && !it.ends_with("ApplyMethod"),
        }
    };
    let of_interest = |it: &(&String, &String)| it.0 != key && tells(it.0);
    let with: Vec<_> = parameters
        .0
        .iter()
        .filter(of_interest)
        .map(|(key, value)| format!("{}={value}", key.replace(".member", "")))
        .collect();
    let error = error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default();
    let minutes = at.as_second() - since.as_second();
    let after = format!("{}:{:02}:{:02}", minutes / 3600, minutes / 60 % 60, minutes % 60);
    format!("| {after} | `{action}`{error} | {name} | {} |\n", with.join(" "))
}

#[tokio::test(start_paused = true)]
async fn production() {
    let mut life = Life::of("production", PRODUCTION).await;
    life.applied().await;

    let since = life.database.now();
    life.edit(|spec| {
        spec["database"]["aws"]["serverless"]["maxACU"] = json!("8");
        spec["database"]["aws"]["readers"] = json!(2);
        spec["cache"]["aws"]["replicas"] = json!(2);
    });
    life.until(|life| life.cache.status().settled_generation == Some(2)).await;
    life.tell(
        "Changed online",
        "`serverless.maxACU: 8`, `readers: 2`, a second replica of the cache: nobody notices, so it is done at once.",
        since,
    );

    let since = life.database.now();
    life.edit(|spec| spec["database"]["aws"]["parameters"] = json!({"max_connections": "500"}));
    life.minutes(60).await;
    life.tell(
        "Changed, with a restart",
        "`parameters: {max_connections: 500}` is only in force after a restart, which waits for the window on Sunday.",
        since,
    );
    let approval = life.database.status().approval.unwrap();
    let since = life.database.now();
    life.database.annotate(names::ANNOTATION_APPROVE, &approval);
    life.until(|life| life.database.status().pending_changes.is_empty()).await;
    life.tell(
        "Approved",
        "The annotation `streamingplatform.dev/approve` has the token of `status.database.approval`.",
        since,
    );

    let since = life.database.now();
    let cluster = life.identifier();
    let console = aws_sdk_rds::Client::new(&life.database.cloud.sdk_config(REGION));
    let by_hand = console.modify_db_cluster().db_cluster_identifier(&cluster).backup_retention_period(1);
    by_hand.apply_immediately(true).send().await.unwrap();
    life.until(|_| true).await;
    life.minutes(2).await;
    life.tell(
        "Broken: someone changes it in the console",
        "The first call is that of the console, which sets the retention of backups to one day.",
        since,
    );

    let since = life.database.now();
    let group = life.cache.identifier();
    let primary = life.cache.status().primary.unwrap();
    life.cache.elasticache(|it, now| it.start_failover(&group, "0001", now).unwrap());
    life.until(|life| life.cache.status().primary.is_some_and(|it| it != primary)).await;
    life.tell(
        "Broken: the cache's primary fails",
        "A replica takes over. The endpoint and the login stay, and the status names the new primary.",
        since,
    );

    life.database.rds(|rds, now| assert!(rds.write(&format!("{cluster}-1"), now, 7)));
    life.minutes(30).await;
    let good = life.database.now();
    life.minutes(30).await;
    life.database.rds(|rds, now| assert!(rds.write(&format!("{cluster}-1"), now, 666)));
    life.told = life.database.cloud.calls().len();
    let since = life.database.now();
    life.edit(|spec| spec["database"]["aws"]["restore"] = json!({"name": "one", "time": good.to_string()}));
    life.until(|life| life.identifier() != cluster).await;
    let restored = life.identifier();
    life.database.rds(|rds, _| assert_eq!(rds.read(&format!("{restored}-1")), Some(7)));
    life.tell(
        "Restored",
        "Data was damaged; `restore: {name: one, time: …}` brings it back as it was half an hour before. Pods stay with \
         the old cluster until the new one serves. The old one is kept.",
        since,
    );
    let since = life.database.now();
    life.database.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one");
    life.until(|life| life.database.status().kept.is_empty()).await;
    life.tell(
        "Confirmed",
        "The annotation `streamingplatform.dev/confirm-restore: one`: the old cluster goes, after a final snapshot.",
        since,
    );

    hibernated(&mut life).await;

    life.deleted(
        "`kubectl delete`, with `deletionPolicy: Snapshot`, which is the default: protection that the spec does not name is \
         lifted, and a final snapshot of both stays.",
    )
    .await;
    let snapshots = life.database.rds(|rds, _| rds.cluster_snapshots.len());
    assert!(snapshots >= 2, "{snapshots}: what the restore replaced, and the end");
    life.check("production");
}

/// Suspended for eight days, one more than AWS keeps a database stopped; then resumed.
async fn hibernated(life: &mut Life) {
    let since = life.database.now();
    life.edit(|spec| {
        spec["database"]["aws"]["whenSuspended"] = json!("Stopped");
        spec["suspend"] = json!(true);
    });
    for _ in 0..8 * 24 {
        life.database.reconcile().await;
        life.cache.reconcile().await;
        tokio::time::advance(Duration::from_secs(3600)).await;
    }
    let status = life.database.status();
    assert_eq!(status.state.as_deref(), Some("stopped"));
    life.tell(
        "Hibernated for eight days",
        "`whenSuspended: Stopped` and `suspend: true`. AWS starts a stopped database after seven days; it is stopped \
         again. A cache can't be stopped. The operator looks once an hour here.",
        since,
    );
    let since = life.database.now();
    life.edit(|spec| spec["suspend"] = json!(false));
    life.until(|life| life.database.status().state.as_deref() == Some("available")).await;
    life.tell("Resumed", "`suspend: false`.", since);
}

#[tokio::test(start_paused = true)]
async fn development() {
    let mut life = Life::of("development", DEVELOPMENT).await;
    life.applied().await;

    let since = life.database.now();
    life.edit(|spec| spec["database"]["aws"]["instanceClass"] = json!("db.t4g.small"));
    life.until(|_| true).await;
    life.tell(
        "Changed",
        "A larger class restarts it: at once, as `maintenance.restarts: Immediately` says.",
        since,
    );

    let since = life.database.now();
    let instance = life.identifier();
    life.database.rds(|rds, now| rds.fill(&instance, now, 19));
    life.minutes(5).await;
    life.until(|_| true).await;
    life.tell(
        "Its storage fills up",
        "AWS grows it by itself, up to `storage.maxSize`; that is no drift.",
        since,
    );

    let console = aws_sdk_rds::Client::new(&life.database.cloud.sdk_config(REGION));
    let since = life.database.now();
    console.stop_db_instance().db_instance_identifier(&instance).send().await.unwrap();
    life.minutes(5).await;
    life.until(|_| true).await;
    life.tell(
        "Broken: someone stops it in the console",
        "The first call is that of the console. The operator waits until it is stopped, and starts it.",
        since,
    );

    life.database.rds(|rds, now| assert!(rds.write(&instance, now, 7)));
    let snapshot = console.create_db_snapshot().db_instance_identifier(&instance);
    snapshot.db_snapshot_identifier("before-the-damage").send().await.unwrap();
    life.minutes(30).await;
    life.database.rds(|rds, now| assert!(rds.write(&instance, now, 666)));
    life.told = life.database.cloud.calls().len();
    let since = life.database.now();
    life.edit(|spec| {
        spec["database"]["aws"]["restore"] =
            json!({"name": "one", "snapshotIdentifier": "before-the-damage"});
    });
    life.until(|life| life.identifier() != instance).await;
    let restored = life.identifier();
    life.database.rds(|rds, _| assert_eq!(rds.read(&restored), Some(7)));
    life.database.annotate(names::ANNOTATION_CONFIRM_RESTORE, "one");
    life.until(|life| life.database.status().kept.is_empty()).await;
    life.tell(
        "Restored and confirmed",
        "From a snapshot that was taken by hand. The old instance goes without one, as `deletionPolicy: Delete` says.",
        since,
    );

    hibernated(&mut life).await;
    life.deleted("`kubectl delete`, with `deletionPolicy: Delete`: nothing stays.").await;
    life.database.rds(|rds, _| assert!(rds.instances.is_empty()));
    life.check("development");
}

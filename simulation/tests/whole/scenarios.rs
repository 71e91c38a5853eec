//! Everything that is done with a platform, and the operator dies at each of its requests meanwhile.

use crate::{
    life::{Act, Scenario},
    world::World,
};
use serde_json::Value;
use streaming_operator::api::names::{ANNOTATION_CONFIRM_RESTORE, ANNOTATION_ROTATE_LOGIN};

const EMBEDDED: &str = "{frontend: {image: 'a:1'}, backend: {image: 'b:1', replicas: 2},
    database: {provider: Embedded}, cache: {provider: Embedded}}";
const EMBEDDED_DELETED: &str = "{frontend: {image: 'a:1'}, backend: {image: 'b:1', replicas: 2},
    database: {provider: Embedded, deletionPolicy: Delete}, cache: {provider: Embedded}}";
const IN_AWS: &str =
    "{aws: {region: eu-central-1}, frontend: {image: 'a:1'}, backend: {image: 'b:1', replicas: 2},
    database: {provider: AWS, aws: {version: '16.4', maintenance: {restarts: Immediately}}},
    cache: {provider: AWS}, transcoding: {maxConcurrentJobs: 2}}";
const RETAINED: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'},
    database: {provider: AWS, deletionPolicy: Retain}, cache: {provider: AWS, deletionPolicy: Retain},
    transcoding: {maxConcurrentJobs: 2}}";
const DELETED: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'},
    database: {provider: AWS, deletionPolicy: Delete}, cache: {provider: AWS, deletionPolicy: Delete},
    transcoding: {queue: {deletionPolicy: Delete}}}";
const DATABASE: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'}, database: {provider: AWS}}";
const CLIPS: &str = "{aws: {region: eu-central-1}, transcoding: {maxConcurrentJobs: 2, maxAttempts: 2}}";

fn create_embedded() -> Scenario {
    Scenario { given: None, acts: &[Act::Spec(EMBEDDED), Act::Settled], end: |_| {} }
}

fn create_in_aws() -> Scenario {
    Scenario { given: None, acts: &[Act::Spec(IN_AWS), Act::Settled], end: |_| {} }
}

fn scale() -> Scenario {
    const LARGER: &str = "{aws: {region: eu-central-1}, frontend: {image: 'a:1', replicas: 3},
        backend: {image: 'b:1', autoscaling: {minReplicas: 3, maxReplicas: 5}},
        database: {provider: AWS, aws: {version: '16.4', storage: {size: 50Gi}, maintenance: {restarts: Immediately}}},
        cache: {provider: AWS, aws: {replicas: 2}}, transcoding: {maxConcurrentJobs: 4}}";
    let acts = &[
        Act::Spec(LARGER),
        Act::Until("larger", |world| {
            world.is_settled()
                && world.in_region(|it, _| {
                    it.rds
                        .instances
                        .values()
                        .all(|it| it.settings.allocated_storage == 50 && it.is_available())
                        && it.elasticache.groups.values().all(|it| it.shards[0].members.len() == 3)
                })
        }),
        Act::Settled,
    ];
    Scenario { given: Some(IN_AWS), acts, end: |_| {} }
}

fn upgrade() -> Scenario {
    const NEWER: &str =
        "{aws: {region: eu-central-1}, frontend: {image: 'a:2'}, backend: {image: 'b:2', replicas: 2},
        database: {provider: AWS, aws: {version: '16.9', maintenance: {restarts: Immediately}}},
        cache: {provider: AWS}, transcoding: {maxConcurrentJobs: 2}}";
    let acts = &[
        Act::Spec(NEWER),
        Act::Until("newer", |world| {
            let versions = world.in_region(|it, _| {
                it.rds
                    .instances
                    .values()
                    .all(|it| it.settings.version.to_string() == "16.9" && it.is_available())
            });
            world.is_settled() && versions
        }),
    ];
    Scenario { given: Some(IN_AWS), acts, end: |_| {} }
}

fn upgrade_embedded() -> Scenario {
    const NEWER: &str = "{frontend: {image: 'a:2'}, backend: {image: 'b:2', replicas: 2},
        database: {provider: Embedded}, cache: {provider: Embedded}}";
    let acts = &[Act::Spec(NEWER), Act::Settled, Act::Seconds(10), Act::Settled];
    Scenario { given: Some(EMBEDDED), acts, end: |_| {} }
}

fn rotate() -> Scenario {
    let acts = &[
        Act::Annotate(ANNOTATION_ROTATE_LOGIN, "one"),
        Act::Until("rotated", |world| world.is_rotated("one")),
        Act::Annotate(ANNOTATION_ROTATE_LOGIN, "two"),
        Act::Until("rotated again", |world| world.is_rotated("two")),
        Act::Settled,
    ];
    Scenario { given: Some(IN_AWS), acts, end: |_| {} }
}

fn restore() -> Scenario {
    const RESTORED: &str = "{aws: {region: eu-central-1}, backend: {image: 'b:1'},
        database: {provider: AWS, aws: {restore: {name: one, latest: true}}}}";
    let acts = &[
        Act::Spec(RESTORED),
        Act::Until("restored", |world| {
            world.resource().is_some_and(|it| {
                it["status"]["database"]["identifier"].as_str().is_some_and(|it| it.ends_with("-one"))
            })
        }),
        Act::Settled,
        Act::Annotate(ANNOTATION_CONFIRM_RESTORE, "one"),
        Act::Until("confirmed", |world| world.in_region(|it, _| it.rds.instances.len() == 1)),
        Act::Settled,
    ];
    Scenario { given: Some(DATABASE), acts, end: |_| {} }
}

const DELETION: &[Act] =
    &[Act::Delete, Act::Until("gone", |world| world.resource().is_none()), Act::Seconds(120)];

/// Snapshots that deletions left, of the database and of the cache.
fn final_snapshots(world: &World) -> (usize, usize) {
    world.in_region(|it, _| {
        let of_database = it.rds.snapshots.values().filter(|it| !it.automated);
        (of_database.count(), it.elasticache.snapshots.values().filter(|it| !it.is_automatic).count())
    })
}

/// Databases and caches.
fn servers(world: &World) -> (usize, usize) {
    world.in_region(|it, _| (it.rds.instances.len(), it.elasticache.groups.len()))
}

fn delete_with_snapshots() -> Scenario {
    let end = |world: &World| assert_eq!((servers(world), final_snapshots(world)), ((0, 0), (1, 1)));
    Scenario { given: Some(IN_AWS), acts: DELETION, end }
}

fn delete_and_retain() -> Scenario {
    let end = |world: &World| {
        let buckets = world.in_region(|it, _| it.s3.buckets.len());
        assert_eq!((servers(world), final_snapshots(world), buckets), ((1, 1), (0, 0), 2));
    };
    Scenario { given: Some(RETAINED), acts: DELETION, end }
}

fn delete_all() -> Scenario {
    let end = |world: &World| assert_eq!((servers(world), final_snapshots(world)), ((0, 0), (0, 0)));
    Scenario { given: Some(DELETED), acts: DELETION, end }
}

fn delete_embedded() -> Scenario {
    Scenario { given: Some(EMBEDDED_DELETED), acts: DELETION, end: |_| {} }
}

fn a_node_dies() -> Scenario {
    let acts = &[Act::Seconds(5), Act::NodeDies, Act::Seconds(30), Act::Settled];
    Scenario { given: Some(EMBEDDED), acts, end: |_| {} }
}

fn edits_in_flight() -> Scenario {
    const BETWEEN: &str = "{frontend: {image: 'a:2', replicas: 3}, database: {provider: Embedded}}";
    const LAST: &str =
        "{frontend: {image: 'a:3', replicas: 2}, backend: {image: 'b:3', autoscaling: {minReplicas: 2, maxReplicas: 4}},
        database: {provider: Embedded}, cache: {provider: Embedded}}";
    let acts = &[
        Act::Spec(EMBEDDED),
        Act::Seconds(1),
        Act::Spec(BETWEEN),
        Act::Seconds(3),
        Act::Spec(LAST),
        Act::Settled,
    ];
    Scenario { given: None, acts, end: |_| {} }
}

fn jobs_fail() -> Scenario {
    let acts = &[
        Act::Upload(&["good-1.mp4", "broken.mp4", "flaky.mp4", "hopeless.mp4", "good-2.mp4"]),
        Act::SendAgain,
        Act::Until("done", |world| world.messages_to_do() == 0),
        Act::Seconds(60),
    ];
    let end = |world: &World| {
        assert_eq!(world.jobs_done_and_active(), (3, 0));
        let reasons = [("broken.mp4", "NOT_MEDIA"), ("hopeless.mp4", "STORAGE")];
        assert_eq!(world.dead_letters(), reasons.map(|(key, why)| (key.to_owned(), why.to_owned())).into());
        let ends = [
            ("broken.mp4", "deadlettered"),
            ("flaky.mp4", "succeeded"),
            ("good-1.mp4", "succeeded"),
            ("good-2.mp4", "succeeded"),
            ("hopeless.mp4", "deadlettered"),
        ];
        assert_eq!(world.ends_told(), ends.map(|(key, end)| (key.to_owned(), end.to_owned())).into());
        let made = world.jobs_made();
        let names: std::collections::BTreeSet<_> = made.iter().map(|(name, _)| name).collect();
        // One each, and a second attempt of what may help.
        assert_eq!((made.len(), names.len()), (7, 7), "{made:#?}");
    };
    Scenario { given: Some(CLIPS), acts, end }
}

fn deletion_with_jobs_in_flight() -> Scenario {
    let acts = &[
        Act::Upload(&["good-1.mp4", "good-2.mp4", "good-3.mp4", "good-4.mp4"]),
        Act::Seconds(8),
        Act::Delete,
        Act::Until("gone", |world| world.resource().is_none()),
        Act::Seconds(60),
    ];
    let end = |world: &World| {
        let (done, active) = world.jobs_done_and_active();
        assert_eq!(active, 0);
        assert_eq!(done + world.messages_to_do(), 4, "each clip is done, or its message is on the queue");
    };
    Scenario { given: Some(CLIPS), acts, end }
}

/// Of each scenario a sample of its deaths, and all of them.
macro_rules! lived {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            #[tokio::test(start_paused = true)]
            #[ignore = "a part of the next one; run by `make mutations`"]
            async fn it_comes_to_its_end() {
                super::$scenario().die_at(|_| false).await;
            }

            #[tokio::test(start_paused = true)]
            async fn some_deaths_change_nothing() {
                super::$scenario().die_at(|request| request.writes && request.at % 128 == 23).await;
            }

            #[tokio::test(start_paused = true)]
            #[ignore = "takes minutes; run by `make faults`"]
            async fn no_death_at_a_write_changes_anything() {
                super::$scenario().die_at(|request| request.writes).await;
            }

            #[tokio::test(start_paused = true)]
            #[ignore = "takes minutes; run by `make faults`"]
            async fn no_late_write_changes_anything() {
                super::$scenario().be_late_at(|request| request.writes).await;
            }

            #[tokio::test(start_paused = true)]
            #[ignore = "takes minutes; run by `make faults`"]
            async fn no_death_at_a_read_changes_anything() {
                super::$scenario().die_at(|request| !request.writes).await;
            }
        }
    )*};
}

#[tokio::test(start_paused = true)]
async fn what_a_deposed_leader_sent_arrives_and_changes_nothing() {
    edits_in_flight().be_late_at(|request| request.writes && request.at % 8 == 5).await;
}

/// AWS shows no password: that one was set over another one nobody would see.
#[tokio::test(start_paused = true)]
async fn a_password_that_a_deposed_leader_set_is_not_in_use() {
    rotate().be_late_at(|request| request.name == "elasticache:ModifyUser").await;
}

/// Its Secret is claimed, the login set, and then written: each write of a Secret is late once.
#[tokio::test(start_paused = true)]
async fn a_first_login_that_a_deposed_leader_wrote_does_not_replace_a_later_one() {
    create_in_aws().be_late_at(|request| request.writes && request.name.contains("/secrets")).await;
}

lived! {
    create_embedded, create_in_aws, scale, upgrade, upgrade_embedded, rotate, restore, delete_with_snapshots, delete_and_retain,
    delete_all, delete_embedded, a_node_dies, edits_in_flight, jobs_fail, deletion_with_jobs_in_flight,
}

/// What the operator says of its login in a connection Secret.
pub fn asked(secret: &Value) -> Option<String> {
    let record = secret["metadata"]["annotations"]["streamingplatform.dev/login"].as_str()?;
    let record: Value = serde_json::from_str(record).ok()?;
    Some(record["asked"].as_str()?.to_owned())
}

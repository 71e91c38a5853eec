//! The schema: migrated by several replicas at once, and closed to impossible rows.

use backend::{migrate, migrator};
use catalog::{Catalog, store::SCHEMA_VERSION};
use service_common::testing;

async fn migrated() -> Catalog {
    let catalog = Catalog::connect(&testing::database().await, 10).unwrap();
    migrate(&catalog).await.unwrap();
    catalog
}

#[test]
fn the_catalogue_needs_the_newest_migration() {
    assert_eq!(migrator().iter().map(|m| m.version).max(), Some(SCHEMA_VERSION));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_migrate_once() {
    let catalog = Catalog::connect(&testing::database().await, 10).unwrap();
    assert!(catalog.check().await.unwrap_err().contains("waiting until the backend has migrated"));
    let replicas: Vec<_> = (0..6)
        .map(|_| {
            let catalog = catalog.clone();
            tokio::spawn(async move { migrate(&catalog).await })
        })
        .collect();
    for replica in replicas {
        replica.await.unwrap().unwrap();
    }
    let applied: i64 =
        sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations").fetch_one(catalog.pool()).await.unwrap();
    assert_eq!(usize::try_from(applied).unwrap(), migrator().iter().count());
    assert_eq!(catalog.check().await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_migrations_may_wait_for_ever() {
    let catalog = Catalog::connect(&testing::database().await, 1).unwrap();
    for (pool, expected) in [(catalog.pool(), ["15s", "10s", "1min"]), (&catalog.patient(), ["0"; 3])] {
        for (setting, expected) in
            ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"].iter().zip(expected)
        {
            let shown = sqlx::query_scalar::<_, String>("SELECT current_setting($1)").bind(*setting);
            assert_eq!(shown.fetch_one(pool).await.unwrap(), expected, "{setting}");
        }
    }
}

const VIDEO: &str = "INSERT INTO videos (id, state, title, file_name, size, content_type, bucket, key, created_at, updated_at)
    VALUES ('00000000-0000-0000-0000-000000000001', 'Queued', 't', 'f', 1, 'video/mp4', 'b', 'k', now(), now())";

#[tokio::test(flavor = "multi_thread")]
async fn impossible_rows_are_refused_for_the_reason_that_is_wrong() {
    let catalog = migrated().await;
    sqlx::query(VIDEO).execute(catalog.pool()).await.unwrap();
    let work = |columns: &str, values: &str| {
        format!(
            "INSERT INTO transcodes (identity, video_id, requested_at, attempt, percent{columns})
             SELECT 'abcdefghijklmnopqrst', id, now(), 1, 0{values} FROM videos"
        )
    };
    let wrong = [
        ("UPDATE videos SET state = 'Uploading'".to_owned(), "uploading_means_an_open_upload"),
        ("UPDATE videos SET upload_id = 'u'".to_owned(), "an_upload_is_whole_or_absent"),
        ("UPDATE videos SET state = 'Lost'".to_owned(), "videos_state_check"),
        ("UPDATE videos SET title = ''".to_owned(), "videos_title_check"),
        ("UPDATE videos SET erased_at = now()".to_owned(), "only_deleted_videos_are_erased"),
        ("UPDATE videos SET updated_at = created_at - interval '1s'".to_owned(), "updated_after_created"),
        (
            "UPDATE videos SET state = 'Uploading', upload_id = 'u', part_size = 1, upload_expires_at = now(), version_id = 'v'".to_owned(),
            "an_open_upload_has_no_version",
        ),
        (VIDEO.replace("0001'", "0002'"), "videos_source"),
        (work(", outcome", ", 'DeadLettered'"), "failures_have_a_reason"),
        (work(", outcome", ", 'Succeeded'"), "success_has_a_record_or_a_reason"),
        (work(", outcome, failure_reason", ", 'DeadLettered', 'X'"), "a_failure_is_whole_or_absent"),
        (work(", failure_reason, failure_message", ", 'X', 'x'"), "no_failure_before_one"),
        (work("", "").replace("abcdef", "ABCDEF"), "transcodes_identity_check"),
        (work("", "").replace("1, 0", "1, 101"), "transcodes_percent_check"),
    ];
    for (statement, constraint) in wrong {
        let error =
            sqlx::query(sqlx::AssertSqlSafe(statement.clone())).execute(catalog.pool()).await.unwrap_err();
        let refused_by = error.as_database_error().and_then(|e| e.constraint());
        assert_eq!(refused_by, Some(constraint), "{statement}: {error}");
    }
}

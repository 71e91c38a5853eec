//! What a restore drill asks a restored database.

use crate::server::{create, master, query, run, session, set_login, without_tls};
use rstest::rstest;
use service_common::testing::Postgres;
use streaming_operator::{
    apply::postgres::Existing,
    plan::{
        login::User,
        rds::drill::{Answer, QUERY},
    },
};

#[rstest]
#[case("SELECT count(*) FROM videos", None)]
#[case("SELECT count(*), 0 AS count FROM videos; ", None)]
#[case("WITH all_of_them AS (TABLE videos) SELECT title FROM all_of_them -- by name", None)]
#[case("SELECT now() - made < interval '1 day' FROM videos ORDER BY made DESC", None)]
#[case("SELECT count(*) FROM videos WHERE title = 'lost'", Some("is 0"))]
#[case("SELECT false", Some("is false"))]
#[case("SELECT max(made) FROM videos WHERE title = 'lost'", Some("is null"))]
#[case("SELECT 1 FROM videos WHERE title = 'lost'", Some("no row"))]
#[case("SELECT count(*) FROM films", Some("relation \"films\" does not exist"))]
#[case("DELETE FROM videos RETURNING 1", Some("SQLSTATE 42"))]
#[case("SELECT 1; DROP TABLE videos", Some("SQLSTATE 42"))]
#[case("SELECT nextval('serial')", Some("SQLSTATE 25006"))]
#[tokio::test]
async fn a_query_passes_or_says_why_not(#[case] text: &str, #[case] failure: Option<&str>) {
    let postgres = Postgres::start(None);
    create(&postgres, "app").await;
    let server = without_tls(&postgres, "app");
    let login = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap();
    let tables = "CREATE TABLE videos (title text, made timestamptz DEFAULT now()); CREATE SEQUENCE serial; \
                  INSERT INTO videos VALUES ('kept')";
    run(&mut session(&server, &login).await, tables).await.unwrap();
    match (query(&server, &login, text).await, failure) {
        (Answer::Passed, None) => {}
        (Answer::Failed(message), Some(part)) => assert!(message.contains(part), "{message}"),
        (answer, _) => panic!("{text}: {answer:?}"),
    }
}

#[tokio::test]
async fn without_a_query_a_database_with_tables_passes() {
    let postgres = Postgres::start(None);
    create(&postgres, "app").await;
    let server = without_tls(&postgres, "app");
    let login = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap();
    assert!(matches!(query(&server, &login, QUERY).await, Answer::Failed(_)));
    run(&mut session(&server, &login).await, "CREATE TABLE videos (title text)").await.unwrap();
    assert_eq!(query(&server, &login, QUERY).await, Answer::Passed);
}

#[tokio::test]
async fn data_is_told_to_nobody_and_a_slow_query_is_asked_again() {
    let postgres = Postgres::start(None);
    create(&postgres, "app").await;
    let server = without_tls(&postgres, "app");
    let login = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap();
    let Answer::Failed(message) = query(&server, &login, "SELECT 'sesame'::int").await else { panic!() };
    assert!(!message.contains("sesame") && message.contains("22P02"), "{message}");
    // The server says it as of a query that takes too long. Only the user itself may cancel, not its role.
    let slow = "SELECT CASE WHEN set_config('role', 'none', true) = 'none' THEN \
                CASE WHEN pg_cancel_backend(pg_backend_pid()) THEN pg_sleep(5)::text END END";
    assert!(matches!(query(&server, &login, slow).await, Answer::NotYet(_)));
    let gone = streaming_operator::apply::postgres::Server { dbname: "gone".into(), ..server };
    assert!(matches!(query(&gone, &login, QUERY).await, Answer::NotYet(_)));
}

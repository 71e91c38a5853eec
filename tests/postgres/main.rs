//! Logins of a real PostgreSQL, whose master is no superuser.

#![expect(clippy::unwrap_used, reason = "helpers may panic as the tests do that call them")]

mod cluster;
mod drill;
mod rotation;
mod server;

use server::{Authority, check, create, master, run, session, set_login, without_tls};
use service_common::testing::Postgres;
use streaming_operator::{
    apply::postgres::{Existing, Login, LoginError, Password, Roles, Server, Tls},
    plan::login::User,
};

#[tokio::test]
async fn both_users_share_what_they_make_and_names_need_no_care() {
    let postgres = Postgres::start(None);
    let long = "ö".repeat(31);
    for dbname in ["app", r#"My "db"; DROP-- o'x\"#, &long] {
        let postgres = if dbname == "app" { &postgres } else { &Postgres::start(None) };
        create(postgres, dbname).await;
        let server = without_tls(postgres, dbname);
        let a = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap();
        let b = set_login(&server, &master(), User::B, Existing::Grant).await.unwrap();
        assert_eq!([&a.username, &b.username], [&Roles::of(dbname).a, &Roles::of(dbname).b]);
        let (mut one, mut other) = (session(&server, &a).await, session(&server, &b).await);
        run(&mut one, "CREATE TABLE t (id bigint); CREATE SCHEMA s; CREATE TABLE s.t (id int)")
            .await
            .unwrap();
        run(
            &mut other,
            "ALTER TABLE t ADD COLUMN x text; INSERT INTO t VALUES (1, 'x'); DROP SCHEMA s CASCADE",
        )
        .await
        .unwrap();
        // Set anew, with tables there: as before.
        let b = set_login(&server, &master(), User::B, Existing::Grant).await.unwrap();
        check(&server, &a).await.unwrap();
        run(&mut session(&server, &b).await, "ALTER TABLE t DROP COLUMN x").await.unwrap();
        // Neither is the master, and neither can do away with the database.
        let database = format!("DROP DATABASE \"{}\"", dbname.replace('"', "\"\""));
        for refused in [database.as_str(), "CREATE ROLE r", "ALTER ROLE postgres PASSWORD 'x'"] {
            assert!(run(&mut one, refused).await.is_err(), "{refused}");
        }
    }
}

#[tokio::test]
async fn tables_of_the_master_are_lent_or_on_request_handed_over() {
    let postgres = Postgres::start(None);
    create(&postgres, "app").await;
    let server = without_tls(&postgres, "app");
    let mut owner = session(&server, &master()).await;
    run(
        &mut owner,
        "CREATE TABLE t (id serial); CREATE SCHEMA s; CREATE TABLE s.u (id int); CREATE VIEW v AS TABLE t",
    )
    .await
    .unwrap();
    let use_all = "INSERT INTO t DEFAULT VALUES; INSERT INTO s.u VALUES (1); TABLE v; CREATE TABLE s.mine ()";
    let alter = "ALTER TABLE t ADD x int; ALTER TABLE s.u ADD x int; DROP VIEW v";

    let a = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap();
    let mut pod = session(&server, &a).await;
    run(&mut pod, use_all).await.unwrap();
    assert!(run(&mut pod, alter).await.unwrap_err().contains("must be owner"));

    let b = set_login(&server, &master(), User::B, Existing::HandOver).await.unwrap();
    run(&mut session(&server, &b).await, alter).await.unwrap();
    let of_database = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'app'";
    let of_database: String = sqlx::query_scalar(of_database).fetch_one(&mut owner).await.unwrap();
    assert_eq!(of_database, server::MASTER, "who owns a database can drop it");
    set_login(&server, &master(), User::A, Existing::HandOver).await.unwrap();
}

#[tokio::test]
async fn each_reason_for_a_failed_login_is_told_apart() {
    let postgres = Postgres::start(None);
    create(&postgres, "app").await;
    let server = without_tls(&postgres, "app");
    let a = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap();
    let wrong = |server: &Server, login: &Login| {
        let (server, login) = (server.clone(), login.clone());
        async move { check(&server, &login).await.unwrap_err() }
    };

    let stale = Login { password: Password::new("stale"), ..a.clone() };
    assert!(matches!(wrong(&server, &stale).await, LoginError::Refused { .. }));
    let unknown = Login { username: "nobody".into(), ..a.clone() };
    assert!(matches!(wrong(&server, &unknown).await, LoginError::Refused { .. }));
    let absent = Server { dbname: "other".into(), ..server.clone() };
    assert!(matches!(wrong(&absent, &a).await, LoginError::NoDatabase { .. }));
    let tls = Server { tls: Tls::VerifyFull { ca: Authority::new().pem() }, ..server.clone() };
    assert!(matches!(wrong(&tls, &a).await, LoginError::Tls { .. }), "it has no TLS");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = Server { port, ..server.clone() };
    assert!(matches!(wrong(&closed, &a).await, LoginError::Unreachable { .. }));
    let nowhere = Server { host: "nowhere.invalid".into(), ..server.clone() };
    assert!(matches!(wrong(&nowhere, &a).await, LoginError::Unreachable { .. }));

    // The pods' user is no master.
    let error = set_login(&server, &a, User::B, Existing::Grant).await.unwrap_err();
    assert!(matches!(error, LoginError::Denied { .. }), "{error}");
    let text = wrong(&server, &stale).await.to_string();
    assert!(text.contains("app_platform_a") && !text.contains("stale"), "{text}");
}

#[tokio::test]
async fn a_role_of_somebody_else_is_left_alone() {
    let postgres = Postgres::start(None);
    create(&postgres, "app").await;
    let server = without_tls(&postgres, "app");
    run(&mut session(&server, &master()).await, "CREATE ROLE app_platform_a LOGIN PASSWORD 'theirs'")
        .await
        .unwrap();
    let error = set_login(&server, &master(), User::A, Existing::Grant).await.unwrap_err();
    assert!(matches!(&error, LoginError::RoleTaken { role, .. } if role == "app_platform_a"), "{error}");
    let theirs = Login { username: "app_platform_a".into(), password: Password::new("theirs") };
    check(&server, &theirs).await.unwrap();
    // All or nothing.
    let owner = Login { username: "app_platform".into(), ..theirs };
    assert!(matches!(check(&server, &owner).await, Err(LoginError::Refused { .. })));
    set_login(&server, &master(), User::B, Existing::Grant).await.unwrap();
}

#[tokio::test]
async fn only_a_server_that_proves_its_name_gets_a_password() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("localhost");
    let postgres = Postgres::start(Some((&certificate, &key)));
    create(&postgres, "app").await;
    let trusting = |host: &str, authority: &Authority| Server {
        host: host.into(),
        tls: Tls::VerifyFull { ca: authority.pem() },
        ..without_tls(&postgres, "app")
    };
    let right = trusting("localhost", &authority);
    let a = set_login(&right, &master(), User::A, Existing::Grant).await.unwrap();
    check(&right, &a).await.unwrap();
    let wrong_ca = check(&trusting("localhost", &Authority::new()), &a).await.unwrap_err();
    assert!(matches!(wrong_ca, LoginError::Tls { .. }), "{wrong_ca:?}");
    let wrong_name = check(&trusting("127.0.0.1", &authority), &a).await.unwrap_err();
    assert!(matches!(wrong_name, LoginError::Tls { .. }), "{wrong_name:?}");
    let open = check(&without_tls(&postgres, "app"), &a).await.unwrap_err();
    assert!(matches!(open, LoginError::NotAdmitted { .. }), "{open:?}");
}

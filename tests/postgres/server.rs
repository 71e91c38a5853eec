//! A PostgreSQL as RDS gives it away: its master is no superuser.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use service_common::testing::Postgres;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use streaming_operator::{
    apply::{
        postgres::{Existing, Login, LoginError, Password, Server, Tls},
        sessions::Postgres as Sessions,
    },
    plan::{login::User, rds::drill::Answer},
};

/// Needs quotes, wherever it is written.
pub const MASTER: &str = r#"The "Master" o'x"#;
pub const MASTER_PASSWORD: &str = "the password: 1/2";

pub fn master() -> Login {
    Login { username: MASTER.into(), password: Password::new(MASTER_PASSWORD) }
}

/// Certificates of an authority of our own.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate and its key for a host.
    pub fn issue(&self, host: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

pub fn without_tls(postgres: &Postgres, dbname: &str) -> Server {
    Server { host: "127.0.0.1".into(), port: postgres.port, dbname: dbname.into(), tls: Tls::Disabled }
}

/// Makes the master and a database that it owns.
pub async fn create(postgres: &Postgres, dbname: &str) {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (master, database) = (quoted(MASTER), quoted(dbname));
    let mut superuser = PgConnection::connect(&postgres.trusted_url("postgres", "postgres")).await.unwrap();
    for statement in [
        // It is not of the log that is searched for passwords: RDS sets it, not us.
        "SET log_statement = none".to_owned(),
        format!("CREATE ROLE {master} LOGIN CREATEROLE CREATEDB PASSWORD '{MASTER_PASSWORD}'"),
        format!("CREATE DATABASE {database} OWNER {master}"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut superuser).await.unwrap();
    }
    superuser.close().await.unwrap();
}

pub async fn set_login(
    server: &Server,
    master: &Login,
    user: User,
    existing: Existing,
) -> Result<Login, LoginError> {
    Sessions::default().set_login(server, master, user, existing).await
}

pub async fn check(server: &Server, login: &Login) -> Result<(), LoginError> {
    Sessions::default().check(server, login).await
}

pub async fn query(server: &Server, login: &Login, query: &str) -> Answer {
    Sessions::default().query(server, login, query).await
}

/// A session of a login.
pub async fn session(server: &Server, login: &Login) -> PgConnection {
    use sqlx::postgres::{PgConnectOptions, PgSslMode};
    let options = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port)
        .database(&server.dbname)
        .username(&login.username)
        .password(login.password.reveal())
        .ssl_mode(PgSslMode::Disable);
    PgConnection::connect_with(&options).await.unwrap()
}

/// Runs statements in a session.
pub async fn run(connection: &mut PgConnection, statements: &str) -> Result<(), String> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(connection).await;
    ran.map(drop).map_err(|error| error.to_string())
}

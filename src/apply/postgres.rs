//! Logins of a PostgreSQL server: set by the master user, used by the pods.
//!
//! Three roles for each database, none of which is the master: one that owns what the platform makes and
//! can't log in, and two users that act as it. Only one user is in use at a time, so that a new password can
//! be set for the other without anybody noticing. Everything is idempotent and one transaction.
//!
//! The master needs CREATEROLE and ownership of the database; it need not be a superuser, and on RDS it isn't.
//! Passwords travel as SCRAM verifiers: no log of the server's statements ever has one.

use crate::plan::login::User;
use postgres_protocol::password::scram_sha_256;
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{fmt, io, time::Duration};
use thiserror::Error;
use tokio::time::timeout;

/// How long a login and one query may take.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);
/// How long setting a login may take, the wait for locks included: less than the minute of a reconcile, whose end could not
/// say what hung.
const SET_DEADLINE: Duration = Duration::from_secs(45);
/// Characters of a new password, of `[A-Za-z0-9]`: 190 bits.
const PASSWORD_LENGTH: usize = 32;
/// Longest name in PostgreSQL, in bytes (PostgreSQL's documentation, "Identifiers and Key Words").
const MAX_IDENTIFIER: usize = 63;
/// Comment of the roles that were made here; others of the same name are left alone.
const MARK: &str = "made by streaming-operator";
/// The id of the role that is logged in.
const MASTER: &str = "(SELECT oid FROM pg_roles WHERE rolname = current_user)";
/// What belongs to PostgreSQL itself.
const SYSTEM_SCHEMAS: &str = "^(pg_|information_schema$)";

/// A database and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// DNS name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub dbname: String,
    /// How the connection is secured.
    pub tls: Tls,
}

/// How a connection is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: for emulators.
    Disabled,
    /// The server proves that it is the host that was asked for.
    VerifyFull {
        /// Certificates that may have signed the server's, in PEM.
        ca: String,
    },
}

/// A user and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Name of the user.
    pub username: String,
    /// Its password.
    pub password: Password,
}

/// A password. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// Takes a password from where it is kept.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// The password itself, for a login or a Secret.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// A new one, which nobody knows yet.
    pub fn random() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), PASSWORD_LENGTH))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(..)")
    }
}

/// What becomes of tables and the like that the master owns, because the database was adopted or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// The platform may read and write them; they stay the master's, so it can't alter them.
    Grant,
    /// They become the platform's: the spec asks for it. The databases themselves stay the master's.
    HandOver,
}

/// Why a login could not be set or does not work.
#[derive(Debug, Error)]
pub enum LoginError {
    /// The server does not know the user or its password.
    #[error("{host} refuses user {username}: {message}; rotate the login, or for a master user its secret")]
    Refused {
        /// Host.
        host: String,
        /// User.
        username: String,
        /// What the server said.
        message: String,
    },
    /// The server admits no such connection, whatever the password.
    #[error(
        "{host} does not admit {username}: {message}; a server that forces TLS (rds.force_ssl) wants tls, \
         and a user that may not log in wants LOGIN"
    )]
    NotAdmitted {
        /// Host.
        host: String,
        /// User.
        username: String,
        /// What the server said.
        message: String,
    },
    /// No connection, or no answer in time.
    #[error(
        "{host}:{port} can't be reached: {message}; its security groups must admit the operator on this port"
    )]
    Unreachable {
        /// Host.
        host: String,
        /// Port.
        port: u16,
        /// Why.
        message: String,
    },
    /// The server is there and takes no connection now: it starts, stops or is full.
    #[error("{host} takes no connection now: {message}; if this lasts, look at its connections")]
    Busy {
        /// Host.
        host: String,
        /// What the server said.
        message: String,
    },
    /// The server could not prove who it is, or has no TLS.
    #[error(
        "no trusted TLS connection to {host}: {message}; the CA certificates must be those that signed the \
         server's, and the host the name in it"
    )]
    Tls {
        /// Host.
        host: String,
        /// Why.
        message: String,
    },
    /// The server has no database of this name.
    #[error("{host} has no database {dbname}; create it, or name one that is there")]
    NoDatabase {
        /// Host.
        host: String,
        /// Name of the database.
        dbname: String,
    },
    /// The master lacks a right.
    #[error(
        "the master user of {host} may not {what}: {message}; it needs CREATEROLE, the ownership of the \
         database, and ADMIN OPTION on roles that another user made"
    )]
    Denied {
        /// Host.
        host: String,
        /// What it tried.
        what: &'static str,
        /// What the server said.
        message: String,
    },
    /// A role of that name is there, and is not ours.
    #[error("role {role} of {host} was not made by the operator; rename it (ALTER ROLE ... RENAME TO ...)")]
    RoleTaken {
        /// Host.
        host: String,
        /// Name of the role.
        role: String,
    },
    /// Anything else that the server says.
    #[error("{host} could not {what}: {message}")]
    Failed {
        /// Host.
        host: String,
        /// What was tried.
        what: &'static str,
        /// What the server said.
        message: String,
    },
}

impl LoginError {
    /// Whether another password would mend it.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// Names of the roles of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Owns what the platform makes; can't log in.
    pub owner: String,
    /// The one user.
    pub a: String,
    /// The other user.
    pub b: String,
}

impl Roles {
    /// The roles of the database of that name. They belong to the server, so each database has its own.
    #[must_use]
    pub fn of(dbname: &str) -> Self {
        const OWNER: &str = "_platform";
        let longest = MAX_IDENTIFIER - OWNER.len() - "_a".len();
        let stem = if dbname.len() <= longest {
            dbname.to_owned()
        } else {
            let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(dbname)[..4]);
            let cut = dbname.floor_char_boundary(longest - hash.len() - 1);
            format!("{}_{hash}", &dbname[..cut])
        };
        let owner = format!("{stem}{OWNER}");
        Self { a: format!("{owner}_a"), b: format!("{owner}_b"), owner }
    }

    /// The name of a user.
    #[must_use]
    pub fn user(&self, user: User) -> &str {
        match user {
            User::A => &self.a,
            User::B => &self.b,
        }
    }
}

/// Gives `login` its password and its rights, as the master.
pub(super) async fn set(
    server: &Server,
    master: &Login,
    login: &Login,
    existing: Existing,
) -> Result<(), LoginError> {
    let roles = Roles::of(&server.dbname);
    let mut connection = connect(server, master).await?;
    let set = in_transaction(server, &mut connection, &roles, login, existing);
    timeout(SET_DEADLINE, set).await.map_err(|_| late(server, SET_DEADLINE))??;
    goodbye(connection).await;
    Ok(())
}

/// Logs in, and asks which role the session acts as.
pub(super) async fn role(server: &Server, login: &Login) -> Result<String, LoginError> {
    let mut connection = connect(server, login).await?;
    let asked = sqlx::query_scalar("SELECT current_user::text FROM (SELECT 1) AS alive");
    let answer = timeout(CHECK_DEADLINE, asked.fetch_one(&mut connection)).await;
    let answer = answer.map_err(|_| late(server, CHECK_DEADLINE))?;
    let role = answer.map_err(|error| failed(server, "answer a query", error))?;
    goodbye(connection).await;
    Ok(role)
}

/// Statements of one transaction, in this order.
async fn in_transaction(
    server: &Server,
    connection: &mut PgConnection,
    roles: &Roles,
    login: &Login,
    existing: Existing,
) -> Result<(), LoginError> {
    let (owner, user) = (identifier(&roles.owner), identifier(&login.username));
    let database = identifier(&server.dbname);
    let verifier = literal(&scram_sha_256(login.password.reveal().as_bytes()));
    let mut transaction = connection.begin().await.map_err(|error| failed(server, "begin", error))?;
    // Nothing in an adopted database may stand in for a function of ours. The lock also makes a call wait for
    // the transaction of an earlier one that was cut off.
    let prepare = "SET LOCAL search_path = pg_catalog; SET LOCAL lock_timeout = '20s'; \
                   SELECT pg_advisory_xact_lock(hashtext('streaming-operator'))";
    run(server, &mut transaction, "lock the roles", prepare.to_owned()).await?;
    for role in [&roles.owner, &login.username] {
        ensure_role(server, &mut transaction, role).await?;
    }
    let membership = format!(
        "GRANT {owner} TO CURRENT_USER, {user}; \
         ALTER ROLE {user} WITH LOGIN CONNECTION LIMIT -1 PASSWORD {verifier} VALID UNTIL 'infinity'; \
         ALTER ROLE {user} SET role TO {owner}"
    );
    run(server, &mut transaction, "set a password", membership).await?;
    let rights = format!("GRANT CONNECT, CREATE, TEMPORARY ON DATABASE {database} TO {owner}");
    run(server, &mut transaction, "grant rights on the database", rights).await?;
    let (what, statement) = match existing {
        Existing::Grant => ("grant rights on what is there", grants(&roles.owner)),
        Existing::HandOver => ("hand over what is there", hand_over(&roles.owner)),
    };
    run(server, &mut transaction, what, statement).await?;
    transaction.commit().await.map_err(|error| failed(server, "commit", error))
}

/// Makes a role, or makes sure that the one of this name is ours.
async fn ensure_role(server: &Server, connection: &mut PgConnection, role: &str) -> Result<(), LoginError> {
    const WHAT: &str = "make a role";
    let comment = "SELECT coalesce(shobj_description(oid, 'pg_authid'), '') FROM pg_roles WHERE rolname = $1";
    let found: Option<String> = sqlx::query_scalar(comment)
        .bind(role)
        .fetch_optional(&mut *connection)
        .await
        .map_err(|error| failed(server, WHAT, error))?;
    match found.as_deref() {
        Some(MARK) => Ok(()),
        Some(_) => Err(LoginError::RoleTaken { host: server.host.clone(), role: role.to_owned() }),
        None => {
            let (role, mark) = (identifier(role), literal(MARK));
            let make = format!("CREATE ROLE {role} NOLOGIN; COMMENT ON ROLE {role} IS {mark}");
            run(server, connection, WHAT, make).await
        }
    }
}

/// Lets `owner` make objects in the schemas that the master has, and use all that is in them.
///
/// One by one, because `ON ALL TABLES` fails at the first that belongs to somebody else.
fn grants(owner: &str) -> String {
    let owner = literal(owner);
    do_block(&format!(
        "FOR it IN SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', nspname, {owner}) \
             FROM pg_namespace WHERE nspname !~ '{SYSTEM_SCHEMAS}' AND pg_has_role(nspowner, 'USAGE') \
         UNION ALL SELECT format('GRANT ALL ON %s %I.%I TO %I', \
             CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, nspname, relname, {owner}) \
             FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace \
             WHERE nspname !~ '{SYSTEM_SCHEMAS}' \
             AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relowner = {MASTER} \
         LOOP EXECUTE it; END LOOP;"
    ))
}

/// Gives `owner` what the master owns in this database. REASSIGN would take its databases, too, and who owns
/// a database can drop it: they go back.
fn hand_over(owner: &str) -> String {
    let reassign = format!(
        "FOR it IN SELECT format('ALTER DATABASE %I OWNER TO %I', datname, current_user) \
             FROM pg_database WHERE datdba = {MASTER} LOOP mine := mine || it; END LOOP; \
         EXECUTE format('REASSIGN OWNED BY %I TO %I', current_user, {}); \
         FOREACH it IN ARRAY mine LOOP EXECUTE it; END LOOP;",
        literal(owner)
    );
    format!("{}; {}", do_block(&reassign), grants(owner))
}

fn do_block(body: &str) -> String {
    format!("DO {}", literal(&format!("DECLARE it text; mine text[] := '{{}}'; BEGIN {body} END")))
}

async fn run(
    server: &Server,
    connection: &mut PgConnection,
    what: &'static str,
    statements: String,
) -> Result<(), LoginError> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statements)).execute(connection).await;
    ran.map(drop).map_err(|error| failed(server, what, error))
}

pub(super) async fn connect(server: &Server, login: &Login) -> Result<PgConnection, LoginError> {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&server.host)
        .port(server.port)
        .database(&server.dbname)
        .username(&login.username)
        .password(login.password.reveal())
        .application_name("streaming-operator");
    let options = match &server.tls {
        Tls::Disabled => options.ssl_mode(PgSslMode::Disable),
        Tls::VerifyFull { ca } => {
            options.ssl_mode(PgSslMode::VerifyFull).ssl_root_cert_from_pem(ca.clone().into_bytes())
        }
    };
    // A log of statements would have the verifiers.
    let options = options.disable_statement_logging();
    let connected = timeout(CHECK_DEADLINE, options.connect()).await;
    connected.map_err(|_| late(server, CHECK_DEADLINE))?.map_err(|error| refused(server, login, error))
}

/// Ends the session in order, so that the server logs no lost client; nothing depends on it.
async fn goodbye(connection: PgConnection) {
    drop(timeout(CHECK_DEADLINE, connection.close()).await);
}

fn late(server: &Server, deadline: Duration) -> LoginError {
    let message = format!("no answer within {} s", deadline.as_secs());
    LoginError::Unreachable { host: server.host.clone(), port: server.port, message }
}

/// An error of a connection, by what mends it (PostgreSQL's documentation, "PostgreSQL Error Codes").
fn refused(server: &Server, login: &Login, error: sqlx::Error) -> LoginError {
    let (host, username) = (server.host.clone(), login.username.clone());
    let message = describe(&error);
    match &error {
        sqlx::Error::Database(said) => match said.code().as_deref().unwrap_or_default() {
            "28P01" => LoginError::Refused { host, username, message },
            "28000" => LoginError::NotAdmitted { host, username, message },
            "3D000" => LoginError::NoDatabase { host, dbname: server.dbname.clone() },
            "42501" => LoginError::NotAdmitted { host, username, message },
            code if code.starts_with("53") || code.starts_with("57P") => LoginError::Busy { host, message },
            _ => LoginError::Failed { host, what: "connect", message },
        },
        sqlx::Error::Tls(_) => LoginError::Tls { host, message },
        // As such the TLS library reports a certificate that it does not trust.
        sqlx::Error::Io(cause) if cause.kind() == io::ErrorKind::InvalidData => {
            LoginError::Tls { host, message }
        }
        sqlx::Error::Io(_) => LoginError::Unreachable { host, port: server.port, message },
        _ => LoginError::Failed { host, what: "connect", message },
    }
}

/// An error of a statement.
fn failed(server: &Server, what: &'static str, error: sqlx::Error) -> LoginError {
    let host = server.host.clone();
    let message = describe(&error);
    match &error {
        sqlx::Error::Database(said) => match said.code().as_deref().unwrap_or_default() {
            "42501" => LoginError::Denied { host, what, message },
            code if code.starts_with("57P") => LoginError::Busy { host, message },
            _ => LoginError::Failed { host, what, message },
        },
        sqlx::Error::Io(_) => LoginError::Unreachable { host, port: server.port, message },
        _ => LoginError::Failed { host, what, message },
    }
}

/// What the server said; it quotes names of roles and no password.
fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(said) => said.message().to_owned(),
        sqlx::Error::Io(cause) => cause.to_string(),
        other => other.to_string(),
    }
}

/// A name as SQL writes it.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it, whatever `standard_conforming_strings` says.
fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        let login = Login { username: "u".into(), password: Password::new("hunter2") };
        assert_eq!(format!("{login:?}"), r#"Login { username: "u", password: Password(..) }"#);
        assert_ne!(Password::random(), Password::random());
        assert_eq!(Password::random().reveal().len(), PASSWORD_LENGTH);
    }

    #[test]
    fn names_of_roles_fit_and_differ() {
        let roles = Roles::of("app");
        assert_eq!((roles.owner.as_str(), roles.user(User::B)), ("app_platform", "app_platform_b"));
        let (one, other) =
            (Roles::of(&format!("{}1", "ö".repeat(31))), Roles::of(&format!("{}2", "ö".repeat(31))));
        assert_ne!(one, other);
        assert!([one.a, one.b, other.a].iter().all(|name| name.len() <= MAX_IDENTIFIER));
    }

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(identifier(r#"a"b"#), r#""a""b""#);
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }
}

//! The connection Secret of a managed database or cache: what pods read, and the record of the login in it.
//!
//! Guarantee: [`Connection::carry_out`] sets a password only while the Secret says what the step was planned
//! from, and replaces exactly the Secret that it read. A leader or a watch that is late gets
//! [`ConnectionError::Changed`].

use super::{
    postgres::{Existing, Login, LoginError, Password, Server, Tls},
    sessions::Postgres,
    vault,
};
use crate::{
    api::names,
    aws::Account,
    kinds::Kind,
    metrics::Metrics,
    plan::login::{Endpoint, Record, Step, Vault},
};
use k8s_openapi::{
    ByteString,
    api::core::v1::Secret,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{collections::BTreeMap, time::Duration};
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// How long a proxy may take until it knows a new password, and the pause between two tries.
const PROXY_DEADLINE: Duration = Duration::from_secs(30);
const PROXY_PAUSE: Duration = Duration::from_secs(2);

/// The connection Secret of a database or cache, and the way to both.
#[derive(Clone)]
pub struct Connection {
    /// Secrets of the platform's namespace.
    pub secrets: Api<Secret>,
    /// Counts what is written.
    pub metrics: Metrics,
    /// The Secret, apart from what it holds.
    pub target: Target,
    /// Where the database is reached.
    pub endpoint: Endpoint,
    /// What its clients speak.
    pub protocol: Protocol,
    /// Where a proxy reads the logins.
    pub vault: Option<(Account, Vault)>,
}

/// What the clients of a server speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// PostgreSQL's, with TLS where the endpoint has a CA.
    Postgres,
    /// That of Redis and Valkey.
    Redis {
        /// Whether with TLS; without there is no login.
        tls: bool,
    },
}

/// A connection Secret, apart from what it holds.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The platform, where the Secret goes with it. One that is retained has no owner.
    pub owner: Option<OwnerReference>,
}

/// A connection Secret as it was read.
#[derive(Clone, Debug)]
pub struct Current {
    /// The login that it holds.
    pub login: Login,
    /// What it says of that login.
    pub record: Record,
    resource_version: Option<String>,
}

/// Why a login did not come into its Secret, or why the Secret's does not work.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The Secret is not there.
    #[error("Secret {0} is not there; it is made as soon as the database is available")]
    Missing(String),
    /// It is there, and holds a login that is not ours.
    #[error(
        "Secret {0} holds a login that was not set here, perhaps the only one to data that was kept; copy it \
         if that data is needed, then delete it"
    )]
    NotOurs(String),
    /// It is not as it was when the step was planned: the next reconcile looks again.
    #[error("Secret {0} was changed meanwhile; it was left as it is")]
    Changed(String),
    /// The API server did not do it.
    #[error("Secret {name}: {source}")]
    Kube {
        /// Name of the Secret.
        name: String,
        /// What it said.
        source: Box<kube::Error>,
    },
    /// The master user's password can't be had.
    #[error("the login of the master user can't be read: {0:#}")]
    Master(anyhow::Error),
    /// The login can't be given to the proxy.
    #[error("the proxy's login can't be stored: {0:#}")]
    Vault(anyhow::Error),
    /// The database.
    #[error(transparent)]
    Login(#[from] LoginError),
}

impl ConnectionError {
    fn of(name: &str, error: kube::Error) -> Self {
        let name = name.to_owned();
        match error {
            kube::Error::Api(status) if status.is_conflict() => Self::Changed(name),
            source => Self::Kube { name, source: Box::new(source) },
        }
    }
}

impl Connection {
    /// Reads the Secret; none: it is not there.
    ///
    /// # Errors
    /// Where the Secret can't be read, or is not one that was written here.
    pub async fn current(&self) -> Result<Option<Current>, ConnectionError> {
        let name = &self.target.name;
        let found = self.secrets.get_opt(name).await.map_err(|error| ConnectionError::of(name, error))?;
        let parse = |secret| parse(secret).ok_or_else(|| ConnectionError::NotOurs(name.clone()));
        found.map(parse).transpose()
    }

    /// Logs in once with what the Secret holds.
    ///
    /// # Errors
    /// What the login failed for; [`LoginError::Refused`] is what a plan takes for a refused login.
    pub async fn check(&self, postgres: &Postgres) -> Result<(), ConnectionError> {
        let current = self.current().await?;
        let current = current.ok_or_else(|| ConnectionError::Missing(self.target.name.clone()))?;
        Ok(postgres.check(&server(&self.endpoint), &current.login).await?)
    }

    /// Carries a step out that was planned from `from`. `master` is awaited only where a login is set.
    /// False: nothing was to be done.
    ///
    /// # Errors
    /// Whatever stopped it. All that has changed then is, at most, the password of the user that is not in
    /// use.
    pub async fn carry_out(
        &self,
        from: Option<&Record>,
        step: &Step,
        existing: Existing,
        postgres: &Postgres,
        master: impl Future<Output = anyhow::Result<Login>>,
    ) -> Result<bool, ConnectionError> {
        let record = match step {
            Step::Nothing { .. } | Step::Wait(_) => return Ok(false),
            Step::Set { record, .. } | Step::Store { record } | Step::Rewrite { record } => record,
        };
        let before = self.unchanged_since(from).await?;
        let login = match (step, &before) {
            (Step::Rewrite { .. } | Step::Store { .. }, Some(before)) => before.login.clone(),
            _ => {
                let master = master.await.map_err(ConnectionError::Master)?;
                let server = Server { host: self.endpoint.server.clone(), ..server(&self.endpoint) };
                postgres.set_login(&server, &master, record.user, existing).await?
            }
        };
        if let Some((account, vault)) = &self.vault
            && !vault.holds(record)
        {
            vault::store(account, vault, record, &login).await.map_err(ConnectionError::Vault)?;
        }
        if matches!(step, Step::Store { .. }) {
            return Ok(true);
        }
        if self.endpoint.has_proxy() {
            // A login that is there already is tried again with the next look; a new one would be another then.
            let patience = if matches!(step, Step::Set { .. }) { PROXY_DEADLINE } else { Duration::ZERO };
            self.is_known(postgres, &login, patience).await?;
        }
        self.write(before.as_ref(), &login, record).await.map(|()| true)
    }

    /// Waits until the proxy knows a login: it may go on for a while with what it read before.
    async fn is_known(
        &self,
        postgres: &Postgres,
        login: &Login,
        patience: Duration,
    ) -> Result<(), ConnectionError> {
        let deadline = Instant::now() + patience;
        loop {
            match postgres.check(&server(&self.endpoint), login).await {
                Err(error) if error.is_refused() && Instant::now() < deadline => sleep(PROXY_PAUSE).await,
                result => return Ok(result?),
            }
        }
    }

    /// Reads the Secret, which must still say what a step was planned from.
    ///
    /// # Errors
    /// [`ConnectionError::Changed`] where it says something else.
    pub async fn unchanged_since(&self, from: Option<&Record>) -> Result<Option<Current>, ConnectionError> {
        let before = self.current().await?;
        if before.as_ref().map(|it| &it.record) != from {
            return Err(ConnectionError::Changed(self.target.name.clone()));
        }
        Ok(before)
    }

    /// Writes the Secret in the place of the one that was read before.
    ///
    /// # Errors
    /// Where the API server did not do it, or the Secret was changed meanwhile.
    pub async fn write(
        &self,
        before: Option<&Current>,
        login: &Login,
        record: &Record,
    ) -> Result<(), ConnectionError> {
        let name = &self.target.name;
        let data = self.protocol.content(&self.endpoint, login);
        let secret = secret(&self.target, before, data, record);
        self.metrics.wrote("apply", Kind::Secret.to_string());
        let params = PatchParams::apply(names::FIELD_MANAGER).force();
        let written = self.secrets.patch(name, &params, &Patch::Apply(&secret)).await;
        written.map(drop).map_err(|error| ConnectionError::of(name, error))
    }
}

/// The server of an endpoint.
#[must_use]
pub fn server(endpoint: &Endpoint) -> Server {
    let Endpoint { resource_id: _, host, server: _, reader: _, port, dbname, ca } = endpoint;
    let tls = ca.clone().map_or(Tls::Disabled, |ca| Tls::VerifyFull { ca });
    Server { host: host.clone(), port: *port, dbname: dbname.clone(), tls }
}

fn parse(secret: Secret) -> Option<Current> {
    let Secret { metadata, data, .. } = secret;
    let record = Record::parse(metadata.annotations?.get(names::ANNOTATION_LOGIN)?)?;
    let mut data = data?;
    let mut value = |key| String::from_utf8(data.remove(key)?.0).ok();
    let login = Login { username: value("username")?, password: Password::new(value("password")?) };
    Some(Current { login, record, resource_version: metadata.resource_version })
}

fn secret(
    target: &Target,
    before: Option<&Current>,
    data: BTreeMap<&'static str, String>,
    record: &Record,
) -> Secret {
    let Target { name, labels, owner } = target;
    let record = serde_json::json!(record).to_string();
    let data = data.into_iter();
    Secret {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels.clone()),
            annotations: Some([(names::ANNOTATION_LOGIN.to_owned(), record)].into()),
            owner_references: owner.clone().map(|owner| vec![owner]),
            resource_version: before.and_then(|it| it.resource_version.clone()),
            ..ObjectMeta::default()
        },
        data: Some(data.map(|(key, value)| (key.to_owned(), ByteString(value.into_bytes()))).collect()),
        ..Secret::default()
    }
}

impl Protocol {
    /// What a connection Secret holds.
    fn content(self, endpoint: &Endpoint, login: &Login) -> BTreeMap<&'static str, String> {
        match self {
            Self::Postgres => postgres_content(endpoint, login),
            Self::Redis { tls } => redis_content(endpoint, login, tls),
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn redis_content(endpoint: &Endpoint, login: &Login, tls: bool) -> BTreeMap<&'static str, String> {
    let Endpoint { resource_id: _, host, server: _, reader, port, dbname, ca: _ } = endpoint;
    let Login { username, password } = login;
    let (scheme, user) = if tls {
        ("rediss", format!("{}:{}@", encoded(username), encoded(password.reveal())))
    } else {
        ("redis", String::new())
    };
    let uri = |host: &str| format!("{scheme}://{user}{host}:{port}/{dbname}");
    let mut content = BTreeMap::from([
        ("host", host.clone()),
        ("port", port.to_string()),
        ("username", username.clone()),
        ("password", password.reveal().to_owned()),
        ("uri", uri(host)),
    ]);
    if let Some(reader) = reader {
        content.extend([("reader-host", reader.clone()), ("reader-uri", uri(reader))]);
    }
    content
}

fn postgres_content(endpoint: &Endpoint, login: &Login) -> BTreeMap<&'static str, String> {
    let Endpoint { resource_id: _, host, server: _, reader, port, dbname, ca } = endpoint;
    let (user, password) = (encoded(&login.username), encoded(login.password.reveal()));
    let (database, tls) = (encoded(dbname), if ca.is_some() { "?sslmode=verify-full" } else { "" });
    let uri = |host: &str| format!("postgres://{user}:{password}@{host}:{port}/{database}{tls}");
    let mut content = BTreeMap::from([
        ("host", host.clone()),
        ("port", port.to_string()),
        ("dbname", dbname.clone()),
        ("username", login.username.clone()),
        ("password", login.password.reveal().to_owned()),
        ("uri", uri(host)),
    ]);
    if let Some(reader) = reader {
        content.extend([("reader-host", reader.clone()), ("reader-uri", uri(reader))]);
    }
    content.extend(ca.clone().map(|ca| ("ca.crt", ca)));
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::login::User;
    use jiff::Timestamp;

    fn endpoint() -> Endpoint {
        Endpoint {
            resource_id: "db-1".into(),
            host: "one.example.com".into(),
            server: "one.example.com".into(),
            reader: None,
            port: 5433,
            dbname: "my db".into(),
            ca: None,
        }
    }

    fn login() -> Login {
        Login { username: "a@b".into(), password: Password::new("p/w:%") }
    }

    fn record() -> Record {
        let endpoint = endpoint();
        Record {
            database: endpoint.identity(),
            user: User::B,
            set_at: Timestamp::UNIX_EPOCH,
            endpoint: endpoint.hash(),
            asked: None,
        }
    }

    fn target() -> Target {
        Target {
            name: "demo-database".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            owner: None,
        }
    }

    #[test]
    fn a_client_understands_the_uri() {
        let content = Protocol::Postgres.content(&endpoint(), &login());
        let uri = url::Url::parse(&content["uri"]).unwrap();
        assert_eq!(uri.as_str(), "postgres://a%40b:p%2Fw%3A%25@one.example.com:5433/my%20db");
        assert_eq!(
            content.keys().copied().collect::<Vec<_>>(),
            ["dbname", "host", "password", "port", "uri", "username"]
        );
    }

    #[test]
    fn a_reader_and_tls_bring_keys_of_their_own() {
        let endpoint =
            Endpoint { reader: Some("read.example.com".into()), ca: Some("PEM".into()), ..endpoint() };
        let content = Protocol::Postgres.content(&endpoint, &login());
        assert!(content["uri"].ends_with("@one.example.com:5433/my%20db?sslmode=verify-full"));
        assert!(content["reader-uri"].ends_with("@read.example.com:5433/my%20db?sslmode=verify-full"));
        assert_eq!(
            (content["reader-host"].as_str(), content["ca.crt"].as_str()),
            ("read.example.com", "PEM")
        );
    }

    #[test]
    fn a_client_of_a_cache_logs_in_with_tls_and_not_without() {
        let endpoint = Endpoint { dbname: "0".into(), reader: Some("read.example.com".into()), ..endpoint() };
        let content = Protocol::Redis { tls: true }.content(&endpoint, &login());
        assert_eq!(content["uri"], "rediss://a%40b:p%2Fw%3A%25@one.example.com:5433/0");
        assert_eq!(content["reader-uri"], "rediss://a%40b:p%2Fw%3A%25@read.example.com:5433/0");
        let content = Protocol::Redis { tls: false }.content(&endpoint, &login());
        assert_eq!(content["uri"], "redis://one.example.com:5433/0");
    }

    #[test]
    fn what_is_written_can_be_read_and_replaces_only_what_was_read() {
        let data = |endpoint: &Endpoint| Protocol::Postgres.content(endpoint, &login());
        let mut first = secret(&target(), None, data(&endpoint()), &record());
        assert_eq!(first.metadata.resource_version, None);
        first.metadata.resource_version = Some("7".into());
        let read = parse(first).unwrap();
        assert_eq!((&read.login, &read.record), (&login(), &record()));
        let moved = Endpoint { host: "two.example.com".into(), ..endpoint() };
        let second = secret(&target(), Some(&read), data(&moved), &read.record);
        assert_eq!(second.metadata.resource_version.as_deref(), Some("7"));
        assert_eq!(parse(second).unwrap().login, login());
    }

    #[test]
    fn the_login_of_another_database_is_not_taken_for_ours() {
        let data = Protocol::Postgres.content(&endpoint(), &login());
        let mut foreign = secret(&target(), None, data, &record());
        foreign.metadata.annotations = None;
        assert!(parse(foreign).is_none());
    }
}

//! The connection Secret of a managed database or cache: what pods read, and the record of the login in it.
//!
//! Who sets a password claims the Secret first: makes it, without a login, or writes a [`Claim`] into the one that is
//! there. The login is written only where that claim still stands. A claim serves until a login is about to be written
//! by it ([`Pending`]), so that tries which fail before don't change the Secret, whose changes are a reason to try again.
//!
//! Guarantee: a password is set only while the Secret says what the step was planned from, and each write carries the
//! version that was read. A leader or a watch that is late gets [`ConnectionError::Changed`]; so does whatever an
//! earlier leader sent before the claim, whenever it arrives.

use super::{
    postgres::{Existing, Login, LoginError, Password, Server, Tls},
    sessions::Postgres,
    vault,
};
use crate::{
    api::{StreamingPlatform, names},
    aws::Account,
    kinds::Kind,
    metrics::Metrics,
    plan::login::{Endpoint, Record, Step, Vault},
};
use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{
    Api, Resource,
    api::{Patch, PatchParams, PostParams},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use rand::distr::{Alphanumeric, SampleString};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// How long a proxy may take until it knows a new password, and the pause between two tries.
const PROXY_DEADLINE: Duration = Duration::from_secs(30);
const PROXY_PAUSE: Duration = Duration::from_secs(2);
/// Every key that a connection Secret may have.
const KEYS: [&str; 9] =
    ["host", "port", "dbname", "username", "password", "uri", "reader-host", "reader-uri", "ca.crt"];

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
    /// The platform.
    pub owner: Option<OwnerReference>,
    /// Whether its login outlives the platform. Without one it never does.
    pub retained: bool,
}

/// A connection Secret as it was read.
#[derive(Clone, Debug)]
struct Current {
    /// The login that it holds, and what it says of it; none: it was claimed, and no login is written yet.
    held: Option<(Login, Record)>,
    claim: Option<Claim>,
    owners: Vec<OwnerReference>,
    resource_version: String,
}

/// Says in a connection Secret who sets its next login, in [`names::ANNOTATION_CLAIM`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim(String);

impl Claim {
    const LENGTH: usize = 16;

    fn random() -> Self {
        Self(Alphanumeric.sample_string(&mut rand::rng(), Self::LENGTH))
    }
}

/// The claim by which no login was sent yet; clones are the same one. A try that is cut off leaves what it came to.
#[derive(Clone, Debug, Default)]
pub struct Pending(Arc<Mutex<Option<Claim>>>);

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Option<Claim>> {
        // It is replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a login did not come into its Secret, or why the Secret's does not work.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// The Secret is not there, or holds no login yet.
    #[error("Secret {0} holds no login; one is set as soon as the database is available")]
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
    /// Whether the API server said no: what was sent is not on its way any more.
    fn is_refusal(&self) -> bool {
        matches!(self, Self::Kube { source, .. } if matches!(&**source, kube::Error::Api(status) if status.code < 500))
    }

    fn of(name: &str, error: kube::Error) -> Self {
        let name = name.to_owned();
        match error {
            kube::Error::Api(status)
                if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
            {
                Self::Changed(name)
            }
            source => Self::Kube { name, source: Box::new(source) },
        }
    }
}

impl Connection {
    /// Reads the Secret; none: it is not there.
    async fn current(&self) -> Result<Option<Current>, ConnectionError> {
        let name = &self.target.name;
        let found = self.secrets.get_opt(name).await.map_err(|error| ConnectionError::of(name, error))?;
        let parse = |secret| parse(secret).ok_or_else(|| ConnectionError::NotOurs(name.clone()));
        found.map(parse).transpose()
    }

    /// Reads the Secret, which must still say what a step was planned from.
    async fn unchanged_since(&self, from: Option<&Record>) -> Result<Option<Current>, ConnectionError> {
        let current = self.current().await?;
        if current.as_ref().and_then(Current::record) != from {
            return Err(ConnectionError::Changed(self.target.name.clone()));
        }
        Ok(current)
    }

    /// Logs in once with what the Secret holds.
    ///
    /// # Errors
    /// What the login failed for; [`LoginError::Refused`] is what a plan takes for a refused login.
    pub async fn check(&self, postgres: &Postgres) -> Result<(), ConnectionError> {
        let (_, login) = self.held(self.current().await?)?;
        Ok(postgres.check(&server(&self.endpoint), &login).await?)
    }

    /// The login of a Secret that holds one.
    fn held(&self, current: Option<Current>) -> Result<(Current, Login), ConnectionError> {
        let held = current.and_then(|it| it.held.clone().map(|(login, _)| (it, login)));
        held.ok_or_else(|| ConnectionError::Missing(self.target.name.clone()))
    }

    /// Carries a step out that was planned from `from`. `master` is awaited only where a login is set; `pending` is what
    /// the try before left. False: nothing was to be done.
    ///
    /// # Errors
    /// Whatever stopped it. All that has changed then is, at most, the password of the user that is not in
    /// use, and the Secret's claim.
    pub async fn carry_out(
        &self,
        from: Option<&Record>,
        step: &Step,
        existing: Existing,
        postgres: &Postgres,
        master: impl Future<Output = anyhow::Result<Login>>,
        pending: &Pending,
    ) -> Result<bool, ConnectionError> {
        match step {
            Step::Nothing { .. } | Step::Wait(_) => return Ok(false),
            Step::Store { record } => {
                let (_, login) = self.held(self.unchanged_since(from).await?)?;
                self.store(record, &login).await?;
            }
            Step::Rewrite { record } => {
                let (before, login) = self.held(self.unchanged_since(from).await?)?;
                self.store(record, &login).await?;
                // This login is tried again with the next look, where the proxy doesn't know it.
                self.is_known(postgres, &login, Duration::ZERO).await?;
                self.write(&before, &login, record).await?;
            }
            Step::Set { record, .. } => {
                let before = self.unchanged_since(from).await?;
                let master = master.await.map_err(ConnectionError::Master)?;
                let claimed = before.as_ref().and_then(|it| it.claim.clone());
                let ours = claimed.filter(|it| pending.lock().as_ref() == Some(it));
                let claim = match ours {
                    Some(claim) => claim,
                    None => self.claim_over(before.as_ref()).await?,
                };
                *pending.lock() = Some(claim.clone());
                let server = Server { host: self.endpoint.server.clone(), ..server(&self.endpoint) };
                let login = postgres.set_login(&server, &master, record.user, existing).await?;
                self.store(record, &login).await?;
                // With the next look, it would be another login.
                self.is_known(postgres, &login, PROXY_DEADLINE).await?;
                *pending.lock() = None;
                let written = self.set(from, &claim, &login, record).await;
                if written.as_ref().is_err_and(ConnectionError::is_refusal) {
                    *pending.lock() = Some(claim);
                }
                written?;
            }
        }
        Ok(true)
    }

    /// Gives a login to the proxy, where there is one that has not got it.
    async fn store(&self, record: &Record, login: &Login) -> Result<(), ConnectionError> {
        match &self.vault {
            Some((account, vault)) if !vault.holds(record) => {
                vault::store(account, vault, record, login).await.map_err(ConnectionError::Vault)
            }
            _ => Ok(()),
        }
    }

    /// Waits until the proxy, where there is one, knows a login: it may go on for a while with what it read before.
    async fn is_known(
        &self,
        postgres: &Postgres,
        login: &Login,
        patience: Duration,
    ) -> Result<(), ConnectionError> {
        if !self.endpoint.has_proxy() {
            return Ok(());
        }
        let deadline = Instant::now() + patience;
        loop {
            match postgres.check(&server(&self.endpoint), login).await {
                Err(error) if error.is_refused() && Instant::now() < deadline => sleep(PROXY_PAUSE).await,
                result => return Ok(result?),
            }
        }
    }

    /// Claims the Secret, which must still say what a step was planned from: nobody else's login can come into it
    /// any more, unless they claim it anew.
    ///
    /// # Errors
    /// Where the API server did not do it, or the Secret was changed meanwhile.
    pub async fn claim(&self, from: Option<&Record>) -> Result<Claim, ConnectionError> {
        let before = self.unchanged_since(from).await?;
        self.claim_over(before.as_ref()).await
    }

    async fn claim_over(&self, before: Option<&Current>) -> Result<Claim, ConnectionError> {
        let claim = Claim::random();
        let annotations = json!({names::ANNOTATION_CLAIM: claim.0});
        match before {
            Some(before) => self.patch(before, json!({"metadata": {"annotations": annotations}})).await?,
            None => self.create(annotations).await?,
        }
        Ok(claim)
    }

    /// Writes a login that was set after the Secret was claimed for it.
    ///
    /// # Errors
    /// Where the API server did not do it, the Secret was changed, or somebody else claimed it.
    pub async fn set(
        &self,
        from: Option<&Record>,
        claim: &Claim,
        login: &Login,
        record: &Record,
    ) -> Result<(), ConnectionError> {
        let claimed = self.unchanged_since(from).await?.filter(|it| it.claim.as_ref() == Some(claim));
        let claimed = claimed.ok_or_else(|| ConnectionError::Changed(self.target.name.clone()))?;
        self.write(&claimed, login, record).await
    }

    /// Writes the login that the Secret holds with what is known of the server now.
    ///
    /// # Errors
    /// Where the API server did not do it, or the Secret was changed meanwhile.
    pub async fn rewrite(&self, from: Option<&Record>, record: &Record) -> Result<(), ConnectionError> {
        let (before, login) = self.held(self.unchanged_since(from).await?)?;
        self.write(&before, &login, record).await
    }

    async fn write(&self, before: &Current, login: &Login, record: &Record) -> Result<(), ConnectionError> {
        let Target { name: _, labels, owner, retained } = &self.target;
        let of_others = before.owners.iter().filter(|it| it.kind != StreamingPlatform::kind(&()));
        let owners: Vec<_> = of_others.chain(owner.iter().filter(|_| !retained)).collect();
        let annotations = json!({
            names::ANNOTATION_LOGIN: json!(record).to_string(),
            names::ANNOTATION_CLAIM: null,
        });
        let patch = json!({
            "metadata": {"labels": labels, "annotations": annotations, "ownerReferences": owners},
            "data": data(&self.protocol.content(&self.endpoint, login)),
        });
        self.patch(before, patch).await
    }

    /// Makes the Secret, without a login.
    async fn create(&self, annotations: Value) -> Result<(), ConnectionError> {
        let Target { name, labels, owner, retained: _ } = &self.target;
        let owners: Vec<_> = owner.iter().collect();
        let metadata =
            json!({"name": name, "labels": labels, "annotations": annotations, "ownerReferences": owners});
        let secret = serde_json::from_value(json!({"metadata": metadata})).expect("a Secret");
        self.metrics.wrote("create", Kind::Secret.to_string());
        let params = PostParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PostParams::default() };
        let made = self.secrets.create(&params, &secret).await;
        made.map(drop).map_err(|error| ConnectionError::of(name, error))
    }

    /// Changes the Secret that was read.
    async fn patch(&self, before: &Current, mut patch: Value) -> Result<(), ConnectionError> {
        patch["metadata"]["resourceVersion"] = json!(before.resource_version);
        self.metrics.wrote("patch", Kind::Secret.to_string());
        let params =
            PatchParams { field_manager: Some(names::FIELD_MANAGER.into()), ..PatchParams::default() };
        let name = &self.target.name;
        let written = self.secrets.patch(name, &params, &Patch::Merge(&patch)).await;
        written.map(drop).map_err(|error| ConnectionError::of(name, error))
    }
}

impl Current {
    fn record(&self) -> Option<&Record> {
        self.held.as_ref().map(|(_, record)| record)
    }
}

/// The server of an endpoint.
#[must_use]
pub fn server(endpoint: &Endpoint) -> Server {
    let Endpoint { resource_id: _, host, server: _, reader: _, port, dbname, ca } = endpoint;
    let tls = ca.clone().map_or(Tls::Disabled, |ca| Tls::VerifyFull { ca });
    Server { host: host.clone(), port: *port, dbname: dbname.clone(), tls }
}

/// None: it is not ours.
fn parse(secret: Secret) -> Option<Current> {
    let Secret { metadata, data, .. } = secret;
    let mut annotations = metadata.annotations?;
    let claim = annotations.remove(names::ANNOTATION_CLAIM).map(Claim);
    let held = match (annotations.get(names::ANNOTATION_LOGIN), data) {
        (Some(record), Some(mut data)) => {
            let record = Record::parse(record)?;
            let mut value = |key| String::from_utf8(data.remove(key)?.0).ok();
            let login = Login { username: value("username")?, password: Password::new(value("password")?) };
            Some((login, record))
        }
        (None, data) if claim.is_some() && data.as_ref().is_none_or(BTreeMap::is_empty) => None,
        _ => return None,
    };
    let owners = metadata.owner_references.unwrap_or_default();
    Some(Current { held, claim, owners, resource_version: metadata.resource_version? })
}

/// Data of a merge patch: keys that are not in the content any more are taken away, and foreign ones left.
fn data(content: &BTreeMap<&'static str, String>) -> Value {
    let encoded = |key| content.get(key).map(|value| ByteString(value.clone().into_bytes()));
    KEYS.iter().map(|key| ((*key).to_owned(), json!(encoded(key)))).collect::<serde_json::Map<_, _>>().into()
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
    use std::collections::BTreeSet;

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

    fn secret(annotations: &Value, data: &Value) -> Secret {
        let metadata = json!({"resourceVersion": "7", "annotations": annotations});
        serde_json::from_value(json!({"metadata": metadata, "data": data})).unwrap()
    }

    #[test]
    fn what_is_written_can_be_read() {
        let written = data(&Protocol::Postgres.content(&endpoint(), &login()));
        let annotations = json!({names::ANNOTATION_LOGIN: json!(record()).to_string()});
        // A merge patch takes what is null away.
        let there: serde_json::Map<_, _> =
            written.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        let read = parse(secret(&annotations, &there.into())).unwrap();
        assert_eq!((read.held, read.claim), (Some((login(), record())), None));
        assert_eq!(read.resource_version, "7");
    }

    #[test]
    fn what_is_not_there_any_more_is_taken_away() {
        let everything = Endpoint { reader: Some("read".into()), ca: Some("PEM".into()), ..endpoint() };
        let full = Protocol::Postgres.content(&everything, &login());
        assert_eq!(full.into_keys().collect::<BTreeSet<_>>(), BTreeSet::from(KEYS));
        let less = data(&Protocol::Postgres.content(&endpoint(), &login()));
        assert_eq!(
            (&less["reader-host"], &less["ca.crt"], less["host"].is_string()),
            (&Value::Null, &Value::Null, true)
        );
    }

    #[test]
    fn a_secret_that_is_only_claimed_holds_no_login() {
        let claimed = parse(secret(&json!({names::ANNOTATION_CLAIM: "one"}), &Value::Null)).unwrap();
        assert_eq!((claimed.held, claimed.claim), (None, Some(Claim("one".into()))));
    }

    #[test]
    fn the_login_of_another_database_is_not_taken_for_ours() {
        let foreign = json!({"username": "YQ==", "password": "YQ=="});
        assert!(parse(secret(&json!({}), &foreign)).is_none());
        assert!(parse(secret(&json!({names::ANNOTATION_CLAIM: "one"}), &foreign)).is_none());
    }
}

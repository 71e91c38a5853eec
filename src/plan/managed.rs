//! What the plans of a managed database and a managed cache have in common: what is done at once, what waits
//! for the window or an approval, whose a resource is.

pub mod rules;

use super::{call::Call, login, rds::drill::Drill};
use crate::{
    api::{ConditionReason, Restarts, names},
    managed::{Change, Effect, Setting},
    platform::{Platform, database::Window},
};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// What is to be done about a managed database or cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataPlan {
    /// Calls, in this order. Where one fails, those after it are left for the next time.
    pub calls: Vec<Call>,
    /// How it is.
    pub state: State,
    /// Changes that wait.
    pub pending: Vec<Pending>,
    /// What has to be approved for them to be made at once.
    pub approval: Option<String>,
    /// How to connect, once that is known.
    pub connection: Option<Connection>,
    /// What is to be done about its login.
    pub login: Option<LoginPlan>,
    /// What is to be done about its restore drills.
    pub drill: Option<Drill>,
    /// Whether its login is not rotated now: another server is about to take its place.
    pub holds_login: bool,
    /// What the status tells of it.
    pub facts: Facts,
}

/// What is to be done about the login of a database, and its connection Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPlan {
    /// The step.
    pub step: login::Step,
    /// What the Secret says now.
    pub from: Option<login::Record>,
    /// The database.
    pub endpoint: login::Endpoint,
    /// Who may set it.
    pub master: Master,
    /// Where a proxy reads it.
    pub vault: Option<login::Vault>,
    /// Labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// Whether the Secret outlives the platform.
    pub retained: bool,
}

/// How a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// As the spec says.
    Ready(String),
    /// On its way by itself.
    Moving(String),
    /// Someone must mend something.
    Stuck {
        /// Why, as a constant.
        reason: ConditionReason,
        /// What to do.
        message: String,
        /// Whether it serves nevertheless.
        serves: bool,
    },
}

impl Default for State {
    fn default() -> Self {
        Self::Moving("it is looked at".to_owned())
    }
}

/// How far the removal of a database or cache has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Removal {
    /// It is gone, or let go of.
    Done,
    /// These calls are next.
    Calls(Vec<Call>),
    /// AWS is at it.
    Waiting(String),
    /// Someone must do something first.
    HeldUp(String),
}

/// A change that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The field, below that of the resource.
    pub field: String,
    /// What it is.
    pub from: String,
    /// What it shall be.
    pub to: String,
    /// What making it does.
    pub effect: Effect,
    /// When it is made; none: once it is approved.
    pub at: Option<Timestamp>,
}

/// How to connect to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// What names the server for ever: another one has other logins.
    pub resource_id: String,
    /// Host that takes writes.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Host that spreads over the readers.
    pub reader_host: Option<String>,
    /// The proxy before the server.
    pub proxy: Option<Proxied>,
    /// Where the master's password is.
    pub master: Master,
}

/// A proxy before a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// Host of the proxy.
    pub host: String,
    /// Whether it reaches the server.
    pub reaches: bool,
}

/// Where the password of the master is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Master {
    /// In Secrets Manager, in the secret of that ARN.
    SecretsManager(String),
    /// In the Secret of that name.
    Kubernetes(String),
    /// There is none: ElastiCache itself sets logins.
    ElastiCache,
    /// Nobody told us; the connection Secret is the user's.
    Unknown,
}

/// What the status tells of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Identifier of the one in use: once it has served, it may hold data.
    pub identifier: Option<String>,
    /// AWS's word for its state.
    pub state: Option<String>,
    /// Version that runs.
    pub version: Option<String>,
    /// The node that takes writes, where that can be told.
    pub primary: Option<String>,
    /// The proxy before it that is wanted or not yet gone.
    pub proxy: Option<String>,
    /// Latest point in time that can be restored.
    pub latest_restorable: Option<Timestamp>,
    /// Others of the platform that are kept: what a restore replaced.
    pub kept: BTreeSet<String>,
    /// Since when changes wait.
    pub pending_since: Option<Timestamp>,
    /// The generation of the spec that it was brought to last.
    pub settled_generation: Option<i64>,
}

/// The one in use: `target` as soon as it has served, before that what the status named before.
pub fn in_use(target: &str, before: Option<&String>, has_served: bool) -> Option<String> {
    if has_served { Some(target.to_owned()) } else { before.cloned() }
}

/// Which changes may be made now.
#[derive(Clone, Debug)]
pub struct Permits {
    restarts: Restarts,
    window: Window,
    approved: Option<String>,
    token: String,
    now: Timestamp,
}

impl Permits {
    /// For changes to what `wanted` describes, which wait since `since`. Approved is what has this token: it
    /// holds for this state and these changes, not for later ones.
    pub fn new(
        platform: &Platform,
        restarts: Restarts,
        window: Window,
        wanted: &impl std::fmt::Debug,
        since: Timestamp,
        now: Timestamp,
    ) -> Self {
        let text = format!("{} {wanted:?} {}", platform.uid, since.as_second());
        let digest = data_encoding::BASE32_NOPAD.encode(&Sha256::digest(text.as_bytes()));
        let token = digest[..8].to_ascii_lowercase();
        Self { restarts, window, approved: platform.approved.clone(), token, now }
    }

    /// Whether someone approved exactly this.
    pub fn is_approved(&self) -> bool {
        self.approved.as_deref() == Some(&self.token)
    }

    /// Whether a change of this effect may be made now; else when, where time alone brings it.
    fn admits(&self, effect: Effect) -> Result<(), Option<Timestamp>> {
        match (effect, self.restarts) {
            (Effect::Online, _) => Ok(()),
            (Effect::Restarts | Effect::Replaces, _) if self.is_approved() => Ok(()),
            (Effect::Restarts, Restarts::Immediately) => Ok(()),
            (Effect::Restarts, Restarts::InWindow) if self.window.contains(self.now) => Ok(()),
            (Effect::Restarts, Restarts::InWindow) => Err(Some(self.window.next(self.now))),
            (Effect::Restarts | Effect::Replaces | Effect::Impossible, _) => Err(None),
        }
    }
}

impl DataPlan {
    /// Nothing moves until someone mends something.
    pub fn stuck(&mut self, reason: ConditionReason, message: impl Into<String>, serves: bool) {
        self.state = State::Stuck { reason, message: message.into(), serves };
    }

    /// Takes the changes that may be made now; notes the others.
    pub fn permitted<S: Setting>(&mut self, changes: Vec<Change<S>>, permits: &Permits) -> Vec<Change<S>> {
        let mut now = Vec::new();
        for change in changes {
            if self.permits(&change, change.effect(), permits) {
                now.push(change);
            }
        }
        now
    }

    fn permits<S: Setting>(&mut self, change: &Change<S>, effect: Effect, permits: &Permits) -> bool {
        let from = change.from.as_ref().map_or_else(|| "unset".to_owned(), ToString::to_string);
        self.permits_step(change.setting.field(), from, change.to.to_string(), effect, permits)
    }

    /// Whether something may be done now; else it is noted as pending.
    pub fn permits_step(
        &mut self,
        field: &str,
        from: String,
        to: String,
        effect: Effect,
        permits: &Permits,
    ) -> bool {
        match permits.admits(effect) {
            Ok(()) => true,
            Err(at) => {
                self.pending.push(Pending { field: field.to_owned(), from, to, effect, at });
                self.approval = Some(permits.token.clone());
                false
            }
        }
    }
}

/// Whose a resource is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This platform's.
    Us,
    /// Another platform's: `namespace/name`.
    Other(String),
    /// No platform's.
    Nobody,
}

/// Whose a resource with these tags is.
pub fn owner(platform: &Platform, tags: &BTreeMap<String, String>) -> Owner {
    let tag = |key: &str| tags.get(key).map(String::as_str).unwrap_or_default();
    match tag(names::TAG_UID) {
        "" => Owner::Nobody,
        uid if uid == platform.uid => Owner::Us,
        _ => Owner::Other(format!("{}/{}", tag(names::TAG_NAMESPACE), tag(names::TAG_PLATFORM))),
    }
}

/// The tags that tell whose a resource is, and the user's.
pub fn tags(platform: &Platform) -> BTreeMap<String, String> {
    let mut tags = platform.aws.as_ref().map(|aws| aws.tags.clone()).unwrap_or_default();
    tags.extend(
        [
            (names::TAG_NAMESPACE, platform.namespace.as_str()),
            (names::TAG_PLATFORM, platform.name.as_str()),
            (names::TAG_UID, platform.uid.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    tags
}

/// Tags that are absent or other than they shall be. Those of others are kept.
#[must_use]
pub fn missing_tags(
    wanted: &BTreeMap<String, String>,
    observed: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    wanted
        .iter()
        .filter(|(key, value)| observed.get(*key) != Some(value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

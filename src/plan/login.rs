//! The login with which pods use a managed database: which of its two users is in use, and when the other
//! takes over.
//!
//! Guarantee: the password of the user in use is never set anew. A rotation sets the *other* user's, proves
//! it by a login, and then writes the connection Secret with it; until then nothing has changed for anybody,
//! so a crash at any point is harmless. The pods roll by the Secret's content, and old ones go on with the
//! old user. While they do, no further rotation begins.
//!
//! A proxy reads logins from a vault. A login is in there before the Secret leads pods to the proxy with it.
//!
//! Assumption: who carries a step out reads the Secret itself first, and does nothing if its record is not the
//! one that the step was planned from: a watch may be late.

use crate::{managed::rds::proxy::LoginSecret, platform::Platform};
use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// After so long a password is replaced, when the spec says nothing else.
pub const ROTATION_INTERVAL: SignedDuration = SignedDuration::from_hours(30 * 24);

/// One of the two users of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum User {
    /// The one.
    A,
    /// The other.
    B,
}

impl User {
    /// Both.
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    /// Name of the secret in Secrets Manager from which a proxy reads its login.
    #[must_use]
    pub fn secret_name(self, platform: &Platform) -> String {
        platform.aws_name(match self {
            Self::A => "login-a",
            Self::B => "login-b",
        })
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// What the connection Secret says of the login that it holds, in its annotation
/// [`ANNOTATION_LOGIN`](crate::api::names::ANNOTATION_LOGIN), as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The database on which it was set; see [`Endpoint::identity`].
    pub database: String,
    /// The user in use.
    pub user: User,
    /// When its password was set.
    pub set_at: Timestamp,
    /// Hash of the endpoint that the Secret names.
    pub endpoint: String,
    /// Value of the platform's annotation that last asked for a rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

impl Record {
    /// Reads the annotation; none: it is not one of ours.
    #[must_use]
    pub fn parse(annotation: &str) -> Option<Self> {
        serde_json::from_str(annotation).ok()
    }

    /// Identifies this login, in 64 characters: the version of a secret in Secrets Manager that holds it.
    #[must_use]
    pub fn version(&self) -> String {
        let Self { database, user, set_at, endpoint: _, asked: _ } = self;
        HEXLOWER.encode(&Sha256::digest(format!("{database} {user:?} {set_at}")))
    }
}

/// The secrets from which a proxy reads the logins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// By user: of both.
    pub logins: BTreeMap<User, LoginSecret>,
}

impl Vault {
    /// Whether it holds the login of this record.
    #[must_use]
    pub fn holds(&self, record: &Record) -> bool {
        let secret = self.logins.get(&record.user);
        secret.is_some_and(|secret| secret.current.as_ref() == Some(&record.version()))
    }
}

/// Where a database is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `DbiResourceId` of an instance, `DbClusterResourceId` of a cluster: unlike a name, never used twice.
    pub resource_id: String,
    /// Host that takes writes.
    pub host: String,
    /// Host of the server itself, where logins are set: another one only where there is a proxy before it.
    pub server: String,
    /// Host that answers reads, where there is one.
    pub reader: Option<String>,
    /// Port.
    pub port: u16,
    /// Name of the database.
    pub dbname: String,
    /// CA certificates in PEM; none: no TLS.
    pub ca: Option<String>,
}

impl Endpoint {
    /// What tells one database from another: its users and tables move to a new host with it.
    #[must_use]
    pub fn identity(&self) -> String {
        format!("{}/{}", self.resource_id, self.dbname)
    }

    /// Whether there is a proxy before the server.
    #[must_use]
    pub fn has_proxy(&self) -> bool {
        self.host != self.server
    }

    /// Hash over what the Secret says of it.
    #[must_use]
    pub fn hash(&self) -> String {
        let Self { resource_id: _, host, server: _, reader, port, dbname, ca } = self;
        let parts = (host, reader, port, dbname, ca);
        HEXLOWER.encode(&Sha256::digest(format!("{parts:?}"))[..16])
    }
}

/// Everything that the decision depends on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What the connection Secret says; none: there is no Secret of ours, or it holds no login yet.
    pub record: Option<&'a Record>,
    /// The database that the platform shall use, and which is available.
    pub endpoint: &'a Endpoint,
    /// Now.
    pub now: Timestamp,
    /// How long a password is used.
    pub interval: SignedDuration,
    /// Value of the platform's annotation that asks for a rotation: each new value asks once.
    pub asked: Option<&'a str>,
    /// Whether the server refused the login that the Secret holds.
    pub refused: bool,
    /// Where a proxy reads the logins, where there is one.
    pub vault: Option<&'a Vault>,
    /// Whether a rotation may begin: no pod is left that was started with an earlier content of the Secret, and no
    /// other server, which would not know of it, is about to take this one's place.
    pub may_rotate: bool,
}

/// Why a login is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none yet.
    New,
    /// The Secret's is on another database: this one was restored, replaced or adopted.
    AnotherDatabase,
    /// The server refuses the one that the Secret holds.
    Refused,
    /// Its time is up.
    Due,
    /// Somebody asked for it.
    Asked,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing; `until` a rotation is due.
    Nothing {
        /// When the next rotation is due.
        until: Timestamp,
    },
    /// A rotation is wanted, and may not begin: pods still use the user whose password it would replace, or another
    /// server is about to take this one's place.
    Wait(Why),
    /// Set a new password for the user of `record`, then write the Secret with it.
    Set {
        /// Why.
        why: Why,
        /// What the Secret shall say afterwards.
        record: Record,
    },
    /// Give the login that the Secret holds to the proxy.
    Store {
        /// What the Secret says, now and afterwards.
        record: Record,
    },
    /// Write the Secret with another endpoint and the login that it has.
    Rewrite {
        /// What the Secret shall say afterwards.
        record: Record,
    },
}

/// The next step for a login.
#[must_use]
pub fn plan(facts: &Facts<'_>) -> Step {
    let Facts { record, endpoint, now, interval, asked, refused, vault, may_rotate } = facts;
    let set = |why, user| Step::Set {
        why,
        record: Record {
            database: endpoint.identity(),
            user,
            set_at: *now,
            endpoint: endpoint.hash(),
            asked: asked.map(str::to_owned),
        },
    };
    let Some(record) = record else { return set(Why::New, User::A) };
    let other = record.user.other();
    if record.database != endpoint.identity() {
        return set(Why::AnotherDatabase, other);
    }
    // Old pods may fail by that: they use either the refused login or one that was replaced before it.
    if *refused {
        return set(Why::Refused, other);
    }
    let until = record.set_at.saturating_add(*interval).unwrap_or(Timestamp::MAX);
    let wanted = match asked {
        Some(asked) if record.asked.as_deref() != Some(*asked) => Some(Why::Asked),
        _ => (until <= *now).then_some(Why::Due),
    };
    match wanted {
        Some(why) if *may_rotate => set(why, other),
        _ if vault.is_some_and(|vault| !vault.holds(record)) => Step::Store { record: (*record).clone() },
        _ if record.endpoint != endpoint.hash() => {
            Step::Rewrite { record: Record { endpoint: endpoint.hash(), ..(*record).clone() } }
        }
        Some(why) => Step::Wait(why),
        None => Step::Nothing { until },
    }
}

#[cfg(test)]
mod tests;

//! Users of a cache (role-based access control): two that take turns, and `default`, which is off.
//!
//! A serverless cache knows no other logins, and a replication group's own AUTH token is superseded by them.
//! The user group of Redis OSS must have a user of the name `default`; one that is off keeps out whoever
//! brings no login.

use super::Call;
use crate::{
    plan::login,
    platform::{AwsCache, Platform},
};
use std::collections::{BTreeMap, BTreeSet};

/// A user as ElastiCache describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// AWS's word for its state: `active`, `modifying`, `deleting`.
    pub status: String,
}

/// A user group as ElastiCache describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserGroup {
    /// AWS's word for its state: `creating`, `active`, `modifying`, `deleting`.
    pub status: String,
    /// Identifiers of its users.
    pub users: BTreeSet<String>,
}

/// Who may log in as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// One of the two that pods use.
    Pods(login::User),
    /// Nobody: the user that a connection has before it logs in.
    Nobody,
}

impl Role {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Pods(login::User::A), Self::Pods(login::User::B), Self::Nobody];

    /// Identifier of the user in ElastiCache, of at most 40 characters.
    #[must_use]
    pub fn identifier(self, platform: &Platform) -> String {
        let suffix = match self {
            Self::Pods(login::User::A) => "cache-a",
            Self::Pods(login::User::B) => "cache-b",
            Self::Nobody => "cache-off",
        };
        platform.aws_identifier(suffix, 40)
    }

    /// Name that a client logs in with.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pods(login::User::A) => "platform-a",
            Self::Pods(login::User::B) => "platform-b",
            Self::Nobody => "default",
        }
    }

    /// What it may do, as `ACL SETUSER` takes it. Commands of administrators ElastiCache has taken away itself.
    #[must_use]
    pub fn access(self) -> &'static str {
        match self {
            Self::Pods(_) => "on ~* &* +@all",
            Self::Nobody => "off -@all",
        }
    }
}

/// Identifier of the platform's user group.
#[must_use]
pub fn group_identifier(platform: &Platform) -> String {
    platform.aws_identifier("cache", 40)
}

/// The calls that bring users and their group about; none are left once the group can be used. A user is made
/// with a password that nobody knows.
#[must_use]
pub fn calls(
    platform: &Platform,
    cache: &AwsCache,
    tags: &BTreeMap<String, String>,
    observed: &super::Cache,
) -> Vec<Call> {
    let engine = cache.engine_name();
    let missing =
        Role::ALL.into_iter().filter(|role| !observed.users.contains_key(&role.identifier(platform)));
    let mut calls: Vec<_> = missing
        .map(|role| Call::CreateUser {
            identifier: role.identifier(platform),
            role,
            engine,
            tags: tags.clone(),
        })
        .collect();
    if observed.user_group.is_none() {
        calls.push(Call::CreateUserGroup {
            identifier: group_identifier(platform),
            users: Role::ALL.into_iter().map(|role| role.identifier(platform)).collect(),
            engine,
            tags: tags.clone(),
        });
    }
    calls
}

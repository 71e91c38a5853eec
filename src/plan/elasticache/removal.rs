//! The end of a cache, as `cache.deletionPolicy` says.

use crate::{
    api::{DatabaseDeletionPolicy, Management, names},
    managed::{
        Seen,
        elasticache::{Cache, Call, Phase, user},
    },
    plan::{
        call,
        managed::{Owner, Removal, owner},
    },
    platform::{AwsCache, Platform},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The next step of removing everything of a platform's cache.
#[must_use]
pub fn teardown(platform: &Platform, wanted: &AwsCache, seen: &Seen<Cache>) -> Removal {
    let there = &seen.resource;
    if wanted.management == Management::ObserveOnly {
        return Removal::Done;
    }
    let ours = |tags: &BTreeMap<String, String>| owner(platform, tags) == Owner::Us;
    if let Some(group) = there.group.as_ref().filter(|it| ours(&it.tags)) {
        let end = End { arn: &group.arn, status: &group.status, created_at: group.created_at };
        return end.next(platform, wanted, group.phase(), |identifier, final_snapshot| Call::DeleteGroup {
            identifier,
            final_snapshot,
        });
    }
    if let Some(cache) = there.serverless.as_ref().filter(|it| ours(&it.tags)) {
        let end = End { arn: &cache.arn, status: &cache.status, created_at: cache.created_at };
        return end.next(platform, wanted, cache.phase(), |identifier, final_snapshot| {
            Call::DeleteServerless { identifier, final_snapshot }
        });
    }
    if wanted.deletion_policy == DatabaseDeletionPolicy::Retain {
        return Removal::Done;
    }
    foundation(platform, there)
}

/// What the cache stood on, once it does no more. AWS deletes no user of a group that is there.
fn foundation(platform: &Platform, there: &Cache) -> Removal {
    let groups = there.parameter_groups.keys().map(|name| Call::DeleteParameterGroup { name: name.clone() });
    let mut calls: Vec<_> = groups.collect();
    let subnets = there.subnet_group.as_ref();
    calls.extend(subnets.map(|_| Call::DeleteSubnetGroup { name: super::subnet_group_name(platform) }));
    let mut waits = false;
    match &there.user_group {
        Some(group) if group.status == "deleting" => waits = true,
        Some(_) => {
            calls.push(Call::DeleteUserGroup { identifier: user::group_identifier(platform) });
        }
        None => {
            let (leaving, staying): (Vec<_>, Vec<_>) =
                there.users.iter().partition(|(_, user)| user.status == "deleting");
            waits = !leaving.is_empty();
            calls.extend(
                staying
                    .into_iter()
                    .map(|(identifier, _)| Call::DeleteUser { identifier: identifier.clone() }),
            );
        }
    }
    match (calls.is_empty(), waits) {
        (true, false) => Removal::Done,
        (true, true) => Removal::Waiting("the cache's users are being deleted".to_owned()),
        (false, _) => Removal::Calls(calls.into_iter().map(call::Call::ElastiCache).collect()),
    }
}

/// A cache that goes.
struct End<'a> {
    arn: &'a str,
    status: &'a str,
    created_at: Option<Timestamp>,
}

impl End<'_> {
    fn next(
        &self,
        platform: &Platform,
        wanted: &AwsCache,
        phase: Phase,
        delete: impl FnOnce(String, Option<String>) -> Call,
    ) -> Removal {
        let identifier = wanted.identifier.clone();
        if phase == Phase::Deleting {
            return Removal::Waiting(format!("{identifier} is being deleted, after its final snapshot"));
        }
        if phase == Phase::Moving {
            let Self { status, .. } = self;
            return Removal::Waiting(format!("{identifier} is {status}; it goes when that is over"));
        }
        let calls = match wanted.deletion_policy {
            DatabaseDeletionPolicy::Retain => self.let_go(platform),
            // What could not be made holds nothing.
            DatabaseDeletionPolicy::Snapshot if phase == Phase::Settled => {
                // One for each life of a cache, so that a second try finds that of the first.
                let second = self.created_at.map(Timestamp::as_second).unwrap_or_default();
                let snapshot = format!("{identifier}-final-{second}");
                vec![delete(identifier, Some(snapshot))]
            }
            DatabaseDeletionPolicy::Snapshot | DatabaseDeletionPolicy::Delete => {
                vec![delete(identifier, None)]
            }
        };
        Removal::Calls(calls.into_iter().map(call::Call::ElastiCache).collect())
    }

    /// What is retained says whose it was and belongs to nobody, so that a later platform can adopt it.
    fn let_go(&self, platform: &Platform) -> Vec<Call> {
        let of = format!("{}/{}", platform.namespace, platform.name);
        let arn = self.arn.to_owned();
        vec![
            Call::Tag { arn: arn.clone(), tags: BTreeMap::from([(names::TAG_RETAINED.to_owned(), of)]) },
            Call::Untag { arn, keys: BTreeSet::from([names::TAG_UID.to_owned()]) },
        ]
    }
}

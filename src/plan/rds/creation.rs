//! What a new server is made from, and what it needs afterwards.

use super::{Planner, Server, master_secret_name};
use crate::{
    api::{ConditionReason, names},
    managed::rds::{self, Origin},
    plan::managed::tags,
    platform::database::{Engine, Restore, RestoreSource},
};
use std::collections::{BTreeMap, BTreeSet};

impl Planner<'_> {
    /// Where a new server's content comes from.
    pub(super) fn origin(&self) -> Origin {
        match &self.wanted.restore {
            Some(restore) => Origin::Restored(self.restore_source(restore)),
            None if self.wanted.secrets_manager() => Origin::Empty,
            None => Origin::EmptyWithPassword { secret: master_secret_name(self.platform) },
        }
    }

    pub(super) fn restore_source(&self, restore: &Restore) -> RestoreSource {
        match &restore.source {
            RestoreSource::PointInTime { from: None, time } => {
                let before = self.seen.identifier.clone();
                let from = before.unwrap_or_else(|| self.wanted.base_identifier.clone());
                RestoreSource::PointInTime { from: Some(from), time: *time }
            }
            source => source.clone(),
        }
    }

    /// The tags of a new server.
    pub(super) fn new_tags(&self) -> BTreeMap<String, String> {
        let mut tags = tags(self.platform);
        if matches!(self.origin(), Origin::Restored(_)) && !self.wanted.secrets_manager() {
            tags.insert(names::TAG_MASTER.to_owned(), "unset".to_owned());
        }
        tags
    }

    /// Whether a server may be made where there is none. One that was there and is gone held data: making an
    /// empty one in its place would hide the loss.
    pub(super) fn may_be_made(&mut self) -> bool {
        if self.seen.identifier.as_deref() == Some(&self.identifier) {
            let message = format!(
                "database {} is gone, and the operator did not delete it; restore it from its latest backup or snapshot (database.aws.restore)",
                self.identifier
            );
            self.plan.stuck(ConditionReason::NotFound, message, false);
            return false;
        }
        if self.wanted.adopt {
            let message = format!(
                "there is no database {} to adopt; correct database.aws.identifier, or leave adopt out to have it made",
                self.identifier
            );
            self.plan.stuck(ConditionReason::NotFound, message, false);
            return false;
        }
        true
    }

    /// RDS gives the master's password out of its hands only for another one.
    pub(super) fn take_master_password(&mut self) {
        self.moving("its master's password moves from Secrets Manager to a Secret");
        self.call_master_password(true);
    }

    fn call_master_password(&mut self, was_managed: bool) {
        let (identifier, secret) = (self.identifier.clone(), master_secret_name(self.platform));
        self.call(match self.wanted.engine {
            Engine::Instance { .. } => rds::Call::SetMasterPassword { identifier, secret, was_managed },
            Engine::Aurora { .. } => rds::Call::SetClusterMasterPassword { identifier, secret, was_managed },
        });
    }

    /// A restored database has the master's password of its source.
    pub(super) fn set_master_password(&mut self, server: &Server<'_>) {
        if server.tags.contains_key(names::TAG_MASTER) {
            self.call_master_password(false);
            let keys = BTreeSet::from([names::TAG_MASTER.to_owned()]);
            self.call(rds::Call::Untag { arn: server.arn.to_owned(), keys });
        }
    }
}

pub(super) fn describe_making(origin: &Origin) -> String {
    match origin {
        Origin::Restored(_) => "it is being restored".to_owned(),
        Origin::Empty | Origin::EmptyWithPassword { .. } | Origin::Member => "it is being made".to_owned(),
    }
}

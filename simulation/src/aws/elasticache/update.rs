//! Service updates: offered by AWS, applied by a call.

use super::{ElastiCache, combine, replication_group::Group, times};
use crate::aws::{
    fault::Fault,
    query::{Answer, Parameters, Xml, page},
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, fmt};

/// A service update.
#[derive(Clone, Debug)]
pub struct ServiceUpdate {
    /// When it was released; it should be applied within 60 days.
    pub released: Timestamp,
    /// What became of it, by replication group.
    pub actions: BTreeMap<String, Action>,
}

/// What became of a service update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It waits for a call.
    NotApplied,
    /// It is being applied.
    InProgress,
    /// It is applied.
    Complete,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotApplied => "not-applied",
            Self::InProgress => "in-progress",
            Self::Complete => "complete",
        })
    }
}

impl ServiceUpdate {
    fn xml(&self, name: &str, group: &Group, action: Action) -> Xml {
        let nodes = group.members().count();
        let updated = if action == Action::Complete { nodes } else { 0 };
        Xml::new()
            .text("ReplicationGroupId", &group.id)
            .text("ServiceUpdateName", name)
            .text("ServiceUpdateReleaseDate", self.released)
            .text("ServiceUpdateSeverity", "important")
            .text("ServiceUpdateStatus", "available")
            .text("ServiceUpdateRecommendedApplyByDate", self.released + SignedDuration::from_hours(60 * 24))
            .text("ServiceUpdateType", "security-update")
            .text("UpdateActionAvailableDate", self.released)
            .text("UpdateActionStatus", action)
            .text("NodesUpdated", format!("{updated}/{nodes}"))
            .text("SlaMet", "n/a")
            .text("EstimatedUpdateTime", "30 minutes per node")
            .text("Engine", group.release.engine)
    }
}

impl ElastiCache {
    /// AWS offers a service update to all groups that there are.
    pub fn offer_service_update(&mut self, name: &str, now: Timestamp) {
        let actions = self.groups.keys().map(|id| (id.clone(), Action::NotApplied)).collect();
        self.service_updates.insert(name.to_owned(), ServiceUpdate { released: now, actions });
    }

    pub(super) fn describe_update_actions(&self, p: &Parameters) -> Result<Answer, Fault> {
        let wanted = p.get("ServiceUpdateName");
        let ids = p.list("ReplicationGroupIds");
        let statuses = p.list("UpdateActionStatus");
        let all = self.service_updates.iter().flat_map(|(name, update)| {
            let groups =
                update.actions.iter().filter_map(|(id, action)| Some((self.groups.get(id)?, *action)));
            groups.map(move |(group, action)| (name, update, group, action))
        });
        let matching = all.filter(|(name, _, group, action)| {
            wanted.is_none_or(|wanted| wanted == *name)
                && ids.as_ref().is_none_or(|ids| ids.contains(&group.id))
                && statuses.as_ref().is_none_or(|statuses| statuses.contains(&action.to_string()))
        });
        let matching = matching.map(|(name, update, group, action)| {
            (format!("{name}/{}", group.id), update.xml(name, group, action))
        });
        let page = page(p, matching)?;
        Ok(combine("UpdateActions", "UpdateAction", page.items, page.marker))
    }

    pub(super) fn apply_service_update(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let name = p.required("ServiceUpdateName")?;
        if !self.service_updates.contains_key(name) {
            return Err(Fault::not_found(
                "ServiceUpdateNotFoundFault",
                format!("Service update {name} not found."),
            ));
        }
        let (mut processed, mut unprocessed) = (Vec::new(), Vec::new());
        for id in p.list("ReplicationGroupIds").unwrap_or_default() {
            let xml = Xml::new().text("ReplicationGroupId", &id).text("ServiceUpdateName", name);
            match self.start_update(&id, name, now) {
                Ok(()) => processed.push(xml.text("UpdateActionStatus", Action::InProgress)),
                Err(fault) => {
                    unprocessed.push(xml.text("ErrorType", fault.code).text("ErrorMessage", fault.message));
                }
            }
        }
        Ok(Xml::new()
            .list("ProcessedUpdateActions", "ProcessedUpdateAction", processed)
            .list("UnprocessedUpdateActions", "UnprocessedUpdateAction", unprocessed)
            .into())
    }

    fn start_update(&mut self, id: &str, name: &str, now: Timestamp) -> Result<(), Fault> {
        let group = self.group(id)?;
        group.must_be_available()?;
        let id = group.id.clone();
        let waiting = self.service_updates.get_mut(name).and_then(|update| update.actions.get_mut(&id));
        match waiting {
            Some(action @ Action::NotApplied) => *action = Action::InProgress,
            _ => {
                return Err(Fault::bad_request(
                    "InvalidParameterValue",
                    format!("Service update {name} does not wait to be applied to {id}"),
                ));
            }
        }
        self.begin_update(&id, name, now, now + times::REPLACE);
        Ok(())
    }
}

//! Tags of resources, found by their ARN.

use super::{ElastiCache, fault::invalid_value};
use crate::aws::{
    fault::Fault,
    query::{Answer, Parameters, Xml},
};
use std::collections::BTreeMap;

/// Tags of a resource (ElastiCache User Guide, "Tagging your ElastiCache resources").
const MOST: usize = 50;

impl ElastiCache {
    pub(super) fn list_tags(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        Ok(answer(self.tags_of(p.required("ResourceName")?)?))
    }

    pub(super) fn add_tags(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let arn = p.required("ResourceName")?;
        self.must_take_tags(arn)?;
        let tags = self.tags_of(arn)?;
        let mut all = tags.clone();
        all.extend(p.tags());
        if all.len() > MOST {
            return Err(Fault::bad_request(
                "TagQuotaPerResourceExceeded",
                format!("{arn} can have {MOST} tags; it would have {}", all.len()),
            ));
        }
        *tags = all;
        Ok(answer(tags))
    }

    pub(super) fn remove_tags(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let arn = p.required("ResourceName")?;
        self.must_take_tags(arn)?;
        let tags = self.tags_of(arn)?;
        for key in p.list("TagKeys").unwrap_or_default() {
            if tags.remove(&key).is_none() {
                return Err(Fault::not_found("TagNotFound", format!("{arn} has no tag {key}")));
            }
        }
        Ok(answer(tags))
    }

    fn must_take_tags(&self, arn: &str) -> Result<(), Fault> {
        match split(arn)? {
            ("replicationgroup", id) => self.group(id)?.must_be_available(),
            _ => Ok(()),
        }
    }

    fn tags_of(&mut self, arn: &str) -> Result<&mut BTreeMap<String, String>, Fault> {
        let (kind, id) = split(arn)?;
        let (tags, code) = match kind {
            "replicationgroup" => {
                (self.groups.get_mut(id).map(|group| &mut group.tags), "ReplicationGroupNotFoundFault")
            }
            // A cluster has the tags of its group.
            "cluster" => {
                let has = |group: &&mut super::Group| group.members().any(|(_, member)| member.id == id);
                (self.groups.values_mut().find(has).map(|group| &mut group.tags), "CacheClusterNotFound")
            }
            "parametergroup" => (
                self.parameter_groups.get_mut(id).map(|group| &mut group.tags),
                "CacheParameterGroupNotFound",
            ),
            "subnetgroup" => {
                (self.subnet_groups.get_mut(id).map(|group| &mut group.tags), "CacheSubnetGroupNotFoundFault")
            }
            "user" => (self.users.get_mut(id).map(|user| &mut user.tags), "UserNotFound"),
            "usergroup" => (self.user_groups.get_mut(id).map(|group| &mut group.tags), "UserGroupNotFound"),
            "snapshot" => {
                (self.snapshots.get_mut(id).map(|snapshot| &mut snapshot.tags), "SnapshotNotFoundFault")
            }
            "serverlesscache" => {
                (self.serverless.get_mut(id).map(|cache| &mut cache.tags), "ServerlessCacheNotFoundFault")
            }
            "serverlesscachesnapshot" => (
                self.serverless_snapshots.get_mut(id).map(|snapshot| &mut snapshot.tags),
                "ServerlessCacheSnapshotNotFoundFault",
            ),
            _ => return Err(invalid_arn(arn)),
        };
        tags.ok_or_else(|| Fault::not_found(code, format!("{arn} is not there")))
    }
}

/// Kind and name that an ARN ends with.
fn split(arn: &str) -> Result<(&str, &str), Fault> {
    if arn.is_empty() {
        return Err(invalid_value("ResourceName must be an ARN"));
    }
    let resource = arn.strip_prefix("arn:aws:elasticache:").and_then(|rest| rest.splitn(3, ':').nth(2));
    resource.and_then(|resource| resource.split_once(':')).ok_or_else(|| invalid_arn(arn))
}

fn invalid_arn(arn: &str) -> Fault {
    Fault::bad_request("InvalidARN", format!("{arn} is not the ARN of a resource of ElastiCache"))
}

fn answer(tags: &BTreeMap<String, String>) -> Answer {
    let tags = tags.iter().map(|(key, value)| Xml::new().text("Key", key).text("Value", value));
    Xml::new().list("TagList", "Tag", tags).into()
}

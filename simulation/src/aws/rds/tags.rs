//! Tags of every resource, by ARN.

use super::{Fault, Parameters, Rds, Xml, invalid_value, tag};
use crate::aws::Place;
use std::collections::BTreeMap;

type Tags = BTreeMap<String, String>;

impl Rds {
    fn tags(&mut self, arn: &str, place: &Place) -> Result<&mut Tags, Fault> {
        let prefix = place.arn("rds", "");
        let resource =
            arn.strip_prefix(&prefix).and_then(|resource| resource.split_once(':')).ok_or_else(|| {
                invalid_value(format!(
                    "The specified resource name does not match an RDS resource in this region: {arn}"
                ))
            })?;
        let (kind, name) = resource;
        let (found, code) = match kind {
            "db" => (self.instances.get_mut(name).map(|one| &mut one.tags), "DBInstanceNotFound"),
            "cluster" => (self.clusters.get_mut(name).map(|one| &mut one.tags), "DBClusterNotFoundFault"),
            "snapshot" => (self.snapshots.get_mut(name).map(|one| &mut one.tags), "DBSnapshotNotFound"),
            "cluster-snapshot" => (
                self.cluster_snapshots.get_mut(name).map(|one| &mut one.tags),
                "DBClusterSnapshotNotFoundFault",
            ),
            "pg" => (self.groups.groups.get_mut(name).map(|one| &mut one.tags), "DBParameterGroupNotFound"),
            "cluster-pg" => (
                self.cluster_groups.groups.get_mut(name).map(|one| &mut one.tags),
                "DBParameterGroupNotFound",
            ),
            "subgrp" => {
                (self.subnet_groups.get_mut(name).map(|one| &mut one.tags), "DBSubnetGroupNotFoundFault")
            }
            "db-proxy" => {
                let found = self.proxies.values_mut().find(|one| one.arn == arn);
                (found.map(|one| &mut one.tags), "DBProxyNotFoundFault")
            }
            "deployment" => {
                (self.deployments.get_mut(name).map(|one| &mut one.tags), "BlueGreenDeploymentNotFoundFault")
            }
            _ => (None, "InvalidParameterValue"),
        };
        found.ok_or_else(|| Fault::not_found(code, format!("{arn} not found")))
    }

    pub(super) fn add_tags(&mut self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let new = parameters.tags();
        if let Some(key) = new.keys().find(|key| key.starts_with("aws:") || key.is_empty() || key.len() > 128)
        {
            return Err(invalid_value(format!("The tag key is invalid or reserved: {key}")));
        }
        let tags = self.tags(parameters.required("ResourceName")?, place)?;
        let together = tags.keys().chain(new.keys()).collect::<std::collections::BTreeSet<_>>().len();
        if together > 50 {
            return Err(invalid_value("A resource can have at most 50 tags."));
        }
        tags.extend(new);
        Ok(Xml::new())
    }

    pub(super) fn remove_tags(&mut self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let keys = parameters.list("TagKeys").unwrap_or_default();
        let tags = self.tags(parameters.required("ResourceName")?, place)?;
        tags.retain(|key, _| !keys.contains(key));
        Ok(Xml::new())
    }

    pub(super) fn list_tags(&mut self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let tags = self.tags(parameters.required("ResourceName")?, place)?;
        Ok(Xml::new().list("TagList", "Tag", tags.iter().map(|(key, value)| tag(key, value))))
    }
}

//! DB subnet groups, and the subnets of the account.

use super::{Fault, Parameters, Rds, Xml, invalid_value};
use crate::aws::{Place, query};
use std::collections::{BTreeMap, BTreeSet};

/// A subnet of a VPC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its VPC.
    pub vpc: String,
    /// Letter of its availability zone.
    pub zone: char,
}

/// A DB subnet group.
#[derive(Clone, Debug, Default)]
pub struct SubnetGroup {
    /// `DBSubnetGroupDescription`.
    pub description: String,
    /// Ids of its subnets.
    pub subnets: BTreeSet<String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// The subnets that every account has: one in each of three zones.
pub(super) fn default_subnets() -> BTreeMap<String, Subnet> {
    ['a', 'b', 'c']
        .map(|zone| (format!("subnet-default-{zone}"), Subnet { vpc: "vpc-default".to_owned(), zone }))
        .into()
}

pub(super) fn default_group() -> SubnetGroup {
    SubnetGroup {
        description: "default".to_owned(),
        subnets: default_subnets().into_keys().collect(),
        tags: BTreeMap::new(),
    }
}

impl Rds {
    pub(super) fn subnet_group(&self, name: &str) -> Result<&SubnetGroup, Fault> {
        self.subnet_groups.get(name).ok_or_else(|| no_group(name))
    }

    /// Zone for an instance: the one asked for, else the group's first.
    pub(super) fn zone(&self, group: &str, asked: Option<&str>) -> Result<char, Fault> {
        let zones = self.zones(&self.subnet_group(group)?.subnets);
        match asked {
            None => zones.first().copied().ok_or_else(too_few_zones),
            Some(zone) => zones.iter().copied().find(|letter| zone.ends_with(*letter)).ok_or_else(|| {
                Fault::bad_request(
                    "InvalidVPCNetworkStateFault",
                    format!("The DB subnet group {group} has no subnet in {zone}."),
                )
            }),
        }
    }

    pub(super) fn zones(&self, subnets: &BTreeSet<String>) -> BTreeSet<char> {
        subnets.iter().filter_map(|id| self.subnets.get(id)).map(|subnet| subnet.zone).collect()
    }

    pub(super) fn create_subnet_group(
        &mut self,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let name = group_name(parameters)?;
        if name == "default" {
            return Err(invalid_value("default is a reserved name of DB subnet groups"));
        }
        if self.subnet_groups.contains_key(&name) {
            return Err(Fault::bad_request(
                "DBSubnetGroupAlreadyExists",
                format!("The DB subnet group '{name}' already exists."),
            ));
        }
        let group = SubnetGroup {
            description: parameters.required("DBSubnetGroupDescription")?.to_owned(),
            subnets: self.checked_subnets(parameters)?,
            tags: parameters.tags(),
        };
        let shown = self.show_subnet_group(&name, &group, place);
        self.subnet_groups.insert(name, group);
        Ok(Xml::new().element("DBSubnetGroup", shown))
    }

    pub(super) fn modify_subnet_group(
        &mut self,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let name = group_name(parameters)?;
        let mut group = self.subnet_group(&name)?.clone();
        let subnets = self.checked_subnets(parameters)?;
        let kept = self.zones(&subnets);
        let used = self
            .instances
            .values()
            .filter(|instance| instance.settings.subnet_group == name)
            .find(|instance| !kept.contains(&instance.zone));
        if let Some(instance) = used {
            return Err(Fault::bad_request(
                "SubnetAlreadyInUse",
                format!(
                    "The DB subnet is already in use in the Availability Zone of {}.",
                    instance.identifier
                ),
            ));
        }
        group.subnets = subnets;
        if let Some(description) = parameters.get("DBSubnetGroupDescription") {
            description.clone_into(&mut group.description);
        }
        let shown = self.show_subnet_group(&name, &group, place);
        self.subnet_groups.insert(name, group);
        Ok(Xml::new().element("DBSubnetGroup", shown))
    }

    pub(super) fn describe_subnet_groups(
        &self,
        parameters: &Parameters,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let wanted = parameters.get("DBSubnetGroupName").map(str::to_lowercase);
        if let Some(name) = &wanted {
            self.subnet_group(name)?;
        }
        let found = self
            .subnet_groups
            .iter()
            .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name))
            .map(|(name, group)| (name.clone(), self.show_subnet_group(name, group, place)));
        let page = query::page(parameters, found)?;
        Ok(Xml::new().list("DBSubnetGroups", "DBSubnetGroup", page.items).optional("Marker", page.marker))
    }

    pub(super) fn delete_subnet_group(&mut self, parameters: &Parameters) -> Result<Xml, Fault> {
        let name = group_name(parameters)?;
        self.subnet_group(&name)?;
        let of_instance = self.instances.values().any(|instance| instance.settings.subnet_group == name);
        let of_cluster = self.clusters.values().any(|cluster| cluster.subnet_group == name);
        if of_instance || of_cluster || name == "default" {
            return Err(Fault::bad_request(
                "InvalidDBSubnetGroupStateFault",
                format!(
                    "Cannot delete the subnet group '{name}' because at least one database instance is still using it."
                ),
            ));
        }
        self.subnet_groups.remove(&name);
        Ok(Xml::new())
    }

    fn checked_subnets(&self, parameters: &Parameters) -> Result<BTreeSet<String>, Fault> {
        let subnets: BTreeSet<_> = parameters.list("SubnetIds").unwrap_or_default().into_iter().collect();
        if let Some(unknown) = subnets.iter().find(|id| !self.subnets.contains_key(*id)) {
            return Err(Fault::bad_request(
                "InvalidSubnet",
                format!("The subnet ID '{unknown}' does not exist"),
            ));
        }
        let vpcs: BTreeSet<_> = subnets.iter().map(|id| &self.subnets[id].vpc).collect();
        if vpcs.len() > 1 {
            return Err(Fault::bad_request("InvalidSubnet", "The subnets are not all of one VPC."));
        }
        if self.zones(&subnets).len() < 2 {
            return Err(too_few_zones());
        }
        Ok(subnets)
    }

    pub(super) fn show_subnet_group(&self, name: &str, group: &SubnetGroup, place: &Place) -> Xml {
        let subnets = group.subnets.iter().filter_map(|id| Some((id, self.subnets.get(id)?)));
        let vpc = subnets.clone().next().map(|(_, subnet)| &subnet.vpc);
        let shown = subnets.map(|(id, subnet)| {
            let zone = Xml::new().text("Name", format!("{}{}", place.region, subnet.zone));
            Xml::new()
                .text("SubnetIdentifier", id)
                .element("SubnetAvailabilityZone", zone)
                .text("SubnetStatus", "Active")
        });
        Xml::new()
            .text("DBSubnetGroupName", name)
            .text("DBSubnetGroupDescription", &group.description)
            .text("DBSubnetGroupArn", place.arn("rds", &format!("subgrp:{name}")))
            .optional("VpcId", vpc)
            .text("SubnetGroupStatus", "Complete")
            .list("Subnets", "Subnet", shown)
    }
}

fn group_name(parameters: &Parameters) -> Result<String, Fault> {
    let name = parameters.required("DBSubnetGroupName")?.to_lowercase();
    let is_valid = (1..=255).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._- ".contains(c));
    is_valid.then_some(name).ok_or_else(|| {
        invalid_value("The parameter DBSubnetGroupName is not a valid name: letters, digits, periods, underscores, spaces and hyphens.")
    })
}

fn no_group(name: &str) -> Fault {
    Fault::not_found("DBSubnetGroupNotFoundFault", format!("DB subnet group '{name}' does not exist."))
}

fn too_few_zones() -> Fault {
    Fault::bad_request(
        "DBSubnetGroupDoesNotCoverEnoughAZs",
        "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement. Current AZ coverage: too low. Add subnets to cover at least 2 AZs.",
    )
}

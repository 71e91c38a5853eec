//! Parameter groups and subnet groups.

use super::{
    ElastiCache, combine,
    engine::{self, RELEASES, Release},
    fault::{combination, identifier, invalid_value},
    replication_group::ClusterMode,
};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml, page},
};
use std::collections::{BTreeMap, BTreeSet};

/// A parameter group.
#[derive(Clone, Debug)]
pub struct ParameterGroup {
    /// Name, in lower case.
    pub name: String,
    /// Family, such as `redis7`.
    pub family: String,
    /// Description.
    pub description: String,
    /// Parameters that differ from the family's.
    pub values: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A subnet group.
#[derive(Clone, Debug)]
pub struct SubnetGroup {
    /// Name, in lower case.
    pub name: String,
    /// Description.
    pub description: String,
    /// Subnets.
    pub subnets: Vec<String>,
    /// ARN.
    pub arn: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// A parameter as its family has it.
struct Known {
    name: &'static str,
    default: &'static str,
    kind: &'static str,
    allowed: &'static str,
    is_modifiable: bool,
    needs_reboot: bool,
}

/// Part of ElastiCache User Guide, "Engine specific parameters".
const PARAMETERS: [Known; 15] = [
    known("acl-pubsub-default", "allchannels", "string", "allchannels,resetchannels"),
    known("activedefrag", "no", "string", "yes,no"),
    Known { needs_reboot: true, ..known("cluster-enabled", "no", "string", "yes,no") },
    Known { needs_reboot: true, ..known("databases", "16", "integer", "1-1200000") },
    known("lazyfree-lazy-eviction", "no", "string", "yes,no"),
    Known { is_modifiable: false, ..known("maxmemory", "", "integer", "0-") },
    known(
        "maxmemory-policy",
        "volatile-lru",
        "string",
        "volatile-lru,allkeys-lru,volatile-lfu,allkeys-lfu,volatile-random,allkeys-random,volatile-ttl,noeviction",
    ),
    known("maxmemory-samples", "3", "integer", "1-"),
    known("notify-keyspace-events", "", "string", ""),
    known("reserved-memory-percent", "25", "integer", "0-100"),
    known("slowlog-log-slower-than", "10000", "integer", "-1-"),
    known("slowlog-max-len", "128", "integer", "0-"),
    known("tcp-keepalive", "300", "integer", "0-"),
    known("timeout", "0", "integer", "0-"),
    known("tracking-table-max-keys", "1000000", "integer", "1-100000000"),
];

const fn known(
    name: &'static str,
    default: &'static str,
    kind: &'static str,
    allowed: &'static str,
) -> Known {
    Known { name, default, kind, allowed, is_modifiable: true, needs_reboot: false }
}

impl Known {
    fn accepts(&self, value: &str) -> bool {
        if self.kind == "string" {
            return self.allowed.is_empty() || self.allowed.split(',').any(|allowed| allowed == value);
        }
        let Ok(value) = value.parse::<i64>() else { return false };
        let (least, most) = self.allowed.rsplit_once('-').unwrap_or_default();
        least.parse().is_ok_and(|least: i64| value >= least)
            && (most.is_empty() || most.parse().is_ok_and(|most: i64| value <= most))
    }
}

/// Whether a parameter group is AWS's own.
pub(super) fn is_default(name: &str) -> bool {
    name.starts_with("default.")
}

/// AWS's own parameter group.
pub(super) fn default_name(release: Release, mode: ClusterMode) -> String {
    let suffix = if mode == ClusterMode::Disabled { "" } else { ".cluster.on" };
    format!("default.{}{suffix}", release.family)
}

impl ParameterGroup {
    /// Whether it is for cluster mode.
    pub(super) fn is_clustered(&self) -> bool {
        self.values.get("cluster-enabled").is_some_and(|value| value == "yes")
    }

    fn provided(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("default.")?;
        let (family, values) = match rest.strip_suffix(".cluster.on") {
            Some(family) => (family, BTreeMap::from([("cluster-enabled".to_owned(), "yes".to_owned())])),
            None => (rest, BTreeMap::new()),
        };
        engine::is_family(family).then(|| Self {
            name: name.to_owned(),
            family: family.to_owned(),
            description: format!("Default parameter group for {family}"),
            values,
            tags: BTreeMap::new(),
        })
    }

    fn xml(&self, place: &Place) -> Xml {
        Xml::new()
            .text("CacheParameterGroupName", &self.name)
            .text("CacheParameterGroupFamily", &self.family)
            .text("Description", &self.description)
            .text("IsGlobal", false)
            .text("ARN", place.arn("elasticache", &format!("parametergroup:{}", self.name)))
    }
}

impl ElastiCache {
    /// A parameter group, of the account or of AWS.
    pub(super) fn parameter_group(&self, name: &str) -> Result<ParameterGroup, Fault> {
        let name = name.to_ascii_lowercase();
        let found = self.parameter_groups.get(&name).cloned().or_else(|| ParameterGroup::provided(&name));
        found.ok_or_else(|| {
            Fault::not_found("CacheParameterGroupNotFound", format!("CacheParameterGroup {name} not found."))
        })
    }

    pub(super) fn create_parameter_group(&mut self, p: &Parameters, place: &Place) -> Result<Answer, Fault> {
        let name = identifier("CacheParameterGroupName", p.required("CacheParameterGroupName")?, 255)?;
        let family = p.required("CacheParameterGroupFamily")?.to_owned();
        let description = p.required("Description")?.to_owned();
        if !engine::is_family(&family) {
            return Err(invalid_value(format!("CacheParameterGroupFamily {family} is not a valid family")));
        }
        if self.parameter_groups.contains_key(&name) {
            return Err(Fault::bad_request(
                "CacheParameterGroupAlreadyExists",
                format!("Cache parameter group {name} already exists"),
            ));
        }
        let group = ParameterGroup {
            name: name.clone(),
            family,
            description,
            values: BTreeMap::new(),
            tags: p.tags(),
        };
        let answer = Xml::new().element("CacheParameterGroup", group.xml(place));
        self.parameter_groups.insert(name, group);
        Ok(answer.into())
    }

    pub(super) fn describe_parameter_groups(&self, p: &Parameters, place: &Place) -> Result<Answer, Fault> {
        let groups = match p.get("CacheParameterGroupName") {
            Some(name) => vec![self.parameter_group(name)?],
            None => {
                let families: BTreeSet<&str> = RELEASES.iter().map(|release| release.family).collect();
                let names = families
                    .iter()
                    .flat_map(|family| [format!("default.{family}"), format!("default.{family}.cluster.on")]);
                let provided = names.filter_map(|name| ParameterGroup::provided(&name));
                let mut all: Vec<_> = self.parameter_groups.values().cloned().chain(provided).collect();
                all.sort_by(|one, other| one.name.cmp(&other.name));
                all
            }
        };
        let page = page(p, groups.into_iter().map(|group| (group.name.clone(), group)))?;
        let groups = page.items.iter().map(|group| group.xml(place));
        Ok(combine("CacheParameterGroups", "CacheParameterGroup", groups, page.marker))
    }

    /// A parameter group of the account that may be changed.
    fn own_parameter_group(&mut self, p: &Parameters) -> Result<&mut ParameterGroup, Fault> {
        let name = self.parameter_group(p.required("CacheParameterGroupName")?)?.name;
        self.parameter_groups.get_mut(&name).ok_or_else(|| {
            Fault::bad_request(
                "InvalidCacheParameterGroupState",
                format!("{name} is a default parameter group: it can't be changed or deleted. Create one of your own."),
            )
        })
    }

    pub(super) fn modify_parameter_group(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let changes = p.structures("ParameterNameValues").unwrap_or_default();
        if !(1..=20).contains(&changes.len()) {
            return Err(invalid_value("ParameterNameValues must have 1 to 20 parameters"));
        }
        let group = self.own_parameter_group(p)?;
        let mut values = group.values.clone();
        for change in changes {
            let (name, value) = (change.required("ParameterName")?, change.required("ParameterValue")?);
            let known = find(name)?;
            if !known.is_modifiable {
                return Err(invalid_value(format!("The parameter {name} cannot be modified.")));
            }
            if !known.accepts(value) {
                return Err(invalid_value(format!(
                    "The parameter {name} cannot be set to {value:?}: allowed is {}",
                    known.allowed
                )));
            }
            values.insert(name.to_owned(), value.to_owned());
        }
        group.values = values;
        Ok(Xml::new().text("CacheParameterGroupName", &group.name).into())
    }

    pub(super) fn reset_parameter_group(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let all = p.boolean("ResetAllParameters")?.unwrap_or(false);
        let named = p.structures("ParameterNameValues").unwrap_or_default();
        if all != named.is_empty() {
            return Err(combination("Give either ResetAllParameters true or ParameterNameValues"));
        }
        let group = self.own_parameter_group(p)?;
        if all {
            group.values.clear();
        }
        for parameter in named {
            group.values.remove(find(parameter.required("ParameterName")?)?.name);
        }
        Ok(Xml::new().text("CacheParameterGroupName", &group.name).into())
    }

    pub(super) fn delete_parameter_group(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let name = self.own_parameter_group(p)?.name.clone();
        let uses = |group: &&super::Group| {
            group.parameter_group == name || group.pending.parameter_group.as_ref() == Some(&name)
        };
        if let Some(group) = self.groups.values().find(uses) {
            return Err(Fault::bad_request(
                "InvalidCacheParameterGroupState",
                format!("Parameter group {name} is in use by replication group {}", group.id),
            ));
        }
        self.parameter_groups.remove(&name);
        Ok(Xml::new().into())
    }

    pub(super) fn describe_parameters(&self, p: &Parameters) -> Result<Answer, Fault> {
        let group = self.parameter_group(p.required("CacheParameterGroupName")?)?;
        let source = |known: &Known| if group.values.contains_key(known.name) { "user" } else { "system" };
        let wanted = p.get("Source");
        let matching = PARAMETERS.iter().filter(|known| wanted.is_none_or(|wanted| wanted == source(known)));
        let page = page(p, matching.map(|known| (known.name.to_owned(), known)))?;
        let parameters = page.items.into_iter().map(|known| {
            let value = group.values.get(known.name).map_or(known.default, String::as_str);
            Xml::new()
                .text("ParameterName", known.name)
                .text("ParameterValue", value)
                .text("Source", source(known))
                .text("DataType", known.kind)
                .text("AllowedValues", known.allowed)
                .text("IsModifiable", known.is_modifiable)
                .text("MinimumEngineVersion", "5.0.6")
                .text("ChangeType", if known.needs_reboot { "requires-reboot" } else { "immediate" })
        });
        Ok(combine("Parameters", "Parameter", parameters, page.marker))
    }
}

fn find(name: &str) -> Result<&'static Known, Fault> {
    let found = PARAMETERS.iter().find(|known| known.name == name);
    found.ok_or_else(|| invalid_value(format!("Could not find parameter with name: {name}")))
}

impl SubnetGroup {
    /// The one that each account has in its default VPC.
    pub(super) fn provided(place: &Place) -> Self {
        Self {
            name: "default".to_owned(),
            description: "Default CacheSubnetGroup".to_owned(),
            subnets: vec!["subnet-default-a".to_owned(), "subnet-default-b".to_owned()],
            arn: place.arn("elasticache", "subnetgroup:default"),
            tags: BTreeMap::new(),
        }
    }

    fn xml(&self) -> Xml {
        // The ARN tells the region.
        let region = self.arn.split(':').nth(3).unwrap_or_default();
        let subnets = self.subnets.iter().enumerate().map(|(index, subnet)| {
            let zone = format!("{region}{}", ["a", "b", "c"][index % 3]);
            Xml::new()
                .text("SubnetIdentifier", subnet)
                .element("SubnetAvailabilityZone", Xml::new().text("Name", zone))
                .texts("SupportedNetworkTypes", "member", ["ipv4"])
        });
        Xml::new()
            .text("CacheSubnetGroupName", &self.name)
            .text("CacheSubnetGroupDescription", &self.description)
            .text("VpcId", "vpc-1")
            .list("Subnets", "Subnet", subnets)
            .text("ARN", &self.arn)
            .texts("SupportedNetworkTypes", "member", ["ipv4"])
    }
}

fn subnets(p: &Parameters) -> Result<Option<Vec<String>>, Fault> {
    let Some(subnets) = p.list("SubnetIds") else { return Ok(None) };
    if subnets.is_empty() || subnets.iter().any(|subnet| !subnet.starts_with("subnet-")) {
        return Err(Fault::bad_request("InvalidSubnet", format!("{subnets:?} must be IDs of subnets")));
    }
    Ok(Some(subnets))
}

impl ElastiCache {
    pub(super) fn subnet_group(&self, name: &str) -> Result<&SubnetGroup, Fault> {
        self.subnet_groups.get(&name.to_ascii_lowercase()).ok_or_else(|| {
            Fault::bad_request(
                "CacheSubnetGroupNotFoundFault",
                format!("Cache Subnet Group {name} does not exist."),
            )
        })
    }

    pub(super) fn create_subnet_group(&mut self, p: &Parameters, place: &Place) -> Result<Answer, Fault> {
        let name = identifier("CacheSubnetGroupName", p.required("CacheSubnetGroupName")?, 255)?;
        if self.subnet_groups.contains_key(&name) {
            return Err(Fault::bad_request(
                "CacheSubnetGroupAlreadyExists",
                format!("Cache Subnet Group {name} already exists."),
            ));
        }
        let group = SubnetGroup {
            arn: place.arn("elasticache", &format!("subnetgroup:{name}")),
            description: p.required("CacheSubnetGroupDescription")?.to_owned(),
            subnets: subnets(p)?.ok_or_else(|| invalid_value("SubnetIds must name a subnet at least"))?,
            tags: p.tags(),
            name: name.clone(),
        };
        let answer = Xml::new().element("CacheSubnetGroup", group.xml());
        self.subnet_groups.insert(name, group);
        Ok(answer.into())
    }

    pub(super) fn modify_subnet_group(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let mut changed = self.subnet_group(p.required("CacheSubnetGroupName")?)?.clone();
        if let Some(description) = p.get("CacheSubnetGroupDescription") {
            changed.description = description.to_owned();
        }
        if let Some(subnets) = subnets(p)? {
            let gone = changed.subnets.iter().find(|subnet| !subnets.contains(subnet));
            if let (Some(subnet), Some(group)) = (gone, self.user_of_subnets(&changed.name)) {
                return Err(Fault::bad_request(
                    "SubnetInUse",
                    format!("{subnet} is in use by replication group {group}"),
                ));
            }
            changed.subnets = subnets;
        }
        let answer = Xml::new().element("CacheSubnetGroup", changed.xml());
        self.subnet_groups.insert(changed.name.clone(), changed);
        Ok(answer.into())
    }

    pub(super) fn describe_subnet_groups(&self, p: &Parameters) -> Result<Answer, Fault> {
        let groups: Vec<&SubnetGroup> = match p.get("CacheSubnetGroupName") {
            Some(name) => vec![self.subnet_group(name)?],
            None => self.subnet_groups.values().collect(),
        };
        let page = page(p, groups.into_iter().map(|group| (group.name.clone(), group)))?;
        let groups = page.items.into_iter().map(SubnetGroup::xml);
        Ok(combine("CacheSubnetGroups", "CacheSubnetGroup", groups, page.marker))
    }

    pub(super) fn delete_subnet_group(&mut self, p: &Parameters) -> Result<Answer, Fault> {
        let name = self.subnet_group(p.required("CacheSubnetGroupName")?)?.name.clone();
        if let Some(group) = self.user_of_subnets(&name) {
            return Err(Fault::bad_request(
                "CacheSubnetGroupInUse",
                format!("Cache subnet group {name} is in use by replication group {group}"),
            ));
        }
        self.subnet_groups.remove(&name);
        Ok(Xml::new().into())
    }

    fn user_of_subnets(&self, name: &str) -> Option<&str> {
        self.groups.values().find(|group| group.subnet_group == name).map(|group| group.id.as_str())
    }
}

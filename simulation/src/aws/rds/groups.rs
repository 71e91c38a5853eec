//! DB parameter groups and DB cluster parameter groups.

use super::{
    Fault, Parameters, Rds, Xml,
    instance::parameters_changed,
    invalid_combination, invalid_value,
    parameters::{self, Parameter},
};
use crate::aws::{Place, query};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A parameter group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// `DBParameterGroupFamily`.
    pub family: String,
    /// `Description`.
    pub description: String,
    /// What differs from the family's defaults.
    pub values: BTreeMap<String, String>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
}

/// Parameter groups of one kind.
#[derive(Clone, Debug)]
pub struct ParameterGroups {
    /// By name, the defaults among them.
    pub groups: BTreeMap<String, Group>,
    kind: &'static str,
    arn: &'static str,
}

impl ParameterGroups {
    pub(super) fn of_instances() -> Self {
        Self { groups: defaults(), kind: "DBParameterGroup", arn: "pg" }
    }

    pub(super) fn of_clusters() -> Self {
        let mut groups = defaults();
        groups.retain(|name, _| name.contains("aurora"));
        Self { groups, kind: "DBClusterParameterGroup", arn: "cluster-pg" }
    }

    /// Name of a family's default group.
    #[must_use]
    pub fn default_name(family: &str) -> String {
        format!("default.{family}")
    }

    /// Refuses a group that is not there or of another family.
    pub(super) fn check(&self, name: &str, family: &str) -> Result<(), Fault> {
        let group = self.get(name)?;
        if group.family == family {
            return Ok(());
        }
        Err(invalid_combination(format!(
            "The parameter group {name} with DBParameterGroupFamily {} can't be used for this instance. Use a parameter group with DBParameterGroupFamily {family}.",
            group.family
        )))
    }

    fn get(&self, name: &str) -> Result<&Group, Fault> {
        self.groups.get(name).ok_or_else(|| self.missing(name))
    }

    fn missing(&self, name: &str) -> Fault {
        Fault::not_found("DBParameterGroupNotFound", format!("{} not found: {name}", self.kind))
    }

    fn name(&self, parameters: &Parameters) -> Result<String, Fault> {
        Ok(parameters.required(&format!("{}Name", self.kind))?.to_lowercase())
    }

    pub(super) fn create(&mut self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let name = self.name(parameters)?;
        let is_valid = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !name.ends_with('-')
            && !name.contains("--")
            && name.len() <= 255;
        if !is_valid {
            return Err(invalid_value(format!(
                "The parameter {}Name is not a valid identifier: {name}",
                self.kind
            )));
        }
        if self.groups.contains_key(&name) {
            return Err(Fault::bad_request(
                "DBParameterGroupAlreadyExists",
                format!("Parameter group {name} already exists"),
            ));
        }
        let family = parameters.required("DBParameterGroupFamily")?.to_owned();
        if !self.groups.contains_key(&Self::default_name(&family)) {
            return Err(invalid_value(format!(
                "ParameterGroupFamily {family} is not a valid parameter group family"
            )));
        }
        let description = parameters.required("Description")?.to_owned();
        let group = Group { family, description, values: BTreeMap::new(), tags: parameters.tags() };
        let shown = self.show(&name, &group, place);
        self.groups.insert(name, group);
        Ok(Xml::new().element(self.kind, shown))
    }

    pub(super) fn describe(&self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let wanted = parameters.get(&format!("{}Name", self.kind)).map(str::to_lowercase);
        if let Some(name) = &wanted {
            self.get(name)?;
        }
        let found = self
            .groups
            .iter()
            .filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name))
            .map(|(name, group)| (name.clone(), self.show(name, group, place)));
        let page = query::page(parameters, found)?;
        Ok(Xml::new().list(&format!("{}s", self.kind), self.kind, page.items).optional("Marker", page.marker))
    }

    fn show(&self, name: &str, group: &Group, place: &Place) -> Xml {
        Xml::new()
            .text(&format!("{}Name", self.kind), name)
            .text("DBParameterGroupFamily", &group.family)
            .text("Description", &group.description)
            .text(&format!("{}Arn", self.kind), place.arn("rds", &format!("{}:{name}", self.arn)))
    }

    pub(super) fn describe_parameters(&self, parameters: &Parameters) -> Result<Xml, Fault> {
        let group = self.get(&self.name(parameters)?)?;
        let source = parameters.get("Source");
        let found = parameters::all().filter_map(|parameter| {
            let value = group.values.get(parameter.name);
            let from = if value.is_some() {
                "user"
            } else if parameter.default.is_some() {
                "system"
            } else {
                "engine-default"
            };
            let shown = show_parameter(parameter, value.map(String::as_str), from);
            source.is_none_or(|source| source == from).then(|| (parameter.name.to_owned(), shown))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        let page = query::page(parameters, found)?;
        Ok(Xml::new().list("Parameters", "Parameter", page.items).optional("Marker", page.marker))
    }

    /// Sets parameters, or resets them; whether a reboot is needed, and the group's name.
    pub(super) fn change(&mut self, parameters: &Parameters, resets: bool) -> Result<(String, bool), Fault> {
        let name = self.name(parameters)?;
        self.get(&name)?;
        if name.starts_with("default.") {
            return Err(Fault::bad_request(
                "InvalidDBParameterGroupState",
                format!("Default parameter group {name} cannot be modified."),
            ));
        }
        let changes = parameters.structures("Parameters").unwrap_or_default();
        let all = resets && parameters.boolean("ResetAllParameters")?.unwrap_or(true) && changes.is_empty();
        if changes.is_empty() && !all {
            return Err(invalid_combination("At least one parameter must be given."));
        }
        if changes.len() > 20 {
            return Err(invalid_value("No more than 20 parameters may be modified in a single request."));
        }
        let checked =
            changes.iter().map(|change| check_change(change, resets)).collect::<Result<Vec<_>, _>>()?;
        let group = self.groups.get_mut(&name).ok_or_else(|| no_group(&name))?;
        let mut needs_reboot = false;
        if all {
            let is_static = |name: &String| parameters::find(name).is_some_and(|found| found.is_static);
            needs_reboot = group.values.keys().any(is_static);
            group.values.clear();
        }
        for (parameter, value, waits) in checked {
            let before = group.values.get(parameter).cloned();
            match value.clone() {
                Some(value) => group.values.insert(parameter.to_owned(), value),
                None => group.values.remove(parameter),
            };
            needs_reboot |= waits && before != value;
        }
        Ok((name, needs_reboot))
    }
}

fn no_group(name: &str) -> Fault {
    Fault::not_found("DBParameterGroupNotFound", format!("DBParameterGroup not found: {name}"))
}

fn defaults() -> BTreeMap<String, Group> {
    let group = |family: String| {
        let description = format!("Default parameter group for {family}");
        let name = ParameterGroups::default_name(&family);
        (name, Group { family, description, ..Group::default() })
    };
    parameters::families().map(group).collect()
}

/// A parameter, its new value, and whether it waits for a reboot.
fn check_change(change: &Parameters, resets: bool) -> Result<(&'static str, Option<String>, bool), Fault> {
    let name = change.required("ParameterName")?;
    let parameter = parameters::find(name)
        .ok_or_else(|| invalid_value(format!("Could not find parameter with name: {name}")))?;
    if !parameter.is_modifiable {
        return Err(invalid_value(format!("The parameter {name} is not modifiable.")));
    }
    let method = change.required("ApplyMethod")?;
    if !["immediate", "pending-reboot"].contains(&method) {
        return Err(invalid_value(format!("Invalid apply method: {method}")));
    }
    if parameter.is_static && method == "immediate" {
        return Err(invalid_combination(format!(
            "cannot use immediate apply method for static parameter: {name}"
        )));
    }
    let value = if resets { None } else { Some(change.required("ParameterValue")?) };
    if let Some(value) = value.filter(|value| !parameter.admits(value)) {
        return Err(invalid_value(format!(
            "Invalid parameter value: {value} for: {name} allowed values are: {}",
            parameter.allowed.unwrap_or_default()
        )));
    }
    Ok((parameter.name, value.map(ToOwned::to_owned), method == "pending-reboot"))
}

fn show_parameter(parameter: Parameter, value: Option<&str>, source: &str) -> Xml {
    Xml::new()
        .text("ParameterName", parameter.name)
        .optional("ParameterValue", value.or(parameter.default))
        .text("Source", source)
        .text("ApplyType", if parameter.is_static { "static" } else { "dynamic" })
        .text("DataType", parameter.data_type)
        .optional("AllowedValues", parameter.allowed)
        .text("IsModifiable", parameter.is_modifiable)
        .text("ApplyMethod", "pending-reboot")
}

pub(super) fn describe_defaults(parameters: &Parameters) -> Result<Xml, Fault> {
    let family = parameters.required("DBParameterGroupFamily")?;
    if !parameters::families().any(|known| known == family) {
        return Err(invalid_value(format!("Invalid DB parameter group family: {family}")));
    }
    let mut found: Vec<_> = parameters::all()
        .map(|parameter| (parameter.name.to_owned(), show_parameter(parameter, None, "engine-default")))
        .collect();
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let page = query::page(parameters, found)?;
    let defaults = Xml::new()
        .text("DBParameterGroupFamily", family)
        .list("Parameters", "Parameter", page.items)
        .optional("Marker", page.marker);
    Ok(Xml::new().element("EngineDefaults", defaults))
}

impl Rds {
    pub(super) fn change_group(
        &mut self,
        parameters: &Parameters,
        resets: bool,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let (name, needs_reboot) = self.groups.change(parameters, resets)?;
        self.group_event(now, place, &name, "configuration change", "Updated parameters");
        for instance in self.instances.values_mut().filter(|one| one.settings.parameter_group == name) {
            parameters_changed(instance, needs_reboot, now);
        }
        Ok(Xml::new().text("DBParameterGroupName", name))
    }

    pub(super) fn change_cluster_group(
        &mut self,
        parameters: &Parameters,
        resets: bool,
        now: Timestamp,
    ) -> Result<Xml, Fault> {
        let (name, needs_reboot) = self.cluster_groups.change(parameters, resets)?;
        let users: Vec<_> =
            self.clusters.values().filter(|cluster| cluster.parameter_group == name).collect();
        for member in users.iter().flat_map(|cluster| &cluster.members) {
            if let Some(instance) = self.instances.get_mut(&member.identifier) {
                parameters_changed(instance, needs_reboot, now);
            }
        }
        Ok(Xml::new().text("DBClusterParameterGroupName", name))
    }

    pub(super) fn delete_group(&mut self, parameters: &Parameters) -> Result<Xml, Fault> {
        let name = self.groups.name(parameters)?;
        let is_used = |name: &str| {
            self.instances.values().any(|instance| {
                instance.settings.parameter_group == name
                    || instance.pending.get("DBParameterGroupName") == Some(name)
            })
        };
        check_deletion(&name, &self.groups, is_used(&name))?;
        self.groups.groups.remove(&name);
        Ok(Xml::new())
    }

    pub(super) fn delete_cluster_group(&mut self, parameters: &Parameters) -> Result<Xml, Fault> {
        let name = self.cluster_groups.name(parameters)?;
        let is_used = self.clusters.values().any(|cluster| cluster.parameter_group == name);
        check_deletion(&name, &self.cluster_groups, is_used)?;
        self.cluster_groups.groups.remove(&name);
        Ok(Xml::new())
    }
}

fn check_deletion(name: &str, groups: &ParameterGroups, is_used: bool) -> Result<(), Fault> {
    groups.get(name)?;
    if !is_used && !name.starts_with("default.") {
        return Ok(());
    }
    Err(Fault::bad_request(
        "InvalidDBParameterGroupState",
        format!(
            "One or more database instances are still members of this parameter group {name}, so the group cannot be deleted"
        ),
    ))
}

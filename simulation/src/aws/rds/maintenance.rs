//! Maintenance that AWS announces, and that waits for a window or an opt-in.

use super::{
    Fault, Parameters, Rds, Xml,
    instance::{by_name, not_available},
    invalid_value, times,
};
use crate::aws::{Place, query};
use jiff::Timestamp;

/// Maintenance of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// `db-upgrade` to the newest minor version, or another such as `system-update`.
    pub action: String,
    /// `Description`.
    pub description: String,
    /// `OptInStatus`: `next-maintenance` or none.
    pub opt_in: Option<String>,
    /// `AutoAppliedAfterDate`: in the first window after this it is done in any case.
    pub automatic_after: Option<Timestamp>,
}

impl Rds {
    /// Announces maintenance of an instance; `automatic_after`: when AWS does it unasked.
    pub fn announce(
        &mut self,
        identifier: &str,
        action: &str,
        description: &str,
        automatic_after: Option<Timestamp>,
    ) {
        if let Some(instance) = self.instances.get_mut(identifier) {
            instance.maintenance.push(Maintenance {
                action: action.to_owned(),
                description: description.to_owned(),
                opt_in: None,
                automatic_after,
            });
        }
    }

    pub(super) fn describe_maintenance(&self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let filters = query::filters(parameters, &["db-instance-id", "db-cluster-id"])?;
        let wanted = parameters.get("ResourceIdentifier");
        if let Some(arn) = wanted {
            self.maintained(arn)?;
        }
        let found = self.instances.values().filter(|instance| {
            let arn = instance.arn(place);
            !instance.maintenance.is_empty()
                && wanted.is_none_or(|wanted| wanted == arn)
                && filters.iter().all(|(filter, values)| {
                    filter == "db-instance-id"
                        && (values.contains(&instance.identifier) || values.contains(&arn))
                })
        });
        let found = found.map(|one| (one.identifier.clone(), show(one.arn(place), &one.maintenance)));
        let page = query::page(parameters, found)?;
        let names = ("PendingMaintenanceActions", "ResourcePendingMaintenanceActions");
        Ok(Xml::new().list(names.0, names.1, page.items).optional("Marker", page.marker))
    }

    pub(super) fn apply_maintenance(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        let name = self.maintained(parameters.required("ResourceIdentifier")?)?;
        let action = parameters.required("ApplyAction")?;
        let opt_in = parameters.required("OptInType")?;
        let instance = self.instance_mut(&name)?;
        let is_available = instance.is_available();
        let Some(index) = instance.maintenance.iter().position(|one| one.action == action) else {
            return Err(invalid_value(format!("There is no pending action {action} for {name}.")));
        };
        match opt_in {
            "immediate" if !is_available => return Err(not_available(instance)),
            "immediate" => {
                instance.maintenance.remove(index);
                self.maintain(&name, action, now);
            }
            "next-maintenance" => instance.maintenance[index].opt_in = Some(opt_in.to_owned()),
            "undo-opt-in" => instance.maintenance[index].opt_in = None,
            _ => return Err(invalid_value(format!("Invalid opt-in type: {opt_in}"))),
        }
        let instance = self.instance(&name)?;
        let shown = show(instance.arn(place), &instance.maintenance);
        Ok(Xml::new().element("ResourcePendingMaintenanceActions", shown))
    }

    /// Does in the window of an instance what is due by then.
    pub(super) fn maintain_in_window(&mut self, name: &str, at: Timestamp) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        let is_due = |one: &Maintenance| {
            one.opt_in.is_some() || one.automatic_after.is_some_and(|automatic| automatic <= at)
        };
        let (due, kept) = instance.maintenance.drain(..).partition(is_due);
        instance.maintenance = kept;
        let due: Vec<Maintenance> = due;
        for one in due {
            self.maintain(name, &one.action, at);
        }
    }

    fn maintain(&mut self, name: &str, action: &str, at: Timestamp) {
        let Some(instance) = self.instances.get_mut(name) else { return };
        if action == "db-upgrade" {
            let newest = instance.settings.version.newest_minor().to_string();
            instance.pending.0.insert("EngineVersion".to_owned(), newest);
            instance.begin_pending(at);
        } else {
            instance.pass(at, times::NOTICE, "modifying", times::MODIFY);
        }
    }

    /// The instance of an ARN.
    fn maintained(&self, arn: &str) -> Result<String, Fault> {
        let name = by_name(arn);
        self.instance(&name).map(|_| name).map_err(|_| {
            Fault::not_found("ResourceNotFoundFault", format!("The specified resource {arn} was not found."))
        })
    }
}

fn show(arn: String, waiting: &[Maintenance]) -> Xml {
    let details = waiting.iter().map(|one| {
        Xml::new()
            .text("Action", &one.action)
            .text("Description", &one.description)
            .optional("OptInStatus", one.opt_in.as_ref())
            .optional("AutoAppliedAfterDate", one.automatic_after)
    });
    Xml::new().text("ResourceIdentifier", arn).list(
        "PendingMaintenanceActionDetails",
        "PendingMaintenanceAction",
        details,
    )
}

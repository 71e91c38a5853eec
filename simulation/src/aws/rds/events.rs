//! Events: what happened to a resource, and why something failed.

use super::{Fault, Parameters, Rds, Xml, invalid_value, times};
use crate::aws::{Place, query};
use jiff::{SignedDuration, Timestamp};

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// `db-instance`, `db-cluster` or `db-parameter-group`.
    pub kind: &'static str,
    /// Identifier of the resource.
    pub source: String,
    /// Its ARN.
    pub arn: String,
    /// Such as `failure`.
    pub category: String,
    /// What happened.
    pub message: String,
}

impl Rds {
    pub(super) fn instance_event(
        &mut self,
        at: Timestamp,
        place: &Place,
        name: &str,
        category: &str,
        message: &str,
    ) {
        self.event(at, "db-instance", name, place.arn("rds", &format!("db:{name}")), category, message);
    }

    pub(super) fn cluster_event(
        &mut self,
        at: Timestamp,
        place: &Place,
        name: &str,
        category: &str,
        message: &str,
    ) {
        self.event(at, "db-cluster", name, place.arn("rds", &format!("cluster:{name}")), category, message);
    }

    /// Cluster parameter groups have none.
    pub(super) fn group_event(
        &mut self,
        at: Timestamp,
        place: &Place,
        name: &str,
        category: &str,
        message: &str,
    ) {
        self.event(
            at,
            "db-parameter-group",
            name,
            place.arn("rds", &format!("pg:{name}")),
            category,
            message,
        );
    }

    fn event(
        &mut self,
        at: Timestamp,
        kind: &'static str,
        source: &str,
        arn: String,
        category: &str,
        message: &str,
    ) {
        self.events.retain(|event| at.duration_since(event.at) <= times::EVENTS_KEPT);
        self.events.push(Event {
            at,
            kind,
            source: source.to_owned(),
            arn,
            category: category.to_owned(),
            message: message.to_owned(),
        });
    }

    pub(super) fn describe_events(&self, parameters: &Parameters, now: Timestamp) -> Result<Xml, Fault> {
        let kind = parameters.get("SourceType");
        let source = parameters.get("SourceIdentifier");
        if source.is_some() && kind.is_none() {
            return Err(Fault::bad_request(
                "InvalidParameterCombination",
                "SourceType must be provided if SourceIdentifier is.",
            ));
        }
        let minutes = parameters.integer("Duration")?.unwrap_or(60);
        let time = |name: &str| {
            let parse = |text: &str| {
                text.parse::<Timestamp>().map_err(|_| invalid_value(format!("{name} is no time: {text}")))
            };
            parameters.get(name).map(parse).transpose()
        };
        let start = match time("StartTime")? {
            Some(start) => start,
            None => now.saturating_sub(SignedDuration::from_mins(minutes)).unwrap_or(now),
        };
        let end = time("EndTime")?.unwrap_or(now);
        let categories = parameters.list("EventCategories");
        let found = self.events.iter().enumerate().filter(|(_, event)| {
            (start..=end).contains(&event.at)
                && kind.is_none_or(|kind| kind == event.kind)
                && source.is_none_or(|source| source.eq_ignore_ascii_case(&event.source))
                && categories.as_ref().is_none_or(|wanted| wanted.contains(&event.category))
        });
        let shown = found.map(|(index, event)| {
            let xml = Xml::new()
                .text("SourceIdentifier", &event.source)
                .text("SourceType", event.kind)
                .text("SourceArn", &event.arn)
                .text("Message", &event.message)
                .texts("EventCategories", "EventCategory", [&event.category])
                .text("Date", event.at);
            (format!("{index:08}"), xml)
        });
        let page = query::page(parameters, shown)?;
        Ok(Xml::new().list("Events", "Event", page.items).optional("Marker", page.marker))
    }
}

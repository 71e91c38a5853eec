//! DescribeEvents: what happened.

use super::{ElastiCache, combine, fault::invalid_value};
use crate::aws::{
    fault::Fault,
    query::{Answer, Parameters, Xml, page},
};
use jiff::{SignedDuration, Timestamp};

/// Events are kept for 14 days (ElastiCache API Reference, `DescribeEvents`).
const KEPT: SignedDuration = SignedDuration::from_hours(14 * 24);

/// What happened to a resource.
#[derive(Clone, Debug)]
pub(super) struct Event {
    at: Timestamp,
    source: String,
    kind: &'static str,
    message: String,
}

impl ElastiCache {
    pub(super) fn event(
        &mut self,
        at: Timestamp,
        kind: &'static str,
        source: &str,
        message: impl Into<String>,
    ) {
        self.events.retain(|event| at.duration_since(event.at) < KEPT);
        self.events.push(Event { at, source: source.to_owned(), kind, message: message.into() });
    }

    pub(super) fn describe_events(&self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let time = |name: &str| {
            let parsed = p.get(name).map(str::parse::<Timestamp>).transpose();
            parsed.map_err(|_| invalid_value(format!("{name} is not a time of ISO 8601")))
        };
        let minutes = p.integer("Duration")?.unwrap_or(60);
        let until = time("EndTime")?.unwrap_or(now);
        let since = time("StartTime")?.unwrap_or(until - SignedDuration::from_mins(minutes));
        let (source, kind) = (p.get("SourceIdentifier"), p.get("SourceType"));
        if source.is_some() && kind.is_none() {
            return Err(super::fault::combination("SourceIdentifier needs a SourceType"));
        }
        let matching = self.events.iter().enumerate().filter(|(_, event)| {
            (since..=until).contains(&event.at)
                && source.is_none_or(|source| source == event.source)
                && kind.is_none_or(|kind| kind == event.kind)
        });
        let page = page(p, matching.map(|(index, event)| (format!("{index:08}"), event)))?;
        let events = page.items.into_iter().map(|event| {
            Xml::new()
                .text("SourceIdentifier", &event.source)
                .text("SourceType", event.kind)
                .text("Message", &event.message)
                .text("Date", event.at)
        });
        Ok(combine("Events", "Event", events, page.marker))
    }
}

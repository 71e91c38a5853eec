//! Reads the parts of an MPD that the checker compares with segments.

use crate::rendition::Span;
use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

/// What the MPD claims.
#[derive(Debug, Default)]
pub(super) struct Mpd {
    /// `mediaPresentationDuration` in seconds.
    pub(super) seconds: f64,
    /// The representations that have segments.
    pub(super) representations: Vec<Representation>,
}

/// What the MPD claims of one rendition.
#[derive(Debug, Default)]
pub(super) struct Representation {
    pub(super) id: String,
    pub(super) bandwidth: u64,
    pub(super) codecs: String,
    pub(super) timescale: u64,
    pub(super) timeline: Vec<Span>,
}

/// Reads an MPD with a `SegmentTimeline` in each representation.
pub(super) fn parse(text: &str) -> Result<Mpd, String> {
    let mut reader = Reader::from_str(text);
    let mut mpd = Mpd::default();
    loop {
        match reader.read_event().map_err(|error| error.to_string())? {
            Event::Eof => break,
            Event::Start(element) | Event::Empty(element) => read_element(&element, &mut mpd)?,
            _ => {}
        }
    }
    mpd.representations.retain(|representation| !representation.timeline.is_empty());
    Ok(mpd)
}

fn read_element(element: &BytesStart<'_>, mpd: &mut Mpd) -> Result<(), String> {
    let text = |name: &str| attribute(element, name);
    let number = |name: &str| -> Result<Option<u64>, String> {
        text(name)?
            .map(|value| value.parse().map_err(|_| format!("{name}=\"{value}\" is no number")))
            .transpose()
    };
    match element.name().as_ref() {
        "MPD" => mpd.seconds = seconds(&text("mediaPresentationDuration")?.unwrap_or_default())?,
        "Representation" => mpd.representations.push(Representation {
            id: text("id")?.unwrap_or_default(),
            bandwidth: number("bandwidth")?.unwrap_or_default(),
            codecs: text("codecs")?.unwrap_or_default(),
            ..Representation::default()
        }),
        "SegmentTemplate" => {
            if let Some(current) = mpd.representations.last_mut() {
                current.timescale = number("timescale")?.unwrap_or(1);
            }
        }
        "S" => {
            let current = mpd.representations.last_mut().ok_or("S outside of a Representation")?;
            let follows = current.timeline.last().map_or(0, |last| last.start + last.duration);
            let mut start = number("t")?.unwrap_or(follows);
            let duration = number("d")?.ok_or("S without d")?;
            for _ in 0..=number("r")?.unwrap_or_default() {
                current.timeline.push(Span { start, duration });
                start += duration;
            }
        }
        _ => {}
    }
    Ok(())
}

fn attribute(element: &BytesStart<'_>, name: &str) -> Result<Option<String>, String> {
    let attribute = element.try_get_attribute(name).map_err(|error| error.to_string())?;
    Ok(attribute.map(|attribute| attribute.value.into_owned()))
}

/// `PT12.345S`, the only form that is written here.
fn seconds(text: &str) -> Result<f64, String> {
    let number = text.strip_prefix("PT").and_then(|rest| rest.strip_suffix('S'));
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| format!("\"{text}\" is no duration in seconds"))
}

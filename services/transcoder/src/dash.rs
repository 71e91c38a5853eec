//! The DASH manifest (ISO/IEC 23009-1), written from measured segments with a `SegmentTimeline`.

use crate::{
    captions::Caption,
    hls::Presentation,
    mp4::Media,
    rendition::{INIT_NAME, Rendition, Span},
};
use quick_xml::Writer;
use std::io;

type Xml = Writer<Vec<u8>>;

/// The MPD of a presentation.
///
/// # Panics
/// Never: XML is written to memory, as UTF-8.
#[must_use]
pub fn manifest(presentation: &Presentation) -> String {
    let mut xml = Writer::new_with_indent(Vec::new(), b' ', 2);
    write_manifest(&mut xml, presentation).expect("writing to memory does not fail");
    let body = String::from_utf8(xml.into_inner()).expect("strings are written as UTF-8");
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{body}\n")
}

fn write_manifest(xml: &mut Xml, presentation: &Presentation) -> io::Result<()> {
    let longest = presentation.renditions().map(Rendition::target_duration).max().unwrap_or(1);
    xml.create_element("MPD")
        .with_attribute(("xmlns", "urn:mpeg:dash:schema:mpd:2011"))
        .with_attribute(("profiles", "urn:mpeg:dash:profile:isoff-live:2011,urn:mpeg:dash:profile:cmaf:2019"))
        .with_attribute(("type", "static"))
        .with_attribute(("mediaPresentationDuration", duration(presentation.seconds()).as_str()))
        .with_attribute(("maxSegmentDuration", format!("PT{longest}S").as_str()))
        .with_attribute(("minBufferTime", format!("PT{longest}S").as_str()))
        .write_inner_content(|xml| {
            xml.create_element("Period")
                .with_attribute(("id", "0"))
                .with_attribute(("start", "PT0S"))
                .write_inner_content(|xml| write_period(xml, presentation))?;
            Ok(())
        })?;
    Ok(())
}

fn write_period(xml: &mut Xml, presentation: &Presentation) -> io::Result<()> {
    if !presentation.video.is_empty() {
        xml.create_element("AdaptationSet")
            .with_attribute(("id", "0"))
            .with_attribute(("contentType", "video"))
            .with_attribute(("mimeType", "video/mp4"))
            .with_attribute(("segmentAlignment", "true"))
            .with_attribute(("startWithSAP", "1"))
            .write_inner_content(|xml| {
                presentation.video.iter().try_for_each(|video| write_representation(xml, video))
            })?;
    }
    if let Some(audio) = &presentation.audio {
        let set = xml
            .create_element("AdaptationSet")
            .with_attribute(("id", "1"))
            .with_attribute(("contentType", "audio"))
            .with_attribute(("mimeType", "audio/mp4"));
        let set = match &presentation.language {
            Some(language) => set.with_attribute(("lang", language.as_str())),
            None => set,
        };
        set.with_attribute(("segmentAlignment", "true"))
            .with_attribute(("startWithSAP", "1"))
            .write_inner_content(|xml| write_representation(xml, audio))?;
    }
    for (index, caption) in presentation.captions.iter().enumerate() {
        write_caption(xml, index + 2, caption)?;
    }
    Ok(())
}

fn write_representation(xml: &mut Xml, rendition: &Rendition) -> io::Result<()> {
    let element = xml
        .create_element("Representation")
        .with_attribute(("id", rendition.name.as_str()))
        .with_attribute(("bandwidth", rendition.peak_bandwidth().to_string().as_str()))
        .with_attribute(("codecs", rendition.track.codecs.as_str()));
    match rendition.track.media {
        Media::Video { width, height } => element
            .with_attribute(("width", width.to_string().as_str()))
            .with_attribute(("height", height.to_string().as_str()))
            .with_attribute(("frameRate", frame_rate(rendition).as_str()))
            .with_attribute(("sar", "1:1"))
            .write_inner_content(|xml| write_template(xml, rendition))?,
        Media::Audio { sample_rate, channels } => element
            .with_attribute(("audioSamplingRate", sample_rate.to_string().as_str()))
            .write_inner_content(|xml| {
                xml.create_element("AudioChannelConfiguration")
                    .with_attribute(("schemeIdUri", "urn:mpeg:dash:23003:3:audio_channel_configuration:2011"))
                    .with_attribute(("value", channels.to_string().as_str()))
                    .write_empty()?;
                write_template(xml, rendition)
            })?,
    };
    Ok(())
}

fn write_template(xml: &mut Xml, rendition: &Rendition) -> io::Result<()> {
    xml.create_element("SegmentTemplate")
        .with_attribute(("timescale", rendition.track.timescale.to_string().as_str()))
        .with_attribute(("initialization", format!("$RepresentationID$/{INIT_NAME}").as_str()))
        .with_attribute(("media", "$RepresentationID$/seg-$Number%05d$.m4s"))
        .with_attribute(("startNumber", "1"))
        .write_inner_content(|xml| {
            xml.create_element("SegmentTimeline").write_inner_content(|xml| {
                runs(&rendition.spans()).into_iter().try_for_each(|(span, repeats)| {
                    let element = xml
                        .create_element("S")
                        .with_attribute(("t", span.start.to_string().as_str()))
                        .with_attribute(("d", span.duration.to_string().as_str()));
                    let element = match repeats {
                        0 => element,
                        _ => element.with_attribute(("r", repeats.to_string().as_str())),
                    };
                    element.write_empty().map(drop)
                })
            })?;
            Ok(())
        })?;
    Ok(())
}

fn write_caption(xml: &mut Xml, id: usize, caption: &Caption) -> io::Result<()> {
    xml.create_element("AdaptationSet")
        .with_attribute(("id", id.to_string().as_str()))
        .with_attribute(("contentType", "text"))
        .with_attribute(("mimeType", "text/vtt"))
        .with_attribute(("lang", caption.language.as_deref().unwrap_or("und")))
        .write_inner_content(|xml| {
            xml.create_element("Role")
                .with_attribute(("schemeIdUri", "urn:mpeg:dash:role:2011"))
                .with_attribute(("value", "subtitle"))
                .write_empty()?;
            xml.create_element("Representation")
                .with_attribute(("id", caption.id.as_str()))
                .with_attribute(("bandwidth", "1000"))
                .write_inner_content(|xml| {
                    xml.create_element("BaseURL")
                        .write_text_content(quick_xml::events::BytesText::new(&caption.path()))?;
                    Ok(())
                })?;
            Ok(())
        })?;
    Ok(())
}

/// Equal neighbours as one entry with a count of repetitions (23009-1, 5.3.9.6).
fn runs(spans: &[Span]) -> Vec<(Span, usize)> {
    let mut runs: Vec<(Span, usize)> = Vec::new();
    for span in spans {
        match runs.last_mut() {
            Some((first, repeats))
                if span.duration == first.duration
                    && span.start == first.start + first.duration * (*repeats as u64 + 1) =>
            {
                *repeats += 1;
            }
            _ => runs.push((*span, 0)),
        }
    }
    runs
}

/// The frame rate as a fraction, as 23009-1 wants it: from one frame's length, which is constant.
fn frame_rate(rendition: &Rendition) -> String {
    let ticks: u64 = rendition.segments.iter().map(|segment| segment.duration).sum();
    let frames = rendition.samples().max(1);
    let timescale = u64::from(rendition.track.timescale);
    let divisor = gcd(frames * timescale, ticks).max(1);
    match (frames * timescale / divisor, ticks / divisor) {
        (rate, 1) => rate.to_string(),
        (numerator, denominator) => format!("{numerator}/{denominator}"),
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn duration(seconds: f64) -> String {
    format!("PT{seconds:.3}S")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_is_this() {
        insta::assert_snapshot!("manifest", manifest(&crate::rendition::sample::presentation()));
    }

    #[test]
    fn equal_neighbours_are_written_once() {
        let span = |start, duration| Span { start, duration };
        let spans = [span(0, 6), span(6, 6), span(12, 6), span(18, 2)];
        assert_eq!(runs(&spans), [(span(0, 6), 2), (span(18, 2), 0)]);
        assert_eq!(runs(&[span(0, 6), span(7, 6)]), [(span(0, 6), 0), (span(7, 6), 0)]);
    }
}

//! HLS playlists (RFC 8216 and its second edition), written from measured segments.

use crate::{
    captions::Caption,
    mp4::Media,
    rendition::{INIT_NAME, Rendition, segment_name},
};
use std::fmt::Write;

/// Everything that can be played of one source.
#[derive(Clone, Debug, Default)]
pub struct Presentation {
    /// Video renditions, tallest first.
    pub video: Vec<Rendition>,
    /// The audio rendition.
    pub audio: Option<Rendition>,
    /// Language of the audio as the source names it.
    pub language: Option<String>,
    /// Subtitles.
    pub captions: Vec<Caption>,
}

impl Presentation {
    /// All renditions, tallest first, audio last.
    pub fn renditions(&self) -> impl Iterator<Item = &Rendition> {
        self.video.iter().chain(&self.audio)
    }

    /// How long it plays, in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.renditions().map(Rendition::end_seconds).fold(0.0, f64::max)
    }
}

/// The playlist of one rendition's segments.
#[must_use]
pub fn media_playlist(rendition: &Rendition) -> String {
    let mut text = format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"{INIT_NAME}\"\n",
        rendition.target_duration()
    );
    for (index, span) in rendition.spans().iter().enumerate() {
        let seconds = rendition.seconds(span.duration);
        line(&mut text, format_args!("#EXTINF:{seconds:.6},\n{}", segment_name(index + 1)));
    }
    text.push_str("#EXT-X-ENDLIST\n");
    text
}

/// The playlist of a subtitle rendition: one WebVTT file for the whole presentation.
#[must_use]
pub fn caption_playlist(caption: &Caption, seconds: f64) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{}\n#EXT-X-PLAYLIST-TYPE:VOD\n\
         #EXTINF:{seconds:.6},\n{}\n#EXT-X-ENDLIST\n",
        (seconds.ceil() as u64).max(1),
        caption.file_name()
    )
}

/// The multivariant playlist.
#[must_use]
pub fn multivariant_playlist(presentation: &Presentation) -> String {
    let mut text = String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-INDEPENDENT-SEGMENTS\n");
    if !presentation.video.is_empty() {
        presentation.audio.iter().for_each(|audio| {
            audio_media(&mut text, audio, presentation.language.as_deref());
        });
    }
    for caption in &presentation.captions {
        caption_media(&mut text, caption);
    }
    let subtitles = !presentation.captions.is_empty();
    for video in &presentation.video {
        variant(&mut text, video, presentation.audio.as_ref(), subtitles);
    }
    if presentation.video.is_empty() {
        presentation.audio.iter().for_each(|audio| variant(&mut text, audio, None, subtitles));
    }
    text
}

fn variant(text: &mut String, main: &Rendition, audio: Option<&Rendition>, subtitles: bool) {
    let sum = |of: fn(&Rendition) -> u64| of(main) + audio.map_or(0, of);
    let codecs: Vec<&str> =
        [Some(main), audio].into_iter().flatten().map(|part| part.track.codecs.as_str()).collect();
    let mut attributes = format!(
        "BANDWIDTH={},AVERAGE-BANDWIDTH={},CODECS=\"{}\"",
        sum(Rendition::peak_bandwidth),
        sum(Rendition::average_bandwidth),
        codecs.join(",")
    );
    if let Media::Video { width, height } = main.track.media {
        let rate = main.sample_rate();
        attributes.push_str(&format!(",RESOLUTION={width}x{height},FRAME-RATE={rate:.3},VIDEO-RANGE=SDR"));
    }
    if audio.is_some() {
        attributes.push_str(",AUDIO=\"audio\"");
    }
    if subtitles {
        attributes.push_str(",SUBTITLES=\"captions\"");
    }
    line(
        text,
        format_args!("#EXT-X-STREAM-INF:{attributes},CLOSED-CAPTIONS=NONE\n{}/playlist.m3u8", main.name),
    );
}

fn audio_media(text: &mut String, audio: &Rendition, language: Option<&str>) {
    let channels = match audio.track.media {
        Media::Audio { channels, .. } => channels,
        Media::Video { .. } => 0,
    };
    let language = language.map(|code| format!("LANGUAGE=\"{}\",", quoted(code))).unwrap_or_default();
    line(
        text,
        format_args!(
            "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"audio\",NAME=\"Audio\",{language}DEFAULT=YES,AUTOSELECT=YES,\
             CHANNELS=\"{channels}\",URI=\"{}/playlist.m3u8\"",
            audio.name
        ),
    );
}

fn caption_media(text: &mut String, caption: &Caption) {
    let language =
        caption.language.as_ref().map(|code| format!("LANGUAGE=\"{}\",", quoted(code))).unwrap_or_default();
    line(
        text,
        format_args!(
            "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"captions\",NAME=\"{}\",{language}DEFAULT=NO,AUTOSELECT=YES,\
             FORCED=NO,URI=\"{}\"",
            quoted(&caption.label),
            caption.playlist_path()
        ),
    );
}

/// A quoted string may hold neither quotes nor line ends (RFC 8216, 4.2).
fn quoted(text: &str) -> String {
    text.chars().filter(|character| *character != '"' && !character.is_control()).collect()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rendition::sample;

    #[test]
    fn playlists_are_these() {
        let presentation = sample::presentation();
        insta::assert_snapshot!("multivariant", multivariant_playlist(&presentation));
        insta::assert_snapshot!("video", media_playlist(&presentation.video[0]));
        insta::assert_snapshot!("audio", media_playlist(presentation.audio.as_ref().unwrap()));
        insta::assert_snapshot!("captions", caption_playlist(&presentation.captions[0], 14.0));
    }

    #[test]
    fn sound_alone_is_a_variant_of_its_own() {
        let presentation = Presentation { video: Vec::new(), captions: Vec::new(), ..sample::presentation() };
        insta::assert_snapshot!("sound_alone", multivariant_playlist(&presentation));
    }
}

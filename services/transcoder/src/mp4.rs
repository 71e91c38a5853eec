//! Reads what the boxes of CMAF files say: the track of an init segment, the samples of a media segment.
//!
//! Boxes are those of ISO/IEC 14496-12; codecs strings follow RFC 6381, ISO/IEC 14496-15 annex E and the
//! AV1 Codec ISO Media File Format Binding, section 5.

use mp4_atom::{Atom, Av1c, Avcc, Codec, Decode, Header, Hvcc, Mdat, Moof, Moov, Traf, Trak};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Mp4Error {
    /// A box can't be read.
    #[error("unreadable box: {0}")]
    Box(#[from] mp4_atom::Error),
    /// A box that must be there is not.
    #[error("no {0} box")]
    Missing(&'static str),
    /// The file holds something that this project does not make.
    #[error("unsupported: {0}")]
    Unsupported(String),
}

/// What an init segment says about its only track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// Picture or sound.
    pub media: Media,
    /// Ticks per second.
    pub timescale: u32,
    /// Ticks added to a composition time to get a presentation time: the edit list, usually negative.
    pub shift: i64,
    /// The RFC 6381 codecs string.
    pub codecs: String,
    default_duration: u32,
    default_flags: u32,
}

#[cfg(test)]
impl Track {
    pub(crate) fn for_tests(media: Media, timescale: u32, codecs: &str) -> Self {
        Self { media, timescale, shift: 0, codecs: codecs.to_owned(), default_duration: 0, default_flags: 0 }
    }
}

/// What kind of media a track holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// Pictures.
    Video {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Sound.
    Audio {
        /// Samples per second.
        sample_rate: u32,
        /// Number of channels.
        channels: u32,
    },
}

/// What a media segment says about itself. Times are in ticks of the track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Decode time of the first sample.
    pub decode_start: u64,
    /// Sum of the samples' durations.
    pub duration: u64,
    /// Presentation time of the sample that is shown first; negative for the priming of an encoder.
    pub start: i64,
    /// When the sample that is shown last ends.
    pub end: i64,
    /// Number of samples.
    pub samples: u32,
    /// Whether the first sample can be decoded by itself.
    pub starts_with_keyframe: bool,
}

/// `sample_is_non_sync_sample` of a sample's flags (14496-12, 8.8.3.1).
const NON_SYNC: u32 = 1 << 16;

/// Reads an init segment with one track.
///
/// # Errors
/// Where it is no such file.
pub fn read_init(bytes: &[u8]) -> Result<Track, Mp4Error> {
    let (moov, _) = find::<Moov>(bytes)?.ok_or(Mp4Error::Missing("moov"))?;
    let [trak] = moov.trak.as_slice() else {
        return Err(Mp4Error::Unsupported(format!("{} tracks in one file", moov.trak.len())));
    };
    let entry =
        trak.mdia.minf.stbl.stsd.codecs.first().ok_or(Mp4Error::Missing("sample entry in the stsd"))?;
    let (media, codecs) = sample_entry(entry)?;
    let defaults = moov.mvex.as_ref().and_then(|mvex| mvex.trex.first());
    Ok(Track {
        media,
        timescale: trak.mdia.mdhd.timescale.max(1),
        shift: edit_shift(trak, moov.mvhd.timescale),
        codecs,
        default_duration: defaults.map_or(0, |trex| trex.default_sample_duration),
        default_flags: defaults.map_or(0, |trex| trex.default_sample_flags),
    })
}

/// Reads a media segment of a track.
///
/// # Errors
/// Where it is no such file, or holds no sample.
pub fn read_segment(track: &Track, bytes: &[u8]) -> Result<Segment, Mp4Error> {
    let mut rest = bytes;
    let mut segment: Option<Segment> = None;
    while let Some((moof, after)) = find::<Moof>(rest)? {
        let [traf] = moof.traf.as_slice() else {
            return Err(Mp4Error::Unsupported(format!("{} traf boxes in one moof", moof.traf.len())));
        };
        let fragment = read_fragment(track, traf, after)?;
        segment = Some(match segment {
            None => fragment,
            Some(first) => Segment {
                duration: first.duration + fragment.duration,
                start: first.start.min(fragment.start),
                end: first.end.max(fragment.end),
                samples: first.samples + fragment.samples,
                ..first
            },
        });
        rest = after;
    }
    let segment = segment.ok_or(Mp4Error::Missing("moof"))?;
    Ok(Segment { bytes: bytes.len() as u64, ..segment })
}

fn read_fragment(track: &Track, traf: &Traf, after: &[u8]) -> Result<Segment, Mp4Error> {
    let decode_start = traf.tfdt.as_ref().ok_or(Mp4Error::Missing("tfdt"))?.base_media_decode_time;
    let default_duration = traf.tfhd.default_sample_duration.unwrap_or(track.default_duration);
    let default_flags = traf.tfhd.default_sample_flags.unwrap_or(track.default_flags);
    let mut segment = Segment {
        bytes: 0,
        decode_start,
        duration: 0,
        start: i64::MAX,
        end: i64::MIN,
        samples: 0,
        starts_with_keyframe: false,
    };
    for sample in traf.trun.iter().flat_map(|run| run.samples.iter()) {
        if segment.samples == 0 {
            let sync = sample.flags.unwrap_or(default_flags) & NON_SYNC == 0;
            let size = sample.size.or(traf.tfhd.default_sample_size).unwrap_or(0) as usize;
            segment.starts_with_keyframe = sync && holds_idr(track, after, size)?;
        }
        let duration = u64::from(sample.duration.unwrap_or(default_duration));
        let shown = (decode_start + segment.duration) as i64 + sample.cts.unwrap_or_default() + track.shift;
        segment.start = segment.start.min(shown);
        segment.end = segment.end.max(shown + duration as i64);
        segment.duration += duration;
        segment.samples += 1;
    }
    if segment.samples == 0 { Err(Mp4Error::Missing("sample in the trun")) } else { Ok(segment) }
}

/// For H.264 the first sample must hold an IDR slice (NAL unit type 5); flags alone may lie.
/// `after` are the boxes that follow the moof; ours has four-byte NAL lengths.
fn holds_idr(track: &Track, after: &[u8], size: usize) -> Result<bool, Mp4Error> {
    if !track.codecs.starts_with("avc1") {
        return Ok(true);
    }
    let (mdat, _) = find::<Mdat>(after)?.ok_or(Mp4Error::Missing("mdat"))?;
    let mut rest = mdat.data.get(..size).unwrap_or(&mdat.data);
    while let Some((length, body)) = rest.split_first_chunk::<4>() {
        if body.first().is_some_and(|byte| byte & 0x1f == 5) {
            return Ok(true);
        }
        rest = body.get(u32::from_be_bytes(*length) as usize..).unwrap_or_default();
    }
    Ok(false)
}

/// The first box of this kind, and what follows it.
fn find<T: Atom>(mut bytes: &[u8]) -> Result<Option<(T, &[u8])>, Mp4Error> {
    while !bytes.is_empty() {
        let header = Header::decode(&mut bytes)?;
        let size = header.size.unwrap_or(bytes.len());
        let body = bytes.get(..size).ok_or(mp4_atom::Error::OutOfBounds)?;
        bytes = &bytes[size..];
        if header.kind == T::KIND {
            return Ok(Some((T::decode_body(&mut &body[..])?, bytes)));
        }
    }
    Ok(None)
}

/// An empty edit delays the presentation; the first real edit says which media time is its beginning.
fn edit_shift(trak: &Trak, movie_timescale: u32) -> i64 {
    let entries =
        trak.edts.as_ref().and_then(|edts| edts.elst.as_ref()).map_or(&[][..], |elst| &elst.entries);
    let mut delay = 0;
    for entry in entries {
        match entry.media_time {
            None => delay += entry.segment_duration,
            Some(media_time) => {
                let delay = delay * u64::from(trak.mdia.mdhd.timescale) / u64::from(movie_timescale.max(1));
                return delay as i64 - media_time as i64;
            }
        }
    }
    0
}

fn sample_entry(entry: &Codec) -> Result<(Media, String), Mp4Error> {
    let video = |visual: &mp4_atom::Visual| Media::Video {
        width: u32::from(visual.width),
        height: u32::from(visual.height),
    };
    Ok(match entry {
        Codec::Avc1(avc1) => (video(&avc1.visual), avc_codecs(&avc1.avcc)),
        Codec::Hvc1(hvc1) => (video(&hvc1.visual), hevc_codecs(&hvc1.hvcc)),
        Codec::Av01(av01) => (video(&av01.visual), av1_codecs(&av01.av1c)),
        Codec::Mp4a(mp4a) => {
            let config = &mp4a.esds.es_desc.dec_config;
            let object_type = config.dec_specific.as_ref().map_or(0, |specific| specific.profile);
            let media = Media::Audio {
                sample_rate: u32::from(mp4a.audio.sample_rate.integer()),
                channels: u32::from(mp4a.audio.channel_count),
            };
            (media, format!("mp4a.{:x}.{object_type}", config.object_type_indication))
        }
        Codec::Hev1(_) => {
            return Err(Mp4Error::Unsupported("hev1: HLS wants HEVC as hvc1".into()));
        }
        Codec::Unknown(kind, _) => {
            return Err(Mp4Error::Unsupported(format!("sample entry {kind:?}")));
        }
        _ => return Err(Mp4Error::Unsupported("a codec that is not one of the ladder's".into())),
    })
}

/// `avc1.PPCCLL`: profile, constraints and level in hex.
fn avc_codecs(config: &Avcc) -> String {
    format!(
        "avc1.{:02x}{:02x}{:02x}",
        config.avc_profile_indication, config.profile_compatibility, config.avc_level_indication
    )
}

/// `hvc1.<space><profile>.<reversed compatibility>.<tier><level>.<constraints>` (14496-15, annex E.3).
fn hevc_codecs(config: &Hvcc) -> String {
    let space = match config.general_profile_space {
        0 => String::new(),
        space => char::from(b'A' + space - 1).to_string(),
    };
    let compatibility = u32::from_be_bytes(config.general_profile_compatibility_flags).reverse_bits();
    let tier = if config.general_tier_flag { 'H' } else { 'L' };
    let mut codecs = format!(
        "hvc1.{space}{}.{compatibility:X}.{tier}{}",
        config.general_profile_idc, config.general_level_idc
    );
    let constraints = &config.general_constraint_indicator_flags;
    let kept = constraints.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..kept] {
        codecs.push_str(&format!(".{byte:X}"));
    }
    codecs
}

/// `av01.P.LLT.DD`: profile, level, tier and bit depth.
fn av1_codecs(config: &Av1c) -> String {
    let tier = if config.seq_tier_0 { 'H' } else { 'M' };
    let depth = match (config.high_bitdepth, config.twelve_bit) {
        (true, true) => 12,
        (true, false) => 10,
        (false, _) => 8,
    };
    format!("av01.{}.{:02}{tier}.{depth:02}", config.seq_profile, config.seq_level_idx_0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codecs_strings_are_those_of_the_specifications() {
        let avcc = Avcc {
            avc_profile_indication: 0x64,
            profile_compatibility: 0,
            avc_level_indication: 0x1f,
            ..Avcc::default()
        };
        assert_eq!(avc_codecs(&avcc), "avc1.64001f");
        let mut hvcc = Hvcc::new();
        hvcc.general_profile_idc = 2;
        hvcc.general_profile_compatibility_flags = [0x20, 0, 0, 0];
        hvcc.general_level_idc = 120;
        hvcc.general_constraint_indicator_flags = [0xb0, 0, 0, 0, 0, 0];
        assert_eq!(hevc_codecs(&hvcc), "hvc1.2.4.L120.B0");
        let av1c = Av1c { seq_level_idx_0: 8, high_bitdepth: true, ..Av1c::default() };
        assert_eq!(av1_codecs(&av1c), "av01.0.08M.10");
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        assert!(read_init(b"").is_err());
        assert!(read_init(b"\0\0\0\x20moovjunk").is_err());
        assert!(read_init(&[0xff; 64]).is_err());
    }
}

//! What a transcoding Job is given, and the media that it reads back.

use contract::{Identity, Reason, TerminationMessage};
use fuzz::{cases, mutation::broken, text::damaged};
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use transcoder::{
    failure::{Failure, MAX_TERMINATION_MESSAGE},
    mp4,
    request::parse,
};

fn request() -> Value {
    json!({
        "identity": "abcdefghijklmnopqrst", "attempt": 1,
        "source": {"bucket": "in", "key": "a.mp4", "versionId": "v1"},
        "output": {"bucket": "out", "prefix": "x/abcdefghijklmnopqrst/"},
        "profile": {
            "renditions": [{"height": 720, "bitrate": 2_500_000}, {"height": 360, "bitrate": 700_000}],
            "audioBitrate": 128_000, "segmentSeconds": 6, "gopSeconds": 2, "maxFrameRate": 60,
            "preset": "veryfast", "allowPartial": false, "maxSourcePixels": 35_389_440, "maxSourceSeconds": 86_400
        }
    })
}

/// A request is taken only if all that follows can rely on it; else the pod's last word says why.
fn judge(json: &str) -> Result<(), TestCaseError> {
    match parse(Some(json)) {
        Ok(request) => {
            prop_assert!(Identity::parse(request.identity.as_str()).is_some(), "{}", request.identity);
            let folder = format!("{}/", request.identity);
            prop_assert!(request.output.prefix.ends_with(&folder));
            prop_assert!(request.profile.check().is_ok());
            prop_assert!(!request.source.bucket.is_empty() && !request.source.key.is_empty());
        }
        Err(failure) => {
            prop_assert!(failure.is_permanent(), "{}", failure);
            last_word_holds(&failure)?;
        }
    }
    Ok(())
}

fn last_word_holds(failure: &Failure) -> Result<(), TestCaseError> {
    let json = failure.termination_message_json();
    prop_assert!(json.len() <= MAX_TERMINATION_MESSAGE, "{} bytes", json.len());
    let read: Result<TerminationMessage, _> = serde_json::from_str(&json);
    prop_assert!(read.is_ok_and(|read| failure.message.starts_with(&read.message)));
    Ok(())
}

/// A box of ISO media with its length and type in front.
fn media_box() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(vec![
        *b"ftyp", *b"moov", *b"trak", *b"mdia", *b"minf", *b"stbl", *b"stsd", *b"avc1", *b"avcC", *b"mp4a",
        *b"esds", *b"tkhd", *b"mdhd", *b"mvex", *b"moof", *b"traf", *b"tfhd", *b"tfdt", *b"trun", *b"mdat",
    ]);
    let leaf = vec(any::<u8>(), 0..64);
    let framed = |(kind, body, lie): ([u8; 4], Vec<u8>, Option<u32>)| {
        let length = lie.unwrap_or(body.len() as u32 + 8);
        [length.to_be_bytes().as_slice(), &kind, &body].concat()
    };
    let outer = kinds.clone();
    (kinds, leaf, prop::option::weighted(0.1, any::<u32>())).prop_map(framed).prop_recursive(
        5,
        40,
        5,
        move |inner| {
            (
                outer.clone(),
                vec(inner, 0..5).prop_map(|boxes| boxes.concat()),
                prop::option::weighted(0.1, any::<u32>()),
            )
                .prop_map(framed)
        },
    )
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_broken_request_is_taken_whole_or_refused_in_words_that_fit(json in broken(vec![request()], 4)) {
        judge(&json.to_string())?;
    }

    #[test]
    fn a_damaged_request_is_taken_whole_or_refused_in_words_that_fit(
        json in damaged(broken(vec![request()], 2).prop_map(|it| it.to_string())),
    ) {
        judge(&json)?;
    }

    #[test]
    fn every_failure_fits_in_a_termination_message(reason in ".{0,200}", message in ".{0,5000}") {
        last_word_holds(&Failure::new(Reason::from(reason), message))?;
    }

    #[test]
    fn damaged_media_is_read_or_refused(bytes in vec(media_box(), 0..4).prop_map(|boxes| boxes.concat())) {
        if let Ok(track) = mp4::read_init(&bytes) {
            drop(mp4::read_segment(&track, &bytes));
        }
    }
}

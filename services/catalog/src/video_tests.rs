//! The states of a video, and that no order of reports changes where it ends.

use super::*;
use contract::JobState;
use proptest::prelude::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn source(version: Option<&str>) -> Source {
    Source { bucket: "in".into(), key: "v/clip.mp4".into(), version_id: version.map(Into::into) }
}

fn about() -> About {
    About::from_key("v/clip.mp4", 7, "video/mp4".into())
}

fn uploaded() -> Video {
    let upload = Upload { id: "u".into(), part_size: 8 << 20, expires_at: at(100) };
    Video::uploading(Uuid::from_u128(1), about(), source(None), upload, at(0))
}

fn work(id: &str) -> Identity {
    Work::Explicit { id: id.into() }.identity()
}

fn record(identity: &Identity) -> JobRecord {
    JobRecord {
        identity: identity.clone(),
        attempt: 1,
        state: JobState::Succeeded,
        source: source(Some("v1")),
        duration_seconds: Some(5.0),
        renditions: vec![],
        poster: None,
        storyboard: None,
        timings: Default::default(),
        failure: None,
        finished_at: at(9),
    }
}

/// A report whose content follows from attempt and outcome, as repetitions of one event are equal.
fn report(identity: &Identity, attempt: u32, outcome: Outcome, time: i64) -> Report {
    let data = OutcomeData { outcome, attempt, source: None, output: None, failure: None, explicit_id: None };
    let record = (outcome == Outcome::Succeeded).then(|| record(identity));
    Report::new(&data, record, at(time))
}

#[test]
fn the_ordinary_life_of_a_video() {
    let mut video = uploaded();
    assert_eq!(video.state(), State::Uploading);
    video.finish_upload(Some("v1".into()));
    assert_eq!(video.state(), State::Queued);
    let first = work("a");
    video.merge(&first, &source(Some("v1")), report(&first, 1, Outcome::Running, 10));
    assert_eq!(video.state(), State::Transcoding);
    video.merge(&first, &source(Some("v1")), report(&first, 1, Outcome::Retrying, 11));
    assert_eq!(video.state(), State::Queued);
    assert_eq!(video.latest().unwrap().failure.as_ref().unwrap().reason, Reason::Unknown);
    video.merge(&first, &source(Some("v1")), report(&first, 2, Outcome::Running, 12));
    video.merge(&first, &source(Some("v1")), report(&first, 2, Outcome::Succeeded, 13));
    assert_eq!(video.state(), State::Ready);
    assert_eq!(video.playable().unwrap().percent, 100);
}

#[test]
fn an_event_before_the_upload_was_recorded_as_complete_completes_it() {
    let mut video = uploaded();
    let first = work("a");
    video.merge(&first, &source(Some("v1")), report(&first, 1, Outcome::Running, 10));
    assert_eq!(video.state(), State::Transcoding);
    video.finish_upload(Some("v1".into()));
    assert_eq!(video.source.version_id.as_deref(), Some("v1"));
    assert_eq!(video.state(), State::Transcoding);
}

#[test]
fn the_old_output_plays_until_the_new_one_succeeded_and_a_late_event_of_the_old_changes_nothing() {
    let mut video = uploaded();
    let old = work("old");
    video.merge(&old, &source(Some("v1")), report(&old, 1, Outcome::Succeeded, 10));
    // The clock of who asks is behind the clock of who reports.
    let new = video.request("new", at(3));
    assert_eq!(video.state(), State::Queued);
    assert_eq!(video.playable().unwrap().identity, old);
    video.merge(&old, &source(Some("v1")), report(&old, 1, Outcome::Running, 9));
    assert_eq!(video.state(), State::Queued);
    video.merge(&new, &source(Some("v1")), report(&new, 1, Outcome::DeadLettered, 11));
    assert_eq!((video.state(), &video.playable().unwrap().identity), (State::Failed, &old));
    video.merge(&new, &source(Some("v1")), report(&new, 2, Outcome::Succeeded, 12));
    assert_eq!((video.state(), &video.playable().unwrap().identity), (State::Ready, &new));
}

#[test]
fn a_success_without_a_whole_output_is_told_as_a_failure() {
    let identity = work("a");
    let data = OutcomeData {
        outcome: Outcome::Succeeded,
        attempt: 1,
        source: None,
        output: None,
        failure: None,
        explicit_id: None,
    };
    let mut video = uploaded();
    video.merge(&identity, &source(None), Report::new(&data, None, at(1)));
    assert_eq!(video.state(), State::Failed);
    assert_eq!(video.latest().unwrap().failure.as_ref().unwrap().reason.as_str(), "OUTPUT_INCOMPLETE");

    let not_media = TerminationMessage { reason: Reason::NotMedia, message: "It is text.".into() };
    let failed = JobRecord { state: JobState::Failed, failure: Some(not_media.clone()), ..record(&identity) };
    let mut video = uploaded();
    video.merge(&identity, &source(None), Report::new(&data, Some(failed), at(1)));
    assert_eq!(video.latest().unwrap().failure, Some(not_media));
    assert!(video.playable().is_none());
}

#[test]
fn progress_counts_only_for_the_attempt_that_runs_and_only_forward() {
    let identity = work("a");
    let mut transcode = Transcode::requested(identity.clone(), at(0));
    assert!(!transcode.advance(1, 10));
    transcode.merge(report(&identity, 2, Outcome::Running, 1));
    assert!(!transcode.advance(1, 10));
    assert!(transcode.advance(2, 10));
    assert!(!transcode.advance(2, 9));
    assert!(transcode.advance(2, 250));
    assert_eq!(transcode.percent, 100);
}

#[test]
fn a_deleted_video_is_erased_again_after_a_job_of_it_ended() {
    let mut video = uploaded();
    video.delete(at(1));
    video.erased_at = Some(at(2));
    let first = work("a");
    video.merge(&first, &source(Some("v1")), report(&first, 1, Outcome::Running, 3));
    assert_eq!(video.erased_at, Some(at(2)));
    video.merge(&first, &source(Some("v1")), report(&first, 1, Outcome::Succeeded, 4));
    assert_eq!((video.erased_at, video.deleted_at), (None, Some(at(1))));
}

#[test]
fn titles_are_file_names_without_their_extension() {
    assert_eq!(title_of("clip.final.mp4"), "clip.final");
    assert_eq!(title_of(".mp4"), ".mp4");
    assert_eq!(title_of("clip"), "clip");
    assert_eq!(About::from_key("a/b/c.mov", 1, String::new()).file_name, "c.mov");
    assert_eq!(About::from_key("///", 1, String::new()).title, "unnamed");
    assert_eq!(About::from_key(&"é".repeat(900), 1, String::new()).title.chars().count(), 255);
}

#[test]
fn every_state_reads_back_as_itself() {
    for state in State::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
    }
    assert_eq!("ready".parse::<State>(), Err(UnknownState));
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        Just(Outcome::Running),
        Just(Outcome::Retrying),
        Just(Outcome::DeadLettered),
        Just(Outcome::Cancelled),
        Just(Outcome::Succeeded),
    ]
}

proptest! {
    /// Any order, with any repetitions, ends in the same video.
    #[test]
    fn reports_commute(
        reports in prop::collection::vec((0..2usize, 0..4u32, outcomes(), 0..50i64), 1..12),
        order in any::<prop::sample::Index>(),
        seed in prop::collection::vec(any::<prop::sample::Index>(), 24),
    ) {
        let identities = [work("a"), work("b")];
        let play = |indices: &[usize]| {
            let mut video = uploaded();
            for &i in indices {
                let (which, attempt, outcome, time) = reports[i];
                let identity = &identities[which];
                video.merge(identity, &source(Some("v1")), report(identity, attempt, outcome, time));
            }
            video.transcodes.sort_by(|a, b| a.identity.cmp(&b.identity));
            video
        };
        let straight: Vec<usize> = (0..reports.len()).collect();
        let mut shuffled = straight.clone();
        shuffled.push(order.index(reports.len()));
        for (i, index) in seed.iter().enumerate().take(shuffled.len()) {
            let j = index.index(shuffled.len());
            shuffled.swap(i, j);
        }
        let (one, other) = (play(&straight), play(&shuffled));
        prop_assert_eq!(one.state(), other.state());
        prop_assert_eq!(one, other);
    }
}

//! `progress.json`: how far the job has come, at most every two seconds.

use crate::store::{Content, Folder};
use contract::{
    TranscodeRequest,
    job::{PROGRESS_FILE, Progress, Stage},
};
use jiff::Timestamp;
use std::{convert::Infallible, time::Duration};
use tokio::sync::watch;

/// The contract's shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(2);

/// Takes reports from the stages; the newest one is written.
#[derive(Debug)]
pub struct Reporter {
    latest: watch::Sender<(Stage, u8)>,
}

impl Default for Reporter {
    fn default() -> Self {
        Self { latest: watch::Sender::new((Stage::Downloading, 0)) }
    }
}

impl Reporter {
    /// Says that this share (0 to 1) of a stage is done. Never goes back.
    pub fn report(&self, stage: Stage, share: f64) {
        let percent = overall_percent(stage, share);
        self.latest.send_if_modified(|(current, reached)| {
            let further = stage > *current || percent > *reached;
            if further {
                (*current, *reached) = (stage.max(*current), percent.max(*reached));
            }
            further
        });
    }

    /// Writes reports into the output for as long as it is polled. A write that fails is logged: the next one
    /// follows.
    pub async fn write(
        &self,
        request: &TranscodeRequest,
        output: &Folder,
        now: fn() -> Timestamp,
    ) -> Infallible {
        let mut latest = self.latest.subscribe();
        loop {
            let (stage, percent) = *latest.borrow_and_update();
            let progress = Progress {
                identity: request.identity.clone(),
                attempt: request.attempt,
                stage,
                percent,
                updated_at: now(),
            };
            let json = serde_json::to_vec(&progress).expect("a progress report has only plain fields");
            if let Err(error) = output.put(PROGRESS_FILE, Content::Bytes(json.into())).await {
                tracing::warn!(%error, "progress was not written");
            }
            tokio::time::sleep(INTERVAL).await;
            latest.changed().await.expect("the sender is borrowed for as long as this runs");
        }
    }
}

/// Each stage's part of the whole: encoding takes most of the time.
fn overall_percent(stage: Stage, share: f64) -> u8 {
    let (from, to) = match stage {
        Stage::Downloading => (0.0, 5.0),
        Stage::Probing => (5.0, 6.0),
        Stage::Encoding => (6.0, 96.0),
        Stage::Publishing => (96.0, 100.0),
    };
    (from + (to - from) * share.clamp(0.0, 1.0)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_never_goes_back() {
        let reporter = Reporter::default();
        reporter.report(Stage::Encoding, 0.5);
        reporter.report(Stage::Encoding, 0.2);
        reporter.report(Stage::Downloading, 1.0);
        assert_eq!(*reporter.latest.borrow(), (Stage::Encoding, 51));
        reporter.report(Stage::Publishing, 2.0);
        assert_eq!(*reporter.latest.borrow(), (Stage::Publishing, 100));
    }
}

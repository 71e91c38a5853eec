//! The loop of the leader: changes and time go in, reconciles come out.

use super::{
    queue::Queue,
    retry::{Outcome, Retry},
};
use crate::{kinds::PlatformKey, metrics::Metrics};
use futures::FutureExt;
use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};
use tokio::{sync::mpsc, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, error, info_span};

/// What a reconcile gives back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// How it ended.
    pub outcome: Outcome,
    /// Look again after at most so long, for what no watch tells.
    pub refresh: Option<Duration>,
    /// Whether it changed objects of the platform, which is a reason to look again.
    pub changed: bool,
}

impl From<Outcome> for Done {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, refresh: None, changed: false }
    }
}

/// Runs reconciles until `stop`, at most `concurrency` at a time and one a platform. A panic in one of them
/// is its outcome. After `stop` nothing new starts; those that run are waited for, until `patience` is over.
pub async fn work<F, R>(
    mut triggers: mpsc::UnboundedReceiver<PlatformKey>,
    concurrency: usize,
    mut retry: Retry,
    metrics: &Metrics,
    stop: &CancellationToken,
    patience: Duration,
    reconcile: F,
) where
    F: Fn(PlatformKey) -> R,
    R: Future<Output = Done> + Send + 'static,
{
    let mut queue: Queue<PlatformKey, Instant> = Queue::default();
    let mut tasks = JoinSet::new();
    loop {
        let now = Instant::now();
        while tasks.len() < concurrency
            && let Some(key) = queue.pop(now)
        {
            tasks.spawn(guarded(key.clone(), reconcile(key)));
        }
        metrics.work(queue.depth(now), queue.running());
        // With every place taken there is nothing to wake up for.
        let next_due = queue.next_due().filter(|_| tasks.len() < concurrency);
        tokio::select! {
            () = stop.cancelled() => break,
            Some(key) = triggers.recv() => {
                let now = Instant::now();
                queue.schedule(key, now);
                while let Ok(key) = triggers.try_recv() {
                    queue.schedule(key, now);
                }
            }
            Some(Ok((key, done, took))) = tasks.join_next() => {
                metrics.reconciled(done.outcome.as_str(), took);
                let next = retry.next(&key, &done.outcome, done.refresh);
                let now = Instant::now();
                let rest = done.changed.then(|| retry.rest(&key, now)).flatten();
                queue.finished(&key, next.map(|after| now + after), rest);
            }
            () = tokio::time::sleep_until(next_due.unwrap_or(now)), if next_due.is_some() => {}
        }
    }
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(patience, finish).await.is_err() {
        tasks.shutdown().await;
    }
}

/// A reconcile, with a panic made an outcome.
async fn guarded(key: PlatformKey, reconcile: impl Future<Output = Done>) -> (PlatformKey, Done, Duration) {
    let span = info_span!("reconcile", namespace = %key.namespace, platform = %key.name);
    let begun = Instant::now();
    let done = AssertUnwindSafe(reconcile).catch_unwind().instrument(span.clone()).await;
    let done = done.unwrap_or_else(|panic| {
        span.in_scope(|| error!(panic = text(panic.as_ref()), "a reconcile panicked; this is a bug"));
        Outcome::Panicked.into()
    });
    (key, done, begun.elapsed())
}

fn text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::retry::Policy;
    use std::sync::{Arc, Mutex};

    type Log = Arc<Mutex<Vec<(String, Duration)>>>;

    /// Runs the loop for `length` of paused time on platforms `names`; says which were reconciled when.
    async fn run<R>(
        names: &[&str],
        concurrency: usize,
        length: Duration,
        reconcile: impl Fn(PlatformKey) -> R,
    ) -> (Vec<(String, Duration)>, Metrics)
    where
        R: Future<Output = Done> + Send + 'static,
    {
        let (sender, triggers) = mpsc::unbounded_channel();
        for name in names {
            sender.send(PlatformKey::new("ns", *name)).unwrap();
        }
        let (log, metrics, stop) = (Log::default(), Metrics::default(), CancellationToken::new());
        let begun = Instant::now();
        let retry = Retry::new(Policy::new(Duration::from_secs(600)), 1);
        let logged = |key: PlatformKey| {
            log.lock().unwrap().push((key.name.clone(), begun.elapsed()));
            reconcile(key)
        };
        let stopping = async {
            tokio::time::sleep(length).await;
            stop.cancel();
        };
        tokio::join!(
            work(triggers, concurrency, retry, &metrics, &stop, Duration::from_secs(1), logged),
            stopping
        );
        let log = log.lock().unwrap().clone();
        (log, metrics)
    }

    fn times(log: &[(String, Duration)], name: &str) -> usize {
        log.iter().filter(|(key, _)| key == name).count()
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_an_outcome_and_disturbs_nobody() {
        let (log, metrics) = run(&["bad", "good"], 2, Duration::from_secs(60), |key| async move {
            assert!(key.name != "bad", "a bug");
            Outcome::Converged.into()
        })
        .await;
        assert_eq!(times(&log, "good"), 1);
        assert!(times(&log, "bad") >= 4, "backs off and tries again: {log:?}");
        let text = metrics.render().unwrap();
        assert!(text.contains("reconciles_total{outcome=\"Panicked\"}"), "{text}");
        assert!(text.contains("reconciles_total{outcome=\"Converged\"} 1"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_holds_one_place_only() {
        let (log, _) = run(&["hung", "a", "b", "c"], 2, Duration::from_secs(10), |key| async move {
            if key.name == "hung" {
                std::future::pending::<()>().await;
            }
            Outcome::Converged.into()
        })
        .await;
        for name in ["a", "b", "c"] {
            assert_eq!(times(&log, name), 1, "{log:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_at_a_time() {
        let running = Arc::new(Mutex::new((0, 0)));
        let counter = Arc::clone(&running);
        run(&["a", "b", "c", "d", "e"], 2, Duration::from_secs(60), move |_| {
            let counter = Arc::clone(&counter);
            async move {
                {
                    let mut count = counter.lock().unwrap();
                    count.0 += 1;
                    count.1 = count.1.max(count.0);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                counter.lock().unwrap().0 -= 1;
                Outcome::Converged.into()
            }
        })
        .await;
        assert_eq!(running.lock().unwrap().1, 2);
    }

    /// As where someone else changes an object back, or the watch of the platform hangs and its objects are collected as
    /// garbage.
    #[tokio::test(start_paused = true)]
    async fn one_whose_every_change_is_undone_rests_between_them() {
        let (sender, triggers) = mpsc::unbounded_channel();
        let (metrics, stop, count) = (Metrics::default(), CancellationToken::new(), Arc::new(Mutex::new(0)));
        let retry = Retry::new(Policy::new(Duration::from_secs(600)), 1);
        let contested = PlatformKey::new("ns", "contested");
        sender.send(contested).unwrap();
        let counter = Arc::clone(&count);
        let reconcile = move |key: PlatformKey| {
            *counter.lock().unwrap() += 1;
            sender.send(key).unwrap();
            async { Done { changed: true, ..Outcome::Applied.into() } }
        };
        let stopping = async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            stop.cancel();
        };
        tokio::join!(work(triggers, 1, retry, &metrics, &stop, Duration::from_secs(1), reconcile), stopping);
        let count = *count.lock().unwrap();
        assert!((55..=65).contains(&count), "{count} in a minute");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_stop_nothing_new_starts() {
        let begun = Instant::now();
        let (log, _) = run(&["a", "b"], 1, Duration::from_secs(1), |_| async {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            Outcome::Converged.into()
        })
        .await;
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(begun.elapsed() <= Duration::from_secs(3), "patience is bounded");
    }
}

//! budget: how many calls a second an account takes of one service, and whose turn it is.
//!
//! AWS throttles by account, region and service, so all platforms of an account share one budget there. Tokens
//! come at a steady rate. Where they are short, platforms take turns: one that asks for much waits for itself,
//! and delays another's call by one token at most. An answer that says "throttled" halves the rate; it grows
//! back to the full one within [`RECOVERY`].

use crate::kinds::PlatformKey;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

/// Longest that a call waits for its turn. Shorter than what a reconcile may take, so that a throttled account
/// holds up its own platforms for seconds and nobody else.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// How long a rate that fell to nothing would take to be the full one again.
const RECOVERY: Duration = Duration::from_secs(60);
/// Throttled answers within this time of a cut are of calls made before it, and cut no further.
const SETTLING: Duration = Duration::from_secs(1);
/// The rate is cut to this part.
const CUT: f64 = 0.5;
/// The rate never falls below this part of the full one: a call now and then must find out that AWS takes more.
const LEAST: f64 = 0.1;

/// What a service is asked at most. AWS publishes no figures for the calls made here: these lie well below what
/// its SDKs' users report, and the real limit of an account is found by its throttling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Calls a second.
    pub rate: f64,
    /// Calls at once after a pause.
    pub burst: f64,
}

/// The turn did not come.
#[derive(Debug, thiserror::Error)]
#[error(
    "no turn within {patience:?}: the platforms of this account share {rate:.1} calls of {service} a second now, as many as AWS takes; it is tried again"
)]
pub struct Exhausted {
    service: &'static str,
    rate: f64,
    patience: Duration,
}

/// Who asks: a platform, or the operator for all of them.
type Asker = Option<PlatformKey>;

/// The calls that one account takes of one service.
#[derive(Debug)]
pub struct Budget {
    service: &'static str,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Tokens a second, now.
    rate: f64,
    tokens: f64,
    /// When rate and tokens were right.
    at: Instant,
    cut_at: Option<Instant>,
    /// Calls that wait, by who asks.
    waiting: HashMap<Asker, VecDeque<oneshot::Sender<()>>>,
    /// Whose turn comes when; each asker that waits is in it once.
    turns: VecDeque<Asker>,
    /// Whether a task hands tokens out.
    is_served: bool,
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub fn new(service: &'static str, limits: Limits) -> Self {
        let state = State {
            rate: limits.rate,
            tokens: limits.burst,
            at: Instant::now(),
            cut_at: None,
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            is_served: false,
        };
        Self { service, limits, state: Mutex::new(state) }
    }

    /// Waits for a token, and tells how long it took.
    ///
    /// # Errors
    /// [`Exhausted`] when there is none within [`PATIENCE`]: at once where that can be told beforehand, so that
    /// reconciles of a throttled account don't take the places of others.
    pub async fn take(self: &Arc<Self>, asker: Asker) -> Result<Duration, Exhausted> {
        let asked_at = Instant::now();
        let Some(turn) = self.ask(asker, asked_at)? else { return Ok(Duration::ZERO) };
        match timeout(PATIENCE, turn).await {
            Ok(Ok(())) => Ok(asked_at.elapsed()),
            // Its turn was put off by platforms that asked after it.
            Ok(Err(_)) | Err(_) => Err(self.exhausted(self.state().rate)),
        }
    }

    fn exhausted(&self, rate: f64) -> Exhausted {
        Exhausted { service: self.service, rate, patience: PATIENCE }
    }

    /// Calls a second, now.
    #[cfg(test)]
    pub fn rate(&self) -> f64 {
        self.state().rate
    }

    /// AWS said that these were too many calls.
    pub fn throttled(&self) {
        let now = Instant::now();
        let mut state = self.state();
        state.advance(self.limits, now);
        if state.cut_at.is_some_and(|at| now.duration_since(at) < SETTLING) {
            return;
        }
        state.rate = (state.rate * CUT).max(self.limits.rate * LEAST);
        state.tokens = 0.0;
        state.cut_at = Some(now);
    }

    /// A token at once (`None`), or the turn to wait for.
    fn ask(self: &Arc<Self>, asker: Asker, now: Instant) -> Result<Option<oneshot::Receiver<()>>, Exhausted> {
        let mut state = self.state();
        state.advance(self.limits, now);
        if state.turns.is_empty() && state.tokens >= 1.0 {
            state.tokens -= 1.0;
            return Ok(None);
        }
        if state.wait_of(&asker) > PATIENCE {
            return Err(self.exhausted(state.rate));
        }
        let (granted, turn) = oneshot::channel();
        if !state.waiting.contains_key(&asker) {
            state.turns.push_back(asker.clone());
        }
        state.waiting.entry(asker).or_default().push_back(granted);
        if !state.is_served {
            state.is_served = true;
            tokio::spawn(Arc::clone(self).serve());
        }
        Ok(Some(turn))
    }

    /// Hands tokens out as they come, until nobody waits.
    async fn serve(self: Arc<Self>) {
        while let Some(pause) = self.grant() {
            sleep(pause).await;
        }
    }

    /// Hands out what there is. Gives back how long the next token takes, where somebody waits for it.
    fn grant(&self) -> Option<Duration> {
        let mut state = self.state();
        state.advance(self.limits, Instant::now());
        while state.tokens >= 1.0
            && let Some(granted) = state.next()
        {
            // One that waits no more costs nothing.
            if granted.send(()).is_ok() {
                state.tokens -= 1.0;
            }
        }
        state.is_served = !state.turns.is_empty();
        // A little more than it takes, so that rounding does not wake it in vain.
        let missing = Duration::from_secs_f64((1.0 - state.tokens).max(0.0) / state.rate);
        state.is_served.then_some(missing + Duration::from_millis(1))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds the tokens that came since, and lets the rate grow.
    fn advance(&mut self, limits: Limits, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * self.rate).min(limits.burst);
        self.rate = (self.rate + limits.rate * passed / RECOVERY.as_secs_f64()).min(limits.rate);
    }

    /// How long another call of this asker would wait: for those that it waits for already, and for as many of
    /// each other's.
    fn wait_of(&self, asker: &Asker) -> Duration {
        let waiting =
            |calls: &VecDeque<oneshot::Sender<()>>| calls.iter().filter(|it| !it.is_closed()).count();
        let own = self.waiting.get(asker).map_or(0, waiting);
        let others = self.waiting.iter().filter(|(other, _)| *other != asker);
        let before = own + others.map(|(_, calls)| waiting(calls).min(own + 1)).sum::<usize>();
        Duration::from_secs_f64(((before + 1) as f64 - self.tokens).max(0.0) / self.rate)
    }

    /// The call whose turn it is. Who asked for it goes to the end, if it waits for more.
    fn next(&mut self) -> Option<oneshot::Sender<()>> {
        let asker = self.turns.pop_front()?;
        let calls = self.waiting.get_mut(&asker)?;
        let granted = calls.pop_front();
        if calls.is_empty() {
            self.waiting.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::JoinSet;

    const TEN: Limits = Limits { rate: 10.0, burst: 10.0 };

    fn platform(name: &str) -> Asker {
        Some(PlatformKey::new("media", name))
    }

    async fn drained(limits: Limits) -> Arc<Budget> {
        let budget = Arc::new(Budget::new("rds", limits));
        while budget.state().tokens >= 1.0 {
            budget.take(None).await.unwrap();
        }
        budget
    }

    /// Starts so many calls at a time, and lets them ask.
    async fn flood(
        budget: &Arc<Budget>,
        asker: &Asker,
        calls: usize,
    ) -> JoinSet<Result<Duration, Exhausted>> {
        let mut tasks = JoinSet::new();
        for _ in 0..calls {
            let (budget, asker) = (Arc::clone(budget), asker.clone());
            tasks.spawn(async move { budget.take(asker).await });
        }
        tokio::task::yield_now().await;
        tasks
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_comes_at_the_rate() {
        let budget = Arc::new(Budget::new("rds", TEN));
        for pause in [Duration::ZERO, Duration::from_secs(3600)] {
            sleep(pause).await;
            let started = Instant::now();
            for _ in 0..30 {
                budget.take(platform("a")).await.unwrap();
            }
            let took = started.elapsed();
            assert!((Duration::from_secs(2)..Duration::from_millis(2100)).contains(&took), "{took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_platform_that_floods_delays_another_by_one_call() {
        let budget = drained(TEN).await;
        let flood = flood(&budget, &platform("loops"), 1000).await;
        for _ in 0..5 {
            let waited = budget.take(platform("calm")).await.unwrap();
            assert!(waited < Duration::from_millis(250), "{waited:?}");
        }
        drop(flood);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_too_long_is_told_why() {
        let budget = drained(TEN).await;
        let started = Instant::now();
        let mut tasks = flood(&budget, &platform("loops"), 100).await;
        let first = tasks.join_next().await.unwrap().unwrap();
        assert!(first.is_err() && started.elapsed() < Duration::from_millis(10), "told at once: {first:?}");
        let mut outcomes = tasks.join_all().await;
        outcomes.push(first);
        let served = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert!((45..=50).contains(&served), "{served}");
        let refusal = outcomes.into_iter().find_map(Result::err).unwrap().to_string();
        assert!(refusal.contains("no turn within 5s") && refusal.contains("10.0 calls of rds"), "{refusal}");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_nobody_waits_for_take_no_tokens() {
        let budget = drained(TEN).await;
        drop(flood(&budget, &platform("gone"), 100).await);
        tokio::task::yield_now().await;
        let waited = budget.take(platform("calm")).await.unwrap();
        assert!(waited < Duration::from_millis(150), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_halves_the_rate_which_then_recovers() {
        let budget = Arc::new(Budget::new("rds", TEN));
        budget.throttled();
        budget.throttled();
        assert!((budget.state().rate - 5.0).abs() < 0.1, "answers to one burst cut once");
        let waited = budget.take(None).await.unwrap();
        assert!(waited > Duration::from_millis(150), "what was saved up is gone: {waited:?}");
        sleep(SETTLING).await;
        budget.throttled();
        assert!(budget.state().rate < 3.0);
        sleep(RECOVERY).await;
        assert_eq!(budget.take(None).await.unwrap(), Duration::ZERO);
        assert!((budget.state().rate - 10.0).abs() < 1e-9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_never_falls_to_nothing() {
        let budget = Arc::new(Budget::new("rds", TEN));
        for _ in 0..100 {
            sleep(SETTLING).await;
            budget.throttled();
        }
        assert!(budget.state().rate >= TEN.rate * LEAST);
        budget.take(None).await.unwrap();
    }
}

//! Faults: what befalls requests, drawn one by one.

use crate::servers::Carrier;
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use simulation::kubernetes::{
    Effect,
    request::{Request, Verb},
    resource::JOBS,
    status::Refusal,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

/// Longest that what befell a request keeps it waiting, and so what of all this is left once all is calm.
pub const LONGEST: Duration = Duration::from_secs(90);

/// Decides what befalls requests, as long as it is on.
pub struct Chaos {
    rng: StdRng,
    kubernetes: f64,
    aws: f64,
    is_on: bool,
    /// Whether messages were deleted since someone looked.
    pub has_deleted: bool,
    /// Jobs whose creation arrives so late that who asked for them may lead no more.
    pub late_jobs: BTreeSet<String>,
    /// What befell how many.
    pub injected: BTreeMap<String, u64>,
}

/// All that reach the world share it.
pub type Shared = Arc<Mutex<Chaos>>;

pub fn lock(chaos: &Shared) -> MutexGuard<'_, Chaos> {
    chaos.lock().unwrap()
}

impl Chaos {
    pub fn new(rng: StdRng, kubernetes: f64, aws: f64) -> Shared {
        Arc::new(Mutex::new(Self {
            rng,
            kubernetes,
            aws,
            is_on: true,
            has_deleted: false,
            late_jobs: BTreeSet::new(),
            injected: BTreeMap::new(),
        }))
    }

    /// From now on nothing befalls anyone.
    pub fn end(&mut self) {
        self.is_on = false;
    }

    /// A number from 0 on that is smaller than that.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.rng.random_range(0..bound)
    }

    /// Whether something happens that has these odds; never once all is calm.
    pub fn happens(&mut self, odds: f64) -> bool {
        self.is_on && self.rng.random_bool(odds)
    }

    pub fn count(&mut self, what: &str) {
        *self.injected.entry(what.to_owned()).or_default() += 1;
    }

    fn kubernetes(&mut self, request: &Request) -> Option<Effect> {
        if !self.happens(self.kubernetes) {
            return None;
        }
        let refused = |code, reason| {
            Effect::Answer(Refusal { code, reason, message: "a simulated refusal".to_owned() })
        };
        let may_conflict =
            !matches!(request.verb, Verb::Get | Verb::List | Verb::Watch { .. } | Verb::Create);
        let kinds = ["cut before", "cut after", "429", "503", "409", "late", "late reply"];
        let kind = *kinds[..].choose(&mut self.rng).unwrap();
        let effect = match kind {
            "cut before" => Effect::CutRequest,
            "cut after" => Effect::CutReply,
            "429" => refused(429, "TooManyRequests"),
            "409" if may_conflict => refused(409, "Conflict"),
            "503" | "409" => Effect::Answer(Refusal::unavailable()),
            "late" => Effect::Late(self.some_time()),
            _ => Effect::LateReply(self.some_time()),
        };
        self.count(&format!("kubernetes: {kind}"));
        let is_long = matches!(effect, Effect::Late(by) if by > Duration::from_secs(5));
        if is_long && request.verb == Verb::Create && request.resource == JOBS {
            self.late_jobs.insert(request.key().name);
        }
        Some(effect)
    }

    fn postgres(&mut self) -> Option<PostgresEffect> {
        if !self.happens(self.aws) {
            return None;
        }
        let kind = *["cut before", "cut after", "late reply"].choose(&mut self.rng).unwrap();
        let effect = match kind {
            "cut before" => PostgresEffect::CutRequest,
            "cut after" => PostgresEffect::CutReply,
            _ => PostgresEffect::LateReply(self.some_time()),
        };
        self.count(&format!("postgres: {kind}"));
        Some(effect)
    }

    fn aws(&mut self) -> Option<AwsEffect> {
        if !self.happens(self.aws) {
            return None;
        }
        let kind = *["cut before", "cut after", "throttled", "503", "late", "late reply"]
            .choose(&mut self.rng)
            .unwrap();
        let effect = match kind {
            "cut before" => AwsEffect::CutRequest,
            "cut after" => AwsEffect::CutReply,
            "throttled" => AwsEffect::Throttled,
            "503" => AwsEffect::Unavailable,
            "late" => AwsEffect::Late(self.some_time()),
            _ => AwsEffect::LateReply(self.some_time()),
        };
        self.count(&format!("aws: {kind}"));
        Some(effect)
    }

    /// Mostly some seconds, at times longer than anyone waits.
    fn some_time(&mut self) -> Duration {
        let most = if self.rng.random_bool(0.1) { LONGEST } else { Duration::from_secs(5) };
        Duration::from_millis(self.rng.random_range(0..most.as_millis() as u64))
    }
}

enum AwsEffect {
    CutRequest,
    CutReply,
    Throttled,
    Unavailable,
    Late(Duration),
    LateReply(Duration),
}

/// What befalls a conversation with a database.
enum PostgresEffect {
    CutRequest,
    CutReply,
    LateReply(Duration),
}

/// Whether what an operator sends gets anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// It does.
    Up,
    /// It is lost on the way.
    CutOff,
    /// The process is no more: what it left behind is never heard of again.
    Dead,
}

/// What one process of the operator sends goes this way.
#[derive(Clone)]
pub struct Line {
    http: SharedHttpClient,
    chaos: Shared,
    state: Arc<AtomicU8>,
}

impl Line {
    pub fn new(http: SharedHttpClient, chaos: &Shared) -> Self {
        Self { http, chaos: Arc::clone(chaos), state: Arc::default() }
    }

    pub fn set(&self, state: State) {
        // What is dead stays dead.
        if self.state.load(Ordering::Relaxed) != State::Dead as u8 {
            self.state.store(state as u8, Ordering::Relaxed);
        }
    }

    /// For how long what is sent seems to be on its way; none: it is. Once all is calm nobody is cut off any more.
    fn silence(&self) -> Option<Duration> {
        let state = self.state.load(Ordering::Relaxed);
        if state == State::Dead as u8 {
            return Some(Duration::MAX);
        }
        let mut chaos = lock(&self.chaos);
        (state == State::CutOff as u8 && chaos.is_on).then(|| chaos.some_time())
    }

    /// What befalls a request to Kubernetes.
    pub fn kubernetes(&self, request: &Request) -> Option<Effect> {
        match self.silence() {
            Some(silence) => Some(Effect::Lost(silence)),
            None => lock(&self.chaos).kubernetes(request),
        }
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("state", &self.state).finish_non_exhaustive()
    }
}

impl HttpClient for Line {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let cloud = self.http.http_connector(settings, components);
        SharedHttpConnector::new(Connector { line: self.clone(), cloud })
    }
}

/// From a process to the cloud.
#[derive(Debug)]
struct Connector {
    line: Line,
    cloud: SharedHttpConnector,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (line, cloud) = (self.line.clone(), self.cloud.clone());
        HttpConnectorFuture::new(async move { line.send(cloud, request).await })
    }
}

impl Carrier for Line {
    async fn carry<T: Send + 'static>(
        &self,
        _: String,
        talk: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        if let Some(silence) = self.silence() {
            tokio::time::sleep(silence).await;
            return None;
        }
        let effect = lock(&self.chaos).postgres();
        match effect {
            None => Some(talk.await),
            Some(PostgresEffect::CutRequest) => None,
            Some(PostgresEffect::CutReply) => {
                talk.await;
                None
            }
            Some(PostgresEffect::LateReply(by)) => {
                let reply = talk.await;
                tokio::time::sleep(by).await;
                Some(reply)
            }
        }
        .filter(|_| self.silence().is_none())
    }
}

type Reply = Result<HttpResponse, ConnectorError>;

impl Line {
    async fn send(self, cloud: SharedHttpConnector, request: HttpRequest) -> Reply {
        let cut = || Err(ConnectorError::io("the connection was cut".into()));
        if let Some(silence) = self.silence() {
            tokio::time::sleep(silence).await;
            return cut();
        }
        let effect = {
            let mut chaos = lock(&self.chaos);
            let target = request.headers().get("x-amz-target");
            chaos.has_deleted |= target.is_some_and(|target| target.contains("DeleteMessage"));
            chaos.aws()
        };
        let reply = match effect {
            None => cloud.call(request).await,
            Some(AwsEffect::CutRequest) => cut(),
            Some(AwsEffect::CutReply) => {
                drop(cloud.call(request).await);
                cut()
            }
            Some(AwsEffect::Throttled) => refusal(&request, 400, "ThrottlingException"),
            Some(AwsEffect::Unavailable) => refusal(&request, 503, "ServiceUnavailable"),
            Some(AwsEffect::Late(by)) => {
                // It is on its way, even when who sent it does not wait any longer.
                let arriving = tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    cloud.call(request).await
                });
                arriving.await.unwrap_or_else(|_| cut())
            }
            Some(AwsEffect::LateReply(by)) => {
                let reply = cloud.call(request).await;
                tokio::time::sleep(by).await;
                reply
            }
        };
        match self.silence() {
            None => reply,
            Some(silence) => {
                tokio::time::sleep(silence).await;
                cut()
            }
        }
    }
}

/// An error in the protocol of the request.
fn refusal(request: &HttpRequest, status: u16, code: &str) -> Reply {
    let is_json = request.headers().get("x-amz-target").is_some();
    let body = if is_json {
        format!(r#"{{"__type": "{code}", "message": "a simulated refusal"}}"#)
    } else {
        let error = format!("<Code>{code}</Code><Message>a simulated refusal</Message>");
        format!("<ErrorResponse><Error>{error}</Error>{error}</ErrorResponse>")
    };
    let status = status.try_into().map_err(|_| ConnectorError::other("no status".into(), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}

//! A fake of AWS: one state for each account and region, behind the wire protocols of the real services.

pub mod elasticache;
pub mod fault;
pub mod query;
pub mod rds;
pub mod s3;
pub mod secrets;
mod server;
pub mod sqs;
mod transport;

pub use server::{router, serve};

use crate::clock::Clock;
use bytes::Bytes;
use fault::{Fault, Faults, Injection};
use http::{Request, Response, StatusCode};
use jiff::Timestamp;
use query::Parameters;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::Notify, time::Instant};
use transport::Said;

/// Account of keys that name none: an access key of 12 digits names its account.
pub const ACCOUNT: &str = "111122223333";

/// All accounts and regions. Cheap to clone: clones are the same cloud.
#[derive(Clone, Debug)]
pub struct Cloud {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
    /// Something happened.
    news: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Inner {
    regions: BTreeMap<Place, Region>,
    faults: Faults,
    calls: Vec<Call>,
}

/// Where a resource lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Account of 12 digits.
    pub account: String,
    /// Region, such as `eu-central-1`.
    pub region: String,
}

impl Place {
    /// The ARN of a resource in this place, `resource` being what follows the account: `db:name`.
    #[must_use]
    pub fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:aws:{service}:{}:{}:{resource}", self.region, self.account)
    }
}

/// The state of one account in one region.
#[derive(Clone, Debug, Default)]
pub struct Region {
    /// Where it is.
    pub place: Place,
    /// Everything up to then has happened.
    now: Timestamp,
    /// RDS.
    pub rds: rds::Rds,
    /// ElastiCache.
    pub elasticache: elasticache::ElastiCache,
    /// Secrets Manager.
    pub secrets: secrets::Secrets,
    /// SQS.
    pub sqs: sqs::Sqs,
    /// S3.
    pub s3: s3::S3,
}

/// A call that arrived, for tests to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub place: Place,
    /// As in an IAM policy: `rds:CreateDBInstance`.
    pub action: String,
    /// Its parameters; those that hold a secret are left out.
    pub parameters: Parameters,
    /// What was answered: `None` for success, else the error's code, or `cut` where the reply was lost.
    pub error: Option<String>,
}

impl Cloud {
    /// An empty cloud.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, inner: Arc::default(), news: Arc::default() }
    }

    /// Another cloud that is as this one is now; nothing was asked of it yet, and no fault is to come.
    #[must_use]
    pub fn copy(&self, clock: Clock) -> Self {
        let copy = Self::new(clock);
        copy.inner().regions = self.inner().regions.clone();
        copy
    }

    /// Its clock.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Makes calls fail from now on, as described.
    pub fn inject(&self, injection: Injection) {
        self.inner().faults.add(injection);
    }

    /// Decides from now on what befalls each call that no injection hits, by its place and its action.
    pub fn set_fault(&self, rule: impl FnMut(&Place, &str) -> Option<fault::Effect> + Send + 'static) {
        self.inner().faults.set_rule(Box::new(rule));
    }

    /// All calls so far, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// Looks at, or changes behind everyone's back, the state of a place; what was due by now has happened.
    pub fn with<T>(&self, place: &Place, act: impl FnOnce(&mut Region, Timestamp) -> T) -> T {
        let now = self.clock.now();
        let mut inner = self.inner();
        let region = inner.region(place);
        region.advance(now);
        let done = act(region, now);
        self.news.notify_waiters();
        done
    }

    /// Waits as long as a call does that polls for messages.
    pub(crate) async fn wait(&self, request: &Request<Bytes>) {
        let Ok(request) = transport::Incoming::read(request) else { return };
        let Some(patience) = sqs::patience(&request.operation, &request.parameters) else { return };
        let deadline = Instant::now() + patience;
        loop {
            // From now on, so that nothing is missed between the look and the wait.
            let news = self.news.notified();
            let wait = {
                let now = self.clock.now();
                let mut inner = self.inner();
                let region = inner.region(&request.place);
                region.advance(now);
                region.sqs.next_message(&request.parameters, now)
            };
            match wait {
                Some(wait) if wait.is_zero() => return,
                wait => {
                    let until = wait.map_or(deadline, |wait| deadline.min(Instant::now() + wait));
                    tokio::select! {
                        () = news => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
            if Instant::now() >= deadline {
                return;
            }
        }
    }

    /// Answers a request; `None`: the connection is cut instead.
    #[must_use]
    pub fn handle(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let now = self.clock.now();
        let sent = request;
        let request = match transport::Incoming::read(sent) {
            Ok(request) => request,
            Err(fault) => return Some(fault.xml_response()),
        };
        let mut inner = self.inner();
        let injected = inner.faults.draw(&request.place, &request.action());
        let region = inner.region(&request.place);
        region.advance(now);
        let performed = match &injected {
            Some(fault::Effect::Answer(fault)) => Err(fault.clone()),
            Some(fault::Effect::CutRequest) => return inner.record(now, &request, Some("cut")),
            Some(fault::Effect::Late(by)) => {
                let (cloud, by, sent) = (self.clone(), *by, sent.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(by).await;
                    drop(cloud.handle(&sent));
                });
                return inner.record(now, &request, Some("cut"));
            }
            Some(fault::Effect::CutReply) | None => region.perform(&request, now),
        };
        let code = performed.as_ref().err().map(|fault| fault.code.clone());
        if matches!(injected, Some(fault::Effect::CutReply)) {
            return inner.record(now, &request, Some("cut"));
        }
        inner.record(now, &request, code.as_deref());
        self.news.notify_waiters();
        Some(request.respond(performed))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn region(&mut self, place: &Place) -> &mut Region {
        self.regions
            .entry(place.clone())
            .or_insert_with(|| Region { place: place.clone(), ..Region::default() })
    }

    fn record(
        &mut self,
        at: Timestamp,
        request: &transport::Incoming,
        error: Option<&str>,
    ) -> Option<Response<Bytes>> {
        self.calls.push(Call {
            at,
            place: request.place.clone(),
            action: request.action(),
            parameters: request.parameters.without_secrets(),
            error: error.map(ToOwned::to_owned),
        });
        None
    }
}

impl Region {
    /// Lets happen what is due by `now`, in the order of its times.
    fn advance(&mut self, now: Timestamp) {
        self.now = now;
        self.rds.advance(now, &self.place, &mut self.secrets);
        self.elasticache.advance(now, &self.place);
        self.secrets.advance(now);
        self.sqs.advance(now);
    }

    fn perform(&mut self, request: &transport::Incoming, now: Timestamp) -> Result<Said, Fault> {
        let Self { place, now: _, rds, elasticache, secrets, sqs, s3 } = self;
        if let Some(request) = &request.s3 {
            return s3.call(request, now, place, sqs).map(Said::Response);
        }
        let (operation, parameters) = (request.operation.as_str(), &request.parameters);
        let answer = match request.service.as_str() {
            "rds" => rds.call(operation, parameters, now, place, secrets),
            "elasticache" => elasticache.call(operation, parameters, now, place),
            "secretsmanager" => secrets.call(operation, parameters, now, place),
            "sqs" => sqs.call(operation, parameters, now, place),
            other => Err(Fault::sender(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                format!("the fake has no {other}"),
            )),
        };
        answer.map(Said::Answer)
    }
}

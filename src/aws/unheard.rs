//! Calls that were sent, and of which nothing was heard: they may arrive late, whoever has sent them.

use super::SIGNED;
use aws_sdk_sqs::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
};
use aws_smithy_types::config_bag::{Storable, StoreReplace};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// HTTP statuses that don't say what becomes of the call.
const UNKNOWN: [u16; 3] = [500, 502, 504];

/// When each such call was sent. Is an interceptor, that of the calls in question. Cheap to clone: clones are the same.
///
/// A call is in it while it is on its way, too: one that is dropped meanwhile stays.
#[derive(Clone, Debug, Default)]
pub struct Unheard(Arc<Mutex<Sent>>);

#[derive(Debug, Default)]
struct Sent {
    last: u64,
    tries: BTreeMap<u64, Instant>,
}

/// Which try of a call it is.
#[derive(Clone, Copy, Debug)]
struct Try(u64);

impl Storable for Try {
    type Storer = StoreReplace<Self>;
}

impl Unheard {
    /// Whether AWS would still take one that arrives now.
    #[must_use]
    pub fn may_arrive(&self) -> bool {
        self.sent().tries.values().any(|at| at.elapsed() <= SIGNED)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for Unheard {
    fn name(&self) -> &'static str {
        "Unheard"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut sent = self.sent();
        sent.tries.retain(|_, at| at.elapsed() <= SIGNED);
        sent.last += 1;
        let this = sent.last;
        sent.tries.insert(this, Instant::now());
        config.interceptor_state().store_put(Try(this));
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // Such as that it had no turn: it never left.
        let stayed = context.output_or_error().is_some_and(|outcome| {
            outcome.is_err_and(|error| error.as_connector_error().is_some_and(|error| error.is_user()))
        });
        let answer = context.response().map(|response| response.status().as_u16());
        let is_heard_of = stayed || answer.is_some_and(|status| !UNKNOWN.contains(&status));
        if let Some(Try(this)) = config.load::<Try>()
            && is_heard_of
        {
            self.sent().tries.remove(this);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_sqs::{
        Client,
        config::{BehaviorVersion, Credentials, Region, http::HttpResponse},
        error::ConnectorError,
    };
    use aws_smithy_runtime_api::client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::HttpRequest,
    };
    use aws_smithy_types::{body::SdkBody, retry::RetryConfig};
    use rstest::rstest;
    use std::time::Duration;

    /// What becomes of a call.
    #[derive(Clone, Copy, Debug)]
    enum Fate {
        Answered(u16),
        /// Answered with success after so long.
        Slow(Duration),
        Cut,
        Stays,
    }

    impl HttpConnector for Fate {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            let fate = *self;
            HttpConnectorFuture::new(async move {
                let answer = |status: u16| HttpResponse::new(status.try_into().unwrap(), SdkBody::from("{}"));
                match fate {
                    Self::Answered(status) => Ok(answer(status)),
                    Self::Slow(after) => {
                        tokio::time::sleep(after).await;
                        Ok(answer(200))
                    }
                    Self::Cut => Err(ConnectorError::io("reset".into())),
                    Self::Stays => Err(ConnectorError::user("no turn".into())),
                }
            })
        }
    }

    async fn call(unheard: &Unheard, fate: Fate) {
        let config = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "tests"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(fate)))
            .interceptor(unheard.clone());
        let client = Client::from_conf(config.build());
        // Each fate but one is an error.
        drop(client.list_queue_tags().queue_url("https://q/1/a").send().await);
    }

    #[rstest]
    #[case::done(Fate::Answered(200), false)]
    #[case::denied(Fate::Answered(403), false)]
    #[case::throttled(Fate::Answered(503), false)]
    #[case::failed_within(Fate::Answered(500), true)]
    #[case::given_up_by_a_gateway(Fate::Answered(504), true)]
    #[case::cut(Fate::Cut, true)]
    #[case::never_left(Fate::Stays, false)]
    #[tokio::test(start_paused = true)]
    async fn what_was_sent_may_arrive_until_something_is_heard_of_it(
        #[case] fate: Fate,
        #[case] may_arrive: bool,
    ) {
        let unheard = Unheard::default();
        call(&unheard, fate).await;
        assert_eq!(unheard.may_arrive(), may_arrive);
        // The next one's answer says nothing of it.
        call(&unheard, Fate::Answered(200)).await;
        assert_eq!(unheard.may_arrive(), may_arrive);
        tokio::time::advance(SIGNED + Duration::from_secs(1)).await;
        assert!(!unheard.may_arrive());
    }

    /// The answer to the earlier one says nothing of the later one.
    #[tokio::test(start_paused = true)]
    async fn an_answer_is_that_of_its_own_call() {
        let unheard = Unheard::default();
        let earlier = call(&unheard, Fate::Slow(Duration::from_secs(60)));
        let later = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            call(&unheard, Fate::Cut).await;
        };
        tokio::join!(earlier, later);
        // For as long as the later one may arrive.
        tokio::time::advance(SIGNED - Duration::from_secs(10)).await;
        assert!(unheard.may_arrive());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!unheard.may_arrive());
    }
}

//! Calls that were sent, and of which nothing was heard: they may arrive late, whoever has sent them.

use super::SIGNED;
use aws_sdk_sqs::{
    config::{
        ConfigBag, Intercept, RuntimeComponents,
        interceptors::{BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef},
    },
    error::BoxError,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// When each such call was sent. Is an interceptor, that of the calls in question. Cheap to clone: clones are the same.
///
/// A call is in it while it is on its way, too: one that is dropped meanwhile stays.
#[derive(Clone, Debug, Default)]
pub struct Unheard(Arc<Mutex<Vec<Instant>>>);

impl Unheard {
    /// Whether AWS would still take one that arrives now.
    #[must_use]
    pub fn may_arrive(&self) -> bool {
        self.sent().iter().any(|at| at.elapsed() <= SIGNED)
    }

    fn sent(&self) -> MutexGuard<'_, Vec<Instant>> {
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
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let mut sent = self.sent();
        sent.retain(|at| at.elapsed() <= SIGNED);
        sent.push(Instant::now());
        Ok(())
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        // By its own fault: it had no turn, and never left.
        let stayed = context.output_or_error().is_some_and(|outcome| {
            outcome.is_err_and(|error| error.as_connector_error().is_some_and(|error| error.is_user()))
        });
        if stayed || context.response().is_some() {
            self.sent().pop();
        }
        Ok(())
    }
}

//! Listings of accounts, shared: however many platforms an account has, one of them reads its pages and the
//! others look at what it read.

use crate::aws::{Account, Circle};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// How long a listing that failed is not tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Listings by account. Cheap to clone: clones share them.
#[derive(Debug)]
pub struct Inventory<L> {
    accounts: Arc<Mutex<HashMap<Circle, Shelf<L>>>>,
}

/// The listing of one account. Who reads it holds the lock; the others wait for what it reads.
type Shelf<L> = Arc<AsyncMutex<Option<Read<L>>>>;

/// What the last read brought.
#[derive(Clone, Debug)]
struct Read<L> {
    /// When it began: what changed since may not be in it.
    at: Instant,
    /// The last listing that succeeded.
    listing: Option<Arc<L>>,
    /// Why the last read failed.
    error: Option<String>,
}

/// A listing, and what stood there before where it was read just now.
#[derive(Clone, Debug)]
pub struct Look<L> {
    /// The listing.
    pub listing: Arc<L>,
    /// Why there is no newer one.
    pub error: Option<String>,
    /// The one before, where this one was read just now.
    pub before: Option<Arc<L>>,
}

impl<L> Clone for Inventory<L> {
    fn clone(&self) -> Self {
        Self { accounts: Arc::clone(&self.accounts) }
    }
}

impl<L> Default for Inventory<L> {
    fn default() -> Self {
        Self { accounts: Arc::default() }
    }
}

impl<L> Inventory<L> {
    /// The listing of an account, whose reading began after `not_before`. Where the reading fails, the
    /// last one that succeeded, with the error.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn look<F>(
        &self,
        account: &Account,
        not_before: Instant,
        read: impl FnOnce() -> F,
    ) -> Result<Look<L>, String>
    where
        F: Future<Output = Result<L, String>>,
    {
        let shelf = {
            let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(accounts.entry(account.circle()).or_default())
        };
        let mut shelf = shelf.lock().await;
        let mut before = None;
        let is_fresh = shelf.as_ref().is_some_and(|last| {
            last.at > not_before && last.error.is_none()
                || last.error.is_some() && last.at.elapsed() < AFTER_FAILURE
        });
        if !is_fresh {
            let at = Instant::now();
            let old = shelf.take().and_then(|last| last.listing);
            *shelf = Some(match read().await {
                Ok(listing) => {
                    before = old;
                    Read { at, listing: Some(Arc::new(listing)), error: None }
                }
                Err(error) => Read { at, listing: old, error: Some(error) },
            });
        }
        let last = shelf.as_ref();
        let error = last.and_then(|last| last.error.clone());
        match last.and_then(|last| last.listing.clone()) {
            Some(listing) => Ok(Look { listing, error, before }),
            None => Err(error.unwrap_or_else(|| "nothing was read".to_owned())),
        }
    }
}

//! Listings of accounts, shared: however many platforms an account has, one of them reads its pages and the
//! others look at what it read.

use crate::{
    aws::{Account, Circle},
    kinds::PlatformKey,
    managed::Seen,
};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Mutex as AsyncMutex, time::Instant};

/// How long a listing that failed is not tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How long it is believed what is read one by one, where nothing tells that it changed.
pub const BELIEVED: Duration = Duration::from_secs(600);

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

/// What was observed of one platform's, and who else should look again because of it.
#[derive(Clone, Debug)]
pub struct Observation<T> {
    /// What is there.
    pub seen: Seen<T>,
    /// Platforms of the same account for which something changed.
    pub changed: BTreeSet<PlatformKey>,
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

/// What is read one by one, and believed for a while: it is only changed by hand or by us. Cheap to clone: clones
/// share it.
#[derive(Debug)]
pub struct Believed<V> {
    read: Arc<Mutex<ByName<V>>>,
}

type ByName<V> = HashMap<(Circle, String), Belief<V>>;

#[derive(Debug)]
struct Belief<V> {
    read_at: Instant,
    of: Option<Timestamp>,
    value: V,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// Its name.
    pub name: &'a str,
    /// When it was made or changed, as far as a listing tells: what was read of another time is not believed.
    pub of: Option<Timestamp>,
    /// How long it is believed.
    pub lasts: Duration,
}

impl<V> Clone for Believed<V> {
    fn clone(&self) -> Self {
        Self { read: Arc::clone(&self.read) }
    }
}

impl<V> Default for Believed<V> {
    fn default() -> Self {
        Self { read: Arc::default() }
    }
}

impl<V: Clone> Believed<V> {
    /// What is believed of a name in an account, or is read now.
    ///
    /// # Errors
    /// Why it can't be read.
    pub async fn get<F>(&self, account: &Account, ask: Ask<'_>, read: impl FnOnce() -> F) -> Result<V, String>
    where
        F: Future<Output = Result<V, String>>,
    {
        let Ask { name, of, lasts } = ask;
        let key = (account.circle(), name.to_owned());
        if let Some(belief) = self.read().get(&key)
            && belief.of == of
            && belief.read_at.elapsed() < lasts
        {
            return Ok(belief.value.clone());
        }
        let read_at = Instant::now();
        let value = read().await?;
        self.read().insert(key, Belief { read_at, of, value: value.clone() });
        Ok(value)
    }

    /// What was read of a name, however long ago.
    #[must_use]
    pub fn last(&self, account: &Account, name: &str) -> Option<V> {
        self.read().get(&(account.circle(), name.to_owned())).map(|belief| belief.value.clone())
    }

    /// Forgets what was changed.
    pub fn forget(&self, account: &Account, name: &str) {
        self.read().remove(&(account.circle(), name.to_owned()));
    }

    fn read(&self) -> MutexGuard<'_, ByName<V>> {
        // Entries are replaced as a whole, so that a panic elsewhere leaves nothing half done.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

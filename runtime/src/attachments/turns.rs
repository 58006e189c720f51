//! Turns: who changes what an id holds does so alone, and hears in time what came of it. Who was told
//! that it came to nothing can rely on that: what was done by then is undone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::task::JoinError;
use tokio::time::{Instant, timeout_at};
use weft_core::id::ContainerId;

/// Longest time that a call takes which finds another one for the same id under way. As long as one waits for
/// an address (`Config::allocate_max`): several of them one behind the other would take several times that.
const SHARED_MAX: Duration = Duration::from_secs(2);

/// Longest time that any other call takes: the disk and the kernel may be slow.
pub(crate) const ALONE_MAX: Duration = Duration::from_secs(10);

/// Why a call came to nothing, whatever it is about.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Somebody else changes what the id holds, and is not done in time.
    #[error("another call for {0} is under way, and nothing came of this one: try again")]
    Busy(ContainerId),
    /// The disk or the kernel takes too long.
    #[error("weft could not do this within {ALONE_MAX:?}: see its log, and try again")]
    Late,
    /// A mistake of ours.
    #[error("this has ended in the middle: {0}; see the log of weft")]
    Ended(JoinError),
}

/// Whose turn it is, for each id.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<ContainerId, Arc<tokio::sync::Mutex<()>>>>>);

/// One call's turn to change what an id holds, until it is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    id: ContainerId,
    busy: OwnedMutexGuard<()>,
    /// When it was asked for.
    asked_at: Instant,
    /// Whether somebody else was at it then.
    is_shared: bool,
}

impl Turns {
    /// Waits until nobody else changes what `id` holds, but not for longer than a call may take.
    ///
    /// # Errors
    /// [`TurnError::Busy`].
    pub(super) async fn take(&self, id: &ContainerId) -> Result<Turn, TurnError> {
        let (asked_at, mutex) = (Instant::now(), self.mutex(id));
        if let Ok(busy) = Arc::clone(&mutex).try_lock_owned() {
            return Ok(Turn { id: id.clone(), busy, asked_at, is_shared: false });
        }
        match timeout_at(asked_at + SHARED_MAX, mutex.lock_owned()).await {
            Ok(busy) => Ok(Turn { id: id.clone(), busy, asked_at, is_shared: true }),
            Err(_) => Err(TurnError::Busy(id.clone())),
        }
    }

    /// Waits until nobody else changes what `id` holds, however long that takes.
    pub(super) async fn wait(&self, id: &ContainerId) -> OwnedMutexGuard<()> {
        self.mutex(id).lock_owned().await
    }

    /// What [`Turns::wait`] would give, if nobody changes what `id` holds.
    pub(super) fn free(&self, id: &ContainerId) -> Option<OwnedMutexGuard<()>> {
        self.mutex(id).try_lock_owned().ok()
    }

    fn mutex(&self, id: &ContainerId) -> Arc<tokio::sync::Mutex<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, mutex| Arc::strong_count(mutex) > 1);
        Arc::clone(all.entry(id.clone()).or_default())
    }
}

impl Turn {
    /// Has `work` done in this turn, on its own: it comes to its end even when the caller goes away in
    /// the middle, so that no container stays half attached. `work` tells its [`Asker`] what came of it.
    ///
    /// # Errors
    /// Those of `work`; [`TurnError`] when it takes too long.
    pub(super) async fn run<T, E, F>(self, work: impl FnOnce(Asker<T, E>) -> F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<TurnError> + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let Self { id, busy, asked_at, is_shared } = self;
        let (tell, mut told) = oneshot::channel();
        let is_decided = Arc::new(AtomicBool::new(false));
        let work = work(Asker { tell, is_decided: Arc::clone(&is_decided) });
        let done = tokio::spawn(async move {
            work.await;
            drop(busy);
        });
        let late_at = asked_at + ALONE_MAX;
        let answer_by = if is_shared { asked_at + SHARED_MAX } else { late_at };
        let mut outcome = timeout_at(answer_by, &mut told).await;
        if outcome.is_err() && is_decided.swap(true, Ordering::SeqCst) {
            outcome = timeout_at(late_at, told).await;
            if outcome.is_err() {
                return Err(TurnError::Late.into());
            }
        }
        let why = match outcome {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => done.await.map_or_else(TurnError::Ended, |()| TurnError::Late),
            Err(_) if is_shared => TurnError::Busy(id),
            Err(_) => TurnError::Late,
        };
        Err(why.into())
    }
}

/// Who asked for something, from the side of the work.
#[derive(Debug)]
pub(super) struct Asker<T, E> {
    tell: oneshot::Sender<Result<T, E>>,
    /// What came of it, or that it took too long: whichever is first.
    is_decided: Arc<AtomicBool>,
}

impl<T, E> Asker<T, E> {
    /// Whether what is done can still be what they are told: else it is not worth doing.
    pub(super) fn is_waiting(&self) -> bool {
        !self.is_decided.load(Ordering::SeqCst)
    }

    /// Tells what came of it. Where nothing did, or they have been told so, it is undone.
    pub(super) async fn settle(self, outcome: Result<T, E>, undo: impl Future<Output = ()> + Send) {
        match outcome {
            Err(why) => {
                undo.await;
                self.refuse(why);
            }
            Ok(_) if self.is_decided.swap(true, Ordering::SeqCst) => undo.await,
            // Who has gone away left it to us to bring this to its end.
            Ok(done) => drop(self.tell.send(Ok(done))),
        }
    }

    /// Does what cannot be undone, unless they have been told that it took too long, and tells what came of it.
    pub(super) async fn commit(self, work: impl Future<Output = Result<T, E>> + Send) {
        if !self.is_decided.swap(true, Ordering::SeqCst) {
            let _ = self.tell.send(work.await);
        }
    }

    /// Tells that nothing came of it.
    pub(super) fn refuse(self, why: E) {
        self.is_decided.store(true, Ordering::SeqCst);
        let _ = self.tell.send(Err(why));
    }
}

//! The engine that moves frames, as the driver and the API share it.

use crate::driver::Frames;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use weft_core::forward::{Counters, ForwardingChange};
use weft_datapath::engine::{Engine, Losses};
use weft_datapath::tap::Tap;

/// A place for the engine; clones share it. Empty before the start and after the stop.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sleeve {
    engine: Arc<Mutex<Option<Engine>>>,
    /// Changes from before the engine ran: it needs the node's name, and the node is first.
    early: Arc<Mutex<Vec<ForwardingChange>>>,
}

impl Sleeve {
    pub(crate) fn run(&self, engine: Engine) {
        for change in self.early.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            engine.apply(change);
        }
        *self.engine.lock().unwrap_or_else(PoisonError::into_inner) = Some(engine);
    }

    /// Ends its thread and waits for it; the TAP device is gone then.
    pub(crate) fn stop(&self) {
        drop(self.engine.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Lets it go on with `tap`, in place of the one before.
    pub(crate) fn replace_tap(&self, tap: Tap) {
        self.with(|engine| engine.replace_tap(tap));
    }

    /// Whether its thread has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.with(Engine::has_ended).unwrap_or_default()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.with(Engine::counters).unwrap_or_default()
    }

    pub(crate) fn losses(&self) -> Losses {
        self.with(Engine::losses).unwrap_or_default()
    }

    fn with<T>(&self, ask: impl FnOnce(&Engine) -> T) -> Option<T> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(ask)
    }
}

impl Frames for Sleeve {
    fn apply(&mut self, change: ForwardingChange) {
        match &*self.engine.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(engine) => engine.apply(change),
            None => self.early.lock().unwrap_or_else(PoisonError::into_inner).push(change),
        }
    }

    fn send(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.with(|engine| engine.send(to, datagram.to_vec()));
    }
}

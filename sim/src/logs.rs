//! Lines that weft logs at level `error`: they mean that something is broken, so a run with one has
//! failed (`log.no-error`).

use crate::check::Violation;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use tracing::dispatcher::{self, DefaultGuard, Dispatch};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber, level_filters::LevelFilter};
use weft_core::time::Instant;

/// What people call the rule.
pub const NO_ERROR: &str = "log.no-error";

/// Crates whose errors count; dependencies may grumble at what we do to them.
const CRATES: [&str; 3] = ["weft", "weft_core", "weft_datapath"];

/// Lines kept; the first ones say what went wrong.
const LINES_MAX: usize = 20;

/// Listens to this thread for as long as it lives. Whoever listened before still hears everything.
#[derive(Debug)]
pub struct Errors {
    lines: Arc<Mutex<Vec<String>>>,
    _listening: DefaultGuard,
}

impl Errors {
    /// Begins to listen.
    pub fn listen() -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let before = dispatcher::get_default(Clone::clone);
        let ears = Ears { before, lines: Arc::clone(&lines) };
        Self { lines, _listening: dispatcher::set_default(&Dispatch::new(ears)) }
    }

    /// Error lines so far, oldest first, with their targets; at most twenty.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The rule.
    ///
    /// # Errors
    /// Quotes the first line.
    pub fn judge(&self, at: Instant) -> Result<(), Violation> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.first() {
            None => Ok(()),
            Some(line) => Err(Violation { rule: NO_ERROR, at, detail: line.clone() }),
        }
    }
}

/// Takes down errors, and hands on everything to whom the thread told it before.
struct Ears {
    before: Dispatch,
    lines: Arc<Mutex<Vec<String>>>,
}

fn is_error(metadata: &Metadata<'_>) -> bool {
    let of_crate = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() == Level::ERROR && CRATES.contains(&of_crate)
}

impl Subscriber for Ears {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        let before = self.before.register_callsite(metadata);
        if is_error(metadata) { Interest::always() } else { before }
    }
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_error(metadata) || self.before.enabled(metadata)
    }
    fn max_level_hint(&self) -> Option<LevelFilter> {
        // The one before has said for itself what it wants.
        Some(LevelFilter::ERROR)
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.before.new_span(span)
    }
    fn record(&self, span: &Id, values: &Record<'_>) {
        self.before.record(span, values);
    }
    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.before.record_follows_from(span, follows);
    }
    fn event(&self, event: &Event<'_>) {
        if is_error(event.metadata()) {
            let mut line = Line(format!("{}:", event.metadata().target()));
            event.record(&mut line);
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() < LINES_MAX {
                lines.push(line.0);
            }
        }
        if self.before.enabled(event.metadata()) {
            self.before.event(event);
        }
    }
    fn enter(&self, span: &Id) {
        self.before.enter(span);
    }
    fn exit(&self, span: &Id) {
        self.before.exit(span);
    }
    fn clone_span(&self, span: &Id) -> Id {
        self.before.clone_span(span)
    }
    fn try_close(&self, span: Id) -> bool {
        self.before.try_close(span)
    }
}

/// The text of an event.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_breaks_the_rule_and_is_quoted() {
        let errors = Errors::listen();
        tracing::warn!(target: "weft::driver", "odd");
        tracing::error!(target: "hyper", "not ours");
        assert_eq!(errors.judge(Instant::ZERO), Ok(()));
        tracing::error!(target: "weft_core::node", conn = 7, "broken");
        let violation = errors.judge(Instant::ZERO).unwrap_err();
        assert_eq!((violation.rule, errors.lines().len()), (NO_ERROR, 1));
        assert_eq!(violation.detail, "weft_core::node: broken conn=7");
    }

    #[expect(clippy::disallowed_methods, reason = "the thread ends within the test")]
    #[test]
    fn an_error_after_the_end_or_on_another_thread_is_none_of_ours() {
        let errors = Errors::listen();
        let other = std::thread::spawn(|| tracing::error!(target: "weft", "elsewhere"));
        other.join().unwrap();
        assert_eq!(errors.lines(), [""; 0]);
        drop(errors);
        let later = Errors::listen();
        assert_eq!(later.judge(Instant::ZERO), Ok(()));
    }

    #[test]
    fn whoever_listened_before_hears_all_the_same() {
        let outer = Errors::listen();
        let inner = Errors::listen();
        tracing::error!(target: "weft", "broken");
        assert_eq!((outer.lines().len(), inner.lines().len()), (1, 1));
    }
}

//! The clocks of the command line: the system's, or one that somebody sets.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use platform::Clock;

/// A clock that follows the system until it is set.
#[derive(Debug, Clone)]
pub struct LocalClock {
    set_to: Arc<Mutex<Option<Timestamp>>>,
}

impl LocalClock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> LocalClock {
        LocalClock { set_to: Arc::default() }
    }

    /// A clock that stands still at an instant until it is set to another.
    #[must_use]
    pub fn manual(now: Timestamp) -> LocalClock {
        LocalClock { set_to: Arc::new(Mutex::new(Some(now))) }
    }

    /// Sets the clock; `None` lets it follow the system again.
    pub fn set(&self, now: Option<Timestamp>) {
        *self.set_to.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    /// The present instant.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the command line hands in the clock")]
    pub fn now(&self) -> Timestamp {
        let set_to = *self.set_to.lock().unwrap_or_else(PoisonError::into_inner);
        set_to.unwrap_or_else(Timestamp::now)
    }

    /// The clock as functions take it.
    #[must_use]
    pub fn handle(&self) -> Clock {
        let clock = self.clone();
        Clock::new(move || clock.now())
    }
}

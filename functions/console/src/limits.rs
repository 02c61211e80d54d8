//! How often one caller may ask: so that a script that runs wild does not take the console from people.
//!
//! The gateway limits all callers together; this limits each of them, in each instance of the function.
//! An instance answers one request at a time, so that what a caller may ask of all of them is bounded
//! by how many there are.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

/// So many requests a second, for as long as one likes.
const PER_SECOND: f64 = 20.0;
/// So many at once, after a pause.
const AT_ONCE: f64 = 100.0;
/// So many callers are known at a time.
const MOST_CALLERS: usize = 1_000;

/// What each caller has left.
#[derive(Debug, Default)]
pub struct Limits(Mutex<BTreeMap<String, Left>>);

#[derive(Debug, Clone, Copy)]
struct Left {
    requests: f64,
    at: Timestamp,
}

impl Limits {
    /// Takes one request off what a caller has left.
    ///
    /// # Errors
    /// With the seconds to wait, where nothing is left.
    pub(crate) fn take(&self, caller: &str, now: Timestamp) -> Result<(), u64> {
        let mut callers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if callers.len() >= MOST_CALLERS && !callers.contains_key(caller) {
            callers.retain(|_, left| left.filled(now) < AT_ONCE);
        }
        let left = callers.entry(caller.to_owned()).or_insert(Left { requests: AT_ONCE, at: now });
        *left = Left { requests: left.filled(now), at: now };
        if left.requests >= 1.0 {
            left.requests -= 1.0;
            return Ok(());
        }
        Err(((1.0 - left.requests) / PER_SECOND).ceil().max(1.0) as u64)
    }
}

impl Left {
    fn filled(self, now: Timestamp) -> f64 {
        let seconds = now.duration_since(self.at).as_secs_f64().max(0.0);
        (self.requests + seconds * PER_SECOND).min(AT_ONCE)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_caller_who_asks_too_much_waits_and_nobody_else_does() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let limits = Limits::default();
        for _ in 0..100 {
            assert_eq!(limits.take("script", now), Ok(()));
        }
        assert_eq!(limits.take("script", now), Err(1));
        assert_eq!(limits.take("kim", now), Ok(()));
        let later = now + SignedDuration::from_millis(500);
        for _ in 0..10 {
            assert_eq!(limits.take("script", later), Ok(()));
        }
        assert_eq!(limits.take("script", later), Err(1));
    }

    #[test]
    fn whoever_paused_is_forgotten_when_many_come() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let limits = Limits::default();
        for at in 0..MOST_CALLERS {
            assert_eq!(limits.take(&at.to_string(), now), Ok(()));
        }
        assert_eq!(limits.take("another", now + SignedDuration::from_secs(60)), Ok(()));
        assert_eq!(limits.0.lock().unwrap().len(), 1);
    }
}

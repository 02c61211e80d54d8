//! What has to be counted so that every metric of a lifecycle file can be told.
//!
//! Metrics share measures: `logins_7d`, `logins_30d` and `active_days_28d` all read the one tally
//! of `login` events.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::event::{Event, EventRow, id_text, number_of};
use crate::expr::{Expr, Truth};

/// One thing to count.
#[derive(Debug, Clone)]
pub struct Measure {
    /// A stable hash of the definition: the key of its series in a profile.
    pub key: u32,
    /// How it is counted.
    pub counting: Counting,
    /// The event's name; any activity of a user where it is `None`.
    pub event: Option<String>,
    /// Which events count.
    pub filter: Option<Expr>,
    /// For how many days back it is needed; `None` for ever.
    pub keep_days: Option<u32>,
    /// The shortest window a metric looks at it through, in seconds.
    pub shortest: Option<i64>,
}

/// How a measure counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counting {
    /// Events.
    Count,
    /// The sum of a property.
    Sum(String),
    /// The newest value of a property.
    Latest(String),
    /// Different users.
    Users,
    /// Different values of a property.
    Values(String),
    /// Occurrences of the event, and which of these others answered them. Only the former are filtered.
    Answers(Vec<String>),
}

/// A use of a measure by a metric or a standard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// For how many days back; `None` for ever.
    pub keep_days: Option<u32>,
    /// The window, in seconds, where there is one.
    pub window: Option<i64>,
}

impl Measure {
    fn definition(&self) -> String {
        let filter = self.filter.as_ref().map_or("", Expr::source);
        format!("{:?}|{:?}|{filter}", self.counting, self.event)
    }

    /// Whether an event counts.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        if self.is_answered_by(event) {
            return true;
        }
        let named = match &self.event {
            Some(name) => *name == event.name,
            None => event.kind.is_activity(),
        };
        named
            && self
                .filter
                .as_ref()
                .is_none_or(|filter| filter.truth(&EventRow(event)) == Truth::Yes)
    }

    /// The names of the events that it reads.
    pub(crate) fn events(&self) -> impl Iterator<Item = &String> {
        let answers = match &self.counting {
            Counting::Answers(with) => with.as_slice(),
            _ => &[],
        };
        self.event.iter().chain(answers)
    }

    /// Whether an event is one of the answers that the measure looks for.
    pub(crate) fn is_answered_by(&self, event: &Event) -> bool {
        matches!(&self.counting, Counting::Answers(with) if with.contains(&event.name))
    }

    /// The number an event adds; `None` when the property is absent or no number.
    pub(crate) fn amount(&self, event: &Event) -> Option<f64> {
        match &self.counting {
            Counting::Count => Some(1.0),
            Counting::Sum(property) | Counting::Latest(property) => {
                event.property(property).and_then(number_of)
            }
            Counting::Users | Counting::Values(_) | Counting::Answers(_) => None,
        }
    }

    /// The value an event adds to a set.
    pub(crate) fn member(&self, event: &Event) -> Option<String> {
        match &self.counting {
            Counting::Users => event.user.clone(),
            Counting::Values(property) => event.property(property).and_then(id_text),
            Counting::Count | Counting::Sum(_) | Counting::Latest(_) | Counting::Answers(_) => None,
        }
    }
}

/// The measures of a lifecycle.
#[derive(Debug, Clone, Default)]
pub struct Measures {
    list: Vec<Measure>,
    by_event: BTreeMap<String, Vec<usize>>,
    any_activity: Vec<usize>,
    daily_days: u32,
    /// Changes whenever a profile folded before has to be folded again.
    pub fingerprint: u32,
    /// The longest any measure looks back, in days.
    pub horizon_days: u32,
    /// Whether any measure counts all of history.
    pub counts_forever: bool,
}

impl Measures {
    /// Adds a measure, or widens the one that counts the same; answers its index.
    pub(crate) fn add(
        &mut self,
        counting: Counting,
        event: Option<String>,
        filter: Option<Expr>,
        need: Need,
    ) -> usize {
        let Need { keep_days, window: shortest } = need;
        let mut measure = Measure { key: 0, counting, event, filter, keep_days, shortest };
        let digest = Sha256::digest(measure.definition().as_bytes());
        measure.key = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
        if let Some(index) = self.list.iter().position(|known| known.key == measure.key) {
            let known = &mut self.list[index];
            known.keep_days = known.keep_days.zip(keep_days).map(|(a, b)| a.max(b));
            known.shortest = known.shortest.into_iter().chain(shortest).min();
            return index;
        }
        self.list.push(measure);
        self.list.len() - 1
    }

    /// Keeps days apart for at least so many days back, whatever windows ask for.
    pub(crate) fn keep_daily(&mut self, days: u32) {
        self.daily_days = self.daily_days.max(days);
    }

    /// Closes the list: what is kept, for how long, and the fingerprint over `others` too: what
    /// else a fold depends on, such as the declared traits. The order of the file does not matter.
    pub(crate) fn seal(&mut self, margin_days: u32, others: &[&str]) {
        for (index, measure) in self.list.iter_mut().enumerate() {
            measure.keep_days = measure.keep_days.map(|days| days + margin_days);
            self.horizon_days = self.horizon_days.max(measure.keep_days.unwrap_or(0));
            self.counts_forever |= measure.keep_days.is_none();
            match &measure.event {
                Some(name) => self.by_event.entry(name.clone()).or_default().push(index),
                None => self.any_activity.push(index),
            }
            if let Counting::Answers(with) = &measure.counting {
                for name in with {
                    self.by_event.entry(name.clone()).or_default().push(index);
                }
            }
        }
        self.horizon_days = self.horizon_days.max(self.daily_days);
        let mut parts: Vec<String> = others.iter().map(|other| format!("{other:?}")).collect();
        if self.daily_days > 0 {
            parts.push(format!("daily {}", self.daily_days));
        }
        parts.extend(self.list.iter().map(|measure| {
            format!("{} {:?} {:?}", measure.key, measure.keep_days, measure.shortest)
        }));
        parts.sort_unstable();
        let digest = Sha256::digest(parts.join("\n").as_bytes());
        // Never 0: that is the fingerprint of a profile that was never folded.
        self.fingerprint = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]).max(1);
    }

    /// All of them.
    #[must_use]
    pub fn list(&self) -> &[Measure] {
        &self.list
    }

    /// The measures an event may count for, before their filters.
    pub(crate) fn of_event<'a>(&'a self, event: &Event) -> impl Iterator<Item = &'a Measure> {
        let named = self.by_event.get(&event.name).map_or(&[][..], Vec::as_slice);
        let any = if event.kind.is_activity() { self.any_activity.as_slice() } else { &[] };
        named.iter().chain(any).map(|&index| &self.list[index])
    }
}

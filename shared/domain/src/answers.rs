//! What was asked and what was answered: an event that calls for another, second by second.
//!
//! An answer settles everything that was asked before it or at the same second, so what waits is known
//! by the first question after the last answer. Of each hour only the first of every run of
//! questions, and of answers, is kept, and the newest `PER_HOUR` of those: a function of that hour's
//! events alone, computed again from the log whenever one of them comes, so that neither order nor
//! duplicates matter. What lies before the hours that are kept is one answer and one question.

use serde::{Deserialize, Serialize};

use crate::period::HOUR;

/// So many marks of one hour are kept.
const PER_HOUR: usize = 4;

/// One question or answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// In seconds since the epoch.
    pub at: i64,
    /// Of one second the questions come first.
    pub kind: MarkKind,
}

/// What a mark is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkKind {
    /// It calls for an answer.
    Asked,
    /// It answers.
    Answered,
}

/// Questions and answers in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Answers {
    marks: Vec<Mark>,
}

/// The packed form: gaps between marks, doubled, and one more for an answer.
#[derive(Serialize, Deserialize)]
struct Wire(i64, Vec<u64>);

impl From<Answers> for Wire {
    fn from(answers: Answers) -> Wire {
        let first = answers.marks.first().map_or(0, |mark| mark.at);
        let mut before = first;
        let gaps = answers.marks.iter().map(|mark| {
            let gap = u64::try_from(mark.at - before).unwrap_or(0);
            before = mark.at;
            gap << 1 | u64::from(mark.kind == MarkKind::Answered)
        });
        Wire(first, gaps.collect())
    }
}

impl From<Wire> for Answers {
    fn from(Wire(mut at, gaps): Wire) -> Answers {
        let marks = gaps.into_iter().map(|gap| {
            at = at.saturating_add_unsigned(gap >> 1);
            let kind = if gap & 1 == 1 { MarkKind::Answered } else { MarkKind::Asked };
            Mark { at, kind }
        });
        Answers { marks: marks.collect() }
    }
}

/// A question and its first answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// When it was asked, in seconds since the epoch.
    pub asked: i64,
    /// When it was answered.
    pub answered: i64,
}

impl Answers {
    /// Whether nothing was asked or answered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether anything was asked by an instant.
    #[must_use]
    pub fn has_begun(&self, until: i64) -> bool {
        self.marks.first().is_some_and(|mark| mark.at <= until)
    }

    /// The first question that no answer has followed by an instant.
    #[must_use]
    pub fn waiting(&self, until: i64) -> Option<i64> {
        self.read(until, |_| ())
    }

    /// What was answered by an instant, as far as it is still known.
    #[must_use]
    pub fn pairs(&self, until: i64) -> Vec<Pair> {
        let mut pairs = Vec::new();
        self.read(until, |pair| pairs.push(pair));
        pairs
    }

    fn read(&self, until: i64, mut answered: impl FnMut(Pair)) -> Option<i64> {
        let mut waiting = None;
        for mark in self.marks.iter().take_while(|mark| mark.at <= until) {
            match mark.kind {
                MarkKind::Asked => waiting = waiting.or(Some(mark.at)),
                MarkKind::Answered => {
                    if let Some(asked) = waiting.take() {
                        answered(Pair { asked, answered: mark.at });
                    }
                }
            }
        }
        waiting
    }

    /// Replaces the marks that `stale` picks by those of fresh events, in order of time.
    pub(crate) fn replace(&mut self, stale: impl Fn(i64) -> bool, fresh: Vec<Mark>) {
        self.marks.retain(|mark| !stale(mark.at));
        let mut fresh = fresh.as_slice();
        while let Some(first) = fresh.first() {
            let hour = first.at.div_euclid(HOUR);
            let end = fresh.partition_point(|mark| mark.at.div_euclid(HOUR) == hour);
            let (within, later) = fresh.split_at(end);
            let mut heads: Vec<Mark> = Vec::new();
            for mark in within {
                if heads.last().is_none_or(|last| last.kind != mark.kind) {
                    heads.push(*mark);
                }
            }
            self.marks.extend(&heads[heads.len().saturating_sub(PER_HOUR)..]);
            fresh = later;
        }
        self.marks.sort_unstable();
        self.marks.dedup();
    }

    /// Lets go of what lies before an instant but for the last answer and what has waited since.
    pub(crate) fn forget_before(&mut self, start: i64) {
        let before = self.marks.partition_point(|mark| mark.at < start);
        let old = &self.marks[..before];
        let answer = old.iter().rfind(|mark| mark.kind == MarkKind::Answered).copied();
        let is_later = |mark: &&Mark| {
            mark.kind == MarkKind::Asked && answer.is_none_or(|answer| *mark > &answer)
        };
        let question = old.iter().find(is_later).copied();
        let kept: Vec<Mark> = answer.into_iter().chain(question).collect();
        self.marks.splice(..before, kept);
    }

    /// Whether an answer that comes this late settles a question after which others were let go.
    pub(crate) fn is_upset_by(&self, answered: i64) -> bool {
        self.waiting(answered).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(at: i64) -> Mark {
        Mark { at, kind: MarkKind::Asked }
    }

    fn answered(at: i64) -> Mark {
        Mark { at, kind: MarkKind::Answered }
    }

    fn of(mut marks: Vec<Mark>) -> Answers {
        marks.sort_unstable();
        let mut answers = Answers::default();
        answers.replace(|_| true, marks);
        answers
    }

    #[test]
    fn the_first_question_after_the_last_answer_waits() {
        for (marks, want) in [
            (vec![], None),
            (vec![asked(5)], Some(5)),
            (vec![asked(5), asked(9)], Some(5)),
            (vec![asked(5), answered(7)], None),
            (vec![asked(5), answered(7), asked(9), asked(9_999)], Some(9)),
            (vec![asked(5), answered(5)], None),
            (vec![answered(4), asked(5)], Some(5)),
            (vec![asked(9_999), answered(7)], Some(9_999)),
        ] {
            assert_eq!(of(marks.clone()).waiting(i64::MAX), want, "{marks:?}");
        }
        let answers = of(vec![asked(5), answered(7), asked(9)]);
        assert_eq!(answers.waiting(6), Some(5));
        assert_eq!(answers.waiting(8), None);
        assert_eq!(answers.pairs(8), [Pair { asked: 5, answered: 7 }]);
        assert_eq!(answers.pairs(6), []);
    }

    #[test]
    fn a_busy_hour_keeps_what_still_matters() {
        let mut marks: Vec<Mark> =
            (0..200).flat_map(|at| [asked(at * 2), answered(at * 2 + 1)]).collect();
        marks.extend([asked(1_000), asked(1_001), answered(4_000), asked(4_001)]);
        let answers = of(marks);
        assert!(answers.marks.len() <= 2 * PER_HOUR);
        assert_eq!(answers.waiting(2_000), Some(1_000));
        assert_eq!(answers.waiting(5_000), Some(4_001));
    }

    #[test]
    fn what_is_forgotten_leaves_one_answer_and_what_waits() {
        let mut answers =
            of(vec![asked(1), answered(4_000), asked(8_000), asked(12_000), asked(90_000)]);
        answers.forget_before(50_000);
        assert_eq!(answers.marks, [answered(4_000), asked(8_000), asked(90_000)]);
        assert_eq!(answers.waiting(i64::MAX), Some(8_000));
        assert!(answers.is_upset_by(9_000) && !answers.is_upset_by(7_000));
        answers.forget_before(100_000);
        assert_eq!(answers.marks, [answered(4_000), asked(8_000)]);
    }

    #[test]
    fn it_comes_back_from_its_packed_form() {
        let answers = of(vec![asked(-7_000), answered(3), asked(3), asked(1_700_000_000)]);
        let bytes = postcard::to_allocvec(&answers).unwrap();
        assert_eq!(postcard::from_bytes::<Answers>(&bytes).unwrap(), answers);
    }
}

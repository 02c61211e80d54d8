//! Learning who leaves from the workspace's own history.
//!
//! A customer's log teaches [`snapshot`]s: what was known of it on days of the past, by the same
//! [`input`]s that the nightly run reads, and whether it then left. [`Lessons`] gathers those of all
//! customers and climbs the ladder of [`risk::train`]: the rhythm alone, recency and frequency,
//! regression, a boosting machine, each step only when it predicts unseen customers better. What is
//! learnt is tried on the last period, from what was known before it, and becomes the champion only
//! if it is no worse there than the one before.
//!
//! Invariants: pure and deterministic. No customer is named in what is learnt, and the order in which
//! customers come does not matter.

pub mod input;
pub mod snapshot;

mod told;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use jiff::Timestamp;
use risk::btyd::{BgNbd, History};
use risk::drift::{Drift, InTheLarge, drift, in_the_large};
use risk::metrics::{Figures, log_loss};
use risk::model::Model;
use risk::score::Scorer;
use risk::special::logit;
use risk::table::{Column, NO_WORD, Table};
pub use risk::train::TrainError;
use risk::train::{Few, FoldColumn, Task, Trained, left_out_note, predict, train};
use serde::{Deserialize, Serialize};

pub use self::input::{Input, InputKind};
pub use self::snapshot::{Snapshot, Taught, days, snapshots};
pub use self::told::risk;
use crate::alive::rhythm;
use crate::fitted::{Fitted, MOST_BYTES};
use crate::lifecycle::{Learned, Lifecycle};

/// More snapshots than this teach hardly more: any of them are enough.
pub const MOST_SNAPSHOTS: usize = 50_000;
/// With fewer customers that left, the rhythm alone tells more than whatever could be learnt.
const LEAST_LEFT: usize = 15;
/// Folds of the cross-validation, by customer.
const FOLDS: u64 = 5;

/// How good what was learnt is on the last period, learnt from what was known before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Later {
    /// The day of the snapshots.
    pub day: Timestamp,
    /// How many there are.
    pub rows: usize,
    /// How many left.
    pub left: usize,
    /// The figures.
    pub figures: Figures,
}

/// A model of who leaves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Knowledge {
    /// The model.
    pub model: Model,
    /// The definition of each of its features: a file that means something else by a name does not
    /// use it.
    pub definitions: Vec<String>,
    /// Its trial on the last period, where there were enough before it.
    pub later: Option<Later>,
}

/// What is gathered to learn from.
#[derive(Debug, Clone)]
pub struct Lessons {
    days: Vec<Timestamp>,
    most: usize,
    snapshots: Vec<Snapshot>,
    /// Snapshots that were dropped, because there were too many.
    dropped: usize,
    customers: usize,
    by_last_day: Vec<History>,
    by_now: Vec<History>,
}

/// What learning came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Learning {
    /// What to keep.
    pub fitted: Fitted,
    /// The ladder, where it was climbed.
    pub trained: Option<Trained>,
    /// What was learnt from.
    pub material: Material,
    /// Whether it is to be gone by, and why.
    pub verdict: Verdict,
    /// How the champion fares.
    pub watch: Option<Watch>,
    /// What was noticed, as sentences.
    pub notes: Vec<String>,
}

/// What was learnt from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Material {
    /// Customers that were looked at.
    pub customers: usize,
    /// Snapshots.
    pub snapshots: usize,
    /// Snapshots of customers that left.
    pub left: usize,
    /// Days that snapshots are of.
    pub days: usize,
}

/// How a model fares on a period that is over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Watch {
    /// The day of the snapshots.
    pub day: Timestamp,
    /// How far what it says is from what it said in training.
    pub scores: Drift,
    /// What it says on the mean, against what came true.
    pub came_true: InTheLarge,
}

/// Whether something learnt is to be gone by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// There is nothing of this recipe to compare it with.
    First,
    /// It is no worse on the last period.
    NoWorse {
        /// Its log-loss.
        log_loss: f64,
        /// That of the champion.
        champion: f64,
    },
    /// It is worse.
    Worse {
        /// Its log-loss.
        log_loss: f64,
        /// That of the champion.
        champion: f64,
    },
    /// There are too few to compare: the newer one knows more.
    Untried,
}

impl Verdict {
    /// Compares what two fits came to on the last period, where that is the same one.
    #[must_use]
    pub fn between(challenger: &Fitted, champion: &Fitted) -> Verdict {
        let later = |fitted: &Fitted| fitted.knowledge.as_ref()?.later;
        if challenger.recipe != champion.recipe {
            return Verdict::First;
        }
        match (later(challenger), later(champion)) {
            (Some(new), Some(old)) if new.day == old.day => {
                Verdict::of(new.figures.log_loss, old.figures.log_loss)
            }
            _ => Verdict::Untried,
        }
    }

    fn of(log_loss: f64, champion: f64) -> Verdict {
        // What only rounding tells apart is the same.
        match log_loss <= champion + 1e-9 {
            true => Verdict::NoWorse { log_loss, champion },
            false => Verdict::Worse { log_loss, champion },
        }
    }

    /// Whether it says to go by what was learnt.
    #[must_use]
    pub fn is_for(&self) -> bool {
        !matches!(self, Verdict::Worse { .. })
    }
}

impl Learning {
    /// A rhythm, where nothing else is to be learnt.
    #[must_use]
    pub fn of_rhythm(fitted: Fitted) -> Learning {
        let material = Material { customers: fitted.customers, snapshots: 0, left: 0, days: 0 };
        Learning {
            fitted,
            trained: None,
            material,
            verdict: Verdict::First,
            watch: None,
            notes: Vec::new(),
        }
    }
}

impl Lessons {
    /// Nothing yet, about these [`days`]; at most so many snapshots are learnt from, any of them.
    #[must_use]
    pub fn new(days: Vec<Timestamp>, most: usize) -> Lessons {
        Lessons {
            days,
            most,
            snapshots: Vec::new(),
            dropped: 0,
            customers: 0,
            by_last_day: Vec::new(),
            by_now: Vec::new(),
        }
    }

    /// The days.
    #[must_use]
    pub fn days(&self) -> &[Timestamp] {
        &self.days
    }

    /// Takes in what a customer teaches.
    pub fn add(&mut self, taught: Taught) {
        self.customers += 1;
        self.by_last_day.extend(taught.by_last_day);
        self.by_now.extend(taught.by_now);
        self.snapshots.extend(taught.snapshots);
        if self.snapshots.len() > 2 * self.most {
            self.drop_surplus();
        }
    }

    /// Keeps those with the least hashes: any of them, and the same ones in whatever order they came.
    fn drop_surplus(&mut self) {
        if self.snapshots.len() > self.most {
            self.snapshots.sort_unstable_by_key(|one| (mixed(one.customer, one.day), one.customer));
            self.dropped += self.snapshots.len() - self.most;
            self.snapshots.truncate(self.most);
        }
    }

    /// Learns, and compares with the `champion`. `None` where not even a rhythm can be told.
    ///
    /// # Errors
    /// When the columns teach nothing.
    pub fn learn(
        mut self,
        lifecycle: &Lifecycle,
        learned: &Learned,
        champion: Option<&Fitted>,
        now: Timestamp,
        threads: usize,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Option<Learning>, TrainError> {
        self.drop_surplus();
        self.snapshots.sort_unstable_by_key(|one| (one.day, one.customer));
        let Some(by_now) = rhythm(&sorted(&self.by_now)) else { return Ok(None) };
        let mut notes = Vec::new();
        if self.dropped > 0 {
            notes.push(format!(
                "{} snapshots are more than are learnt from: any {} of them were taken",
                self.dropped + self.snapshots.len(),
                self.most
            ));
        }
        let left = self.snapshots.iter().filter(|one| one.left).count();
        let seen: BTreeSet<usize> = self.snapshots.iter().map(|one| one.day).collect();
        let material = Material {
            customers: self.customers,
            snapshots: self.snapshots.len(),
            left,
            days: seen.len(),
        };
        let mut fitted = Fitted {
            recipe: learned.recipe(lifecycle),
            fitted_at: now,
            customers: self.customers,
            rhythm: by_now,
            knowledge: None,
        };
        let is_of_this_file = |champion: &&Fitted| {
            let known = champion.knowledge.as_ref();
            champion.recipe == fitted.recipe
                && known.is_none_or(|known| learned.ready(lifecycle, known).is_some())
        };
        let champion = champion.filter(is_of_this_file);
        if left < LEAST_LEFT || self.snapshots.len() - left < LEAST_LEFT {
            notes.push(format!(
                "{left} of {} snapshots are of customers that left: with fewer than {LEAST_LEFT}, and \
                 fewer than {LEAST_LEFT} that stayed, the rhythm alone tells most",
                self.snapshots.len()
            ));
            let verdict = match champion.and_then(|champion| champion.knowledge.as_ref()) {
                None => Verdict::First,
                // A model was learnt once: what knows less does not take its place.
                Some(known) => {
                    let champion = known.model.figures.log_loss;
                    Verdict::Worse { log_loss: f64::INFINITY, champion }
                }
            };
            return Ok(Some(Learning {
                fitted,
                trained: None,
                material,
                verdict,
                watch: None,
                notes,
            }));
        }
        let class = Class { lifecycle, learned, threads };
        let (later, verdict) = self.later(&class, champion, &mut notes);
        let watch = self.watch(&class, champion);
        let all: Vec<&Snapshot> = self.snapshots.iter().collect();
        let mut trained = class.train(&all, &by_now.params, progress)?;
        let features = trained.model.features.len();
        name_families(&mut trained.model, learned);
        let definition = |feature: &risk::feature::Feature| {
            let input = learned.inputs.iter().find(|input| input.name == feature.name);
            input.map(|input| input::definition(lifecycle, input)).unwrap_or_default()
        };
        let known = |model: &Model| {
            let definitions = model.features.iter().map(definition).collect();
            Knowledge { model: model.clone(), definitions, later }
        };
        fitted.knowledge = Some(known(&trained.model));
        // The whole has to be as small as a model may be, and not the model alone.
        let over = fitted.to_json().len().saturating_sub(MOST_BYTES);
        if over > 0 {
            let most = trained.model.to_json().len().saturating_sub(over);
            trained.model.shrink(most);
            fitted.knowledge = Some(known(&trained.model));
        }
        let left_out = features - trained.model.features.len();
        if left_out > 0 {
            trained.notes.push(left_out_note(left_out, features));
        }
        notes.append(&mut trained.notes);
        Ok(Some(Learning { fitted, trained: Some(trained), material, verdict, watch, notes }))
    }

    /// Learns from what was known before the last period, and tries it there beside the champion.
    fn later(
        &self,
        class: &Class<'_>,
        champion: Option<&Fitted>,
        notes: &mut Vec<String>,
    ) -> (Option<Later>, Verdict) {
        let untried = match champion.and_then(|champion| champion.knowledge.as_ref()) {
            None => Verdict::First,
            Some(_) => Verdict::Untried,
        };
        let Some(last) = self.snapshots.last().map(|one| one.day) else { return (None, untried) };
        let window = jiff::SignedDuration::from_hours(24 * i64::from(class.learned.window_days()));
        let is_over = |day: usize| {
            self.days[day].saturating_add(window).is_ok_and(|over| over <= self.days[last])
        };
        let before: Vec<&Snapshot> = self.snapshots.iter().filter(|one| is_over(one.day)).collect();
        let rows: Vec<&Snapshot> = self.snapshots.iter().filter(|one| one.day == last).collect();
        let left = |rows: &[&Snapshot]| rows.iter().filter(|one| one.left).count();
        let (learnt, tried) = (left(&before), left(&rows));
        let known = rhythm(&sorted(&self.by_last_day));
        let (true, true, Some(known)) = (learnt >= LEAST_LEFT, tried > 0, known) else {
            notes.push(
                "too few left in the last period, or before it, to try there what was learnt before it"
                    .to_owned(),
            );
            return (None, untried);
        };
        let Ok(past) = class.train(&before, &known.params, &|_, _| ()) else {
            return (None, untried);
        };
        let labels: Vec<bool> = rows.iter().map(|one| one.left).collect();
        let table = class.table(&rows, &known.params);
        let (told, _) = predict(&Scorer::new(past.model), &table);
        let figures = Figures::of(&told, &labels);
        let later = Later { day: self.days[last], rows: rows.len(), left: tried, figures };
        let rival = champion.and_then(|champion| {
            // Of the same period its own trial counts: it has learnt from that since.
            let own = champion.knowledge.as_ref()?.later.filter(|own| own.day == later.day);
            own.map(|own| own.figures.log_loss)
                .or_else(|| Some(log_loss(&class.told(&rows, champion)?, &labels)))
        });
        let log_loss = figures.log_loss;
        (Some(later), rival.map_or(untried, |champion| Verdict::of(log_loss, champion)))
    }

    /// How the champion fares: what it says of the last period, against its training and against what
    /// came true.
    fn watch(&self, class: &Class<'_>, champion: Option<&Fitted>) -> Option<Watch> {
        let last = self.snapshots.last()?.day;
        let rows: Vec<&Snapshot> = self.snapshots.iter().filter(|one| one.day == last).collect();
        let told = class.told(&rows, champion?)?;
        let scores = &champion?.knowledge.as_ref()?.model.scores;
        let labels: Vec<bool> = rows.iter().map(|one| one.left).collect();
        Some(Watch {
            day: self.days[last],
            scores: drift(&scores.rows, &scores.count(&told)),
            came_true: in_the_large(&told, &labels)?,
        })
    }
}

/// What counts the same event is told as one reason: a regression sets one count off against another.
fn name_families(model: &mut Model, learned: &Learned) {
    let kind = |name: &str| {
        let input = learned.inputs.iter().find(|input| input.name == name);
        input.and_then(|input| input.kind.event())
    };
    let of: Vec<(String, Option<usize>)> =
        model.features.iter().map(|one| (one.name.clone(), kind(&one.name))).collect();
    for (place, feature) in model.features.iter_mut().enumerate() {
        if let (_, Some(event)) = of[place] {
            let same = of[place + 1..].iter().filter(|(_, other)| *other == Some(event));
            feature.family = same.map(|(name, _)| name.clone()).collect();
        }
    }
    // Its hash is taken anew.
    model.shrink(MOST_BYTES);
}

/// In an order of their own, so that sums do not depend on how customers came.
fn sorted(histories: &[History]) -> Vec<History> {
    let mut sorted = histories.to_vec();
    sorted.sort_by(|a, b| {
        let by = |of: fn(&History) -> f64| of(a).total_cmp(&of(b));
        by(|one| one.age).then(by(|one| one.frequency)).then(by(|one| one.recency))
    });
    sorted
}

/// A number that looks random: the end of SplitMix64.
fn mixed(customer: u64, day: usize) -> u64 {
    risk::random::Random::new(customer, day as u64 + 1).bits()
}

/// Who is taught what, by whom.
struct Class<'a> {
    lifecycle: &'a Lifecycle,
    learned: &'a Learned,
    threads: usize,
}

impl Class<'_> {
    /// What a model that was learnt says of snapshots.
    fn told(&self, rows: &[&Snapshot], fitted: &Fitted) -> Option<Vec<f64>> {
        let scorer = Scorer::new(fitted.knowledge.as_ref()?.model.clone());
        Some(predict(&scorer, &self.table(rows, &fitted.rhythm.params)).0)
    }

    /// Snapshots as a table; the rhythm is known by now.
    fn table(&self, rows: &[&Snapshot], rhythm: &BgNbd) -> Table {
        let inputs = &self.learned.inputs;
        let horizon = f64::from(self.learned.alive.horizon_days);
        let columns = inputs
            .iter()
            .enumerate()
            .map(|(place, input)| match input.kind {
                InputKind::Alive => Column::Numbers(
                    rows.iter()
                        .map(|one| {
                            let p = one.history.map(|history| rhythm.p_none(&history, horizon));
                            p.map_or(f64::NAN, |p| logit(p.clamp(1e-6, 1.0 - 1e-6)))
                        })
                        .collect(),
                ),
                InputKind::Trait(index) if input::words(self.lifecycle, index).is_some() => {
                    Column::Words {
                        words: input::words(self.lifecycle, index).unwrap_or_default(),
                        codes: rows
                            .iter()
                            .map(|one| match one.row[place] {
                                code if code.is_nan() => NO_WORD,
                                code => code as u32,
                            })
                            .collect(),
                    }
                }
                _ => Column::Numbers(rows.iter().map(|one| one.row[place]).collect()),
            })
            .collect();
        Table {
            names: inputs.iter().map(|input| input.name.clone()).collect(),
            columns,
            rows: rows.len(),
            notes: Vec::new(),
        }
    }

    fn train(
        &self,
        rows: &[&Snapshot],
        rhythm: &BgNbd,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Trained, TrainError> {
        let table = self.table(rows, rhythm);
        let labels: Vec<bool> = rows.iter().map(|one| one.left).collect();
        // A customer is in one fold with all of its days: else it would be known again.
        let fold = |one: &&Snapshot| mixed(one.customer, usize::MAX - 1) % FOLDS;
        let used: BTreeSet<u64> = rows.iter().map(fold).collect();
        let place = |one| used.iter().position(|used| *used == fold(one)).unwrap_or(0);
        let folds = FoldColumn {
            name: "customer".to_owned(),
            names: used.iter().map(u64::to_string).collect(),
            folds: rows.iter().map(place).collect(),
        };
        let event = &self.learned.alive.event;
        let [since, often] = [format!("{event}.since"), format!("{event}.84d")];
        let inputs = &self.learned.inputs;
        let context: Vec<&str> = inputs
            .iter()
            .filter(|input| input.kind.is_context())
            .map(|input| input.name.as_str())
            .collect();
        let task = Task {
            table: &table,
            labels: &labels,
            target: "leaves",
            positive: "1",
            except: &[],
            folds: &[folds],
            monotone: &[],
            context: &context,
            few: &[
                Few { name: "rhythm alone", columns: &[ALIVE] },
                Few { name: "recency and frequency", columns: &[&since, &often] },
            ],
            seed: 42,
            threads: self.threads,
        };
        train(&task, progress)
    }
}

/// The name of the input that is the rhythm.
pub const ALIVE: &str = "alive";

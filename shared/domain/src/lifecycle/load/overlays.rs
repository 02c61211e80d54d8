//! Overlays: the same lifecycle with other numbers for a segment.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Known, Loader};
use crate::expr::{Condition, Name};
use crate::lifecycle::file::{
    self, FactorOverlay, File, HealthOverlay, PlaybookOverlay, StageOverlay, StandardOverlay, Word,
};
use crate::lifecycle::names::Slot;
use crate::lifecycle::{
    Action, Playbook, Promise, Rules, Scorecard, Segment, Stage, Standard, TaskRule,
};
use crate::period::Period;

/// The most overlays: each doubles the combinations that are worked out.
const MAX_OVERLAYS: usize = 8;

/// One overlay's changes of one thing.
type Patch<T> = Box<dyn Fn(&mut T)>;
/// The changes of one list: by overlay and index.
type Patches<T> = Vec<(usize, usize, Patch<T>)>;

/// A period that is written, and the field of a stage it is for.
type Timed<'w> = (&'w Option<Word>, fn(&mut Stage) -> &mut Option<Period>);

/// What all overlays of a file change.
#[derive(Default)]
struct Changes {
    stages: Patches<Stage>,
    standards: Patches<Standard>,
    playbooks: Patches<Playbook>,
    health: Patches<Scorecard>,
}

/// The overlays of a file with everything they come to.
pub(super) struct Loaded {
    pub applies: Vec<Condition>,
    pub rules: Vec<Rules>,
    pub variants: Rules,
}

impl Loader<'_> {
    pub(super) fn overlays(&mut self, file: &File, segments: &[Segment], base: Rules) -> Loaded {
        let mut applies = Vec::new();
        let mut changes = Changes::default();
        for (index, overlay) in file.overlays.iter().enumerate() {
            if index == MAX_OVERLAYS {
                self.error(&overlay.referenced, format!("more than {MAX_OVERLAYS} overlays"))
                    .help =
                    Some("put what differs for one kind of customer into one overlay".into());
                break;
            }
            let overlay = &overlay.value;
            if let Some(condition) = self.condition(&overlay.applies) {
                self.reads_facts_only(overlay, &condition, segments);
                applies.push(condition);
            }
            for (name, written) in &overlay.stages.0 {
                self.overlay_stage(index, name, written, &base, &mut changes.stages);
            }
            for (name, written) in &overlay.standards.0 {
                self.overlay_standard(index, name, written, &base, &mut changes.standards);
            }
            for (name, written) in &overlay.playbooks.0 {
                self.overlay_playbook(index, name, written, &base, &mut changes.playbooks);
            }
            if let Some(written) = &overlay.health {
                self.overlay_health(index, written, &base, &mut changes.health);
            }
        }
        let stages = combine(&base.stages, &changes.stages);
        let standards = combine(&base.standards, &changes.standards);
        let playbooks = combine(&base.playbooks, &changes.playbooks);
        let cards = combine(base.health.as_slice(), &changes.health);
        self.combined(file, &stages, &cards);
        let rules = (0..1_usize << file.overlays.len().min(MAX_OVERLAYS))
            .map(|mask| Rules {
                stages: pick(&stages, mask),
                standards: pick(&standards, mask),
                playbooks: pick(&playbooks, mask),
                health: pick(&cards, mask).pop(),
            })
            .collect();
        let variants = Rules {
            stages: stages.iter().flat_map(Variants::each).collect(),
            standards: standards.iter().flat_map(Variants::each).collect(),
            playbooks: playbooks.iter().flat_map(Variants::each).collect(),
            health: None,
        };
        Loaded { applies, rules, variants }
    }

    /// Whom an overlay is for may not hang on what an overlay can change.
    fn reads_facts_only(
        &mut self,
        overlay: &file::Overlay,
        condition: &Condition,
        segments: &[Segment],
    ) {
        let mut seen = HashSet::new();
        let names = condition.names();
        if let Some(path) = decided(&names, segments, &mut seen) {
            let message = format!("an overlay cannot be for customers by `{path}`");
            let place = overlay.applies.place(self.source);
            self.at(place, message).help =
                Some("ask for traits and metrics: an overlay may change what was decided".into());
        }
    }

    fn overlay_stage(
        &mut self,
        overlay: usize,
        name: &Word,
        written: &StageOverlay,
        base: &Rules,
        patches: &mut Patches<Stage>,
    ) {
        let names = base.stages.iter().map(|stage| stage.name.as_str()).collect();
        let Some(index) = self.find(name, &Known { kind: "stage", names }) else { return };
        let stage = &base.stages[index];
        let mut add = |patch: Patch<Stage>| patches.push((overlay, index, patch));
        if let Some(enter) = &written.enter {
            if stage.enter.is_none() {
                self.nothing_to_change(name, "stage", "enter");
            }
            if let Some(when) = enter.when.as_ref().and_then(|when| self.condition(when)) {
                add(Box::new(move |stage| {
                    if let Some(enter) = &mut stage.enter {
                        enter.when = when.clone();
                    }
                }));
            }
            if let Some(hold) = enter.hold.as_ref().and_then(|word| self.period(word)) {
                add(Box::new(move |stage| {
                    if let Some(enter) = &mut stage.enter {
                        enter.hold = Some(hold);
                    }
                }));
            }
        }
        if let Some(leave) = &written.leave {
            if stage.leave.is_none() {
                self.nothing_to_change(name, "stage", "leave");
            }
            if let Some(when) = leave.when.as_ref().and_then(|when| self.condition(when)) {
                add(Box::new(move |stage| {
                    if let Some(leave) = &mut stage.leave {
                        leave.when = when.clone();
                    }
                }));
            }
            if let Some(hold) = leave.hold.as_ref().and_then(|word| self.period(word)) {
                add(Box::new(move |stage| {
                    if let Some(leave) = &mut stage.leave {
                        leave.hold = Some(hold);
                    }
                }));
            }
        }
        let periods: [Timed<'_>; 4] = [
            (&written.stay_at_least, |stage| &mut stage.stay_at_least),
            (&written.cool_down, |stage| &mut stage.cool_down),
            (&written.target, |stage| &mut stage.target),
            (&written.stuck, |stage| &mut stage.stuck),
        ];
        for (word, field) in periods {
            if let Some(period) = word.as_ref().and_then(|word| self.period(word)) {
                add(Box::new(move |stage| *field(stage) = Some(period)));
            }
        }
        if let Some(owner) = written.owner.as_ref().map(|word| self.owner(word)) {
            add(Box::new(move |stage| stage.owner = Some(owner.clone())));
        }
        if let Some(handoff) = &written.handoff {
            if stage.handoff.is_none() {
                self.nothing_to_change(name, "stage", "handoff");
            }
            let to = handoff.to.as_ref().map(|word| self.owner(word));
            let within = handoff.ack_within.as_ref().and_then(|word| self.period(word));
            add(Box::new(move |stage| {
                if let Some(handoff) = &mut stage.handoff {
                    handoff.to = to.clone().unwrap_or_else(|| handoff.to.clone());
                    handoff.ack_within = within.or(handoff.ack_within);
                }
            }));
        }
        for (checkpoint, written) in &written.checkpoints.0 {
            let names = stage.checkpoints.iter().map(|known| known.name.as_str()).collect();
            let at = self.find(checkpoint, &Known { kind: "checkpoint", names });
            if let (Some(at), Some(target)) = (at, self.period(&written.target)) {
                add(Box::new(move |stage| stage.checkpoints[at].target = Some(target)));
            }
        }
    }

    fn overlay_standard(
        &mut self,
        overlay: usize,
        name: &Word,
        written: &StandardOverlay,
        base: &Rules,
        patches: &mut Patches<Standard>,
    ) {
        let names = base.standards.iter().map(|standard| standard.name.as_str()).collect();
        let Some(index) = self.find(name, &Known { kind: "standard", names }) else { return };
        let standard = &base.standards[index];
        let promise = &standard.promise;
        let mut add = |patch: Patch<Standard>| patches.push((overlay, index, patch));
        let periods = [
            ("deadline", written.deadline.as_ref().map(|deadline| &deadline.within)),
            ("silence", written.silence.as_ref().map(|silence| &silence.limit)),
            ("respond", written.respond.as_ref().map(|respond| &respond.within)),
            ("for", written.hold.as_ref()),
        ];
        for (key, word) in periods {
            let Some(word) = word else { continue };
            let has_it = match key {
                "for" => matches!(promise, Promise::Holds { hold: Some(_), .. }),
                _ => promise.word() == key,
            };
            if !has_it {
                self.nothing_to_change(name, "standard", key);
            }
            if let Some(period) = self.period(word) {
                add(Box::new(move |standard| {
                    if let Some(own) = standard.promise.period_mut() {
                        *own = period;
                    }
                }));
            }
        }
        if let Some(period) = written.grace.as_ref().and_then(|word| self.period(word)) {
            add(Box::new(move |standard| standard.grace = Some(period)));
        }
        if let Some(word) = &written.reopen_within {
            if standard.reopen_within.is_none() {
                self.nothing_to_change(name, "standard", "reopen_within");
            }
            if let Some(period) = self.period(word) {
                add(Box::new(move |standard| standard.reopen_within = Some(period)));
            }
        }
        if let Some(severity) = written.severity.as_ref().map(|severity| severity.value) {
            add(Box::new(move |standard| standard.severity = severity));
        }
        if let Some(owner) = written.owner.as_ref().map(|word| self.owner(word)) {
            add(Box::new(move |standard| standard.owner.clone_from(&owner)));
        }
    }

    fn overlay_playbook(
        &mut self,
        overlay: usize,
        name: &Word,
        written: &PlaybookOverlay,
        base: &Rules,
        patches: &mut Patches<Playbook>,
    ) {
        let names = base.playbooks.iter().map(|playbook| playbook.name.as_str()).collect();
        let Some(index) = self.find(name, &Known { kind: "playbook", names }) else { return };
        let steps = &base.playbooks[index].steps;
        for (task, written) in &written.tasks.0 {
            let tasks = steps.iter().filter(|step| step.task().is_some());
            let names = tasks.map(|step| step.name.as_str()).collect();
            if self.find(task, &Known { kind: "task", names }).is_none() {
                continue;
            }
            let Some(at) = steps.iter().position(|step| step.name == task.value) else { continue };
            let mut add = |patch: Patch<TaskRule>| {
                patches.push((
                    overlay,
                    index,
                    Box::new(move |playbook| {
                        if let Action::Task(task) = &mut playbook.steps[at].action {
                            patch(task);
                        }
                    }),
                ));
            };
            if let Some(due) = written.due.as_ref().and_then(|word| self.period(word)) {
                add(Box::new(move |task| task.due = Some(due)));
            }
            if let Some(owner) = written.owner.as_ref().map(|word| self.owner(word)) {
                add(Box::new(move |task| task.owner.clone_from(&owner)));
            }
            if let Some(priority) = written.priority.as_ref().map(|priority| priority.value) {
                add(Box::new(move |task| task.priority = priority));
            }
        }
    }

    fn overlay_health(
        &mut self,
        overlay: usize,
        written: &HealthOverlay,
        base: &Rules,
        patches: &mut Patches<Scorecard>,
    ) {
        let Some(card) = &base.health else {
            let first = written.factors.0.first().map(|(name, _)| name);
            let first = first.or(written.bands.0.first().map(|(name, _)| name));
            if let Some(word) = first {
                self.error(&word.referenced, "there is no `health` to change").help =
                    Some("declare the scorecard for everybody first".into());
            }
            return;
        };
        let mut add = |patch: Patch<Scorecard>| patches.push((overlay, 0, patch));
        for (name, FactorOverlay { weight, worst, best }) in &written.factors.0 {
            let names = card.factors.iter().map(|factor| factor.name.as_str()).collect();
            let Some(at) = self.find(name, &Known { kind: "factor", names }) else { continue };
            for weight in weight.iter().filter(|w| !(w.value > 0.0 && w.value <= 100.0)) {
                self.error(&weight.referenced, "a weight lies between 0 and 100");
            }
            let value = |spanned: &Option<file::Spanned<f64>>| spanned.as_ref().map(|s| s.value);
            let (weight, worst, best) = (value(weight), value(worst), value(best));
            let factor = &card.factors[at];
            let (from, to) = (worst.unwrap_or(factor.worst), best.unwrap_or(factor.best));
            if from == to || !from.is_finite() || !to.is_finite() {
                self.error(&name.referenced, "`worst` and `best` must differ");
            }
            add(Box::new(move |card| {
                let factor = &mut card.factors[at];
                factor.weight = weight.unwrap_or(factor.weight);
                factor.worst = worst.unwrap_or(factor.worst);
                factor.best = best.unwrap_or(factor.best);
            }));
        }
        for (name, from) in &written.bands.0 {
            let names = card.bands.iter().map(|band| band.name.as_str()).collect();
            let Some(at) = self.find(name, &Known { kind: "band", names }) else { continue };
            let begins = from.value;
            if !(0.0..=100.0).contains(&begins) {
                self.error(&from.referenced, "a band begins between 0 and 100");
            }
            if at == 0 && begins != 0.0 {
                let message = format!("the lowest band, `{}`, must begin at 0", name.value);
                self.error(&from.referenced, message);
            }
            add(Box::new(move |card| card.bands[at].from = begins));
        }
    }

    fn nothing_to_change(&mut self, name: &Word, kind: &str, key: &str) {
        let message = format!("the {kind} `{}` has no `{key}` to change", name.value);
        self.error(&name.referenced, message).help =
            Some("an overlay changes numbers; give it to everybody first".into());
    }

    /// What only shows when overlays meet: times that cross, weights that do not sum.
    fn combined(&mut self, file: &File, stages: &[Variants<Stage>], cards: &[Variants<Scorecard>]) {
        let stages = stages.iter().flat_map(|variants| variants.list.iter().skip(1));
        let crossed: Vec<&str> = stages
            .filter(|stage| match (stage.target, stage.stuck) {
                (Some(Period::Elapsed(target)), Some(Period::Elapsed(stuck))) => stuck < target,
                _ => false,
            })
            .map(|stage| stage.name.as_str())
            .collect();
        let mut seen = HashSet::new();
        for overlay in &file.overlays {
            for (name, _) in &overlay.value.stages.0 {
                if crossed.contains(&name.value.as_str()) && seen.insert(&name.value) {
                    let message = format!("`stuck` of `{}` comes before `target`", name.value);
                    self.error(&name.referenced, message).help = Some(
                        "change both: a customer is first behind its target, then stuck".into(),
                    );
                }
            }
        }
        let Some(variants) = cards.first() else { return };
        let place = file.overlays.iter().find_map(|overlay| {
            overlay.value.health.as_ref()?.factors.0.first().map(|(name, _)| name)
        });
        let place = place.or_else(|| {
            let mut healths = file.overlays.iter().filter_map(|o| o.value.health.as_ref());
            healths.find_map(|health| health.bands.0.first().map(|(name, _)| name))
        });
        let Some(place) = place else { return };
        for card in variants.list.iter().skip(1) {
            let sum: f64 = card.factors.iter().map(|factor| factor.weight).sum();
            if (sum - 100.0).abs() > 1e-9 {
                let message = format!("with overlays the weights sum to {sum}, not to 100");
                self.error(&place.referenced, message);
                return;
            }
            if card.bands.windows(2).any(|pair| pair[0].from >= pair[1].from) {
                let message = "with overlays the bands no longer go from the lowest to the highest";
                self.error(&place.referenced, message);
                return;
            }
        }
    }
}

/// The first name that leads to what was decided.
fn decided(names: &[&Name], segments: &[Segment], seen: &mut HashSet<usize>) -> Option<String> {
    names.iter().find_map(|name| match Slot::of(name.slot) {
        Slot::RiskBand | Slot::RiskProbability | Slot::HealthScore => Some(name.path.to_string()),
        Slot::Segment(index) if seen.insert(index) => {
            decided(&segments.get(index)?.condition.names(), segments, seen)
        }
        _ => None,
    })
}

/// One thing with every combination of the overlays that change it.
struct Variants<T> {
    /// The overlays that change it, rising.
    by: Vec<usize>,
    /// By the bits of `by`: the first is the thing without overlays.
    list: Vec<Arc<T>>,
}

impl<T> Variants<T> {
    fn each(&self) -> Vec<Arc<T>> {
        self.list.clone()
    }

    fn of(&self, mask: usize) -> Arc<T> {
        let bits = self.by.iter().enumerate();
        let at: usize = bits.map(|(bit, overlay)| (mask >> overlay & 1) << bit).sum();
        Arc::clone(&self.list[at])
    }
}

/// A later overlay is applied over an earlier one, and wins where both change a number.
fn combine<T: Clone>(base: &[Arc<T>], patches: &Patches<T>) -> Vec<Variants<T>> {
    let variants = base.iter().enumerate().map(|(index, thing)| {
        let mine: Vec<_> = patches.iter().filter(|(_, of, _)| *of == index).collect();
        let mut by: Vec<usize> = mine.iter().map(|(overlay, ..)| *overlay).collect();
        by.dedup();
        let list = (0..1_usize << by.len()).map(|mask| {
            if mask == 0 {
                return Arc::clone(thing);
            }
            let mut changed = T::clone(thing);
            for (overlay, _, patch) in &mine {
                let bit = by.iter().position(|known| known == overlay);
                if bit.is_some_and(|bit| mask >> bit & 1 == 1) {
                    patch(&mut changed);
                }
            }
            Arc::new(changed)
        });
        Variants { list: list.collect(), by }
    });
    variants.collect()
}

fn pick<T>(variants: &[Variants<T>], mask: usize) -> Vec<Arc<T>> {
    variants.iter().map(|variants| variants.of(mask)).collect()
}

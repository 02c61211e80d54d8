//! Segments and stages.

use super::uses::{self, Uses};
use super::{Known, Loader, text};
use crate::expr::Type;
use crate::lifecycle::file::{self, File, Word};
use crate::lifecycle::names::{Slot, declare};
use crate::lifecycle::{Checkpoint, Enter, Exit, Handoff, Leave, Metric, Segment, Stage};
use crate::period::Period;

impl Loader<'_> {
    pub(super) fn segments(&mut self, file: &File) -> Vec<Segment> {
        self.names_fit(&file.segments, "segments");
        for (index, (name, _)) in file.segments.0.iter().enumerate() {
            let path = format!("segment.{}", name.value);
            declare(&mut self.scope, &path, Type::YesNo, Slot::Segment(index), true);
        }
        let mut segments = Vec::new();
        for (name, source) in &file.segments.0 {
            let Some(condition) = self.condition(source) else { continue };
            segments.push(Segment { name: name.value.clone(), condition });
        }
        if segments.len() == file.segments.0.len() {
            let uses: Vec<Uses> = segments.iter().map(|segment| self.uses_of(segment)).collect();
            if let Err(endless) = uses::steps(&uses) {
                let names: Vec<&Word> = file.segments.0.iter().map(|(name, _)| name).collect();
                self.endless(endless, "segment", &names);
            }
        }
        segments
    }

    fn uses_of(&self, segment: &Segment) -> Uses {
        let mut uses = Uses::of_condition(&segment.condition, |name| match Slot::of(name.slot) {
            Slot::Segment(index) => Some(index),
            _ => None,
        });
        let metrics = Uses::of_condition(&segment.condition, |name| match Slot::of(name.slot) {
            Slot::Metric(index) => Some(index),
            _ => None,
        });
        for (index, times) in metrics.others {
            uses.steps += times * self.metric_steps.get(index).copied().unwrap_or(1);
        }
        uses
    }

    pub(super) fn stages(&mut self, file: &File, metrics: &[Metric]) -> Vec<Stage> {
        self.names_fit(&file.stages, "stages");
        if file.stages.0.is_empty() {
            self.at(0..0, "a lifecycle needs at least one stage under `stages:`");
        }
        let known = Known {
            kind: "stage",
            names: file.stages.0.iter().map(|(name, _)| name.value.as_str()).collect(),
        };
        let metric_names =
            Known { kind: "metric", names: metrics.iter().map(|m| m.name.as_str()).collect() };
        let mut stages = Vec::new();
        for (name, written) in &file.stages.0 {
            for word in &written.on_enter {
                let names = file.playbooks.0.iter().map(|(name, _)| name.value.as_str()).collect();
                self.find(word, &Known { kind: "playbook", names });
            }
            let enter = written.enter.as_ref().and_then(|enter| {
                for stage in enter.from.iter().flatten() {
                    self.find(stage, &known);
                }
                Some(Enter {
                    when: self.condition(&enter.when)?,
                    hold: enter.hold.as_ref().and_then(|word| self.period(word)),
                    priority: enter.priority,
                    from: enter.from.as_ref().map(|from| from.iter().map(text).collect()),
                })
            });
            let leave = written.leave.as_ref().and_then(|leave| {
                self.find(&leave.to, &known);
                if leave.to.value == name.value {
                    let message = format!("the stage `{}` cannot be left for itself", name.value);
                    self.error(&leave.to.referenced, message).help =
                        Some("name another stage".into());
                }
                Some(Leave {
                    when: self.condition(&leave.when)?,
                    hold: leave.hold.as_ref().and_then(|word| self.period(word)),
                    to: leave.to.value.clone(),
                })
            });
            for exit in written.exits.iter().flatten() {
                self.find(&exit.to, &known);
            }
            let exits = written.exits.as_ref().map(|exits| {
                let exits = exits.iter();
                exits
                    .map(|exit| Exit { to: exit.to.value.clone(), at_once: exit.at_once })
                    .collect()
            });
            let mut period = |word: &Option<Word>| word.as_ref().and_then(|word| self.period(word));
            let (stay_at_least, cool_down) =
                (period(&written.stay_at_least), period(&written.cool_down));
            let (target, stuck) = (period(&written.target), period(&written.stuck));
            if let (Some(word), Some(Period::Elapsed(target)), Some(Period::Elapsed(stuck))) =
                (&written.stuck, target, stuck)
                && stuck < target
            {
                self.error(&word.referenced, "`stuck` comes before `target`").help =
                    Some("a customer is first behind its target, then stuck".into());
            }
            stages.push(Stage {
                name: name.value.clone(),
                enter,
                leave,
                stay_at_least,
                cool_down,
                target,
                stuck,
                owner: written.owner.as_ref().map(|word| self.owner(word)),
                metric: written.metric.as_ref().and_then(|word| self.find(word, &metric_names)),
                exits,
                handoff: written.handoff.as_ref().map(|handoff| Handoff {
                    to: self.owner(&handoff.to),
                    ack_within: handoff.ack_within.as_ref().and_then(|word| self.period(word)),
                }),
                checkpoints: self.checkpoints(written),
                on_enter: written.on_enter.iter().map(text).collect(),
                is_lost: written.lost,
            });
        }
        stages
    }

    fn checkpoints(&mut self, stage: &file::Stage) -> Vec<Checkpoint> {
        self.names_fit(&stage.checkpoints, "checkpoints");
        let mut checkpoints = Vec::new();
        for (name, written) in &stage.checkpoints.0 {
            let target = written.target.as_ref().and_then(|word| self.period(word));
            if let Some(when) = self.condition(&written.when) {
                checkpoints.push(Checkpoint { name: name.value.clone(), when, target });
            }
        }
        checkpoints
    }
}

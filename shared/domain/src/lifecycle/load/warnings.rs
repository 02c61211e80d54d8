//! What a file may not mean as it is written.

use super::Loader;
use crate::lifecycle::file::{Enter, File, Stage, Word};

impl Loader<'_> {
    pub(super) fn warn(&mut self, file: &File) {
        self.ties(file);
        for (name, stage) in &file.stages.0 {
            self.no_way_in(file, name, stage);
            if stage.exits.as_ref().is_some_and(Vec::is_empty) && stage.leave.is_none() {
                let message = format!("nobody ever leaves the stage `{}`", name.value);
                self.caution(&name.referenced, message).help =
                    Some("list its `exits`, or leave the key out to allow them all".into());
            }
        }
    }

    /// Two stages that can follow the same one, with one priority.
    fn ties(&mut self, file: &File) {
        let stages = &file.stages.0;
        for (index, (name, stage)) in stages.iter().enumerate() {
            let Some(enter) = &stage.enter else { continue };
            let same = stages[..index].iter().find(|(other, written)| {
                let known = written.enter.as_ref();
                known.is_some_and(|known| {
                    known.priority == enter.priority
                        && (known.from.is_none() && enter.from.is_none()
                            || stages.iter().any(|(from, present)| {
                                let to = |word: &Word, enter| leads(from, present, word, enter);
                                to(name, enter) && to(other, known)
                            }))
                })
            });
            if let Some((other, _)) = same {
                let message = format!(
                    "the stages `{}` and `{}` have the same priority, {}",
                    other.value, name.value, enter.priority
                );
                self.caution(&name.referenced, message).help = Some(
                    "where both hold the first in the file wins; give them different priorities"
                        .into(),
                );
            }
        }
    }

    fn no_way_in(&mut self, file: &File, name: &Word, stage: &Stage) {
        let stages = &file.stages.0;
        let is_left_to = stages.iter().any(|(_, other)| {
            other.leave.as_ref().is_some_and(|leave| leave.to.value == name.value)
        });
        let is_entered = stage.enter.as_ref().is_some_and(|enter| {
            enter.from.is_none()
                || stages.iter().any(|(from, present)| leads(from, present, name, enter))
        });
        if !is_left_to && !is_entered {
            let message = format!("no customer ever enters the stage `{}`", name.value);
            self.caution(&name.referenced, message).help = Some(
                if stage.enter.is_some() {
                    "no stage of its `from` lists it among its `exits`"
                } else {
                    "give it an `enter`, or another stage a `leave` to it"
                }
                .into(),
            );
        }
    }
}

/// Whether a customer can go from one stage to another, by its exits and the other's `from`.
fn leads(from: &Word, present: &Stage, to: &Word, enter: &Enter) -> bool {
    let has_exit = present
        .exits
        .as_ref()
        .is_none_or(|exits| exits.iter().any(|exit| exit.to.value == to.value));
    let is_from =
        enter.from.as_ref().is_none_or(|list| list.iter().any(|word| word.value == from.value));
    from.value != to.value && has_exit && is_from
}

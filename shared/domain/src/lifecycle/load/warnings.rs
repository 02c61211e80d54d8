//! What a file may not mean as it is written.

use std::collections::BTreeSet;

use super::Loader;
use crate::lifecycle::file::{Enter, File, Stage, TraitType, Word};

impl Loader<'_> {
    pub(super) fn warn(&mut self, file: &File) {
        self.dropped(file);
        let entered = entered(file);
        for (name, stage) in &file.stages.0 {
            if !entered.contains(name.value.as_str()) {
                self.no_way_in(name, stage);
            }
            if stage.exits.as_ref().is_some_and(Vec::is_empty) && stage.leave.is_none() {
                let message = format!("nobody ever leaves the stage `{}`", name.value);
                self.caution(&name.referenced, message).help =
                    Some("list its `exits`, or leave the key out to allow them all".into());
            }
        }
    }

    fn no_way_in(&mut self, name: &Word, stage: &Stage) {
        let message = format!("no customer ever enters the stage `{}`", name.value);
        self.caution(&name.referenced, message).help = Some(
            if stage.enter.is_some() {
                "no stage of its `from` that customers are in lists it among its `exits`"
            } else {
                "give it an `enter`, or another stage a `leave` to it"
            }
            .into(),
        );
    }

    /// A trait that is not kept, and that something asks for all the same.
    fn dropped(&mut self, file: &File) {
        for (name, written) in &file.traits.0 {
            let TraitType::Kept(kept) = &written.value else { continue };
            let is_dropped = kept.pii.as_ref().is_some_and(|word| word.value == "drop");
            let path = format!("traits.{}", name.value);
            let is_asked = self.source.lines().map(code_of).any(|line| asks_for(line, &path));
            if is_dropped && is_asked {
                let message =
                    format!("`{path}` is dropped on arrival: what asks for it is never answered");
                self.caution(&name.referenced, message).help =
                    Some("hash it, or ask for something else".into());
            }
        }
    }
}

/// The stages that customers can come to: where new ones may begin, and what follows from there.
fn entered(file: &File) -> BTreeSet<&str> {
    let stages = &file.stages.0;
    let begins = |stage: &Stage| stage.enter.as_ref().is_some_and(|enter| enter.from.is_none());
    let mut entered: BTreeSet<&str> = stages
        .iter()
        .filter(|(_, stage)| begins(stage))
        .map(|(name, _)| name.value.as_str())
        .collect();
    loop {
        let before = entered.len();
        for (from, present) in stages {
            if !entered.contains(from.value.as_str()) {
                continue;
            }
            let next = stages.iter().filter(|(to, stage)| {
                stage.enter.as_ref().is_some_and(|enter| leads(from, present, to, enter))
            });
            let next: Vec<&str> = next.map(|(to, _)| to.value.as_str()).collect();
            entered.extend(next);
            entered.extend(present.leave.as_ref().map(|leave| leave.to.value.as_str()));
        }
        if entered.len() == before {
            return entered;
        }
    }
}

/// A line without its comment.
fn code_of(line: &str) -> &str {
    line.split_once(" #")
        .map_or(line, |(code, _)| code)
        .trim_start()
        .split('#')
        .next()
        .unwrap_or("")
}

/// Whether a line has a path as a whole.
fn asks_for(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let after = line[at + path.len()..].chars().next();
        after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
    })
}

/// Whether a customer can go from one stage to another, by its exits and the other's `from`.
pub(in crate::lifecycle) fn leads(from: &Word, present: &Stage, to: &Word, enter: &Enter) -> bool {
    let has_exit = present
        .exits
        .as_ref()
        .is_none_or(|exits| exits.iter().any(|exit| exit.to.value == to.value));
    let is_from =
        enter.from.as_ref().is_none_or(|list| list.iter().any(|word| word.value == from.value));
    from.value != to.value && has_exit && is_from
}

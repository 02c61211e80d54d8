//! Every condition of a file with its place and what it is called.

use crate::expr::{Condition, ConditionSource};
use crate::lifecycle::file::File;
use crate::lifecycle::{Lifecycle, Promise};
use crate::yaml::Location;

/// A condition of the file.
pub(super) struct Asked<'a> {
    /// What it belongs to: "the stage `a`".
    pub what: String,
    pub condition: &'a Condition,
    pub place: Location,
    source: &'a ConditionSource,
}

impl Asked<'_> {
    /// Where a name stands in it.
    pub fn place_of(&self, text: &str, path: &str) -> Option<Location> {
        let mut found = None;
        self.source.each_place(&mut |leaf| {
            let written = &text[leaf.range(text)];
            let whole = |at: usize| {
                let next = written[at + path.len()..].chars().next();
                !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
            };
            let at = written.match_indices(path).map(|(at, _)| at).find(|at| whole(*at));
            if let (None, Some(at)) = (found, at) {
                let start = leaf.start + at;
                found = Some(Location { start, end: start + path.len() });
            }
        });
        found
    }
}

/// All of them, in the order of the file.
pub(super) fn all<'a>(file: &'a File, lifecycle: &'a Lifecycle) -> Vec<Asked<'a>> {
    let mut all = Vec::new();
    let mut add = |what: String, source: &'a ConditionSource, condition: &'a Condition| {
        all.push(Asked { what, condition, place: source.location(), source });
    };
    for ((name, source), segment) in file.segments.0.iter().zip(&lifecycle.segments) {
        add(format!("the segment `{}`", name.value), source, &segment.condition);
    }
    for ((name, written), stage) in file.stages.0.iter().zip(&lifecycle.stages) {
        if let (Some(written), Some(enter)) = (&written.enter, &stage.enter) {
            add(format!("the stage `{}`", name.value), &written.when, &enter.when);
        }
        if let (Some(written), Some(leave)) = (&written.leave, &stage.leave) {
            let what = format!("`leave` of the stage `{}`", name.value);
            add(what, &written.when, &leave.when);
        }
        for ((name, written), point) in written.checkpoints.0.iter().zip(&stage.checkpoints) {
            add(format!("the checkpoint `{}`", name.value), &written.when, &point.when);
        }
    }
    for ((name, written), standard) in file.standards.0.iter().zip(&lifecycle.standards) {
        if let (Some(source), Some(condition)) = (&written.value.only_if, &standard.only_if) {
            add(format!("the standard `{}`", name.value), source, condition);
        }
        if let (Some(source), Promise::Holds { condition, .. }) =
            (&written.value.holds, &standard.promise)
        {
            add(format!("`holds` of the standard `{}`", name.value), source, condition);
        }
    }
    for (written, condition) in file.overlays.iter().zip(&lifecycle.overlays) {
        add("the overlay".to_owned(), &written.value.applies, condition);
    }
    all
}

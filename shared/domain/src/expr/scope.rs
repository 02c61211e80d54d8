//! The names an expression may use, and the nearest name to a misspelt one.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What kind of value a name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A number.
    Number,
    /// Any text: compared for equality only.
    Text,
    /// One of these declared words.
    Words(Arc<[Arc<str>]>),
    /// A calendar day.
    Date,
    /// An answer, as a segment gives it.
    YesNo,
    /// An event property: any scalar, known only when it is read.
    Dynamic,
}

/// What a name is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The kind of its values.
    pub ty: Type,
    /// The caller's index of it.
    pub slot: u32,
    /// Whether it was declared as one that may be missing.
    pub optional: bool,
}

/// The names an expression may use.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    names: BTreeMap<Box<str>, Binding>,
    open: BTreeSet<Box<str>>,
}

impl Scope {
    /// A scope without names.
    pub fn new() -> Self {
        Scope::default()
    }

    /// Lets expressions use `path`, such as `metrics.logins_7d`. The last declaration counts.
    pub fn declare(&mut self, path: &str, binding: Binding) {
        self.names.insert(path.into(), binding);
    }

    /// Lets expressions use every name below `root`, such as `event.status`, as a
    /// [`Type::Dynamic`] with the slot `u32::MAX`.
    pub fn open(&mut self, root: &str) {
        self.open.insert(root.into());
    }

    /// What `path` was declared as.
    pub fn get(&self, path: &str) -> Option<&Binding> {
        self.names.get(path)
    }

    /// Whether `path` is below an open root.
    pub(super) fn is_open(&self, path: &str) -> bool {
        path.split_once('.').is_some_and(|(root, _)| self.open.contains(root))
    }

    /// Whether `root` has names below it.
    pub(super) fn is_root(&self, root: &str) -> bool {
        self.open.contains(root) || self.below(root).next().is_some()
    }

    /// The names declared below `root`, without it.
    pub(super) fn below<'a>(&'a self, root: &'a str) -> impl Iterator<Item = &'a str> {
        self.paths().filter_map(move |path| path.strip_prefix(root)?.strip_prefix('.'))
    }

    /// Every declared name, in order.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(|path| &**path)
    }

    /// Everything an expression may begin with.
    pub(super) fn roots(&self) -> BTreeSet<&str> {
        let declared = self.paths().map(|path| path.split('.').next().unwrap_or(path));
        declared.chain(self.open.iter().map(|root| &**root)).collect()
    }

    /// Whether some name was declared with `word` among its words.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.names.values().any(|binding| match &binding.ty {
            Type::Words(words) => words.iter().any(|declared| &**declared == word),
            _ => false,
        })
    }
}

/// The candidate closest to `wrong`, if it is close enough to be a misspelling: a third of its
/// letters may differ, letter case does not count.
pub(super) fn nearest<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    let limit = (wrong.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|name| (strsim::osa_distance(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A few of `items` for a help line: `a, b, c and 4 more`.
pub(super) fn some_of<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let items: Vec<&str> = items.into_iter().collect();
    let shown = items[..items.len().min(SHOWN)].join(", ");
    match items.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

//! Expressions joined by the lists `all:`, `any:` and `none:` of a YAML file.
//!
//! A condition is first read with the place of each expression ([`ConditionSource`]), then compiled
//! against the names the whole file declares ([`Condition`]).

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::eval::Part;
use super::place;
use super::{Expected, Expr, Name, Problem, Row, Scope, Truth, Value, compile as compile_expr};

use crate::yaml::{Location, Spanned};

/// The deepest nesting of lists. The YAML reader's own limit keeps reading them within the stack.
const MAX_LISTS: u32 = 16;

/// A condition as read from YAML, with the place of every expression.
///
/// Either one expression, or a map with one or more of `all`, `any` and `none`, each a list of
/// conditions; with several of them, each must hold.
#[derive(Clone, Debug)]
pub struct ConditionSource(Spanned<Source>);

#[derive(Clone, Debug)]
enum Source {
    Leaf(String),
    Lists(Vec<(List, Vec<ConditionSource>)>),
}

/// How the conditions of a list are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    All,
    Any,
    None,
}

impl List {
    fn key(self) -> &'static str {
        match self {
            List::All => "all",
            List::Any => "any",
            List::None => "none",
        }
    }
}

impl<'de> Deserialize<'de> for ConditionSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Spanned::deserialize(deserializer).map(ConditionSource)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

/// Written by hand because a derived untagged enum would lose the places.
struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = Source;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a condition: an expression, or a map with `all`, `any` or `none`")
    }

    fn visit_str<E: Error>(self, expression: &str) -> Result<Source, E> {
        Ok(Source::Leaf(expression.to_owned()))
    }

    // An expression all the same: compiling it says that it is always yes or always no.
    fn visit_bool<E: Error>(self, yes: bool) -> Result<Source, E> {
        self.visit_str(if yes { "true" } else { "false" })
    }

    fn visit_unit<E: Error>(self) -> Result<Source, E> {
        self.visit_str("")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Source, A::Error> {
        let mut lists: Vec<(List, Vec<ConditionSource>)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            let list = match key.as_str() {
                "all" => List::All,
                "any" => List::Any,
                "none" => List::None,
                _ => return Err(A::Error::unknown_field(&key, &["all", "any", "none"])),
            };
            if lists.iter().any(|(known, _)| *known == list) {
                return Err(A::Error::duplicate_field(list.key()));
            }
            lists.push((list, map.next_value()?));
        }
        Ok(Source::Lists(lists))
    }
}

impl ConditionSource {
    /// Calls `visit` with the place of every expression.
    pub(crate) fn each_place(&self, visit: &mut impl FnMut(Location)) {
        match &self.0.value {
            Source::Leaf(_) => visit(self.0.defined),
            Source::Lists(lists) => {
                let conditions = lists.iter().flat_map(|(_, conditions)| conditions);
                conditions.for_each(|condition| condition.each_place(visit));
            }
        }
    }

    /// Where it stands.
    pub(crate) fn location(&self) -> Location {
        self.0.referenced
    }

    /// Where it stands in `file`, the text it was read from.
    pub(crate) fn place(&self, file: &str) -> Range<usize> {
        place::scalar(file, &self.0.referenced)
    }

    /// Compiles every expression; `file` is the text this was read from. Reports the problems of
    /// all expressions, with places in bytes of `file`.
    pub fn compile(&self, file: &str, scope: &Scope) -> Result<Condition, Vec<Problem>> {
        self.compile_at(file, scope, 0)
    }

    fn compile_at(&self, file: &str, scope: &Scope, depth: u32) -> Result<Condition, Vec<Problem>> {
        let place = |span: &Range<usize>| place::in_file(file, &self.0.defined, self.text(), span);
        if depth > MAX_LISTS {
            return Err(vec![
                Problem::new(place(&(0..0)), "these conditions are nested too deeply")
                    .label(format!("more than {MAX_LISTS} levels"))
                    .help("split them into named segments"),
            ]);
        }
        let lists = match &self.0.value {
            Source::Leaf(expression) => {
                return Condition::parse(expression, scope).map_err(|mut problems| {
                    for problem in &mut problems {
                        problem.span = place(&problem.span);
                    }
                    problems
                });
            }
            Source::Lists(lists) => lists,
        };
        if lists.iter().all(|(_, conditions)| conditions.is_empty()) {
            return Err(vec![
                Problem::new(place(&(0..0)), "there is no condition here")
                    .label("nothing to judge")
                    .help("write one under `all:`, `any:` or `none:`"),
            ]);
        }
        let mut problems = Vec::new();
        let mut compiled = Vec::new();
        for (list, conditions) in lists {
            if conditions.is_empty() {
                let message = format!("the list under `{}:` is empty", list.key());
                let problem = Problem::new(place(&(0..0)), message);
                problems.push(problem.label("nothing to judge").help("leave the key out"));
            }
            let mut parts = Vec::with_capacity(conditions.len());
            for condition in conditions {
                match condition.compile_at(file, scope, depth + 1) {
                    Ok(part) => parts.push(part),
                    Err(more) => problems.extend(more),
                }
            }
            compiled.push(Condition(Shape::List(*list, parts)));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(match compiled.len() {
            1 => compiled.swap_remove(0),
            _ => Condition(Shape::List(List::All, compiled)),
        })
    }

    fn text(&self) -> &str {
        match &self.0.value {
            Source::Leaf(expression) => expression,
            Source::Lists(_) => "",
        }
    }
}

/// A compiled condition.
#[derive(Clone, Debug)]
pub struct Condition(Shape);

#[derive(Clone, Debug)]
enum Shape {
    Leaf(Expr),
    List(List, Vec<Condition>),
}

/// One comparison of a condition with its own answer, for reasons and explanations.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf<'a> {
    /// The comparison as it was written.
    pub expression: &'a str,
    /// Its own answer: under `none:` the opposite is wanted.
    pub value: Truth,
    /// The names it read, with their values.
    pub inputs: Vec<(&'a str, Value<'a>)>,
}

impl Condition {
    /// A condition of one expression, without YAML around it.
    pub fn parse(source: &str, scope: &Scope) -> Result<Condition, Vec<Problem>> {
        compile_expr(source, scope, Expected::YesNo).map(|expr| Condition(Shape::Leaf(expr)))
    }

    /// The answer for `row`.
    pub fn truth(&self, row: &impl Row) -> Truth {
        match &self.0 {
            Shape::Leaf(expr) => expr.truth(row),
            Shape::List(list, parts) => {
                let parts = parts.iter().map(|part| part.truth(row));
                match list {
                    List::All => Truth::all(parts),
                    List::Any => Truth::any(parts),
                    List::None => Truth::any(parts).not(),
                }
            }
        }
    }

    /// Every comparison with its own answer and the values it read. The sides of `&&` and `||` are
    /// comparisons of their own; what is under a `!` stays whole.
    pub fn leaves<'a, R: Row>(&'a self, row: &'a R) -> Vec<Leaf<'a>> {
        let mut leaves = Vec::new();
        self.each(&mut |expr| add_leaves(expr, &expr.0.root, row, &mut leaves));
        leaves
    }

    /// The names it reads, each once, in the order of their first use.
    pub fn names(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> = Vec::new();
        self.each(&mut |expr| {
            for name in expr.names() {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        });
        names
    }

    /// The numbers that its expressions compare with or compute by.
    pub fn numbers(&self) -> Vec<f64> {
        let mut numbers = Vec::new();
        self.each(&mut |expr| numbers.extend(expr.numbers()));
        numbers
    }

    /// Calls `visit` with the names and the constants of each comparison.
    pub(crate) fn each_comparison(&self, visit: &mut impl FnMut(&[&Name], &[Value<'_>])) {
        self.each(&mut |expr| {
            expr.0.root.node.comparisons(&mut |reads, constants| {
                let names = reads.iter().filter_map(|read| expr.names().get(*read as usize));
                visit(&names.collect::<Vec<_>>(), constants);
            });
        });
    }

    /// Whether the answer may change at midnight with no new fact.
    pub fn uses_date(&self) -> bool {
        let mut uses_date = false;
        self.each(&mut |expr| uses_date |= expr.uses_date());
        uses_date
    }

    /// The most steps one evaluation can take.
    pub fn cost(&self) -> u32 {
        let mut cost = 0_u32;
        self.each(&mut |expr| cost = cost.saturating_add(expr.cost()));
        cost
    }

    /// The condition on one line: `all(a, any(b, c))`.
    pub fn describe(&self) -> String {
        match &self.0 {
            Shape::Leaf(expr) => expr.source().trim().replace(['\n', '\r', '\t'], " "),
            Shape::List(list, parts) => {
                let parts: Vec<String> = parts.iter().map(Condition::describe).collect();
                format!("{}({})", list.key(), parts.join(", "))
            }
        }
    }

    fn each<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        match &self.0 {
            Shape::Leaf(expr) => visit(expr),
            Shape::List(_, parts) => parts.iter().for_each(|part| part.each(visit)),
        }
    }
}

fn add_leaves<'a, R: Row>(expr: &'a Expr, part: &'a Part, row: &'a R, leaves: &mut Vec<Leaf<'a>>) {
    if let Some(parts) = part.node.parts() {
        parts.iter().for_each(|part| add_leaves(expr, part, row, leaves));
        return;
    }
    let mut reads = Vec::new();
    part.node.reads(&mut reads);
    let names = reads.iter().filter_map(|name| expr.names().get(*name as usize));
    leaves.push(Leaf {
        expression: &expr.source()[part.span.clone()],
        value: part.node.truth(row, expr.names()),
        inputs: names.map(|name| (&*name.path, row.get(name).finite())).collect(),
    });
}

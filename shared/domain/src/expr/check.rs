//! Checks a tree against the names in scope and compiles it.
//!
//! Every problem is collected, each reported once: what a problem makes unknowable has no type and
//! is not complained about again.

use std::ops::Range;

use jiff::civil::Date;

use super::eval::{Constant, Node, Part};
use super::kinds::{has_order, is_comparable};
use super::scope::{Scope, Type};
use super::tree::{Arith, Compare, Join, Kind, Tree};
use super::value::{Name, Row, Value};
use super::{Compiled, Expected, MAX_WHOLE, Problem};

/// Checks and compiles the tree of `source`, or lists everything wrong with it.
pub(super) fn check(
    source: &str,
    tree: &Tree<'_>,
    scope: &Scope,
    expected: Expected,
) -> Result<Compiled, Vec<Problem>> {
    let mut checker = Checker {
        source,
        scope,
        names: Vec::new(),
        problems: Vec::new(),
        uses_date: false,
        cost: 0,
        takes_any: expected == Expected::Any,
    };
    let node = match expected {
        Expected::YesNo => checker.condition(tree),
        Expected::Number => checker.number(tree).node,
        Expected::Any => checker.value(tree).node,
    };
    if !checker.problems.is_empty() {
        return Err(checker.problems);
    }
    Ok(Compiled {
        source: source.into(),
        root: Part { node, span: tree.span.clone() },
        names: checker.names.into(),
        cost: checker.cost,
        uses_date: checker.uses_date,
    })
}

pub(super) struct Checker<'s> {
    source: &'s str,
    pub scope: &'s Scope,
    pub names: Vec<Name>,
    problems: Vec<Problem>,
    pub uses_date: bool,
    cost: u32,
    /// Whether what could only be a mistake in a file is answered as CEL does.
    takes_any: bool,
}

/// A compiled part of an expression.
pub(super) struct Checked {
    pub node: Node,
    /// None after a problem.
    pub ty: Option<Type>,
    /// Whether it is the same for every row.
    fixed: bool,
    /// Whether CEL computes it in whole numbers.
    whole: bool,
}

impl Checked {
    pub fn new(node: Node, ty: Type) -> Self {
        Checked { node, ty: Some(ty), fixed: false, whole: false }
    }

    pub fn fixed(constant: Constant, ty: Type) -> Self {
        Checked { fixed: true, ..Checked::new(Node::Constant(constant), ty) }
    }

    /// What stands for a part with a problem; it is never evaluated.
    fn wrong() -> Self {
        Checked { node: Node::Today, ty: None, fixed: false, whole: false }
    }

    fn fixed_number(&self) -> Option<f64> {
        if self.fixed { self.node.number(&NoRow, &[]) } else { None }
    }
}

/// The row of what is the same for every row.
struct NoRow;

impl Row for NoRow {
    fn get(&self, _: &Name) -> Value<'_> {
        Value::Missing
    }

    fn today(&self) -> Date {
        Date::ZERO
    }
}

impl Checker<'_> {
    pub fn wrong(&mut self, problem: Problem) -> Checked {
        self.problems.push(problem);
        Checked::wrong()
    }

    fn text(&self, span: &Range<usize>) -> &str {
        &self.source[span.clone()]
    }

    /// An expression of any type.
    pub fn value(&mut self, tree: &Tree<'_>) -> Checked {
        self.cost += 1;
        match &tree.kind {
            Kind::Number { value, whole } => {
                Checked { whole: *whole, ..Checked::fixed(Constant::Number(*value), Type::Number) }
            }
            Kind::Text(text) => Checked::fixed(Constant::Text(text.as_str().into()), Type::Text),
            Kind::YesNo(yes) => Checked::fixed(Constant::YesNo(*yes), Type::YesNo),
            Kind::Path(path) => self.path(path, &tree.span),
            Kind::Call { name, name_span, arguments } => {
                self.call(name, name_span, arguments, &tree.span)
            }
            Kind::Not(inner) => {
                Checked::new(Node::Not(Box::new(self.condition(inner))), Type::YesNo)
            }
            Kind::Join(join, parts) => self.join(*join, parts),
            Kind::Negate(inner) => self.negate(inner),
            Kind::Compare(compare, sides) => self.compare(*compare, sides, &tree.span),
            Kind::In(left, list) => self.is_in(left, list, &tree.span),
            Kind::Arith(arith, sides) => self.arith(*arith, sides, &tree.span),
        }
    }

    /// An expression that must be yes or no, and not always the same.
    fn condition(&mut self, tree: &Tree<'_>) -> Node {
        let checked = self.value(tree);
        let (article, help) = match &checked.ty {
            Some(Type::YesNo) if checked.fixed && !self.takes_any => {
                return self.always(&checked.node, &tree.span).node;
            }
            None | Some(Type::YesNo | Type::Dynamic) => return checked.node,
            Some(Type::Number) => ("a number", format!("{} > 0", self.text(&tree.span))),
            Some(Type::Date) => ("a date", format!("{} <= today", self.text(&tree.span))),
            Some(Type::Text | Type::Words(_)) => {
                ("a text", format!("{} == \"...\"", self.text(&tree.span)))
            }
        };
        let help = match &tree.kind {
            Kind::Path(_) => format!("compare it, as in `{help}`, or ask `has(...)`"),
            _ => "compare it with something".to_owned(),
        };
        self.wrong(
            Problem::new(
                tree.span.clone(),
                format!("a condition is yes or no, and this is {article}"),
            )
            .label(article)
            .help(help),
        )
        .node
    }

    /// A condition without any name in it.
    fn always(&mut self, node: &Node, span: &Range<usize>) -> Checked {
        let answer = match node.value(&NoRow, &[]) {
            Value::YesNo(true) => "always yes",
            Value::YesNo(false) => "always no",
            _ => "never known",
        };
        let message = format!("`{}` is {answer}", self.text(span));
        self.wrong(
            Problem::new(span.clone(), message)
                .label(answer)
                .help("compare something that differs between customers, or leave it out"),
        )
    }

    fn join(&mut self, join: Join, parts: &[Tree<'_>]) -> Checked {
        let parts = parts
            .iter()
            .map(|part| Part { node: self.condition(part), span: part.span.clone() })
            .collect();
        Checked::new(Node::Join(join, parts), Type::YesNo)
    }

    /// An expression that must be a number.
    fn number(&mut self, tree: &Tree<'_>) -> Checked {
        let checked = self.value(tree);
        let (article, help) = match &checked.ty {
            None => return Checked::wrong(),
            Some(Type::Number | Type::Dynamic) => return checked,
            Some(Type::Text | Type::Words(_)) => ("a text", "texts can only be compared"),
            Some(Type::YesNo) => ("a yes or no", "join conditions with `&&` and `||`"),
            Some(Type::Date) => {
                ("a date", "count days with `days_until(x)` or `days_since(x)`, which are numbers")
            }
        };
        self.wrong(
            Problem::new(tree.span.clone(), format!("a number is needed, and this is {article}"))
                .label(article)
                .help(help),
        )
    }

    fn negate(&mut self, inner: &Tree<'_>) -> Checked {
        let inner = self.number(inner);
        if inner.ty.is_none() {
            return inner;
        }
        let node = match inner.fixed_number() {
            Some(number) => Node::Constant(Constant::Number(-number)),
            None => Node::Negate(Box::new(inner.node)),
        };
        Checked { node, ty: Some(Type::Number), ..inner }
    }

    fn arith(&mut self, arith: Arith, sides: &[Tree<'_>; 2], span: &Range<usize>) -> Checked {
        let (left, right) = (self.number(&sides[0]), self.number(&sides[1]));
        if left.ty.is_none() || right.ty.is_none() {
            return Checked::wrong();
        }
        let by_zero =
            matches!(arith, Arith::Divide | Arith::Remainder) && right.fixed_number() == Some(0.0);
        if by_zero && self.takes_any {
            return Checked::new(
                Node::Arith(arith, Box::new([left.node, right.node])),
                Type::Number,
            );
        }
        if by_zero {
            return self.wrong(
                Problem::new(sides[1].span.clone(), "a division by zero has no answer")
                    .label("always zero")
                    .help("divide by something else"),
            );
        }
        if arith == Arith::Remainder
            && let Some(side) =
                [(&left, &sides[0]), (&right, &sides[1])].iter().find(|(s, _)| s.fixed && !s.whole)
        {
            return self.wrong(
                Problem::new(side.1.span.clone(), "`%` is for whole numbers")
                    .label("not a whole number")
                    .help("write both sides without a point"),
            );
        }
        let whole = left.whole && right.whole;
        let fixed = left.fixed && right.fixed;
        let node = Node::Arith(arith, Box::new([left.node, right.node]));
        if !fixed {
            return Checked::new(node, Type::Number);
        }
        match node.number(&NoRow, &[]) {
            Some(number) if whole && number.fract() != 0.0 => {
                let message = format!("`{}` drops the rest of the division", self.text(span));
                let help = format!("write `{}.0` for a fraction", self.text(&sides[0].span));
                self.wrong(Problem::new(span.clone(), message).label("whole numbers").help(help))
            }
            Some(number) if !whole || number.abs() <= MAX_WHOLE => {
                Checked { whole, ..Checked::fixed(Constant::Number(number), Type::Number) }
            }
            _ => self
                .wrong(Problem::new(span.clone(), "this number is too large").label("too large")),
        }
    }

    fn compare(&mut self, compare: Compare, sides: &[Tree<'_>; 2], span: &Range<usize>) -> Checked {
        let (left, right) = (self.value(&sides[0]), self.value(&sides[1]));
        let (left_type, right_type) = (left.ty.clone(), right.ty.clone());
        let left = self.adapt(left, &sides[0].span, right_type.as_ref());
        let right = self.adapt(right, &sides[1].span, left_type.as_ref());
        let (Some(left_type), Some(right_type)) = (&left.ty, &right.ty) else {
            return Checked::wrong();
        };
        if !is_comparable(left_type, right_type) {
            return self.mismatch(left_type, right_type, span);
        }
        if !matches!(compare, Compare::Equal | Compare::NotEqual) {
            for (side, tree) in [(&left, &sides[0]), (&right, &sides[1])] {
                if !self.takes_any && !has_order(side) {
                    return self.no_order(side.ty.as_ref(), &tree.span);
                }
            }
        }
        self.uses_date |= [left_type, right_type].contains(&&Type::Date);
        let fixed = left.fixed && right.fixed;
        let is_number = [left_type, right_type].contains(&&Type::Number);
        let sides = Box::new([left.node, right.node]);
        let node = match is_number {
            true => Node::CompareNumbers(compare, sides),
            false => Node::Compare(compare, sides),
        };
        match fixed && !self.takes_any {
            true => self.always(&node, span),
            false => Checked { fixed, ..Checked::new(node, Type::YesNo) },
        }
    }

    fn is_in(&mut self, left: &Tree<'_>, list: &[Tree<'_>], span: &Range<usize>) -> Checked {
        let checked = self.value(left);
        if list.is_empty() {
            let problem = Problem::new(span.clone(), "nothing is in an empty list");
            return self.wrong(problem.label("always no").help("name the values: `x in [\"a\"]`"));
        }
        let items: Vec<Option<Constant>> =
            list.iter().map(|item| self.item(item, checked.ty.as_ref())).collect();
        let items: Option<Box<[Constant]>> = items.into_iter().collect();
        let (Some(items), Some(ty)) = (items, &checked.ty) else { return Checked::wrong() };
        self.uses_date |= *ty == Type::Date;
        let fixed = checked.fixed;
        let node = Node::In(Box::new(checked.node), items);
        match fixed && !self.takes_any {
            true => self.always(&node, span),
            false => Checked { fixed, ..Checked::new(node, Type::YesNo) },
        }
    }

    /// One value of a list, for something of the type `beside`.
    fn item(&mut self, tree: &Tree<'_>, beside: Option<&Type>) -> Option<Constant> {
        let item = self.value(tree);
        let item = self.adapt(item, &tree.span, beside);
        let ty = item.ty?;
        if let Some(beside) = beside
            && !is_comparable(beside, &ty)
        {
            self.mismatch(beside, &ty, &tree.span);
            return None;
        }
        match item.node {
            Node::Constant(constant) => Some(constant),
            _ => {
                let problem = Problem::new(tree.span.clone(), "a list holds constants only");
                self.wrong(
                    problem.label("not a constant").help("compare with `==` and join with `||`"),
                );
                None
            }
        }
    }
}

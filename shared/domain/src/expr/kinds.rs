//! Which kinds of values can be compared, and how a text literal is read beside another kind.

use std::ops::Range;

use super::Problem;
use super::check::{Checked, Checker};
use super::eval::{Constant, Node, parse_date};
use super::scope::{Type, nearest, some_of};

impl Checker<'_> {
    /// Reads a text literal as what it is compared with: a declared word or a date.
    pub fn adapt(&mut self, side: Checked, span: &Range<usize>, beside: Option<&Type>) -> Checked {
        let Node::Constant(Constant::Text(text)) = &side.node else { return side };
        match beside {
            Some(Type::Words(words)) if words.iter().any(|word| word == text) => {
                Checked::fixed(Constant::Text(text.clone()), Type::Words(words.clone()))
            }
            Some(Type::Words(words)) => {
                let help = match nearest(text, words.iter().map(|word| &**word)) {
                    Some(word) => format!("did you mean \"{word}\"?"),
                    None => format!("the words are: {}", some_of(words.iter().map(|w| &**w))),
                };
                let message = format!("\"{text}\" is not one of the declared values");
                self.wrong(Problem::new(span.clone(), message).label("unknown value").help(help))
            }
            Some(Type::Date) => match parse_date(text) {
                Some(date) => Checked::fixed(Constant::Date(date), Type::Date),
                None => {
                    let message = format!("\"{text}\" is not a date");
                    self.wrong(
                        Problem::new(span.clone(), message)
                            .label("compared with a date")
                            .help("write year, month and day, as in \"2026-12-25\""),
                    )
                }
            },
            _ => side,
        }
    }

    pub fn mismatch(&mut self, left: &Type, right: &Type, span: &Range<usize>) -> Checked {
        let (one, other) = (article(left), article(right));
        let problem = Problem::new(span.clone(), format!("{one} cannot be compared with {other}"))
            .label("two kinds of values");
        self.wrong(match (left, right) {
            (Type::Number, Type::Text) | (Type::Text, Type::Number) => {
                problem.help("a number has no quotes")
            }
            (Type::YesNo, Type::Text) | (Type::Text, Type::YesNo) => {
                problem.help("write `true` or `false`, without quotes")
            }
            (Type::Number, Type::Date) | (Type::Date, Type::Number) => {
                problem.help("count days with `days_until(x)` or `days_since(x)`")
            }
            _ => problem.help("compare values of one kind"),
        })
    }

    pub fn no_order(&mut self, ty: Option<&Type>, span: &Range<usize>) -> Checked {
        let kind = ty.map_or("this", article);
        let help = match ty {
            Some(Type::YesNo) => "use it as it is, or with `!`",
            Some(Type::Words(_)) => "use `==`, `!=`, or `in` with the words meant",
            _ => "use `==` or `!=`; a number has no quotes",
        };
        let problem = Problem::new(span.clone(), format!("{kind} has no order"));
        self.wrong(problem.label("cannot be less or more").help(help))
    }
}

/// Whether values of the two types can be compared at all.
pub(super) fn is_comparable(left: &Type, right: &Type) -> bool {
    use Type::{Date, Dynamic, Number, Text, Words, YesNo};
    matches!(
        (left, right),
        (Dynamic, _)
            | (_, Dynamic)
            | (Number, Number)
            | (Date, Date)
            | (YesNo, YesNo)
            | (Text | Words(_), Text | Words(_))
    )
}

/// Whether a side of `<` may stand there. A text that is a date sorts as one beside a property.
pub(super) fn has_order(side: &Checked) -> bool {
    match (&side.ty, &side.node) {
        (Some(Type::Text), Node::Constant(Constant::Text(text))) => parse_date(text).is_some(),
        (Some(Type::Text | Type::Words(_) | Type::YesNo), _) => false,
        _ => true,
    }
}

fn article(ty: &Type) -> &'static str {
    match ty {
        Type::Number => "a number",
        Type::Text => "a text",
        Type::Words(_) => "a word",
        Type::Date => "a date",
        Type::YesNo => "a yes or no",
        Type::Dynamic => "an event property",
    }
}

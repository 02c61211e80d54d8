//! Finds names and functions, and says what was probably meant when there is none.

use std::ops::Range;

use super::Problem;
use super::check::{Checked, Checker};
use super::eval::{Direction, Node};
use super::scope::{Type, nearest, some_of};
use super::tree::{Kind, Tree};
use super::value::Name;

const FUNCTIONS: [&str; 3] = ["has", "days_until", "days_since"];

impl Checker<'_> {
    /// A name with its type.
    pub fn path(&mut self, path: &str, span: &Range<usize>) -> Checked {
        if path == "today" {
            self.uses_date = true;
            return Checked::new(Node::Today, Type::Date);
        }
        match self.name(path, span) {
            Ok((name, ty)) => Checked::new(Node::Name(name), ty),
            Err(problem) => self.wrong(problem),
        }
    }

    /// The index of a name among those the expression reads.
    fn name(&mut self, path: &str, span: &Range<usize>) -> Result<(u32, Type), Problem> {
        let (ty, slot) = match self.scope.get(path) {
            Some(binding) => (binding.ty.clone(), binding.slot),
            None if self.scope.is_open(path) => (Type::Dynamic, u32::MAX),
            None => return Err(self.unknown(path, span)),
        };
        let known = self.names.iter().position(|name| &*name.path == path);
        let index = known.unwrap_or_else(|| {
            self.names.push(Name { path: path.into(), slot });
            self.names.len() - 1
        });
        // An expression has at most a few hundred names.
        Ok((u32::try_from(index).unwrap_or(u32::MAX), ty))
    }

    fn unknown(&self, path: &str, span: &Range<usize>) -> Problem {
        match path.split_once('.') {
            Some((root, rest)) if self.scope.is_root(root) => self.unknown_below(root, rest, span),
            Some((root, rest)) => {
                let problem = Problem::new(
                    span.start..span.start + root.len(),
                    format!("there is no `{root}`"),
                );
                let roots = self.scope.roots();
                problem.label("not known").help(match nearest(root, roots.iter().copied()) {
                    Some(found) => format!("did you mean `{found}.{rest}`?"),
                    None => format!("names begin with: {}", some_of(roots)),
                })
            }
            None => self.unknown_word(path, span),
        }
    }

    fn unknown_below(&self, root: &str, rest: &str, span: &Range<usize>) -> Problem {
        // The only root that is not called what its part of the file is called.
        let heading = if root == "segment" { "segments" } else { root };
        let problem =
            Problem::new(span.clone(), format!("there is no `{rest}` under `{heading}:`"));
        let elsewhere = |path: &&str| path.split_once('.').is_some_and(|(_, name)| name == rest);
        let below = || self.scope.below(root);
        problem.label("not declared").help(if let Some(path) = self.scope.paths().find(elsewhere) {
            format!("did you mean `{path}`?")
        } else if let Some(name) = nearest(rest, below()) {
            format!("did you mean `{root}.{name}`?")
        } else {
            format!("declared there: {}", some_of(below()))
        })
    }

    /// A name without a dot.
    fn unknown_word(&self, word: &str, span: &Range<usize>) -> Problem {
        if self.scope.is_root(word) {
            let help = match self.scope.below(word).next() {
                Some(name) => format!("write a name below it, such as `{word}.{name}`"),
                None => format!("write a name below it, such as `{word}.status`"),
            };
            return Problem::new(span.clone(), format!("`{word}` is not a value"))
                .label("has names below it")
                .help(help);
        }
        let named = |path: &&str| path.rsplit('.').next() == Some(word);
        let help = if self.scope.is_word(word) {
            format!("a text needs quotes: \"{word}\"")
        } else if let Some(path) = self.scope.paths().find(named) {
            format!("did you mean `{path}`?")
        } else if let Some(near) = nearest(word, self.scope.paths().chain(["today"])) {
            format!("did you mean `{near}`?")
        } else {
            format!(
                "names begin with: {}; a text needs quotes: \"{word}\"",
                some_of(self.scope.roots())
            )
        };
        Problem::new(span.clone(), format!("there is no `{word}`")).label("not known").help(help)
    }

    /// A call of one of the three functions.
    pub fn call(
        &mut self,
        name: &str,
        name_span: &Range<usize>,
        arguments: &[Tree<'_>],
        span: &Range<usize>,
    ) -> Checked {
        if !FUNCTIONS.contains(&name) {
            let last = name.rsplit('.').next().unwrap_or(name);
            let problem = Problem::new(name_span.clone(), format!("there is no function `{last}`"));
            return self.wrong(problem.label("not a function").help(
                match nearest(last, FUNCTIONS) {
                    Some(found) => format!("did you mean `{found}(...)`?"),
                    None => "the functions are has(x), days_until(x) and days_since(x)".to_owned(),
                },
            ));
        }
        let [argument] = arguments else {
            let message = format!("`{name}` takes one value, and here are {}", arguments.len());
            let help = format!("write `{name}(x)`");
            return self.wrong(Problem::new(span.clone(), message).label("one value").help(help));
        };
        match name {
            "has" => self.has(argument),
            "days_until" => self.days(Direction::Until, argument),
            _ => self.days(Direction::Since, argument),
        }
    }

    fn has(&mut self, argument: &Tree<'_>) -> Checked {
        let problem = match argument.kind {
            Kind::Path("today") => Problem::new(argument.span.clone(), "`today` is always known"),
            Kind::Path(path) => match self.name(path, &argument.span) {
                Ok((name, _)) if path.contains('.') => {
                    return Checked::new(Node::Has(name), Type::YesNo);
                }
                Ok(_) => Problem::new(argument.span.clone(), "`has` takes a name with a dot"),
                Err(problem) => return self.wrong(problem),
            },
            _ => Problem::new(argument.span.clone(), "`has` takes a name"),
        };
        self.wrong(problem.label("not such a name").help("write `has(traits.x)`"))
    }

    fn days(&mut self, direction: Direction, argument: &Tree<'_>) -> Checked {
        self.uses_date = true;
        let date = self.value(argument);
        let date = self.adapt(date, &argument.span, Some(&Type::Date));
        match date.ty {
            None => date,
            Some(Type::Date | Type::Dynamic) => {
                Checked::new(Node::Days(direction, Box::new(date.node)), Type::Number)
            }
            Some(_) => self.wrong(
                Problem::new(argument.span.clone(), "days are counted to a date")
                    .label("not a date")
                    .help("give it a trait of the type `date`, or `date?`"),
            ),
        }
    }
}

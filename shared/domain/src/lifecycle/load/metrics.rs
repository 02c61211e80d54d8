//! Traits and metrics: what is told, and what is counted.

use super::uses::{self, Uses};
use super::{Known, Loader, days, words};
use crate::expr::{Expected, Expr, Scope, Type};
use crate::lifecycle::diagnostic::nearest;
use crate::lifecycle::file::{self, File, Word};
use crate::lifecycle::names::{Slot, declare};
use crate::lifecycle::{Metric, MetricKind, Subject, Trait};
use crate::measure::{Counting, Measures, Need};
use crate::personal::Treatment;
use crate::yaml::{Location, Spanned};

impl Loader<'_> {
    pub(super) fn traits(&mut self, file: &File) -> Vec<Trait> {
        self.names_fit(&file.traits, "traits");
        let mut traits = Vec::new();
        for (name, written) in &file.traits.0 {
            let (written, pii) = match &written.value {
                file::TraitType::Kept(kept) => (&kept.ty, kept.pii.as_ref()),
                file::TraitType::Named(_) | file::TraitType::Words(_) => (written, None),
            };
            let Some((ty, optional)) = self.trait_type(name, written) else { continue };
            let pii = pii.and_then(|word| self.treatment(name, word, &ty));
            let slot = Slot::Trait(traits.len());
            let path = format!("traits.{}", name.value);
            // A sender may leave out any fact; `?` says that its author knows.
            declare(&mut self.scope, &path, ty.clone(), slot, optional);
            traits.push(Trait { name: name.value.clone(), ty, pii });
        }
        traits
    }

    /// A trait's type, and whether its author knows that it may be missing.
    fn trait_type(
        &mut self,
        name: &Word,
        written: &Spanned<file::TraitType>,
    ) -> Option<(Type, bool)> {
        Some(match &written.value {
            file::TraitType::Words(list) if list.is_empty() => {
                let message = format!("the trait `{}` has no words to choose from", name.value);
                self.error(&written.referenced, message).help =
                    Some("list them, as `[trial, team]`, or make it `text`".into());
                return None;
            }
            file::TraitType::Words(list) => {
                for word in list {
                    self.is_plainly_a_word(word);
                }
                (words(list.iter().map(|word| &word.value)), false)
            }
            file::TraitType::Named(text) => {
                let (word, optional) =
                    text.strip_suffix('?').map_or((text.as_str(), false), |word| (word, true));
                let ty = match word {
                    "text" | "email" | "account" => Type::Text,
                    "number" => Type::Number,
                    "date" => Type::Date,
                    "yes_no" => Type::YesNo,
                    other => {
                        let known = ["text", "email", "number", "date", "yes_no", "account"];
                        let help = nearest(other, known).map_or_else(
                            || "use text, email, number, date, yes_no or a list of words".into(),
                            |near| format!("did you mean `{near}`?"),
                        );
                        self.error(&written.referenced, format!("`{other}` is no type")).help =
                            Some(help);
                        return None;
                    }
                };
                (ty, optional)
            }
            file::TraitType::Kept(_) => {
                self.error(&written.referenced, "a type is a word, or a list of words");
                return None;
            }
        })
    }

    /// What happens to a trait on arrival.
    fn treatment(&mut self, name: &Word, word: &Word, ty: &Type) -> Option<Treatment> {
        let treatments = [Treatment::Hash, Treatment::Drop];
        let known = Known { kind: "treatment", names: vec!["hash", "drop"] };
        let treatment = treatments[self.find(word, &known)?];
        if treatment == Treatment::Hash && *ty != Type::Text {
            let message = format!("`{}` would be a text once it is hashed", name.value);
            self.error(&word.referenced, message).help =
                Some("make it `text` or `email`, or use `pii: drop`".into());
        }
        Some(treatment)
    }

    /// `no` is a text here, and a yes or no to most other readers of YAML.
    fn is_plainly_a_word(&mut self, word: &Word) {
        let written = &self.source[word.referenced.range(self.source)];
        let lower = written.to_ascii_lowercase();
        let is_flag = ["yes", "no", "on", "off", "y", "n", "true", "false", "null", "~"];
        if is_flag.contains(&lower.as_str()) {
            let message =
                format!("`{written}` is a word here, and a yes or no to other readers of YAML");
            self.error(&word.referenced, message).help = Some(format!("quote it: \"{written}\""));
        }
    }

    pub(super) fn metrics(&mut self, file: &File, measures: &mut Measures) -> Vec<Metric> {
        self.names_fit(&file.metrics, "metrics");
        for (index, (name, _)) in file.metrics.0.iter().enumerate() {
            let path = format!("metrics.{}", name.value);
            declare(&mut self.scope, &path, Type::Number, Slot::Metric(index), true);
        }
        let placeholder = MetricKind::DaysSince { measure: 0 };
        let mut metrics = Vec::new();
        for (name, written) in &file.metrics.0 {
            let kind = match &written.value {
                file::Metric::Counted(counted) => {
                    let is_whole = self.is_whole("metrics", name);
                    is_whole.then(|| self.counted(counted, &written.referenced, measures)).flatten()
                }
                file::Metric::Formula(text) => {
                    let word = Spanned {
                        value: text.clone(),
                        referenced: written.referenced,
                        defined: written.defined,
                    };
                    let scope = self.scope.clone();
                    self.expression(&word, &scope, Expected::Number).map(MetricKind::Formula)
                }
            };
            let kind = kind.unwrap_or_else(|| placeholder.clone());
            let rolls_up = match &written.value {
                file::Metric::Counted(counted) => counted.roll_up.as_ref().is_some_and(|r| r.value),
                file::Metric::Formula(_) => false,
            };
            metrics.push(Metric { name: name.value.clone(), kind, rolls_up });
        }
        let uses: Vec<Uses> = metrics
            .iter()
            .map(|metric| match &metric.kind {
                MetricKind::Formula(formula) => {
                    Uses::of_formula(formula, |name| match Slot::of(name.slot) {
                        Slot::Metric(index) => Some(index),
                        _ => None,
                    })
                }
                _ => Uses { steps: 1, others: Vec::new() },
            })
            .collect();
        match uses::steps(&uses) {
            Ok(steps) => self.metric_steps = steps,
            Err(endless) => {
                let names: Vec<&Word> = file.metrics.0.iter().map(|(name, _)| name).collect();
                self.endless(endless, "formula of", &names);
            }
        }
        metrics
    }

    /// The trait that names an account's parent, where some metric rolls up.
    pub(super) fn parent(&mut self, file: &File, subject: Subject) -> Option<usize> {
        let asked = file.metrics.0.iter().find_map(|(_, written)| match &written.value {
            file::Metric::Counted(counted) => counted.roll_up.as_ref().filter(|asked| asked.value),
            file::Metric::Formula(_) => None,
        })?;
        let is_account = |ty: &file::TraitType| match ty {
            file::TraitType::Named(text) => text.trim_end_matches('?') == "account",
            // One that is hashed or dropped leads to nobody.
            file::TraitType::Words(_) | file::TraitType::Kept(_) => false,
        };
        let traits = file.traits.0.iter().filter(|(_, ty)| is_account(&ty.value));
        let accounts: Vec<&Word> = traits.map(|(name, _)| name).collect();
        if subject == Subject::User {
            self.error(&asked.referenced, "nothing is above a user, for metrics to roll up to")
                .help = Some(
                "leave `roll_up` out, or make accounts the customers: `subject: account`".into(),
            );
            return None;
        }
        let parent = match accounts.as_slice() {
            [] => {
                self.error(&asked.referenced, "nothing says which account is above which").help =
                    Some(
                        "declare the trait that names an account's parent: `parent: account?`"
                            .into(),
                    );
                return None;
            }
            [parent] => parent,
            [_, second, ..] => match accounts.iter().find(|name| name.value == "parent") {
                Some(parent) => parent,
                None => {
                    self.error(
                        &second.referenced,
                        "two traits name an account, none is `parent`",
                    )
                    .help = Some("name the one that metrics roll up by `parent`".into());
                    return None;
                }
            },
        };
        self.traits.iter().position(|name| *name == parent.value)
    }

    fn counted(
        &mut self,
        counted: &file::Counted,
        location: &Location,
        measures: &mut Measures,
    ) -> Option<MetricKind> {
        let kinds = [
            ("count", &counted.count),
            ("days_with", &counted.days_with),
            ("distinct", &counted.distinct),
            ("sum", &counted.sum),
            ("latest", &counted.latest),
            ("days_since", &counted.days_since),
            ("change", &counted.change),
        ];
        let mut given = kinds.iter().filter_map(|(kind, word)| Some((*kind, word.as_ref()?)));
        let (Some((kind, what)), None) = (given.next(), given.next()) else {
            let words: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).collect();
            self.error(location, format!("a metric has exactly one of {}", words.join(", ")));
            return None;
        };
        for (word, name, fits) in [
            (&counted.minus, "minus", matches!(kind, "count" | "sum")),
            (&counted.over, "over", !matches!(kind, "latest" | "days_since")),
            (&counted.against, "against", kind == "change"),
            (&counted.stale_after, "stale_after", kind == "latest"),
        ] {
            if let (Some(word), false) = (word, fits) {
                self.error(&word.referenced, format!("`{name}` has no meaning with `{kind}`"));
            }
        }
        if let Some(word) = counted.against.as_ref().filter(|word| word.value != "previous") {
            self.error(&word.referenced, "`against` can be `previous` only");
        }
        let filter = match &counted.filter {
            None => None,
            Some(word) => Some(self.event_filter(word)?),
        };
        let over = match &counted.over {
            None => None,
            Some(word) => Some(self.window(word)?),
        };
        let needs_over = matches!(kind, "days_with" | "distinct" | "change");
        if needs_over && over.is_none() {
            self.error(location, format!("`{kind}` needs a window")).help =
                Some("add `over: 28d`".into());
            return None;
        }
        let keep = over.map(|seconds| days(seconds) * if kind == "change" { 2 } else { 1 });
        let name = Some(what.value.clone());
        let mut add = |counting, event, keep_days| {
            measures.add(counting, event, filter.clone(), Need { keep_days, window: over })
        };
        Some(match kind {
            "count" => {
                let measure = add(Counting::Count, name, keep);
                let minus = counted.minus.as_ref();
                let minus = minus.map(|word| add(Counting::Count, Some(word.value.clone()), keep));
                MetricKind::Total { measure, minus, over }
            }
            "sum" => {
                let (event, property) = self.property(what)?;
                let measure = add(Counting::Sum(property), Some(event), keep);
                let minus = match counted.minus.as_ref() {
                    None => None,
                    Some(word) => {
                        let (event, property) = self.property(word)?;
                        Some(add(Counting::Sum(property), Some(event), keep))
                    }
                };
                MetricKind::Total { measure, minus, over }
            }
            "days_with" => {
                let measure = add(Counting::Count, name, keep);
                MetricKind::DaysWith { measure, over: over? }
            }
            "distinct" if what.value == "user" => {
                MetricKind::Distinct { measure: add(Counting::Users, None, keep), over: over? }
            }
            "distinct" => {
                let (event, property) = self.property(what)?;
                let measure = add(Counting::Values(property), Some(event), keep);
                MetricKind::Distinct { measure, over: over? }
            }
            "latest" => {
                let (event, property) = self.property(what)?;
                // The newest value is always kept, whatever its age.
                let measure = add(Counting::Latest(property), Some(event), Some(0));
                let stale_after = match &counted.stale_after {
                    None => None,
                    Some(word) => Some(self.window(word)?),
                };
                MetricKind::Latest { measure, stale_after }
            }
            "days_since" => {
                // The newest cell is always kept; two days are enough for the rest.
                MetricKind::DaysSince { measure: add(Counting::Count, name, Some(2)) }
            }
            _ => MetricKind::Change { measure: add(Counting::Count, name, keep), over: over? },
        })
    }

    /// A question about an event's own properties.
    pub(super) fn event_filter(&mut self, word: &Word) -> Option<Expr> {
        let mut scope = Scope::new();
        scope.open("event");
        self.expression(word, &scope, Expected::YesNo)
    }

    /// `order.amount`: an event and one of its properties.
    fn property(&mut self, word: &Word) -> Option<(String, String)> {
        match word.value.rsplit_once('.') {
            Some((event, property)) if !event.is_empty() && !property.is_empty() => {
                Some((event.to_owned(), property.to_owned()))
            }
            _ => {
                let message = format!("`{}` names no property", word.value);
                self.error(&word.referenced, message).help =
                    Some("write the event and its property, as `order.amount`".into());
                None
            }
        }
    }
}

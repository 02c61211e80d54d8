//! Texts with names in double braces, as `Call {{name}}: idle {{metrics.idle_days}} days`.
//!
//! A template is read once, when the lifecycle file is loaded, into pieces whose names are checked
//! against what the file declares. What is filled in came from outside: it is one line, cut to a
//! bounded length, and escaped for the channel it goes to. What is not known prints as a dash.

use std::ops::Range;

use crate::expr::{Name, Row, Scope, Value};
use crate::facts::Facts;
use crate::lifecycle::Slot;
use crate::lifecycle::diagnostic::nearest;
use crate::score;

/// The longest template, in characters.
pub const MAX_CHARS: usize = 500;
/// The longest value that is filled in, in characters.
const MAX_VALUE_CHARS: usize = 120;
/// The longest text that comes of a template, in characters.
const MAX_TEXT_CHARS: usize = 1_000;
/// How many reasons of a risk are told.
const REASONS: usize = 3;

/// Where a text goes, which says what has to be escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// E-mail, lists and files: nothing is.
    Plain,
    /// A chat client: its three control characters are.
    Chat,
}

/// A text with names to fill in.
#[derive(Debug, Clone)]
pub struct Template {
    source: String,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
enum Piece {
    Text(String),
    /// A name that conditions may use too.
    Value(Name),
    /// Why the churn risk is what it is.
    Reasons,
}

/// Something wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes of the template.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Template {
    /// Reads a template against the names that a file declares.
    ///
    /// # Errors
    /// Everything wrong with it: braces that do not close, names that nothing declares, too many
    /// characters.
    pub fn parse(source: &str, scope: &Scope) -> Result<Template, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut pieces = Vec::new();
        if source.chars().count() > MAX_CHARS {
            faults.push(Fault {
                span: 0..source.len(),
                message: format!("the text is longer than {MAX_CHARS} characters"),
                help: None,
            });
        }
        if source.trim().is_empty() {
            faults.push(Fault {
                span: 0..source.len(),
                message: "the text is empty".to_owned(),
                help: None,
            });
        }
        let mut at = 0;
        while let Some(open) = source[at..].find("{{").map(|found| at + found) {
            if open > at {
                pieces.push(Piece::Text(source[at..open].to_owned()));
            }
            let Some(close) = source[open..].find("}}").map(|found| open + found) else {
                faults.push(Fault {
                    span: open..source.len(),
                    message: "`{{` is not closed".to_owned(),
                    help: Some("write a name in double braces, as `{{metrics.idle_days}}`".into()),
                });
                return Err(faults);
            };
            let inside = &source[open + 2..close];
            let begin = open + 2 + (inside.len() - inside.trim_start().len());
            let path = inside.trim();
            match piece(path, scope) {
                Ok(piece) => pieces.push(piece),
                Err((message, help)) => {
                    let span = begin..begin + path.len();
                    faults.push(Fault { span, message, help });
                }
            }
            at = close + 2;
        }
        if at < source.len() {
            pieces.push(Piece::Text(source[at..].to_owned()));
        }
        if faults.is_empty() {
            Ok(Template { source: source.to_owned(), pieces })
        } else {
            Err(faults)
        }
    }

    /// The template as it was written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The text for a customer at an instant, on one line.
    #[must_use]
    pub fn render(&self, facts: &Facts<'_>, channel: Channel) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(fixed) => text.push_str(&escaped(fixed, channel)),
                Piece::Value(name) => text.push_str(&escaped(&shown(facts.get(name)), channel)),
                Piece::Reasons => text.push_str(&escaped(&reasons(facts), channel)),
            }
        }
        one_line(&text, MAX_TEXT_CHARS)
    }
}

fn piece(path: &str, scope: &Scope) -> Result<Piece, (String, Option<String>)> {
    let meant = match path {
        "risk.reasons" if scope.get("risk.band").is_some() => return Ok(Piece::Reasons),
        "name" => "traits.name",
        "stage" => "stage.name",
        other => other,
    };
    if let Some(binding) = scope.get(meant) {
        return Ok(Piece::Value(Name { path: meant.into(), slot: binding.slot }));
    }
    let shown: String = path.chars().take(64).collect();
    if path == "name" {
        let help = "declare the trait `name`, or name another trait as `{{traits.company}}`";
        return Err(("there is no trait `name`".to_owned(), Some(help.to_owned())));
    }
    let mut known: Vec<&str> = scope.paths().collect();
    known.extend(["name", "stage"]);
    if scope.get("risk.band").is_some() {
        known.push("risk.reasons");
    }
    let help = nearest(path, known.iter().copied()).map_or_else(
        || {
            "use `name`, `stage`, or a name under `traits`, `metrics`, `risk` and `health`"
                .to_owned()
        },
        |near| format!("did you mean `{near}`?"),
    );
    Err((format!("there is nothing named `{shown}` to fill in"), Some(help)))
}

fn shown(value: Value<'_>) -> String {
    let text = match value {
        Value::Missing => return "-".to_owned(),
        Value::Number(number) => number_text(number),
        Value::Text(text) => one_line(text, MAX_VALUE_CHARS),
        Value::Date(date) => date.to_string(),
        Value::YesNo(true) => "yes".to_owned(),
        Value::YesNo(false) => "no".to_owned(),
    };
    if text.is_empty() { "-".to_owned() } else { text }
}

/// A number for people: two decimals at most.
fn number_text(number: f64) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn reasons(facts: &Facts<'_>) -> String {
    let risk = score::risk(facts);
    let told = risk.iter().flat_map(|risk| &risk.reasons).take(REASONS);
    let told: Vec<String> =
        told.map(|reason| one_line(&reason.expression, MAX_VALUE_CHARS)).collect();
    if told.is_empty() { "-".to_owned() } else { told.join("; ") }
}

fn escaped(text: &str, channel: Channel) -> String {
    match channel {
        Channel::Plain => text.to_owned(),
        Channel::Chat => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
    }
}

/// Control characters and line breaks become spaces; what is too long is cut.
fn one_line(text: &str, most: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.trim();
    if line.chars().count() <= most {
        return line.to_owned();
    }
    let mut cut: String = line.chars().take(most - 1).collect();
    cut.push('…');
    cut
}

/// The trait that `{{name}}` and alerts call a customer by.
#[must_use]
pub fn customer_name(facts: &Facts<'_>) -> Option<String> {
    let index = facts.lifecycle.traits.iter().position(|declared| declared.name == "name")?;
    let name = Name { path: "traits.name".into(), slot: Slot::Trait(index).number() };
    match facts.get(&name) {
        Value::Text(text) if !text.trim().is_empty() => Some(one_line(text, MAX_VALUE_CHARS)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::expr::{Binding, Type};
    use crate::tests_support::{customer, day, in_stage, lifecycle};

    const FILE: &str = "version: 1
traits: { name: text?, mrr: number?, renewal: date?, region: text? }
metrics: { idle_days: { days_since: login }, logins: { count: login, over: 7d } }
segments: { big: traits.mrr > 100 }
stages: { active: { enter: { when: metrics.logins >= 0 }, on_enter: [p] } }
risk:
  model: scorecard
  factors: { silence: { weight: 100, value: metrics.idle_days, worst: 10, best: 0 } }
playbooks: { p: { do: [ { task: { title: TITLE, owner: kim } } ] } }
";

    #[track_caller]
    fn check(template: &str, channel: Channel, expected: &str) {
        let file = lifecycle(&FILE.replace("TITLE", &json!(template).to_string()));
        let told = json!({ "name": "Acme <&> Co\nLtd", "mrr": 120.5, "renewal": "2026-05-01" });
        let known = customer(&file, &[(0.0, "group", told), (1.0, "login", json!({}))], 6.0);
        let mut known = in_stage(known, "active", 0.0);
        known.status.risk = crate::decide::reassess(&known, &file, day(6.0)).map(|it| it.0.state);
        let facts = Facts::new(&known, &file, day(6.0));
        let title = file.playbooks[0].steps[0].task().map(|task| task.title.clone());
        assert_eq!(title.unwrap().render(&facts, channel), expected, "{template}");
    }

    #[test]
    fn names_are_filled_in() {
        check("Call {{name}}", Channel::Plain, "Call Acme <&> Co Ltd");
        check("{{ metrics.idle_days }} days in {{stage}}", Channel::Plain, "5 days in active");
        check("{{traits.mrr}} by {{traits.renewal}}", Channel::Plain, "120.5 by 2026-05-01");
        check("{{risk.band}} {{segment.big}} {{stage.days}}", Channel::Plain, "high yes 6");
        check("no names } at { all", Channel::Plain, "no names } at { all");
    }

    #[test]
    fn what_is_not_known_prints_as_a_dash() {
        check("region {{traits.region}}", Channel::Plain, "region -");
    }

    #[test]
    fn chat_clients_get_their_control_characters_escaped() {
        check("<b>{{name}}", Channel::Chat, "&lt;b&gt;Acme &lt;&amp;&gt; Co Ltd");
    }

    #[test]
    fn reasons_of_the_risk_are_told() {
        let file = lifecycle(&FILE.replace("TITLE", "'{{risk.reasons}}'"));
        let known = customer(&file, &[(0.0, "login", json!({}))], 9.0);
        let facts = Facts::new(&known, &file, day(9.0));
        let text = file.playbooks[0].steps[0].task().unwrap().title.render(&facts, Channel::Plain);
        assert!(text.contains("idle_days"), "{text}");
    }

    fn scope() -> Scope {
        let mut scope = Scope::new();
        for path in ["metrics.idle_days", "traits.mrr"] {
            scope.declare(path, Binding { ty: Type::Number, slot: 0, optional: true });
        }
        scope
    }

    #[test]
    fn unknown_names_are_told_with_the_nearest_and_the_place() {
        let found = Template::parse("a {{metrics.idle_dys}} b {{traits.mrr}} {{name}}", &scope());
        let found = found.unwrap_err();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].span, 4..20);
        assert_eq!(found[0].help.as_deref(), Some("did you mean `metrics.idle_days`?"));
        assert!(found[1].message.contains("`name`"));
        let open = Template::parse("{{metrics.idle_days", &scope()).unwrap_err();
        assert_eq!(open[0].message, "`{{` is not closed");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_its_own_bytes(text in ".{0,80}") {
            match Template::parse(&text, &scope()) {
                Ok(template) => prop_assert_eq!(template.source(), text),
                Err(faults) => for fault in faults {
                    prop_assert!(text.get(fault.span.clone()).is_some(), "{:?}", fault);
                }
            }
        }

        #[test]
        fn a_text_is_one_line_of_bounded_length(name in any::<String>()) {
            let file = lifecycle(&FILE.replace("TITLE", "'{{name}}'"));
            let known = customer(&file, &[(0.0, "group", json!({ "name": name }))], 1.0);
            let facts = Facts::new(&known, &file, day(1.0));
            let title = &file.playbooks[0].steps[0].task().unwrap().title;
            let text = title.render(&facts, Channel::Plain);
            prop_assert!(!text.chars().any(char::is_control));
            prop_assert!(text.chars().count() <= MAX_VALUE_CHARS && !text.is_empty());
        }
    }
}

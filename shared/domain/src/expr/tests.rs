//! The language as a reader of the file meets it.

use std::sync::Arc;

use jiff::civil::{Date, date};
use proptest::prelude::*;
use serde::Deserialize;

use super::*;

fn words(words: &[&str]) -> Type {
    Type::Words(words.iter().map(|word| Arc::from(*word)).collect())
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    let names = [
        ("metrics.logins_7d", Type::Number),
        ("metrics.active_days_30d", Type::Number),
        ("metrics.nps", Type::Number),
        ("traits.plan", words(&["trial", "team", "enterprise"])),
        ("traits.region", Type::Text),
        ("traits.renewal_date", Type::Date),
        ("traits.churn_notice", Type::Date),
        ("segment.paying", Type::YesNo),
        ("stage.name", words(&["onboarding", "churned"])),
    ];
    for (slot, (path, ty)) in (0..).zip(names) {
        scope.declare(path, Binding { ty, slot, optional: true });
    }
    scope.open("event");
    scope
}

/// Values by path; what is not listed is missing.
struct Facts(Vec<(&'static str, Value<'static>)>);

impl Row for Facts {
    fn get(&self, name: &Name) -> Value<'_> {
        let fact = self.0.iter().find(|(path, _)| *path == &*name.path);
        fact.map_or(Value::Missing, |(_, value)| *value)
    }

    fn today(&self) -> Date {
        date(2026, 11, 23)
    }
}

fn facts() -> Facts {
    Facts(vec![
        ("metrics.logins_7d", Value::Number(5.0)),
        ("metrics.active_days_30d", Value::Number(-12.0)),
        ("traits.plan", Value::Text("team")),
        ("traits.region", Value::Text("EU")),
        ("traits.renewal_date", Value::Date(date(2026, 12, 25))),
        ("segment.paying", Value::YesNo(true)),
        ("event.status", Value::Number(503.0)),
        ("event.kind", Value::Text("nps")),
        ("event.due", Value::Text("2026-12-01")),
        ("event.paid", Value::YesNo(true)),
        ("event.order.amount", Value::Number(20.0)),
        ("event.broken", Value::Number(f64::NAN)),
    ])
}

fn answer(source: &str) -> Truth {
    let expr = compile(source, &scope(), Expected::YesNo);
    expr.unwrap_or_else(|problems| panic!("{source}: {problems:#?}")).truth(&facts())
}

#[track_caller]
fn check_answer(expected: Truth, sources: &[&str]) {
    for source in sources {
        assert_eq!(answer(source), expected, "{source}");
    }
}

/// The place, the message, the label and the help of each problem, a line each.
fn shown(source: &str, problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| {
        let help = problem.help.as_deref().unwrap_or("-");
        let at = source.get(problem.span.clone()).expect("the place is in the source");
        format!("{at} | {} | {} | {help}", problem.message, problem.label)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn check(source: &str, expected: &str) {
    let problems = compile(source, &scope(), Expected::YesNo).expect_err(source);
    assert_eq!(shown(source, &problems), expected, "{source}");
}

#[track_caller]
fn check_message(source: &str, message: &str, help: &str) {
    let problems = compile(source, &scope(), Expected::YesNo).expect_err(source);
    assert_eq!(problems.len(), 1, "{source}: {problems:#?}");
    assert_eq!(problems[0].message, message, "{source}");
    assert_eq!(problems[0].help.as_deref().unwrap_or("-"), help, "{source}");
    assert!(source.get(problems[0].span.clone()).is_some(), "{source}");
}

#[test]
fn what_holds_is_yes() {
    check_answer(
        Truth::Yes,
        &[
            "metrics.logins_7d >= 5",
            "metrics.logins_7d == 5.0 && !(metrics.logins_7d < 5)",
            "traits.plan in ['team', \"enterprise\"]",
            "\"team\" == traits.plan",
            "traits.region != \"US\"",
            "segment.paying",
            "!!segment.paying",
            "segment.paying == true",
            "!(segment.paying == (metrics.logins_7d > 9))",
            "metrics.logins_7d * 2 + 1 == 11",
            "metrics.active_days_30d / 5 == -2.4",
            "metrics.active_days_30d % 5 == -2",
            "-metrics.logins_7d < -4.5e0",
            "metrics.logins_7d - 2 - 1 == 2",
            "metrics.logins_7d > 2 * .5",
            "has(metrics.logins_7d) && !has(metrics.nps)",
            "metrics.nps > 3 || segment.paying",
            "days_until(traits.renewal_date) == 32",
            "days_since(traits.renewal_date) == -32",
            "traits.renewal_date > today",
            "traits.renewal_date == \"2026-12-25\"",
            "traits.renewal_date in [\"2026-12-24\", \"2026-12-25\"]",
            "days_until(\"2026-11-24\") == 1",
            "event.status >= 500",
            "event.kind == \"nps\" && event.paid",
            "event.order.amount * 2 == 40",
            "event.due < \"2026-12-02\" && event.due > today",
            "days_until(event.due) == 8",
            "event.kind in [\"nps\", \"csat\"]",
        ],
    );
}

#[test]
fn what_does_not_hold_is_no() {
    check_answer(
        Truth::No,
        &[
            "metrics.logins_7d > 5",
            "metrics.nps > 3 && !segment.paying",
            "has(metrics.nps)",
            "has(event.broken)",
            "traits.plan in [\"trial\"]",
            "event.status in [200, 204]",
        ],
    );
}

#[test]
fn what_cannot_be_judged_is_unknown() {
    check_answer(
        Truth::Unknown,
        &[
            "metrics.nps > 3",
            "!(metrics.nps > 3)",
            "metrics.nps == metrics.nps",
            "metrics.nps in [1, 2]",
            "metrics.nps > 3 && segment.paying",
            "metrics.nps > 3 || !segment.paying",
            "metrics.logins_7d / (metrics.logins_7d - 5) > 1",
            "metrics.logins_7d % (metrics.logins_7d - 5) == 0",
            "metrics.logins_7d / 2 % 2 == 0",
            "metrics.logins_7d * 1e308 * 10 > 1",
            "event.broken == 1",
            "days_until(traits.churn_notice) < 3",
            "days_until(event.kind) < 3",
            "event.status == \"503\"",
            "event.status != \"503\"",
            "event.kind < 3",
            "event.kind in [1, 2]",
            "event.kind && segment.paying",
            "event.kind + 1 > 0",
            "event.kind > today",
            "event.missing == 1",
        ],
    );
}

#[test]
fn a_formula_gives_a_number_or_nothing() {
    let number =
        |source: &str| compile(source, &scope(), Expected::Number).expect(source).number(&facts());
    assert_eq!(number("metrics.logins_7d / 2"), Some(2.5));
    assert_eq!(number("7"), Some(7.0));
    assert_eq!(number("metrics.nps + 1"), None);
    assert_eq!(number("1 / (metrics.logins_7d - 5)"), None);
    assert_eq!(number("event.broken"), None);
    assert_eq!(number("event.kind"), None);
    let problems = compile("segment.paying", &scope(), Expected::Number).unwrap_err();
    assert_eq!(problems[0].message, "a number is needed, and this is a yes or no");
}

#[test]
fn a_row_may_return_the_wrong_kind() {
    let row = Facts(vec![
        ("metrics.logins_7d", Value::Text("5")),
        ("segment.paying", Value::Number(1.0)),
        ("traits.renewal_date", Value::YesNo(true)),
    ]);
    for source in ["metrics.logins_7d > 1", "segment.paying", "days_until(traits.renewal_date) < 1"]
    {
        let expr = compile(source, &scope(), Expected::YesNo).unwrap();
        assert_eq!(expr.truth(&row), Truth::Unknown, "{source}");
    }
}

#[test]
fn misspelt_names_are_found() {
    check(
        "metrics.active_day_30d >= 8",
        "metrics.active_day_30d | there is no `active_day_30d` under `metrics:` | not declared | did you mean `metrics.active_days_30d`?",
    );
    check(
        "metrcs.nps > 3",
        "metrcs | there is no `metrcs` | not known | did you mean `metrics.nps`?",
    );
    check(
        "traits.nps > 3",
        "traits.nps | there is no `nps` under `traits:` | not declared | did you mean `metrics.nps`?",
    );
    check(
        "segment.xyz",
        "segment.xyz | there is no `xyz` under `segments:` | not declared | declared there: paying",
    );
    check("nps > 3", "nps | there is no `nps` | not known | did you mean `metrics.nps`?");
    check(
        "traits.plan == team",
        "team | there is no `team` | not known | a text needs quotes: \"team\"",
    );
    check(
        "foo.bar == 1",
        "foo | there is no `foo` | not known | names begin with: event, metrics, segment, stage, traits",
    );
    check(
        "tody > traits.renewal_date",
        "tody | there is no `tody` | not known | did you mean `today`?",
    );
    check_message(
        "metrics > 3",
        "`metrics` is not a value",
        "write a name below it, such as `metrics.active_days_30d`",
    );
    check_message(
        "event == 3",
        "`event` is not a value",
        "write a name below it, such as `event.status`",
    );
}

#[test]
fn every_problem_is_reported_once() {
    check(
        "metrics.x1 > 3 && traits.plan == \"enterprize\" && metrics.logins_7d / 0 > 1",
        "metrics.x1 | there is no `x1` under `metrics:` | not declared | declared there: active_days_30d, logins_7d, nps\n\
         \"enterprize\" | \"enterprize\" is not one of the declared values | unknown value | did you mean \"enterprise\"?\n\
         0 | a division by zero has no answer | always zero | divide by something else",
    );
}

#[test]
fn words_and_dates_are_checked() {
    check_message(
        "traits.plan in [\"team\", \"gold\"]",
        "\"gold\" is not one of the declared values",
        "the words are: trial, team, enterprise",
    );
    check_message(
        "\"Team\" != traits.plan",
        "\"Team\" is not one of the declared values",
        "did you mean \"team\"?",
    );
    check_message(
        "traits.renewal_date > \"25.12.2026\"",
        "\"25.12.2026\" is not a date",
        "write year, month and day, as in \"2026-12-25\"",
    );
    check_message(
        "traits.renewal_date > \"2026-02-30\"",
        "\"2026-02-30\" is not a date",
        "write year, month and day, as in \"2026-12-25\"",
    );
    check_message(
        "traits.plan > \"team\"",
        "a word has no order",
        "use `==`, `!=`, or `in` with the words meant",
    );
    check_message(
        "traits.region < \"EU\"",
        "a text has no order",
        "use `==` or `!=`; a number has no quotes",
    );
    check_message(
        "event.status >= \"500\"",
        "a text has no order",
        "use `==` or `!=`; a number has no quotes",
    );
    check_message(
        "segment.paying > false",
        "a yes or no has no order",
        "use it as it is, or with `!`",
    );
}

#[test]
fn kinds_must_fit() {
    check_message(
        "metrics.nps",
        "a condition is yes or no, and this is a number",
        "compare it, as in `metrics.nps > 0`, or ask `has(...)`",
    );
    check_message(
        "metrics.nps + 1 || segment.paying",
        "a condition is yes or no, and this is a number",
        "compare it with something",
    );
    check_message(
        "!traits.region",
        "a condition is yes or no, and this is a text",
        "compare it, as in `traits.region == \"...\"`, or ask `has(...)`",
    );
    check_message(
        "metrics.nps == \"7\"",
        "a number cannot be compared with a text",
        "a number has no quotes",
    );
    check_message(
        "segment.paying == \"yes\"",
        "a yes or no cannot be compared with a text",
        "write `true` or `false`, without quotes",
    );
    check_message(
        "traits.renewal_date > 3",
        "a date cannot be compared with a number",
        "count days with `days_until(x)` or `days_since(x)`",
    );
    check_message(
        "metrics.nps in [\"7\"]",
        "a number cannot be compared with a text",
        "a number has no quotes",
    );
    check_message(
        "traits.region + 1 > 2",
        "a number is needed, and this is a text",
        "texts can only be compared",
    );
}

#[test]
fn dates_and_texts_have_no_arithmetic() {
    let help = "count days with `days_until(x)` or `days_since(x)`, which are numbers";
    check_message("traits.renewal_date - 30 < 3", "a number is needed, and this is a date", help);
    check_message("today + 3 > 1", "a number is needed, and this is a date", help);
    check_message(
        "segment.paying * 2 > 1",
        "a number is needed, and this is a yes or no",
        "join conditions with `&&` and `||`",
    );
}

#[test]
fn what_is_not_the_language_says_what_is() {
    check_message(
        "1 < metrics.nps < 3",
        "comparisons cannot be chained",
        "join two with `&&`: `1 < x && x < 3`",
    );
    check_message("metrics.nps = 3", "`=` does not compare", "write `==`");
    check_message("metrics.nps > 3 and segment.paying", "`and` is not an operator", "write `&&`");
    check_message("segment.paying OR segment.paying", "`OR` is not an operator", "write `||`");
    check_message("traits.plan is \"team\"", "`is` is not an operator", "write `==`");
    check_message(
        "not segment.paying",
        "`not` is not an operator",
        "write `!`, or put the condition in a list under `none:`",
    );
    check_message(
        "traits.plan not in [\"team\"]",
        "`not` is not an operator",
        "write `!=`, or `!` before the condition",
    );
    check_message(
        "metrics.nps > 10%",
        "there are no percentages",
        "write the share as a number: 0.1",
    );
    check_message(
        "metrics.nps > 10% && segment.paying",
        "there are no percentages",
        "write the share as a number: 0.1",
    );
    check_message(
        "metrics.nps > 14d",
        "`14d` is not a number",
        "days are plain numbers: `days_since(x) <= 14`; a duration goes under `for:` or `over:`",
    );
    check_message(
        "metrics.nps > 1_000",
        "`1_000` is not a number",
        "write the digits without separators",
    );
    check_message("metrics.nps > 1,000", "`,` cannot follow here", "-");
    check_message(
        "traits.plan == “team”",
        "curly quotes do not quote",
        "write straight quotes: \"...\"",
    );
    check_message(
        "segment.paying ? 1 : 2",
        "there is no choice `a ? b : c` in conditions",
        "write the cases with `&&` and `||`, or as lists under `any:` and `all:`",
    );
    check_message("metrics.nps ≥ 3", "`≥` is not an operator", "write `>=`");
    check_message("metrics.nps <> 3", "`<>` is not an operator", "write `!=` for not equal");
    check_message("segment.paying & segment.paying", "`&` is not an operator", "write `&&`");
    check_message(
        "metrics.nps == null",
        "there is no `null`",
        "write `has(x)` or `!has(x)` to ask whether a value is known",
    );
    check_message("metrics.nps @ 3", "`@` has no meaning here", "-");
    check_message("metrics.nps[0] > 3", "a value has no elements", "a list can only follow `in`");
    check_message(
        "[1] == metrics.nps",
        "a list can only follow `in`",
        "write `x in [\"a\", \"b\"]`",
    );
    check_message(
        "metrics.nps in 3",
        "a list must follow `in`",
        "write the values in brackets: `x in [\"a\", \"b\"]`",
    );
    check_message(
        "metrics.nps in []",
        "nothing is in an empty list",
        "name the values: `x in [\"a\"]`",
    );
    check_message(
        "metrics.nps in [metrics.logins_7d]",
        "a list holds constants only",
        "compare with `==` and join with `||`",
    );
    check_message(
        "metrics.in > 3",
        "`metrics.in` is not a name",
        "rename it: `in`, `true`, `false` and `null` have a meaning of their own",
    );
}

#[test]
fn broken_expressions_say_where() {
    check_message(
        "",
        "the condition is empty",
        "write a comparison; one that starts with `!` needs quotes in YAML",
    );
    check_message("metrics.nps >", "a value is missing here", "-");
    check_message("(metrics.nps > 3", "`)` is missing", "-");
    check_message("metrics.nps > 3)", "this `)` was never opened", "-");
    check_message(
        "traits.plan == \"team",
        "this text has no closing quote",
        "end it with \" on the same line",
    );
    check_message(
        "traits.region == \"a\\q\"",
        "`\\q` means nothing in a text",
        "write `\\\\` for a backslash",
    );
    check_message("metrics.nps > 3.", "a number cannot end in a point", "write `3`");
    check_message(
        "metrics.nps > 1e999",
        "this number is too large",
        "whole numbers go up to 9007199254740992",
    );
    check_message(
        "metrics.nps > 9007199254740993000",
        "this number is too large",
        "whole numbers go up to 9007199254740992",
    );
}

#[test]
fn functions_are_checked() {
    check_message("hass(metrics.nps)", "there is no function `hass`", "did you mean `has(...)`?");
    check_message(
        "days_til(traits.renewal_date) < 3",
        "there is no function `days_til`",
        "did you mean `days_until(...)`?",
    );
    check_message(
        "traits.region.startsWith(\"E\")",
        "there is no function `startsWith`",
        "the functions are has(x), days_until(x) and days_since(x)",
    );
    check_message("has()", "`has` takes one value, and here are 0", "write `has(x)`");
    check_message(
        "has(metrics.nps, traits.plan)",
        "`has` takes one value, and here are 2",
        "write `has(x)`",
    );
    check_message("has(metrics.nps > 3)", "`has` takes a name", "write `has(traits.x)`");
    check_message("has(today)", "`today` is always known", "write `has(traits.x)`");
    check_message(
        "days_until(metrics.nps) > 3",
        "days are counted to a date",
        "give it a trait of the type `date`, or `date?`",
    );
}

#[test]
fn constants_are_not_conditions() {
    let help = "compare something that differs between customers, or leave it out";
    check_message("true", "`true` is always yes", help);
    check_message("segment.paying && false", "`false` is always no", help);
    check_message("1 + 1 < 2 || segment.paying", "`1 + 1 < 2` is always no", help);
    check_message("3 in [1, 3]", "`3 in [1, 3]` is always yes", help);
    check_message(
        "metrics.nps / 0 > 1",
        "a division by zero has no answer",
        "divide by something else",
    );
    check_message(
        "metrics.nps % (2 - 2) > 1",
        "a division by zero has no answer",
        "divide by something else",
    );
    check_message(
        "metrics.nps % 2.5 > 1",
        "`%` is for whole numbers",
        "write both sides without a point",
    );
    check_message(
        "metrics.nps > 7 / 2",
        "`7 / 2` drops the rest of the division",
        "write `7.0` for a fraction",
    );
    check_message("metrics.nps > 1e308 * 10", "this number is too large", "-");
}

#[test]
fn size_and_nesting_are_bounded() {
    let scope = scope();
    let message =
        |source: &str| compile(source, &scope, Expected::YesNo).unwrap_err().swap_remove(0).message;
    let nested = |n: usize| format!("{}segment.paying{}", "(".repeat(n), ")".repeat(n));
    let chain = |n: usize| vec!["segment.paying"; n].join("&&");
    let sum = |n: usize| format!("{} > 1", vec!["event.a"; n].join("+"));
    assert_eq!(message(&"!".repeat(100_000)), "this expression is too long");
    assert_eq!(message(&nested(5_000)), "this expression is too long");
    assert_eq!(message(&chain(5_000)), "this expression is too long");
    assert_eq!(message(&"!".repeat(4_000)), "this expression is nested too deeply");
    assert_eq!(message(&"-".repeat(4_000)), "this expression is nested too deeply");
    assert_eq!(message(&nested(2_000)), "this expression is nested too deeply");
    assert_eq!(message(&"has(".repeat(1_000)), "this expression is nested too deeply");
    assert_eq!(message(&"é".repeat(3_000)), "this expression is too long");
    assert_eq!(message(&vec!["event.a"; 450].join("&&")), "this expression is too large");
    assert_eq!(message(&sum(250)), "this expression is too large");
    assert!(compile(&nested(40), &scope, Expected::YesNo).is_ok());
    assert!(compile(&chain(200), &scope, Expected::YesNo).is_ok());
    assert!(compile(&sum(150), &scope, Expected::YesNo).unwrap().cost() <= 400);
}

#[test]
fn an_expression_tells_what_it_reads() {
    let expr =
        compile("has(metrics.nps) && metrics.nps > event.a", &scope(), Expected::YesNo).unwrap();
    let names: Vec<_> = expr.names().iter().map(|name| (&*name.path, name.slot)).collect();
    assert_eq!(names, [("metrics.nps", 2), ("event.a", u32::MAX)]);
    assert_eq!((expr.uses_date(), expr.cost()), (false, 5));
    for source in ["traits.renewal_date != \"2026-01-01\"", "days_since(event.a) > 1"] {
        assert!(compile(source, &scope(), Expected::YesNo).unwrap().uses_date(), "{source}");
    }
    fn is_shared<T: Clone + Send + Sync + std::fmt::Debug>() {}
    is_shared::<Expr>();
    is_shared::<Condition>();
}

#[derive(Debug, Deserialize)]
struct File {
    when: ConditionSource,
}

fn read(yaml: &str) -> Result<Condition, Vec<Problem>> {
    let file: File = crate::yaml::read_strictly(yaml).expect(yaml);
    file.when.compile(yaml, &scope())
}

#[track_caller]
fn check_place(yaml: &str, expected: &[&str]) {
    let problems = read(yaml).expect_err(yaml);
    let places: Vec<_> = problems.iter().map(|problem| &yaml[problem.span.clone()]).collect();
    assert_eq!(places, expected, "{yaml}");
}

#[test]
fn problems_are_placed_in_the_file() {
    check_place("# ä\nwhen: metrics.x9 > 3\n", &["metrics.x9"]);
    check_place("when: 'traits.plan == \"gold\"'\n", &["\"gold\""]);
    check_place("when: 'traits.plan == ''gold'''\n", &["''gold''"]);
    check_place("when: \"segment.paying && traits.plan == \\\"gold\\\"\"\n", &["\\\"gold\\\""]);
    check_place("when: { any: [ metrics.x9 > 3, segment.zz ] }\n", &["metrics.x9", "segment.zz"]);
    check_place(
        "when:\n  all:\n    - segment.paying\n    - none: [ metrics.x9 > 3 ]\n    - any:\n      - segment.zz\n",
        &["metrics.x9", "segment.zz"],
    );
    check_place("when: segment.paying &&\n  metrics.x9 > 3\n", &["metrics.x9"]);
    check_place("when: >-\n  segment.paying &&\n  metrics.x9 > 3\n", &["metrics.x9"]);
    check_place("when: |\r\n  segment.paying &&\r\n  metrics.x9 > 3\r\n", &["metrics.x9"]);
    check_place("a: &a metrics.x9 > 3\nwhen: *a\n", &["metrics.x9"]);
    check_place("when: metrics.nps >\n", &[""]);
    // An escape that is more than one character is not followed: the start stands for it.
    check_place("when: \"\\x6detrics.x9 > 3\"\n", &["\"\\x6detrics.x9 > 3\""]);
}

#[test]
fn lists_must_hold_conditions() {
    let message = |yaml: &str| read(yaml).unwrap_err().swap_remove(0).message;
    assert_eq!(message("when: { all: [] }"), "there is no condition here");
    assert_eq!(message("when: {}"), "there is no condition here");
    assert_eq!(
        message("when: { all: [segment.paying], any: [] }"),
        "the list under `any:` is empty"
    );
    assert_eq!(message("when: true"), "`true` is always yes");
    assert_eq!(message("when:"), "the condition is empty");
    let refused = |yaml: &str| crate::yaml::read_strictly::<File>(yaml).unwrap_err().said.message;
    let unknown = refused("when: { and: [segment.paying] }");
    assert_eq!(unknown, "there is no key `and` here");
    assert_eq!(refused("when: !segment.paying"), "`!segment.paying` is read as a YAML tag");
    let number = refused("when: 5");
    assert!(number.contains("a condition: an expression, or a map"), "{number}");
    refused("when: { all: segment.paying }");
    refused("when: { all: [segment.paying], all: [segment.paying] }");
}

#[test]
fn deep_lists_are_refused() {
    let deep =
        |n: usize| format!("when: {}segment.paying{}", "{ all: [".repeat(n), "] }".repeat(n));
    assert!(read(&deep(16)).is_ok());
    assert_eq!(read(&deep(17)).unwrap_err()[0].message, "these conditions are nested too deeply");
    assert!(
        crate::yaml::read_strictly::<File>(&deep(5_000)).is_err(),
        "the YAML reader's own limit"
    );
}

#[test]
fn lists_join_conditions() {
    let check = |yaml: &str, expected: Truth, described: &str| {
        let condition = read(yaml).expect(yaml);
        assert_eq!(condition.truth(&facts()), expected, "{yaml}");
        assert_eq!(condition.describe(), described);
    };
    check("when: segment.paying", Truth::Yes, "segment.paying");
    check(
        "when:\n  all:\n    - segment.paying\n    - any: [metrics.nps > 3, metrics.logins_7d > 3]",
        Truth::Yes,
        "all(segment.paying, any(metrics.nps > 3, metrics.logins_7d > 3))",
    );
    check(
        "when: { all: [segment.paying, metrics.nps > 3] }",
        Truth::Unknown,
        "all(segment.paying, metrics.nps > 3)",
    );
    check("when: { none: [metrics.nps > 3] }", Truth::Unknown, "none(metrics.nps > 3)");
    check(
        "when: { none: [metrics.nps > 3, segment.paying] }",
        Truth::No,
        "none(metrics.nps > 3, segment.paying)",
    );
    check(
        "when: { all: [segment.paying], none: [has(metrics.nps)] }",
        Truth::Yes,
        "all(all(segment.paying), none(has(metrics.nps)))",
    );
}

#[test]
fn leaves_explain_an_answer() {
    let condition = read(
        "when: { all: [ segment.paying && (metrics.nps > 3 || !(days_until(traits.renewal_date) > 90)), has(metrics.nps) ] }",
    )
    .unwrap();
    let row = facts();
    let leaf =
        |expression, value, name, input| Leaf { expression, value, inputs: vec![(name, input)] };
    let renewal = Value::Date(date(2026, 12, 25));
    assert_eq!(
        condition.leaves(&row),
        [
            leaf("segment.paying", Truth::Yes, "segment.paying", Value::YesNo(true)),
            leaf("metrics.nps > 3", Truth::Unknown, "metrics.nps", Value::Missing),
            leaf(
                "!(days_until(traits.renewal_date) > 90)",
                Truth::Yes,
                "traits.renewal_date",
                renewal
            ),
            leaf("has(metrics.nps)", Truth::No, "metrics.nps", Value::Missing),
        ]
    );
    assert_eq!(condition.names().len(), 3);
    assert!(condition.uses_date());
    assert_eq!(condition.cost(), 12);
}

fn truths() -> impl Strategy<Value = Truth> {
    prop_oneof![Just(Truth::Yes), Just(Truth::No), Just(Truth::Unknown)]
}

proptest! {
    #[test]
    fn kleenes_laws_hold(a in truths(), b in truths(), c in truths()) {
        prop_assert_eq!(a.and(b), b.and(a));
        prop_assert_eq!(a.or(b), b.or(a));
        prop_assert_eq!(a.and(b).and(c), a.and(b.and(c)));
        prop_assert_eq!(a.or(b).or(c), a.or(b.or(c)));
        prop_assert_eq!(a.and(b.or(c)), a.and(b).or(a.and(c)));
        prop_assert_eq!(a.or(a.and(b)), a);
        prop_assert_eq!(a.and(b).not(), a.not().or(b.not()));
        prop_assert_eq!(a.not().not(), a);
        prop_assert_eq!(Truth::all([a, b, c]), a.and(b).and(c));
        prop_assert_eq!(Truth::any([a, b, c]), a.or(b).or(c));
    }

    /// Learning a value may settle an unknown answer, never change a known one.
    #[test]
    fn knowing_more_never_changes_an_answer(a in truths(), b in truths()) {
        for known in [Truth::Yes, Truth::No] {
            for (before, after) in [
                (Truth::Unknown.and(b), known.and(b)),
                (Truth::Unknown.or(b), known.or(b)),
                (a.and(Truth::Unknown), a.and(known)),
            ] {
                prop_assert!(before == Truth::Unknown || before == after);
            }
        }
    }

    #[test]
    fn any_text_compiles_or_is_refused(source in any::<String>()) {
        never_panics(&source);
    }

    #[test]
    fn any_tokens_compile_or_are_refused(
        tokens in proptest::collection::vec(proptest::sample::select(TOKENS), 0..24),
    ) {
        never_panics(&tokens.join(" "));
        never_panics(&tokens.concat());
    }
}

const TOKENS: &[&str] = &[
    "metrics.nps",
    "traits.plan",
    "traits.renewal_date",
    "segment.paying",
    "event.a",
    "today",
    "\"team\"",
    "'x",
    "\"2026-12-25\"",
    "3",
    "0",
    "1.5",
    "14d",
    "true",
    "null",
    "has(",
    "days_until(",
    "f(",
    "(",
    ")",
    "[",
    "]",
    ",",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "==",
    "<",
    ">=",
    "&&",
    "||",
    "in",
    "and",
    "=",
    "é",
    "\\",
    "\n",
    ".",
];

fn never_panics(source: &str) {
    for expected in [Expected::YesNo, Expected::Number] {
        match compile(source, &scope(), expected) {
            Ok(expr) => {
                expr.truth(&facts());
                assert!(expr.number(&facts()).is_none_or(f64::is_finite));
            }
            Err(problems) => {
                assert!(!problems.is_empty());
                for problem in problems {
                    assert!(source.get(problem.span).is_some(), "{source}");
                }
            }
        }
    }
}

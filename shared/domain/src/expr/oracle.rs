//! The same expressions and rows, answered here and by the `cel` crate.
//!
//! Each random expression is written as this language and as strict CEL, which differ only in what
//! the module's documentation names: whole numbers beside doubles get a point, `%` a conversion.
//! A division by zero is unknown here and infinite in CEL; where an answer differs, CEL is asked
//! again with a division that fails on zero, and must then agree.

use std::collections::HashMap;
use std::sync::Arc;

use cel::{Context, Env, ExecutionError};
use jiff::civil::{Date, date};

use super::eval::parse_date;
use super::*;

const EXPRESSIONS: usize = 7_000;
const ROWS: usize = 64;
const ROWS_EACH: usize = 10;
const TODAY: Date = date(2026, 11, 23);

const NUMBERS: &[&str] = &["metrics.a", "metrics.b", "traits.c"];
const WHOLES: &[&str] = &["metrics.w", "metrics.v"];
const TEXTS: &[&str] = &["traits.region", "traits.city"];
const DATES: &[&str] = &["traits.start", "traits.renewal"];
const ANSWERS: &[&str] = &["segment.x", "segment.y"];

/// SplitMix64 (Steele, Lea and Flood 2014): the same cases on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }

    fn pick<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.below(items.len())]
    }
}

/// One expression, written three times.
#[derive(Clone)]
struct Written {
    ours: String,
    cel: String,
    /// As `cel`, with a division that fails on zero.
    strict: String,
}

fn same(text: impl Into<String>) -> Written {
    let ours = text.into();
    Written { cel: ours.clone(), strict: ours.clone(), ours }
}

impl Written {
    fn with(&self, write: impl Fn(&str) -> String) -> Written {
        Written { ours: write(&self.ours), cel: write(&self.cel), strict: write(&self.strict) }
    }

    fn join(&self, sign: &str, other: &Written) -> Written {
        let write = |left: &str, right: &str| format!("{left} {sign} {right}");
        Written {
            ours: write(&self.ours, &other.ours),
            cel: write(&self.cel, &other.cel),
            strict: write(&self.strict, &other.strict),
        }
    }
}

/// Parentheses half of the time, so that precedence is compared as well.
fn maybe_parens(random: &mut Random, written: Written) -> Written {
    if random.below(2) == 0 { written.with(|text| format!("({text})")) } else { written }
}

fn number(random: &mut Random, depth: usize) -> Written {
    match random.below(if depth == 0 { 4 } else { 9 }) {
        0 => {
            let whole = random.below(9).to_string();
            Written { ours: whole.clone(), ..same(format!("{whole}.0")) }
        }
        1 => same(random.pick(&["0.5", "2.25", "1e1", "3.0"])),
        2 | 3 => same(random.pick(NUMBERS)),
        4 => {
            let (left, right) = (random.pick(WHOLES), random.pick(&["metrics.v", "3", "0", "2"]));
            let cel = format!("double(int({left}) % int({right}))");
            Written { ours: format!("({left} % {right})"), ..same(cel) }
        }
        5 => {
            let (left, right) = (number(random, depth - 1), number(random, depth - 1));
            let strict = format!("div({}, {})", left.strict, right.strict);
            let (left, right) =
                (left.with(|text| format!("({text})")), right.with(|text| format!("({text})")));
            Written { strict, ..left.join("/", &right).with(|text| format!("({text})")) }
        }
        6 => {
            let function = random.pick(&["days_until", "days_since"]);
            same(format!("{function}({})", random.pick(DATES)))
        }
        7 => {
            let inner = number(random, depth - 1);
            maybe_parens(random, inner).with(|text| format!("-{text}"))
        }
        _ => {
            let sign = random.pick(&["+", "-", "*"]);
            let (left, right) = (number(random, depth - 1), number(random, depth - 1));
            let joined = left.join(sign, &right);
            maybe_parens(random, joined)
        }
    }
}

fn condition(random: &mut Random, depth: usize) -> Written {
    let order = ["==", "!=", "<", "<=", ">", ">="];
    match random.below(if depth == 0 { 7 } else { 13 }) {
        0 | 1 => {
            let (left, right) = (number(random, depth), number(random, depth));
            left.join(random.pick(&order), &right)
        }
        2 => {
            let all = [NUMBERS, TEXTS, DATES, ANSWERS].concat();
            same(format!("has({})", random.pick(&all)))
        }
        3 => same(random.pick(ANSWERS)),
        4 => {
            let (text, sign) = (random.pick(TEXTS), random.pick(&["==", "!="]));
            let other = random.pick(&["\"EU\"", "'US'", "traits.city", "\"a\\\"b\\\\\""]);
            same(format!("{text} {sign} {other}"))
        }
        5 => {
            let (date, sign) = (random.pick(DATES), random.pick(&order));
            same(format!(
                "{date} {sign} {}",
                random.pick(&["today", "traits.start", "\"2026-12-25\""])
            ))
        }
        6 => same(random.pick(&[
            "traits.region in [\"EU\", 'US']",
            "metrics.a in [1, 2.5, -3]",
            "metrics.w in [0]",
            "traits.start in [\"2026-12-25\"]",
            "metrics.b > 3",
            "2 <= metrics.a",
        ])),
        7 => {
            let inner = condition(random, depth - 1);
            maybe_parens(random, inner).with(|text| format!("!{text}"))
        }
        8 => {
            let (left, right) = (condition(random, depth - 1), condition(random, depth - 1));
            let wrap = |side: Written| side.with(|text| format!("({text})"));
            wrap(left).join(random.pick(&["==", "!="]), &wrap(right))
        }
        _ => {
            let sign = random.pick(&["&&", "||"]);
            let (left, right) = (condition(random, depth - 1), condition(random, depth - 1));
            let joined = left.join(sign, &right);
            maybe_parens(random, joined)
        }
    }
}

#[derive(Clone)]
enum Fact {
    Number(f64),
    Text(&'static str),
    Date(Date),
    YesNo(bool),
}

struct Facts(HashMap<&'static str, Fact>);

impl Row for Facts {
    fn get(&self, name: &Name) -> Value<'_> {
        match self.0.get(&*name.path) {
            None => Value::Missing,
            Some(Fact::Number(number)) => Value::Number(*number),
            Some(Fact::Text(text)) => Value::Text(text),
            Some(Fact::Date(date)) => Value::Date(*date),
            Some(Fact::YesNo(yes)) => Value::YesNo(*yes),
        }
    }

    fn today(&self) -> Date {
        TODAY
    }
}

fn facts(random: &mut Random) -> Facts {
    let days = [TODAY, date(2026, 12, 25), date(2026, 1, 2), date(2027, 3, 1)];
    let mut facts = HashMap::new();
    let mut set =
        |random: &mut Random, names: &[&'static str], fact: fn(usize, &[Date]) -> Fact| {
            for name in names {
                let draw = random.below(12);
                if draw > 2 {
                    facts.insert(*name, fact(draw - 3, &days));
                }
            }
        };
    set(random, NUMBERS, |i, _| Fact::Number([0.0, 1.0, 2.0, 2.5, -3.0, 5.0, 8.0, 0.1, 1e6][i]));
    set(random, WHOLES, |i, _| Fact::Number([0.0, 1.0, 2.0, 3.0, -3.0, 5.0, -7.0, 8.0, 100.0][i]));
    set(random, TEXTS, |i, _| Fact::Text(["EU", "US", "", "a\"b\\"][i % 4]));
    set(random, DATES, |i, days| Fact::Date(days[i % days.len()]));
    set(random, ANSWERS, |i, _| Fact::YesNo(i % 2 == 0));
    Facts(facts)
}

fn days_until(text: &str) -> Result<f64, ExecutionError> {
    let date = parse_date(text).expect("only dates are given");
    Ok(f64::from(TODAY.until(date).unwrap().get_days()))
}

fn context(env: &Arc<Env>, facts: &Facts) -> Context<'static, 'static> {
    let mut roots: HashMap<&str, HashMap<String, cel::Value>> =
        ["metrics", "traits", "segment"].map(|root| (root, HashMap::new())).into();
    for (path, fact) in &facts.0 {
        let (root, name) = path.split_once('.').unwrap();
        let value = match fact {
            Fact::Number(number) => (*number).into(),
            Fact::Text(text) => (*text).into(),
            Fact::Date(date) => date.to_string().into(),
            Fact::YesNo(yes) => (*yes).into(),
        };
        roots.get_mut(root).unwrap().insert(name.to_owned(), value);
    }
    let mut context = Context::with_env(env.clone());
    for (root, names) in roots {
        context.add_variable_from_value(root, names);
    }
    context.add_variable_from_value("today", TODAY.to_string());
    context.add_function("days_until", |date: Arc<String>| days_until(&date)).unwrap();
    context
        .add_function("days_since", |date: Arc<String>| days_until(&date).map(|days| -days))
        .unwrap();
    context
        .add_function("div", |left: f64, right: f64| match right {
            0.0 => Err(ExecutionError::DivisionByZero(0.into())),
            _ => Ok(left / right),
        })
        .unwrap();
    context
}

fn answer(env: &Env, source: &str, context: &Context) -> Truth {
    let program = env.compile(source).unwrap_or_else(|errors| panic!("{source}: {errors}"));
    match program.execute(context) {
        Ok(cel::Value::Bool(yes)) => Truth::from(yes),
        Ok(other) => panic!("{source} is {other:?}"),
        Err(_) => Truth::Unknown,
    }
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    let types = [
        (NUMBERS, Type::Number),
        (WHOLES, Type::Number),
        (TEXTS, Type::Text),
        (DATES, Type::Date),
        (ANSWERS, Type::YesNo),
    ];
    for (names, ty) in types {
        for name in names {
            scope.declare(name, Binding { ty: ty.clone(), slot: 0, optional: true });
        }
    }
    scope
}

#[test]
fn cel_gives_the_same_answers() {
    let (env, scope, random) = (Arc::new(Env::stdlib()), scope(), &mut Random(2026));
    let rows: Vec<Facts> = (0..ROWS).map(|_| facts(random)).collect();
    let contexts: Vec<Context> = rows.iter().map(|row| context(&env, row)).collect();
    let (mut pairs, mut by_zero) = (0, 0);
    let mut seen: HashMap<Truth, usize> = HashMap::new();
    for _ in 0..EXPRESSIONS {
        let written = condition(random, 3);
        // Some are refused: chained, constant, or dividing by a constant zero.
        let Ok(expr) = compile(&written.ours, &scope, Expected::YesNo) else { continue };
        let program = env.compile(&written.cel).unwrap_or_else(|e| panic!("{}: {e}", written.cel));
        for _ in 0..ROWS_EACH {
            let row = random.below(ROWS);
            let ours = expr.truth(&rows[row]);
            let theirs = match program.execute(&contexts[row]) {
                Ok(cel::Value::Bool(yes)) => Truth::from(yes),
                Ok(other) => panic!("{} is {other:?}", written.cel),
                Err(_) => Truth::Unknown,
            };
            pairs += 1;
            *seen.entry(ours).or_default() += 1;
            if ours != theirs {
                by_zero += 1;
                assert!(written.cel.contains('/'), "{}: {ours:?}, {theirs:?}", written.cel);
                let strict = answer(&env, &written.strict, &contexts[row]);
                assert_eq!(ours, strict, "{} / {}", written.ours, written.strict);
            }
        }
    }
    assert!(pairs >= 50_000, "only {pairs} pairs");
    assert!(by_zero * 50 < pairs, "{by_zero} of {pairs} divide by zero");
    for truth in [Truth::Yes, Truth::No, Truth::Unknown] {
        assert!(seen[&truth] * 10 > pairs, "{seen:?}");
    }
}

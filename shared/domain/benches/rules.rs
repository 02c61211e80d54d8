//! 20 rules over 30 metrics for one customer: this language, the same rules as hand-written Rust
//! closures, and the interpreter of the `cel` crate.
//!
//! `cargo bench -p domain --bench rules`; `shared/domain/benches/rules/compare.py` runs it beside
//! cel-python and json-logic-js, and reads the lines that begin with `figures:`. One iteration answers all 20 rules for one of 64 customers: in the
//! first group from numbers that lie ready, in the second from what is stored of a customer, where
//! both count the events of a metric's window when a rule asks for it.

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::customer::Customer;
use domain::event::Event;
use domain::expr::{Binding, Expected, Expr, Name, Row, Scope, Truth, Type, Value, compile};
use domain::facts::Facts;
use domain::lifecycle::{Lifecycle, load};
use domain::replay::profile_at;
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const METRICS: usize = 30;
const CUSTOMERS: usize = 64;

const READY: &str = "20 rules over 30 metrics";
const STORED: &str = "20 rules over 30 metrics of a stored customer";
const OURS: &str = "this language";
const CLOSURES: &str = "Rust closures";
const CEL: &str = "the cel crate";

/// A customer's metrics, ready to be asked about.
struct Metrics([f64; METRICS]);

impl Row for Metrics {
    fn get(&self, name: &Name) -> Value<'_> {
        self.0.get(name.slot as usize).map_or(Value::Missing, |number| Value::Number(*number))
    }

    fn number(&self, name: &Name) -> Option<f64> {
        self.0.get(name.slot as usize).copied()
    }

    fn today(&self) -> Date {
        date(2026, 11, 25)
    }
}

fn sources() -> Vec<String> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("rules/rules.json")).expect("the file is JSON");
    let rules = file["rules"].as_array().expect("a list of rules");
    rules.iter().map(|rule| rule["cel"].as_str().expect("a text").to_owned()).collect()
}

/// The same numbers as the peers make up: a linear congruence.
fn customers() -> Vec<Metrics> {
    let mut state = 2_026_u64;
    (0..CUSTOMERS)
        .map(|_| {
            Metrics(std::array::from_fn(|_| {
                state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
                (state / 65_536 % 50) as f64
            }))
        })
        .collect()
}

fn compiled() -> Vec<Expr> {
    let mut scope = Scope::new();
    for index in 0..METRICS {
        let slot = u32::try_from(index).expect("thirty");
        let binding = Binding { ty: Type::Number, slot, optional: true };
        scope.declare(&format!("metrics.m{index}"), binding);
    }
    let sources = sources();
    sources
        .iter()
        .map(|source| compile(source, &scope, Expected::YesNo).expect("a good rule"))
        .collect()
}

/// Where the closures read their numbers.
trait Numbers {
    fn at(&self, index: usize) -> f64;
}

impl Numbers for Metrics {
    fn at(&self, index: usize) -> f64 {
        self.0[index]
    }
}

impl Numbers for Facts<'_> {
    fn at(&self, index: usize) -> f64 {
        self.metric(index).unwrap_or(f64::NAN)
    }
}

type Closure<'a, N> = Box<dyn Fn(&N) -> bool + 'a>;

/// The rules as somebody would write them in Rust. Every number is known.
fn closures<'a, N: Numbers + 'a>() -> Vec<Closure<'a, N>> {
    vec![
        Box::new(|m: &N| m.at(0) > 3.0),
        Box::new(|m: &N| m.at(1) >= 8.0 && m.at(2) >= 0.5),
        Box::new(|m: &N| m.at(3) < 5.0 || m.at(4) > 21.0),
        Box::new(|m: &N| m.at(6) != 0.0 && m.at(5) / m.at(6) > 0.5),
        Box::new(|m: &N| m.at(7) > 0.5 * m.at(8) / 4.0),
        Box::new(|m: &N| m.at(9) <= 3.0),
        Box::new(|m: &N| m.at(10) == 1.0 && m.at(11) <= 60.0),
        Box::new(|m: &N| m.at(12) > 60.0 && m.at(12) <= 120.0),
        Box::new(|m: &N| [1.0, 2.0, 3.0].contains(&m.at(13))),
        Box::new(|m: &N| m.at(14) - m.at(15) >= 10.0),
        Box::new(|m: &N| m.at(16) + m.at(17) + m.at(18) > 30.0),
        Box::new(|m: &N| (m.at(19) > 3.0 || m.at(20) > 3.0) && m.at(21) < 40.0),
        Box::new(|m: &N| m.at(22) != 0.0),
        Box::new(|m: &N| m.at(23) < m.at(24)),
        Box::new(|m: &N| m.at(25) > 10.0 && m.at(26) > 10.0 && m.at(27) > 10.0),
        Box::new(|m: &N| m.at(28) <= 6.0 || m.at(29) <= 6.0),
        Box::new(|m: &N| m.at(0) > 45.0 || m.at(1) > 45.0 || m.at(2) > 45.0),
        Box::new(|m: &N| m.at(3) * 2.0 < m.at(4) + 7.0),
        Box::new(|m: &N| m.at(5) >= 5.0 && m.at(5) < 20.0 && m.at(6) > 1.0),
        Box::new(|m: &N| m.at(7) == m.at(8)),
    ]
}

/// How many of the closures hold.
fn holding<N>(closures: &[Closure<'_, N>], row: &N) -> usize {
    closures.iter().filter(|rule| rule(row)).count()
}

/// The same customers as they are stored: a metric's number is that of its events.
fn stored(rows: &[Metrics], now: Timestamp) -> (Lifecycle, Vec<Customer>) {
    let mut file = "version: 1\nsubject: user\nmetrics:\n".to_owned();
    for index in 0..METRICS {
        file.push_str(&format!("  m{index}: {{ count: e{index}, over: 28d }}\n"));
    }
    file.push_str("segments:\n");
    for (index, rule) in sources().iter().enumerate() {
        file.push_str(&format!("  r{index}: \"{rule}\"\n"));
    }
    file.push_str("stages: { any: { enter: { when: metrics.m0 >= 0 } } }\n");
    let lifecycle = load(&file).expect("a valid file");
    let customer = |row: &Metrics| {
        let mut log = Vec::new();
        for (index, count) in row.0.iter().enumerate() {
            for nth in 0..*count as i64 {
                let at = now - SignedDuration::from_hours(13 * (nth + 1));
                let body =
                    json!({ "type": "track", "event": format!("e{index}"), "userId": "ada" });
                let serde_json::Value::Object(body) = body else { unreachable!() };
                let id = format!("{index}-{nth}");
                log.push(Event::from_body(id, at, at, body).expect("a good event"));
            }
        }
        let log = domain::replay::in_order(log);
        Customer { profile: profile_at(&lifecycle, &log, now), ..Customer::default() }
    };
    let customers = rows.iter().map(customer).collect();
    (lifecycle, customers)
}

/// Says how many answers of all customers are yes, for whoever puts this into a table.
fn tell(group: &str, name: &str, yes: usize) {
    let told = json!({ "group": group, "name": name, "yes": yes });
    writeln!(std::io::stdout(), "figures: {told}").expect("somebody listens");
}

fn rules(c: &mut Criterion) {
    let (customers, compiled, closures) = (customers(), compiled(), closures());
    let env = Arc::new(cel::Env::stdlib());
    let programs: Vec<_> =
        sources().iter().map(|source| env.compile(source).expect("valid CEL")).collect();
    let contexts: Vec<_> = customers
        .iter()
        .map(|customer| {
            let named = customer.0.iter().enumerate();
            let named: HashMap<String, cel::Value> =
                named.map(|(index, number)| (format!("m{index}"), (*number).into())).collect();
            let mut context = cel::Context::with_env(env.clone());
            context.add_variable_from_value("metrics", named);
            context
        })
        .collect();

    // All three count the same answers, or the times would compare nothing.
    let ours = |customer: &Metrics| {
        compiled.iter().filter(|rule| rule.truth(customer) == Truth::Yes).count()
    };
    let plain = |customer: &Metrics| holding(&closures, customer);
    let theirs = |context: &cel::Context| {
        let holds = |program: &&_| -> bool {
            let program: &cel::Program = program;
            matches!(program.execute(context), Ok(cel::Value::Bool(true)))
        };
        programs.iter().filter(holds).count()
    };
    for (customer, context) in customers.iter().zip(&contexts) {
        assert_eq!(ours(customer), plain(customer));
        // A division by zero is an infinity to CEL, and unknown here.
        let by_zero = customer.0[6] == 0.0 && customer.0[5] > 0.0;
        assert_eq!(ours(customer) + usize::from(by_zero), theirs(context));
    }

    tell(READY, OURS, customers.iter().map(ours).sum());
    tell(READY, CLOSURES, customers.iter().map(plain).sum());
    tell(READY, CEL, contexts.iter().map(theirs).sum());
    let mut group = c.benchmark_group(READY);
    group.throughput(Throughput::Elements(20));
    let mut turn = 0;
    let mut next = || {
        turn = (turn + 1) % CUSTOMERS;
        turn
    };
    group.bench_function(CLOSURES, |bench| {
        bench.iter(|| plain(black_box(&customers[next()])));
    });
    group.bench_function(OURS, |bench| {
        bench.iter(|| ours(black_box(&customers[next()])));
    });
    group.bench_function(CEL, |bench| {
        bench.iter(|| theirs(black_box(&contexts[next()])));
    });
    group.finish();
    of_stored_customers(c, &customers);
}

fn of_stored_customers(c: &mut Criterion, rows: &[Metrics]) {
    let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("an instant");
    let (lifecycle, customers) = stored(rows, now);
    let closures = closures();
    let ours = |facts: &Facts<'_>| {
        let rules = lifecycle.segments.iter();
        rules.filter(|rule| facts.answer(&rule.condition) == Truth::Yes).count()
    };
    let facts: Vec<Facts<'_>> =
        customers.iter().map(|customer| Facts::new(customer, &lifecycle, now)).collect();
    for facts in &facts {
        assert_eq!(ours(facts), holding(&closures, facts));
    }
    tell(STORED, OURS, facts.iter().map(ours).sum());
    tell(STORED, CLOSURES, facts.iter().map(|facts| holding(&closures, facts)).sum());
    let mut group = c.benchmark_group(STORED);
    group.throughput(Throughput::Elements(20));
    let mut turn = 0;
    let mut next = || {
        turn = (turn + 1) % CUSTOMERS;
        turn
    };
    group.bench_function(CLOSURES, |bench| {
        bench.iter(|| holding(&closures, black_box(&facts[next()])));
    });
    group.bench_function(OURS, |bench| {
        bench.iter(|| ours(black_box(&facts[next()])));
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);

//! 20 rules over 30 metrics for one customer: this language, the same rules as hand-written Rust
//! closures, and the interpreter of the `cel` crate.
//!
//! `cargo bench -p domain --bench rules`; `shared/domain/benches/rules/peers.sh` runs it beside
//! cel-python and json-logic-js. One iteration answers all 20 rules for one of 64 customers.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use domain::expr::{Binding, Expected, Expr, Name, Row, Scope, Truth, Type, Value, compile};
use jiff::civil::{Date, date};

const METRICS: usize = 30;
const CUSTOMERS: usize = 64;

/// A customer's metrics, ready to be asked about.
struct Metrics([f64; METRICS]);

impl Row for Metrics {
    fn get(&self, name: &Name) -> Value<'_> {
        self.0.get(name.slot as usize).map_or(Value::Missing, |number| Value::Number(*number))
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

type Closure = Box<dyn Fn(&[f64; METRICS]) -> bool>;

/// The rules as somebody would write them in Rust. Every number is known.
fn closures() -> Vec<Closure> {
    vec![
        Box::new(|m| m[0] > 3.0),
        Box::new(|m| m[1] >= 8.0 && m[2] >= 0.5),
        Box::new(|m| m[3] < 5.0 || m[4] > 21.0),
        Box::new(|m| m[6] != 0.0 && m[5] / m[6] > 0.5),
        Box::new(|m| m[7] > 0.5 * m[8] / 4.0),
        Box::new(|m| m[9] <= 3.0),
        Box::new(|m| m[10] == 1.0 && m[11] <= 60.0),
        Box::new(|m| m[12] > 60.0 && m[12] <= 120.0),
        Box::new(|m| [1.0, 2.0, 3.0].contains(&m[13])),
        Box::new(|m| m[14] - m[15] >= 10.0),
        Box::new(|m| m[16] + m[17] + m[18] > 30.0),
        Box::new(|m| (m[19] > 3.0 || m[20] > 3.0) && m[21] < 40.0),
        Box::new(|m| m[22] != 0.0),
        Box::new(|m| m[23] < m[24]),
        Box::new(|m| m[25] > 10.0 && m[26] > 10.0 && m[27] > 10.0),
        Box::new(|m| m[28] <= 6.0 || m[29] <= 6.0),
        Box::new(|m| m[0] > 45.0 || m[1] > 45.0 || m[2] > 45.0),
        Box::new(|m| m[3] * 2.0 < m[4] + 7.0),
        Box::new(|m| m[5] >= 5.0 && m[5] < 20.0 && m[6] > 1.0),
        Box::new(|m| m[7] == m[8]),
    ]
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
    let plain = |customer: &Metrics| closures.iter().filter(|rule| rule(&customer.0)).count();
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

    let mut group = c.benchmark_group("20 rules over 30 metrics");
    group.throughput(Throughput::Elements(20));
    let mut turn = 0;
    let mut next = || {
        turn = (turn + 1) % CUSTOMERS;
        turn
    };
    group.bench_function("Rust closures", |bench| {
        bench.iter(|| plain(black_box(&customers[next()])));
    });
    group.bench_function("this language", |bench| {
        bench.iter(|| ours(black_box(&customers[next()])));
    });
    group.bench_function("the cel crate", |bench| {
        bench.iter(|| theirs(black_box(&contexts[next()])));
    });
    group.finish();
}

criterion_group!(benches, rules);
criterion_main!(benches);

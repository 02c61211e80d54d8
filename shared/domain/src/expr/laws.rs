//! Laws: Kleene's logic, that knowing more never changes a known answer, and that no text whatever
//! makes the parser panic or run for long.

use std::collections::BTreeMap;

use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::*;

const TRUTHS: [Truth; 3] = [Truth::Yes, Truth::No, Truth::Unknown];
const NAMES: [&str; 4] = ["m.a", "m.b", "m.c", "m.d"];

#[test]
fn the_logic_is_kleenes() {
    for a in TRUTHS {
        assert_eq!(a.not().not(), a);
        assert_eq!((a.and(a), a.or(a)), (a, a));
        assert_eq!((a.and(Truth::Yes), a.or(Truth::No)), (a, a));
        assert_eq!((a.and(Truth::No), a.or(Truth::Yes)), (Truth::No, Truth::Yes));
        for b in TRUTHS {
            assert_eq!((a.and(b), a.or(b)), (b.and(a), b.or(a)));
            assert_eq!(a.and(b).not(), a.not().or(b.not()), "De Morgan");
            assert_eq!(a.or(b).not(), a.not().and(b.not()), "De Morgan");
            assert_eq!(a.or(a.and(b)), a, "absorption");
            for c in TRUTHS {
                assert_eq!(a.and(b).and(c), a.and(b.and(c)));
                assert_eq!(a.or(b).or(c), a.or(b.or(c)));
                assert_eq!(a.and(b.or(c)), a.and(b).or(a.and(c)));
                assert_eq!(a.or(b.and(c)), a.or(b).and(a.or(c)));
            }
        }
    }
    // Kleene has no law of the excluded middle.
    assert_eq!(Truth::Unknown.or(Truth::Unknown.not()), Truth::Unknown);
}

struct Known(BTreeMap<&'static str, f64>);

impl Row for Known {
    fn get(&self, name: &Name) -> Value<'_> {
        self.0.get(&*name.path).map_or(Value::Missing, |number| Value::Number(*number))
    }

    fn today(&self) -> Date {
        date(2026, 11, 25)
    }
}

fn scope() -> Scope {
    let mut scope = Scope::new();
    for (index, name) in NAMES.iter().enumerate() {
        let slot = u32::try_from(index).unwrap();
        scope.declare(name, Binding { ty: Type::Number, slot, optional: true });
    }
    scope
}

/// A condition without `has`, which is the one question about not knowing.
fn condition() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        (0..9_u32).prop_map(|n| n.to_string()),
    ];
    let sum = (number.clone(), prop::sample::select(vec!["+", "-", "*", "/"]), number.clone())
        .prop_map(|(left, sign, right)| format!("({left} {sign} {right})"));
    let compare = prop::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let leaf = (prop_oneof![number, sum], compare, prop::sample::select(NAMES.to_vec()))
        .prop_map(|(left, sign, right)| format!("{left} {sign} {right}"));
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|one| format!("!({one})")),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" && "))),
            prop::collection::vec(inner, 2..4)
                .prop_map(|parts| format!("({})", parts.join(" || "))),
        ]
    })
}

fn facts() -> impl Strategy<Value = [Option<f64>; 4]> {
    prop::array::uniform4(prop::option::of((-3..9_i32).prop_map(f64::from)))
}

fn known(facts: &[Option<f64>; 4]) -> Known {
    let told = NAMES.iter().zip(facts).filter_map(|(name, fact)| Some((*name, (*fact)?)));
    Known(told.collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn learning_a_fact_never_changes_an_answer_that_was_known(
        source in condition(), facts in facts(), learnt in 0..4_usize, value in -3..9_i32,
    ) {
        let Ok(expr) = compile(&source, &scope(), Expected::YesNo) else { return Ok(()) };
        let before = expr.truth(&known(&facts));
        let mut more = facts;
        more[learnt] = more[learnt].or(Some(f64::from(value)));
        let after = expr.truth(&known(&more));
        prop_assert!(before == Truth::Unknown || before == after, "{source}: {before:?}, {after:?}");
    }

    #[test]
    fn an_answer_is_known_where_everything_is_but_for_divisions(
        source in condition(), facts in prop::array::uniform4(1..9_i32),
    ) {
        let Ok(expr) = compile(&source, &scope(), Expected::YesNo) else { return Ok(()) };
        prop_assume!(!source.contains('/'));
        let all = facts.map(|fact| Some(f64::from(fact)));
        prop_assert_ne!(expr.truth(&known(&all)), Truth::Unknown);
    }

    #[test]
    fn what_holds_by_lists_holds_by_operators(
        parts in prop::collection::vec(condition(), 1..4), facts in facts(),
    ) {
        let compiled: Vec<Truth> = parts
            .iter()
            .filter_map(|part| compile(part, &scope(), Expected::YesNo).ok())
            .map(|expr| expr.truth(&known(&facts)))
            .collect();
        prop_assume!(compiled.len() == parts.len());
        for (sign, joined) in [("&&", Truth::all(compiled.clone())), ("||", Truth::any(compiled))] {
            let source = parts.iter().map(|part| format!("({part})")).collect::<Vec<_>>();
            let expr = compile(&source.join(&format!(" {sign} ")), &scope(), Expected::YesNo);
            if let Ok(expr) = expr {
                prop_assert_eq!(expr.truth(&known(&facts)), joined);
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,200}") {
        check_any(&text)?;
    }

    #[test]
    fn no_heap_of_tokens_makes_the_parser_panic(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "m.a", "m", ".", "(", ")", "[", "]", ",", "&&", "||", "!", "-", "+", "*", "/", "%", "==",
            "!=", "<", ">=", "in", "has", "days_until", "today", "true", "null", "1", "0x", "1e", "1.",
            "2026-12-25", "\"a\"", "'", "\"", "\\", "r'", "'''", "\\u12", "é", "\n", "and", "? :",
        ]), 0..60),
        glue in prop::sample::select(vec!["", " "]),
    ) {
        check_any(&tokens.join(glue))?;
    }

    #[test]
    fn depth_and_size_are_bounded_whatever_is_nested(
        open in prop::sample::select(vec!["(", "!", "-", "has(", "m.a in [", "(1 + "]),
        times in 1..3_000_usize,
    ) {
        let text = format!("{}m.a > 1", open.repeat(times));
        if times > 400 {
            prop_assert!(compile(&text, &scope(), Expected::YesNo).is_err());
        }
        check_any(&text)?;
    }
}

/// Whatever is said about a text points into it; whatever compiles answers within its cost.
fn check_any(text: &str) -> Result<(), TestCaseError> {
    for expected in [Expected::YesNo, Expected::Number, Expected::Any] {
        match compile(text, &scope(), expected) {
            Ok(expr) => {
                prop_assert!(expr.cost() <= MAX_NODES, "{text}");
                let _ = expr.value(&known(&[Some(1.0), None, Some(0.0), Some(-2.5)]));
            }
            Err(problems) => {
                prop_assert!(!problems.is_empty());
                for problem in problems {
                    let Range { start, end } = problem.span;
                    prop_assert!(start <= end && end <= text.len(), "{text:?}: {start}..{end}");
                    prop_assert!(
                        text.is_char_boundary(start) && text.is_char_boundary(end),
                        "{text:?}"
                    );
                }
            }
        }
    }
    Ok(())
}

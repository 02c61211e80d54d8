//! Everything wrong in one reading, and places that are right.

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read, to see that it can be")]
struct File {
    name: Spanned<String>,
    count: Option<u32>,
    share: Option<Spanned<f64>>,
    is_on: Option<bool>,
    #[serde(default)]
    words: Vec<Spanned<String>>,
    inner: Option<Inner>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "read, to see that it can be")]
struct Inner {
    needed: Spanned<String>,
    other: Option<Spanned<String>>,
}

fn told(text: &str) -> Vec<String> {
    let reading = read::<File>(text);
    reading
        .faults
        .iter()
        .map(|fault| format!("{}: {}", &text[fault.at.range(text)], fault.said.message))
        .collect()
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = "nmae: x\nname: [1]\ncount: many\nshare: \"0.5\"\nis_on: yes\nwords: one\n\
                inner: { othr: x, needed: y }\ncount: 3\n";
    let mut found = told(text);
    found.sort();
    let mut want = [
        "count: `count` is there twice",
        "nmae: there is no key `nmae` here",
        "[1]: this should be one word or one text",
        "many: this should be a whole number",
        "\"0.5\": this should be a number",
        "yes: this should be `true` or `false`",
        "one: this should be a list, as `[one, two]`",
        "othr: there is no key `othr` here",
    ];
    want.sort_unstable();
    assert_eq!(found, want);
}

#[test]
fn what_could_not_be_read_is_not_missing_too() {
    assert_eq!(
        told("name: x\ninner: { needed: [], other: y }\n"),
        ["[]: this should be one word or one text"]
    );
    assert_eq!(
        told("name: x\ninner: { other: y }\n"),
        ["{ other: y }: the key `needed` is missing"]
    );
    let reading = read::<File>("name: x\ninner: { needed: [] }\ncount: x\n");
    let broken: Vec<&str> = reading.broken.iter().map(String::as_str).collect();
    assert_eq!(broken, ["count", "inner", "inner.needed"]);
    assert!(reading.value.is_some());
}

#[test]
fn a_place_is_that_of_the_word() {
    for (text, want) in [
        ("name: Käse  # c\n", "Käse"),
        ("name: 'it''s'\n", "'it''s'"),
        ("{ name: \"a b\" }", "\"a b\""),
        ("- x: &a one\n", ""),
    ] {
        let reading = read::<File>(text);
        let found = reading.value.map(|file| &text[file.name.referenced.range(text)]);
        assert_eq!(found.unwrap_or_default(), want, "{text}");
    }
}

#[test]
fn an_alias_is_read_where_it_is_used_and_known_where_it_is_written() {
    let text = "name: &n one\nwords: [*n, two]\n";
    let file = read::<File>(text).value.unwrap();
    let word = &file.words[0];
    assert_eq!(word.value, "one");
    assert_eq!(&text[word.referenced.range(text)], "*n");
    assert_eq!(&text[word.defined.range(text)], "one");
}

#[test]
fn what_is_no_yaml_ends_the_reading_with_its_place() {
    for text in [
        "name: [",
        "name: \"x",
        "inner:\n\tneeded: x",
        "name: *n",
        "name: x\n---\nname: y\n",
        "",
        "#",
    ] {
        let reading = read::<File>(text);
        assert_eq!((reading.faults.len(), reading.value.is_some()), (1, false), "{text:?}");
    }
}

#[test]
fn laughing_many_times_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        let list = vec![below; 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    let reading = read::<File>(&text);
    assert!(reading.faults[0].said.message.contains("repeats too much"));
}

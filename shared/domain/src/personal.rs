//! Traits that are not kept as they were told: hashed or dropped on arrival, before anything is stored.
//!
//! A trait that says `pii: hash` is kept as a keyed hash of what was told: equal stays equal, and
//! nothing leads back without the workspace's key. One that says `pii: drop` is not kept. Both hold
//! for members of that name wherever a call tells facts: at any depth of its `traits`, of the `traits`
//! of its `context`, and of its `properties`.
//!
//! Invariants: what was hashed once stays as it is, so that a call can come this way again. Ids are no
//! traits: whom a call is about is not touched.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value as Json};

/// What stands before a hash.
pub const PREFIX: &str = "hmac-sha256:";
/// SHA-256 in hexadecimal.
const HASH_DIGITS: usize = 64;
/// Where a call tells facts.
const TOLD_BY_CALLS: [&str; 2] = ["traits", "properties"];
/// Where any body does.
const TOLD_BY_BODIES: [&str; 4] = ["traits", "properties", "data", "detail"];

/// What happens to a trait on its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// A keyed hash of it is kept.
    Hash,
    /// Nothing of it is.
    Drop,
}

/// A keyed hash of a text, in hexadecimal.
pub type KeyedHash = dyn Fn(&str) -> String + Send + Sync;

/// The traits that are not kept as told, and the key.
pub struct Shield {
    traits: BTreeMap<String, Treatment>,
    hash: Box<KeyedHash>,
}

impl fmt::Debug for Shield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("traits", &self.traits).finish_non_exhaustive()
    }
}

impl Shield {
    /// A shield for these traits; `hash` is HMAC-SHA-256 under the workspace's key.
    #[must_use]
    pub fn new(
        traits: BTreeMap<String, Treatment>,
        hash: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Shield {
        Shield { traits, hash: Box::new(hash) }
    }

    /// Treats what a call tells.
    pub fn treat_call(&self, call: &mut Map<String, Json>) {
        for told in TOLD_BY_CALLS {
            if let Some(told) = call.get_mut(told) {
                self.treat_all(told);
            }
        }
        if let Some(Json::Object(context)) = call.get_mut("context") {
            self.treat_context(context);
        }
    }

    /// Treats what the context of a call tells.
    pub fn treat_context(&self, context: &mut Map<String, Json>) {
        if let Some(told) = context.get_mut("traits") {
            self.treat_all(told);
        }
    }

    /// Treats what any body tells, whatever its form: `None` where it tells nothing of the kind, or is
    /// no JSON.
    #[must_use]
    pub fn treat_text(&self, text: &str) -> Option<String> {
        let names = self.traits.keys();
        let is_named =
            names.into_iter().any(|name| text.contains(&Json::from(name.as_str()).to_string()));
        let before: Json = is_named.then(|| serde_json::from_str(text).ok()).flatten()?;
        let mut after = before.clone();
        self.treat_body(&mut after);
        (after != before).then(|| after.to_string())
    }

    fn treat_body(&self, body: &mut Json) {
        match body {
            Json::Object(members) => {
                for (name, member) in members {
                    match TOLD_BY_BODIES.contains(&name.as_str()) {
                        true => self.treat_all(member),
                        false => self.treat_body(member),
                    }
                }
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.treat_body(item)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    /// Treats the members of these names, at any depth.
    fn treat_all(&self, value: &mut Json) {
        match value {
            Json::Object(members) => {
                members.retain(|name, member| match self.traits.get(name) {
                    Some(Treatment::Drop) => false,
                    Some(Treatment::Hash) => {
                        self.hash(member);
                        true
                    }
                    None => {
                        self.treat_all(member);
                        true
                    }
                });
            }
            Json::Array(items) => items.iter_mut().for_each(|item| self.treat_all(item)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    /// Puts a hash in the place of a value. Addresses are the same however they are capitalised.
    fn hash(&self, value: &mut Json) {
        let text = match value {
            Json::Null => return,
            Json::String(text) if is_hash(text) => return,
            Json::String(text) => text.trim().to_lowercase(),
            Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => value.to_string(),
        };
        *value = format!("{PREFIX}{}", (self.hash)(&text)).into();
    }
}

fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix(PREFIX).unwrap_or_default();
    digits.len() == HASH_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shield() -> Shield {
        let traits = [("email", Treatment::Hash), ("phone", Treatment::Drop)];
        let traits = traits.map(|(name, treatment)| (name.to_owned(), treatment));
        // No hash, but as long as one, and it shows what was hashed.
        Shield::new(traits.into(), |text| crate::hex(format!("{text:>32}").as_bytes()))
    }

    fn hashed(text: &str) -> String {
        format!("{PREFIX}{}", crate::hex(format!("{text:>32}").as_bytes()))
    }

    fn check(call: Json, expected: &Json) {
        let mut treated = call.as_object().unwrap().clone();
        for _ in 0..2 {
            shield().treat_call(&mut treated);
            assert_eq!(Json::Object(treated.clone()), *expected, "{call}");
        }
    }

    #[test]
    fn facts_are_treated_wherever_a_call_tells_them() {
        check(
            json!({
                "userId": "ada@example.test", "email": "a", "phone": "b",
                "traits": {"email": " Ada@Example.test", "phone": "+49", "plan": "team",
                    "company": {"phone": 1, "name": "Acme"}},
                "context": {"traits": {"email": 7, "phone": null}, "phone": {"model": "x"}},
                "properties": {"contacts": [{"email": "ada@example.test"}], "email": null},
            }),
            &json!({
                "userId": "ada@example.test", "email": "a", "phone": "b",
                "traits": {"email": hashed("ada@example.test"), "plan": "team",
                    "company": {"name": "Acme"}},
                "context": {"traits": {"email": hashed("7")}, "phone": {"model": "x"}},
                "properties": {"contacts": [{"email": hashed("ada@example.test")}], "email": null},
            }),
        );
        check(json!({"traits": "none", "context": 7}), &json!({"traits": "none", "context": 7}));
    }

    #[test]
    fn a_text_is_rewritten_only_where_it_tells_such_a_fact() {
        let treated = |text: &str| shield().treat_text(text);
        assert_eq!(treated(r#"{"traits":{"plan":"team"},"phone":"1"}"#), None);
        assert_eq!(treated(r#"{"traits":{"phone":"1"}"#), None);
        let batch = r#"{"batch":[{"traits":{"phone":"1"},"x":1},{"data":{"phone":2}}]}"#;
        assert_eq!(treated(batch).unwrap(), r#"{"batch":[{"traits":{},"x":1},{"data":{}}]}"#);
    }

    #[test]
    fn what_only_looks_like_a_hash_is_hashed() {
        for forged in [PREFIX.to_owned(), format!("{PREFIX}{}", "g".repeat(64))] {
            let mut call = json!({"traits": {"email": forged}}).as_object().unwrap().clone();
            shield().treat_call(&mut call);
            assert_ne!(call["traits"]["email"], forged);
        }
    }
}

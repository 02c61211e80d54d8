//! Messages for customers: what the mail tool in use is asked to write.
//!
//! The pack writes to no customer itself. A step of a playbook asks for a message of a purpose; the
//! tool hears of it over SNS, with the name of its own template, and the same `id` however often the
//! message is delivered. Nothing is asked for an id that is turned away; that is checked when the
//! message is sent.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use crate::alert::{self, Alert};
use crate::customer::{Customer, Scalar};
use crate::facts::Facts;
use crate::journal::{ChangeKind, JournalEntry};
use crate::lifecycle::{Action, Lifecycle, Receiver};
use crate::task::step_of;

/// The traits that a mail tool is told.
const TOLD: [&str; 5] = ["name", "email", "first_name", "last_name", "language"];

/// The receiver of an entry's message: the one that the file names, else by the routes.
fn receiver<'l>(
    entry: &JournalEntry,
    customer: &Customer,
    lifecycle: &'l Lifecycle,
) -> Option<&'l Receiver> {
    match &lifecycle.messages_to {
        Some(name) => lifecycle.receiver(name),
        None => alert::route(entry.kind, &alert::labels(entry, customer, lifecycle), lifecycle),
    }
}

/// The message that an entry asks for; `None` where it asks for none, or the playbook is no longer
/// declared.
#[must_use]
pub fn message(
    customer_id: &str,
    entry: &JournalEntry,
    customer: &Customer,
    lifecycle: &Lifecycle,
) -> Option<Alert> {
    if entry.kind != ChangeKind::Message {
        return None;
    }
    let facts = Facts::new(customer, lifecycle, entry.at);
    let Action::Message { purpose, template, .. } = &step_of(&facts, &entry.rule)?.action else {
        return None;
    };
    let receiver = receiver(entry, customer, lifecycle)?;
    let mut traits = Map::new();
    for name in TOLD {
        if let Some(told) = customer.profile.traits.get(name)
            && told.value != Scalar::Null
        {
            traits.insert(name.to_owned(), told.value.to_json());
        }
    }
    let body = json!({
        "kind": "message",
        "id": format!("{customer_id}-{}", entry.seq),
        "customer": customer_id,
        "purpose": purpose,
        "template": template,
        "playbook": entry.rule,
        "stage": customer.status.stage.as_ref().map(|stage| stage.name.as_str()),
        "traits": traits,
        "at": entry.at.to_string(),
    });
    let attributes: BTreeMap<String, String> =
        [("kind".to_owned(), "message".to_owned()), ("purpose".to_owned(), purpose.clone())].into();
    let subject = format!("message: {purpose}").chars().take(99).collect();
    let topic = receiver.address.clone();
    Some(Alert { topic, subject, text: body.to_string(), chat: body, attributes, post: None })
}

//! Whom a call is about.

use domain::event::{Event, EventKind, id_text};
use domain::lifecycle::Subject;
use serde_json::Value as Json;

use crate::call::Rejection;

/// The longest id, in bytes: it becomes a key of a table.
pub(crate) const MAX_ID_BYTES: usize = 512;

/// Whom a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// This user, where users are customers.
    User(String),
    /// This account, and the user who is thereby known to belong to it.
    Account { account: String, user: Option<String> },
    /// A user, where accounts are customers and the call names none.
    UserOfAccount(String),
}

/// Reads whom a call is about.
///
/// # Errors
/// When it names nobody, a `group` call names no group, or an id is none.
pub(crate) fn read(event: &Event, subject: Subject) -> Result<Who, Rejection> {
    if event.kind == EventKind::Group && event.account().is_none() {
        return Err(Rejection::new("missing_group", "a group call needs `groupId`"));
    }
    let user = event.user.clone().map(checked).transpose()?;
    let account = match subject {
        Subject::User => None,
        Subject::Account => account(event).map(checked).transpose()?,
    };
    match (subject, account, user) {
        (Subject::User, _, Some(user)) => Ok(Who::User(user)),
        (Subject::Account, Some(account), user) => Ok(Who::Account { account, user }),
        (Subject::Account, None, Some(user)) => Ok(Who::UserOfAccount(user)),
        (Subject::User | Subject::Account, _, None) => {
            Err(Rejection::new("missing_user", "the call needs `userId` or `anonymousId`"))
        }
    }
}

/// The id that an `alias` call says its user had before.
///
/// # Errors
/// When it is none that could be.
pub(crate) fn previous(event: &Event) -> Result<Option<String>, Rejection> {
    if event.kind != EventKind::Alias {
        return Ok(None);
    }
    event.body.get("previousId").and_then(id_text).map(checked).transpose()
}

/// The account a call names: its group, or the company its traits are about.
fn account(event: &Event) -> Option<String> {
    event
        .account()
        .or_else(|| company(event.body.get("context")?.get("traits")?))
        .or_else(|| company(event.body.get("traits")?))
}

fn company(traits: &Json) -> Option<String> {
    let company = traits.get("company")?;
    id_text(company).or_else(|| id_text(company.get("id")?))
}

fn checked(id: String) -> Result<String, Rejection> {
    if id.len() > MAX_ID_BYTES {
        let message = format!("an id of a user or a group is longer than {MAX_ID_BYTES} bytes");
        return Err(Rejection::new("invalid_id", message));
    }
    if id.chars().any(char::is_control) {
        let message = "an id of a user or a group has control characters";
        return Err(Rejection::new("invalid_id", message));
    }
    Ok(id)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn check(subject: Subject, body: Json, expected: Result<Who, &str>) {
        let Json::Object(map) = body.clone() else { panic!("not an object") };
        let at = Timestamp::UNIX_EPOCH;
        let event = Event::from_body("id".into(), at, at, map).unwrap();
        assert_eq!(read(&event, subject).map_err(|found| found.code), expected, "{body}");
    }

    fn account(account: &str, user: Option<&str>) -> Result<Who, &'static str> {
        Ok(Who::Account { account: account.into(), user: user.map(str::to_owned) })
    }

    #[test]
    fn where_users_are_customers_the_user_is_the_customer() {
        let user = |body, expected| check(Subject::User, body, expected);
        let who = |id: &str| Ok(Who::User(id.into()));
        user(json!({"type": "page", "userId": "u", "anonymousId": "a"}), who("u"));
        user(json!({"type": "page", "userId": null, "anonymousId": "a"}), who("a"));
        user(json!({"type": "page", "userId": 42}), who("42"));
        user(json!({"type": "group", "userId": "u", "groupId": "g"}), who("u"));
        user(json!({"type": "page"}), Err("missing_user"));
        user(json!({"type": "page", "userId": "", "anonymousId": {}}), Err("missing_user"));
        user(json!({"type": "group", "groupId": "g"}), Err("missing_user"));
    }

    #[test]
    fn where_accounts_are_customers_the_named_account_is() {
        let named = |body, expected| check(Subject::Account, body, expected);
        named(json!({"type": "group", "userId": "u", "groupId": "g"}), account("g", Some("u")));
        named(json!({"type": "group", "groupId": 9}), account("9", None));
        let context = json!({"groupId": "g", "traits": {"company": "c"}});
        named(json!({"type": "page", "userId": "u", "context": context}), account("g", Some("u")));
        for company in [json!("c"), json!({"id": "c", "name": "Example"})] {
            let context = json!({"traits": {"company": company}});
            let body = json!({"type": "page", "userId": "u", "context": context});
            named(body, account("c", Some("u")));
            let body = json!({"type": "identify", "userId": "u", "traits": {"company": company}});
            named(body, account("c", Some("u")));
        }
    }

    #[test]
    fn where_accounts_are_customers_a_user_is_looked_up() {
        let user = |body, expected| check(Subject::Account, body, expected);
        let who = || Ok(Who::UserOfAccount("u".into()));
        user(json!({"type": "page", "userId": "u"}), who());
        let company = json!({"name": "Example"});
        user(json!({"type": "identify", "userId": "u", "traits": {"company": company}}), who());
        user(json!({"type": "page"}), Err("missing_user"));
        user(json!({"type": "group", "userId": "u"}), Err("missing_group"));
    }

    #[test]
    fn what_cannot_be_a_key_is_no_id() {
        for id in ["u".repeat(MAX_ID_BYTES + 1), "u\n".to_owned()] {
            check(Subject::User, json!({"type": "page", "userId": id}), Err("invalid_id"));
            let body = json!({"type": "group", "groupId": id});
            check(Subject::Account, body, Err("invalid_id"));
        }
    }
}

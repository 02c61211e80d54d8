//! The buttons of Slack messages, to `/v1/slack/actions`: somebody looks after a group of alerts, says what
//! its one finding was worth, or does not want to hear of it for a while.
//!
//! A click is taken when three things hold. Slack has signed it (`v0` of
//! <https://docs.slack.dev/authentication/verifying-requests-from-slack>, over the bytes as they travelled, at
//! most 5 minutes ago or ahead) with the secret of the app, which is kept as `slack_signing`. It has not
//! been seen before. And the value of the button is one that this workspace has signed, for a receiver that
//! the lifecycle file still has, at most a week ago. Whoever can post to a channel can make a message with
//! buttons; only the value makes one ours.
//!
//! What is decided is noted with `slack:` and the user's id as its author. Slack shows nothing of the answer
//! to a click: what became of it is sent to the address that comes with it, where that is Slack's.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use domain::alerting::{GROUP_LABEL, Group, Matcher, Silence};
use domain::by_hand::acknowledge_finding;
use domain::feed::Scheme;
use domain::journal::{Author, FindingOutcome};
use domain::lifecycle::{Channel, Lifecycle, SLACK_SIGNING};
use domain::post::{Button, ButtonAction, Request};
use jiff::Timestamp;
use platform::store::{AckOutcome, ByHandOutcome};
use platform::{CustomerKey, StoreError};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::App;
use crate::http;
use crate::problem::Problem;
use crate::webhook;

/// The path that the interactivity of a Slack app is set to.
pub(crate) const PATH: &str = "/v1/slack/actions";
/// What Slack's addresses for answers begin with.
const SLACK_HOOKS: &str = "https://hooks.slack.com/";
/// How long a click is remembered: longer than its signature holds.
const SEEN_SECONDS: i64 = 24 * 3_600;
/// Slack has at most 50 blocks in a message.
const MAX_BLOCKS: usize = 50;

/// What Slack sends when somebody clicks, as far as it is read.
#[derive(Deserialize)]
struct Click {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    actions: Vec<Action>,
    #[serde(default)]
    message: Json,
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    #[serde(default)]
    value: String,
}

/// What became of a click.
enum Done {
    Acknowledged,
    Seen(FindingOutcome),
    Silenced(Timestamp),
    /// All of it is over, or it is another one of the same name.
    Over,
}

/// Takes a click.
pub(crate) async fn receive(app: &App, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let not_stored = |error: StoreError| Problem::not_stored(&error);
    let wire = http::read_wire(body).await?;
    let now = app.now();
    let secrets = app.store.source_secrets(SLACK_SIGNING).await.map_err(not_stored)?;
    let scheme = Scheme::parse("slack").expect("Slack's scheme is a preset");
    let id = webhook::verified(&scheme, parts, &wire, &secrets, now)?;
    let click = read(&wire).ok_or_else(|| {
        Problem::bad_request("invalid_payload", "the body is no form with the `payload` of a click")
    })?;
    if !app.store.is_first(&format!("slack:{id}"), SEEN_SECONDS, now).await.map_err(not_stored)? {
        return Err(Problem::unauthorized("replayed", "this request was taken before"));
    }
    let Some(user) = user_of(&click) else {
        return Err(Problem::bad_request("invalid_payload", "the click is nobody's"));
    };
    let Some(action) = click.actions.first().filter(|_| click.kind == "block_actions") else {
        // Something else of the same app: nothing of ours.
        return Ok(StatusCode::OK.into_response());
    };
    let key = app.store.button_key().await.map_err(not_stored)?;
    let button = key
        .verify(&action.value, now)
        .map_err(|refused| Problem::unauthorized("wrong_button", refused.to_string()))?;
    let done = act(app, &button, user, now).await?;
    let reply = reply(&click, user, &done);
    answer(app, &click, &reply, now).await;
    Ok(axum::Json(reply).into_response())
}

fn read(wire: &[u8]) -> Option<Click> {
    let text = std::str::from_utf8(wire).ok()?;
    serde_json::from_str(&webhook::payload(text)).ok()
}

/// The id of who clicked: letters and digits, so that it can stand in a text for Slack.
fn user_of(click: &Click) -> Option<&str> {
    let id = click.user.id.as_str();
    let is_good = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_good.then_some(id)
}

/// Does what a button asks for.
async fn act(app: &App, button: &Button, user: &str, now: Timestamp) -> Result<Done, Problem> {
    let not_stored = |error: StoreError| Problem::not_stored(&error);
    let lifecycle = app.store.lifecycle().await.map_err(not_stored)?;
    let receiver = lifecycle.receiver(&button.receiver);
    if receiver.is_none_or(|receiver| receiver.channel != Channel::Slack) {
        let message = "the receiver of this message is no longer one";
        return Err(Problem::unauthorized("wrong_button", message));
    }
    let held = app.store.alert_group(&button.group).await.map_err(not_stored)?;
    let is_it =
        |group: &Group| group.opened_at.as_second() == button.opened_at && group.firing() > 0;
    let Some(group) = held.group.filter(is_it) else { return Ok(Done::Over) };
    let author = format!("slack:{user}");
    let Some(snooze) = button.action.snooze() else {
        let by = Author { name: author, reason: None };
        if let Some(outcome) = button.action.outcome() {
            return see(app, button, &group, (by, outcome), &lifecycle, now).await;
        }
        let done = app.store.acknowledge_alerts(&button.group, &by, &lifecycle, now).await;
        return match done.map_err(not_stored)? {
            AckOutcome::Done(_) => Ok(Done::Acknowledged),
            AckOutcome::NoGroup => Ok(Done::Over),
        };
    };
    let ends_at = now.saturating_add(snooze).unwrap_or(Timestamp::MAX);
    let matcher = Matcher {
        label: GROUP_LABEL.to_owned(),
        values: vec![button.group.clone()],
        is_not: false,
    };
    let reason = format!("{} in Slack", button.action.label());
    let id = app.store.silence_id().map_err(not_stored)?;
    let who = (Some(author.as_str()), Some(reason.as_str()));
    let silence = Silence::checked(id, vec![matcher], who, (now, ends_at), now)
        .map_err(|refused| Problem::bad_request("invalid_silence", refused.to_string()))?;
    app.store.add_silence(&silence, now).await.map_err(not_stored)?;
    Ok(Done::Silenced(ends_at))
}

/// Says what a finding was worth; where it is all the group has, somebody looks after the group.
async fn see(
    app: &App,
    button: &Button,
    group: &Group,
    (by, outcome): (Author, FindingOutcome),
    lifecycle: &Lifecycle,
    now: Timestamp,
) -> Result<Done, Problem> {
    let not_stored = |error: StoreError| Problem::not_stored(&error);
    let Some((member, standard)) = button.finding_of(group) else { return Ok(Done::Over) };
    let key = CustomerKey::stored(&member.key);
    let decided = app.store.decide_by_hand(&key, lifecycle, now, |facts| {
        Ok(vec![acknowledge_finding(facts, standard, by.clone(), outcome)?])
    });
    if let ByHandOutcome::Refused(_) = decided.await.map_err(not_stored)? {
        // It was mended meanwhile, or the lifecycle file no longer has the standard.
        return Ok(Done::Over);
    }
    if group.firing() == 1 {
        let done = app.store.acknowledge_alerts(&button.group, &by, lifecycle, now).await;
        done.map_err(not_stored)?;
    }
    Ok(Done::Seen(outcome))
}

/// The message as it is after a click: without its buttons, and with what was decided.
fn reply(click: &Click, user: &str, done: &Done) -> Json {
    let said = match done {
        Done::Acknowledged => format!("✓ <@{user}> looks after this."),
        Done::Seen(outcome) => {
            let worth = match outcome {
                FindingOutcome::Useful => "useful",
                FindingOutcome::Known => "known before",
                FindingOutcome::False => "a false alarm",
            };
            format!("✓ <@{user}> looks after this. It was {worth}.")
        }
        Done::Silenced(until) => {
            let seconds = until.as_second();
            format!(
                "<@{user}> snoozed this until <!date^{seconds}^{{date_short_pretty}} {{time}}|{until}>."
            )
        }
        Done::Over => "This is over already.".to_owned(),
    };
    let blocks = click.message["blocks"].as_array();
    let mut blocks: Vec<Json> = blocks.into_iter().flatten().cloned().collect();
    blocks.retain(|block| block["type"] != "actions");
    blocks.truncate(MAX_BLOCKS - 1);
    blocks.push(json!({
        "type": "context",
        "elements": [{ "type": "mrkdwn", "text": said }],
    }));
    json!({ "replace_original": true, "text": said, "blocks": blocks })
}

/// Tells Slack what became of a click. That it was done does not depend on it.
async fn answer(app: &App, click: &Click, reply: &Json, now: Timestamp) {
    let url = click.response_url.as_deref().unwrap_or_default();
    if !(url.starts_with(SLACK_HOOKS) || app.egress.leads_to_this_machine()) || url.is_empty() {
        return;
    }
    let headers = vec![("content-type", "application/json; charset=utf-8".to_owned())];
    let request = Request { url: url.to_owned(), headers, body: reply.to_string() };
    match app.egress.send(&request, now).await {
        Ok(answer) if answer.status < 300 => {}
        Ok(answer) => tracing::warn!(status = answer.status, "Slack did not take a reply"),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "Slack could not be told");
        }
    }
}

/// The words of the buttons, for the document of the API.
pub(crate) fn words() -> [&'static str; 6] {
    ButtonAction::ALL.map(ButtonAction::as_str)
}

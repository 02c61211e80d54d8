//! Slack: a message of an incoming webhook, in Block Kit.
//!
//! Limits of <https://docs.slack.dev/reference/block-kit/blocks>: header 150 characters, section 3,000,
//! button 75, value 2,000, `block_id` 255, 50 blocks; all of it stays far below the 13,000 or so at which
//! Slack answers `msg_blocks_too_long`. `&`, `<` and `>` are escaped everywhere, so that no name mentions
//! a channel or makes a link.

use serde_json::{Value as Json, json};

use super::button::only_finding;
use super::text::{escaped, units};
use super::{Button, ButtonAction, ButtonKey, Standing, Told};
use crate::alerting::State;

const MAX_HEADER: usize = 150;
const MAX_SECTION: usize = 3_000;
/// Room for the last line, which says what is missing.
const LAST_LINE: usize = 40;
/// The longest line of one alert.
const MAX_LINE: usize = 400;

/// The body of a message.
pub(super) fn body(receiver: &str, told: &Told<'_>, buttons: Option<&ButtonKey>) -> Json {
    let (section, is_cut) = section(told);
    let mut context = match told.group {
        Some(group) => format!("group `{}` · message `{}`", group.id, escaped(told.id, 100)),
        None => format!("message `{}`", escaped(told.id, 100)),
    };
    if is_cut || told.attributes.contains_key("truncated") {
        context.push_str(" · truncated=true");
    }
    let mut blocks = vec![
        json!({
            "type": "header",
            "text": { "type": "plain_text", "text": escaped(told.subject, MAX_HEADER), "emoji": false },
        }),
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": section } }),
        json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": context }] }),
    ];
    if let (Some(key), Some(group), Standing::Firing) = (buttons, told.group, told.standing) {
        let finding = only_finding(group);
        let actions = match finding {
            Some(_) => &ButtonAction::OF_FINDING[..],
            None => &ButtonAction::OF_GROUP[..],
        };
        let elements = actions.iter().map(|&action| {
            let of = (group.id.as_str(), group.opened_at);
            let button = Button::new(action, of, receiver, told.now);
            let button = match (finding, action.outcome()) {
                (Some(finding), Some(_)) => button.about(finding),
                _ => button,
            };
            let value = key.sign(&button);
            let mut button = json!({
                "type": "button",
                "action_id": action.as_str(),
                "text": { "type": "plain_text", "text": action.label() },
                "value": value,
            });
            if matches!(action, ButtonAction::Acknowledge | ButtonAction::Useful) {
                button["style"] = json!("primary");
            }
            button
        });
        blocks.push(json!({
            "type": "actions",
            "block_id": format!("alerts:{}", group.id),
            "elements": elements.collect::<Vec<Json>>(),
        }));
    }
    json!({ "text": escaped(told.subject, MAX_SECTION), "blocks": blocks })
}

/// The text of a message in which nobody is named.
pub(super) fn nameless(text: &str) -> Json {
    json!({ "text": escaped(text, MAX_SECTION) })
}

/// The alerts, one a line, as many as there is room for: and whether some are missing.
fn section(told: &Told<'_>) -> (String, bool) {
    let mut text = format!("*{}*", escaped(told.what, 200));
    if !told.labels.is_empty() {
        text.push_str(&format!(" for {}", escaped(told.labels, 600)));
    }
    text.push_str(&format!("\n{}", escaped(told.why, 300)));
    let mut length = units(&text);
    let mut shown = 0;
    for member in told.listed {
        let mark = match (member.state, member.told) {
            (State::Resolved, _) => "✓ ",
            (State::Firing, false) => "new: ",
            _ => "",
        };
        let line = format!("{}: {}", member.name, member.headline);
        let line = format!("\n• {mark}{}", escaped(&line, MAX_LINE));
        length += units(&line);
        if length > MAX_SECTION - LAST_LINE {
            break;
        }
        text.push_str(&line);
        shown += 1;
    }
    let missing = told.left_out + (told.listed.len() - shown) as u64;
    if missing > 0 {
        text.push_str(&format!("\n… and {missing} more"));
    }
    (text, missing > 0)
}

//! The buttons of a chat message: what one asks for, signed so that only a message of ours has it.
//!
//! A value names the action, the group and its beginning, the receiver, when it ends to be taken, and by
//! a hash the one finding that it is about, where it is about one. It is signed with HMAC-SHA256 under a key that is made of the workspace's secret for this one purpose.
//! That the click is the chat service's own is another signature, which whoever takes the click checks
//! first.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::alerting::{Group, Member, State};
use crate::journal::FindingOutcome;

/// For how long a button of a message is taken.
const TAKEN_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);
/// What the key is made for.
const PURPOSE: &[u8] = b"lifecycle buttons of alerts 1\0";
/// The longest value that is looked at, in bytes: Slack takes 2,000 characters.
const MAX_VALUE: usize = 2_000;

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ButtonAction {
    /// Somebody looks after the group.
    Acknowledge,
    /// Somebody looks after the one finding there is, which told something worth knowing.
    Useful,
    /// The same, and it was known before.
    Known,
    /// The same, and it was wrong.
    False,
    /// Nobody wants to hear of the group for an hour.
    SnoozeHour,
    /// Nobody wants to hear of the group for a day.
    SnoozeDay,
}

impl ButtonAction {
    /// All of them.
    pub const ALL: [ButtonAction; 6] = [
        ButtonAction::Acknowledge,
        ButtonAction::Useful,
        ButtonAction::Known,
        ButtonAction::False,
        ButtonAction::SnoozeHour,
        ButtonAction::SnoozeDay,
    ];
    /// Those of a message about one finding of one customer, in its order.
    pub const OF_FINDING: [ButtonAction; 5] = [
        ButtonAction::Useful,
        ButtonAction::Known,
        ButtonAction::False,
        ButtonAction::SnoozeHour,
        ButtonAction::SnoozeDay,
    ];
    /// Those of any other message, in its order.
    pub const OF_GROUP: [ButtonAction; 3] =
        [ButtonAction::Acknowledge, ButtonAction::SnoozeHour, ButtonAction::SnoozeDay];

    /// The word of the value, and the id of the action.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ButtonAction::Acknowledge => "acknowledge",
            ButtonAction::Useful => "useful",
            ButtonAction::Known => "known",
            ButtonAction::False => "false",
            ButtonAction::SnoozeHour => "snooze_1h",
            ButtonAction::SnoozeDay => "snooze_1d",
        }
    }

    /// What the button says.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            ButtonAction::Acknowledge => "Acknowledge",
            ButtonAction::Useful => "Seen: useful",
            ButtonAction::Known => "Seen: known before",
            ButtonAction::False => "Seen: false alarm",
            ButtonAction::SnoozeHour => "Snooze 1 hour",
            ButtonAction::SnoozeDay => "Snooze 1 day",
        }
    }

    /// For how long the group is silenced; `None` of what silences nothing.
    #[must_use]
    pub fn snooze(self) -> Option<SignedDuration> {
        match self {
            ButtonAction::SnoozeHour => Some(SignedDuration::from_hours(1)),
            ButtonAction::SnoozeDay => Some(SignedDuration::from_hours(24)),
            ButtonAction::Acknowledge
            | ButtonAction::Useful
            | ButtonAction::Known
            | ButtonAction::False => None,
        }
    }

    /// What the finding was worth to who clicked; `None` of what says nothing of it.
    #[must_use]
    pub fn outcome(self) -> Option<FindingOutcome> {
        match self {
            ButtonAction::Useful => Some(FindingOutcome::Useful),
            ButtonAction::Known => Some(FindingOutcome::Known),
            ButtonAction::False => Some(FindingOutcome::False),
            ButtonAction::Acknowledge | ButtonAction::SnoozeHour | ButtonAction::SnoozeDay => None,
        }
    }
}

/// What a button asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What it does.
    pub action: ButtonAction,
    /// The group.
    pub group: String,
    /// The finding it is about, as the value names it, where it is about one.
    pub finding: Option<String>,
    /// When the group began, in seconds since 1970: another one of the same name is not meant.
    pub opened_at: i64,
    /// The receiver that was told.
    pub receiver: String,
    /// Until when it is taken, in seconds since 1970.
    pub expires_at: i64,
}

/// Why a value is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ButtonRefused {
    /// It is none of ours, or was changed.
    #[error("the value of the button is not signed by this workspace")]
    NotOurs,
    /// It is too old.
    #[error("the button is older than a week")]
    Expired,
}

/// The key that values are signed with. What it says of itself is not the key.
#[derive(Clone)]
pub struct ButtonKey([u8; 32]);

impl fmt::Debug for ButtonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ButtonKey(***)")
    }
}

fn hmac_of(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

impl ButtonKey {
    /// The key of a workspace, of its secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> ButtonKey {
        let mut mac = hmac_of(secret);
        mac.update(PURPOSE);
        ButtonKey(mac.finalize().into_bytes().into())
    }

    /// The signed value of a button.
    #[must_use]
    pub fn sign(&self, button: &Button) -> String {
        let Button { action, group, finding, opened_at, receiver, expires_at } = button;
        let about = finding.as_ref().map_or(String::new(), |finding| format!(":{finding}"));
        let text =
            format!("{}{about}.{expires_at}.{opened_at}.{group}.{receiver}", action.as_str());
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&text).finalize().into_bytes());
        format!("{signature}.{text}")
    }

    /// What a value asks for.
    ///
    /// # Errors
    /// When it is not signed with this key, or too old.
    pub fn verify(&self, value: &str, now: Timestamp) -> Result<Button, ButtonRefused> {
        let not_ours = || ButtonRefused::NotOurs;
        if value.len() > MAX_VALUE {
            return Err(not_ours());
        }
        let (signature, text) = value.split_once('.').ok_or_else(not_ours)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| not_ours())?;
        // Compared in a time that does not tell where they differ.
        self.mac(text).verify_slice(&signature).map_err(|_| not_ours())?;
        let button = read(text).ok_or_else(not_ours)?;
        match now.as_second() <= button.expires_at {
            true => Ok(button),
            false => Err(ButtonRefused::Expired),
        }
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = hmac_of(&self.0);
        mac.update(text.as_bytes());
        mac
    }
}

fn read(text: &str) -> Option<Button> {
    let mut parts = text.splitn(5, '.');
    let action = parts.next()?;
    let (action, finding) = match action.split_once(':') {
        Some((action, finding)) => (action, Some(finding.to_owned())),
        None => (action, None),
    };
    let action = ButtonAction::ALL.into_iter().find(|known| known.as_str() == action)?;
    let expires_at = parts.next()?.parse().ok()?;
    let opened_at = parts.next()?.parse().ok()?;
    let group = parts.next()?.to_owned();
    let receiver = parts.next()?.to_owned();
    Some(Button { action, group, finding, opened_at, receiver, expires_at })
}

/// Names a finding of a customer in a button: a hash, so that the value tells nothing of whom it is about.
fn finding_tag(member: &Member) -> String {
    let mut hash = Sha256::new();
    hash.update(member.key.as_bytes());
    hash.update([0]);
    hash.update(member.alert.as_bytes());
    crate::hex(&hash.finalize()[..8])
}

/// The one finding that a message of a group is about, where all the group has is one finding.
#[must_use]
pub(super) fn only_finding(group: &Group) -> Option<&Member> {
    let mut firing = group.members.iter().filter(|member| member.state == State::Firing);
    let only = firing.next().filter(|_| group.firing() == 1)?;
    only.alert.starts_with(FINDING).then_some(only)
}

/// What the names of findings begin with among alerts; the standard follows.
const FINDING: &str = "finding.";

impl Button {
    /// A button of a message that is made now.
    #[must_use]
    pub fn new(
        action: ButtonAction,
        (group, opened_at): (&str, Timestamp),
        receiver: &str,
        now: Timestamp,
    ) -> Button {
        let expires = now.saturating_add(TAKEN_FOR).unwrap_or(Timestamp::MAX);
        Button {
            action,
            group: group.to_owned(),
            finding: None,
            opened_at: opened_at.as_second(),
            receiver: receiver.to_owned(),
            expires_at: expires.as_second(),
        }
    }

    /// The same, about one finding.
    #[must_use]
    pub fn about(self, finding: &Member) -> Button {
        Button { finding: Some(finding_tag(finding)), ..self }
    }

    /// The finding it is about, as a group knows it now: its alert and the name of its standard.
    #[must_use]
    pub fn finding_of<'g>(&self, group: &'g Group) -> Option<(&'g Member, &'g str)> {
        let tag = self.finding.as_ref()?;
        let is_it = |member: &&Member| member.state == State::Firing && finding_tag(member) == *tag;
        let member = group.members.iter().find(is_it)?;
        Some((member, member.alert.strip_prefix(FINDING)?))
    }
}

//! The buttons of a chat message: what one asks for, signed so that only a message of ours has it.
//!
//! A value names the action, the group and its beginning, the receiver, and when it ends to be taken. It
//! is signed with HMAC-SHA256 under a key that is made of the workspace's secret for this one purpose.
//! That the click is the chat service's own is another signature, which whoever takes the click checks
//! first.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

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
    /// Nobody wants to hear of the group for an hour.
    SnoozeHour,
    /// Nobody wants to hear of the group for a day.
    SnoozeDay,
}

impl ButtonAction {
    /// All of them, in the order of a message.
    pub const ALL: [ButtonAction; 3] =
        [ButtonAction::Acknowledge, ButtonAction::SnoozeHour, ButtonAction::SnoozeDay];

    /// The word of the value, and the id of the action.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ButtonAction::Acknowledge => "acknowledge",
            ButtonAction::SnoozeHour => "snooze_1h",
            ButtonAction::SnoozeDay => "snooze_1d",
        }
    }

    /// What the button says.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            ButtonAction::Acknowledge => "Acknowledge",
            ButtonAction::SnoozeHour => "Snooze 1 hour",
            ButtonAction::SnoozeDay => "Snooze 1 day",
        }
    }

    /// For how long the group is silenced; `None` of what silences nothing.
    #[must_use]
    pub fn snooze(self) -> Option<SignedDuration> {
        match self {
            ButtonAction::Acknowledge => None,
            ButtonAction::SnoozeHour => Some(SignedDuration::from_hours(1)),
            ButtonAction::SnoozeDay => Some(SignedDuration::from_hours(24)),
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
        let Button { action, group, opened_at, receiver, expires_at } = button;
        let text = format!("{}.{expires_at}.{opened_at}.{group}.{receiver}", action.as_str());
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
    let action = ButtonAction::ALL.into_iter().find(|known| known.as_str() == action)?;
    let expires_at = parts.next()?.parse().ok()?;
    let opened_at = parts.next()?.parse().ok()?;
    let group = parts.next()?.to_owned();
    let receiver = parts.next()?.to_owned();
    Some(Button { action, group, opened_at, receiver, expires_at })
}

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
            opened_at: opened_at.as_second(),
            receiver: receiver.to_owned(),
            expires_at: expires.as_second(),
        }
    }
}

//! Where a message goes: what the secret of a receiver says.
//!
//! | channel | the secret |
//! |---|---|
//! | Slack | the address of the incoming webhook |
//! | webhook | the address and the key, `https://… whsec_…` |
//! | PagerDuty | the routing key; or the address of a region and the key |
//! | Alertmanager | its address; or the address and a bearer token |

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::lifecycle::Channel;

/// PagerDuty's own address.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// The longest secret, in bytes.
const MAX_SECRET: usize = 3_000;
/// The lengths of a key of Standard Webhooks, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// An address and the keys to use there. What it says of itself is neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    url: String,
    keys: Vec<String>,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(***)")
    }
}

/// Why a secret is no address. It never says what the secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// There is none.
    #[error("its secret is not set")]
    Unset,
    /// It begins with no address that messages may be sent to.
    #[error("its secret begins with no address `https://…` without a user name and a fragment")]
    Address,
    /// Its key is missing or has another form.
    #[error("its secret has no key of the form {0}")]
    Key(&'static str),
    /// There is more than an address and a key.
    #[error("its secret has more than an address and a key")]
    TooMuch,
}

impl Target {
    /// Reads the live secrets of a receiver, the newest first. Messages go where the newest says; of
    /// others with the same address the keys are used as well, while one follows the other.
    ///
    /// # Errors
    /// When there is none, or the newest has not the form that its channel asks for.
    pub fn read<'a>(
        channel: Channel,
        secrets: impl IntoIterator<Item = &'a str>,
    ) -> Result<Target, BadTarget> {
        let mut secrets = secrets.into_iter();
        let mut target = read_one(channel, secrets.next().ok_or(BadTarget::Unset)?)?;
        for other in secrets.filter_map(|secret| read_one(channel, secret).ok()) {
            if channel == Channel::Webhook && other.url == target.url {
                target.keys.extend(other.keys);
            }
        }
        Ok(target)
    }

    /// The address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The keys, the newest first.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }
}

fn read_one(channel: Channel, secret: &str) -> Result<Target, BadTarget> {
    let mut words = secret.split_ascii_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    if words.next().is_some() || secret.len() > MAX_SECRET {
        return Err(BadTarget::TooMuch);
    }
    let (url, key) = match (channel, second) {
        (Channel::PagerDuty, None) => (PAGERDUTY, Some(first)),
        _ => (first, second),
    };
    if !is_address(url) {
        return Err(BadTarget::Address);
    }
    match (channel, key) {
        (Channel::Sns | Channel::Slack, Some(_)) => return Err(BadTarget::TooMuch),
        (Channel::Webhook, key) if key.is_none_or(|key| key_bytes(key).is_none()) => {
            return Err(BadTarget::Key("whsec_ and the base64 of 24 to 64 bytes"));
        }
        (Channel::PagerDuty, key) if !key.is_some_and(is_routing_key) => {
            return Err(BadTarget::Key(
                "32 letters and digits, as an integration of a service has",
            ));
        }
        _ => {}
    }
    Ok(Target { url: url.to_owned(), keys: key.map(str::to_owned).into_iter().collect() })
}

/// Whether a text may be an address. Whether messages may go there is decided when they are sent.
fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    !authority.is_empty()
        && !authority.contains(['@', '\\'])
        && !text.contains('#')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_routing_key(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The bytes of a key of Standard Webhooks.
pub(super) fn key_bytes(key: &str) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(key.strip_prefix("whsec_")?).ok()?;
    KEY_BYTES.contains(&bytes.len()).then_some(bytes)
}

//! Feeds that need no map of their own: what Stripe, HubSpot and Salesforce send, as events with
//! plain names.
//!
//! The maps are files in the vocabulary of `feeds.<name>.map`, to be copied and changed.

use std::sync::LazyLock;

use super::{Feed, Rule, Scheme};
use crate::lifecycle::map_of;

/// The `source` of Salesforce's events on a bus.
pub const SALESFORCE_SOURCE: &str = "aws.partner/salesforce.com";
/// The `source` of Stripe's events on a bus.
pub const STRIPE_SOURCE: &str = "aws.partner/stripe.com";

static STRIPE: LazyLock<Feed> = LazyLock::new(|| Feed {
    scheme: Some(Scheme::Stripe),
    source: Some(STRIPE_SOURCE.to_owned()),
    ..feed("stripe", include_str!("presets/stripe.yaml"))
});
static HUBSPOT: LazyLock<Feed> = LazyLock::new(|| Feed {
    scheme: Some(Scheme::HubSpot),
    ..feed("hubspot", include_str!("presets/hubspot.yaml"))
});
static SALESFORCE: LazyLock<Feed> = LazyLock::new(|| Feed {
    source: Some(SALESFORCE_SOURCE.to_owned()),
    ..feed("salesforce", include_str!("presets/salesforce.yaml"))
});

fn feed(name: &str, map: &str) -> Feed {
    let map: Vec<Rule> = map_of(map);
    let events = map.iter().filter_map(|rule| rule.event.as_ref()?.written().map(str::to_owned));
    let events = events.collect();
    Feed {
        name: name.to_owned(),
        scheme: None,
        source: None,
        each: None,
        map: Some(map),
        events,
        expect_every: None,
    }
}

/// All of them.
pub fn all() -> [&'static Feed; 3] {
    [&STRIPE, &HUBSPOT, &SALESFORCE]
}

/// The preset of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Feed> {
    all().into_iter().find(|feed| feed.name == name)
}

/// The preset that a feed goes by which says nothing of a map.
#[must_use]
pub fn of(scheme: Option<&Scheme>, source: Option<&str>) -> Option<&'static Feed> {
    let signed = all().into_iter().find(|feed| scheme.is_some() && feed.scheme.as_ref() == scheme);
    let sent = || {
        let source = source?;
        all().into_iter().find(|feed| feed.source.is_some() && feed.claims(source).is_some())
    };
    signed.or_else(sent)
}

//! Signed webhooks: what other systems send by themselves, to `/v1/webhooks/<source>`.
//!
//! A source is a feed of the lifecycle file that has a scheme, or one of the presets with a secret.
//! One file per scheme says how a delivery is signed; the feed's map says which events its items are.
//!
//! Invariants: the bytes are verified as they travelled, before anything reads them. A delivery
//! whose signature does not hold leaves no trace but its refusal. After a good signature nothing in
//! the data is the sender's to mend by sending it again: what cannot be taken is set aside, and the
//! answer is 200. An item is known again by its own id, or by its delivery's: sent again it counts
//! once, within the window of the signature and beyond it.

mod hmac;
mod hubspot;
mod signature;
mod standard;
mod stripe;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::feed::{Feed, Scheme, Sender, SenderKind, presets};
use domain::lifecycle::Lifecycle;
use jiff::Timestamp;
use platform::gateway::Received;
use platform::store::Secret;

pub(crate) use self::signature::payload;
use self::signature::{Refusal, Signed};
use crate::body;
use crate::call::{Came, Delivery};
use crate::feed::{self, Identity, Mapping};
use crate::http::{self, Taken};
use crate::items::Item;
use crate::problem::Problem;
use crate::{App, bus};

/// Takes a delivery.
pub(crate) async fn receive(
    app: &App,
    source: &str,
    parts: &Parts,
    body: Body,
) -> Result<Taken, Problem> {
    let not_stored = |error| Problem::not_stored(&error);
    let wire = http::read_wire(body).await?;
    let lifecycle = app.store.lifecycle().await.map_err(not_stored)?;
    let secrets = app.store.source_secrets(source).await.map_err(not_stored)?;
    let (feed, scheme) =
        known(&lifecycle, source, &secrets).ok_or_else(|| unknown_source(source))?;
    let now = app.now();
    let signed = Signed {
        method: parts.method.as_str(),
        uris: &public_uris(app, parts),
        headers: &parts.headers,
        body: &wire,
        now,
    };
    let id = verify(scheme, &signed, &secrets).map_err(refused)?;
    let sender = Sender::new(SenderKind::Feed, &feed.name);
    let path = format!("/v1/webhooks/{}", feed.name);
    let delivery = app.delivery(&lifecycle, now, &id, Came::new(sender, Some(&path))).await;
    let delivery = delivery.map_err(not_stored)?;
    let text = body::text(&wire);
    let text = match &text {
        Ok(text) => payload(text),
        Err(_) => String::from_utf8_lossy(&wire).into_owned(),
    };
    let mapping = items(feed, &text, &id, &delivery);
    http::take_items(app, &lifecycle, mapping.items, Some(mapping.ignored), now).await
}

/// Verifies a request that is signed by a scheme that knows no address: what it is known by.
pub(crate) fn verified(
    scheme: &Scheme,
    parts: &Parts,
    wire: &[u8],
    secrets: &[Secret],
    now: Timestamp,
) -> Result<String, Problem> {
    let (method, headers) = (parts.method.as_str(), &parts.headers);
    let signed = Signed { method, uris: &[], headers, body: wire, now };
    verify(scheme, &signed, secrets).map_err(refused)
}

/// The feed of a source and how it signs.
fn known<'a>(
    lifecycle: &'a Lifecycle,
    source: &str,
    secrets: &[Secret],
) -> Option<(&'a Feed, &'a Scheme)> {
    let declared = lifecycle.feed(source);
    let preset = || presets::named(source).filter(|_| !secrets.is_empty());
    let feed = declared.or_else(preset)?;
    Some((feed, feed.scheme.as_ref()?))
}

fn verify(scheme: &Scheme, signed: &Signed, secrets: &[Secret]) -> Result<String, Refusal> {
    if secrets.is_empty() {
        return Err(Refusal::NoSecret);
    }
    match scheme {
        Scheme::Stripe => stripe::verify(signed, secrets),
        Scheme::HubSpot => hubspot::verify(signed, secrets),
        Scheme::Standard => standard::verify(signed, secrets),
        Scheme::Hmac(scheme) => hmac::verify(scheme, signed, secrets),
    }
}

/// The items of a body that is known to be the source's.
fn items<'a>(feed: &Feed, text: &'a str, id: &str, delivery: &Delivery) -> Mapping<'a> {
    let items = match feed::split(feed, text) {
        Ok(items) => items,
        Err(rejection) => return Mapping::of(Item::rejected(text, rejection, delivery)),
    };
    let is_one = items.len() == 1;
    let identity = |index: usize| Identity {
        id: Some(if is_one { id.to_owned() } else { format!("{id}#{index}") }),
        time: None,
    };
    let mut mapping = feed::map(feed, items, identity, delivery);
    for item in mapping.items.iter_mut().filter(|item| item.call.is_err()) {
        // Set aside as an event of the bus, which says whose it is when it is taken again.
        let id = identity(item.indexes.start).id;
        item.raw = bus::enveloped(&feed.name, id.as_deref(), &item.raw).into();
    }
    mapping
}

/// What a sender may take for the address of this request: it signs it.
fn public_uris(app: &App, parts: &Parts) -> Vec<String> {
    let own = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    if let Some(url) = &app.public_url {
        return vec![format!("{}{own}", url.trim_end_matches('/'))];
    }
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = header("x-forwarded-proto").unwrap_or("http");
    let host = header("host").unwrap_or_default();
    let received = parts.extensions.get::<Received>().map(|received| received.0.as_str());
    let paths = received.into_iter().chain([own]);
    paths.map(|path| format!("{scheme}://{host}{path}")).collect()
}

fn unknown_source(source: &str) -> Problem {
    let shown: String = source.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let message = format!(
        "no source sends here; declare `feeds.{shown}` with a `scheme` in the lifecycle file, and add \
         its secret with `lifecycle secrets add {shown}`"
    );
    Problem { status: StatusCode::NOT_FOUND, code: "unknown_source", message }
}

fn refused(refusal: Refusal) -> Problem {
    let (code, message) = match refusal {
        Refusal::NoSecret => {
            ("no_secret", "this source has no secret yet; add it with `lifecycle secrets add`")
        }
        Refusal::Missing => ("missing_signature", "the request has no signature of this source"),
        Refusal::Wrong => ("wrong_signature", "no signature of the request fits its body"),
        Refusal::OutsideWindow => {
            ("outside_window", "the request was signed more than 5 minutes ago, or ahead")
        }
    };
    Problem::unauthorized(code, message)
}

//! Bodies without an answer: records of a queue, and what was set aside. What form one has is told by
//! the path it came by, where there is one, and else by its members.

use domain::lifecycle::Lifecycle;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::call::{Delivery, Rejection};
use crate::feed::Mapping;
use crate::http::Endpoint;
use crate::items::{self, Batch, Item};
use crate::{bus, cloudevents};

/// The members that tell the forms of a body apart.
#[derive(Default, Deserialize)]
struct Form {
    #[serde(rename = "detail-type")]
    detail_type: Option<IgnoredAny>,
    source: Option<IgnoredAny>,
    specversion: Option<IgnoredAny>,
    batch: Option<IgnoredAny>,
}

/// The calls of a body, each read alone. Calls without an id and a time are known again by the
/// delivery's origin.
pub(crate) fn read<'a>(
    text: &'a str,
    lifecycle: &Lifecycle,
    mut delivery: Delivery,
) -> Mapping<'a> {
    let path = delivery.came.path.clone();
    if path.as_deref() == Some(cloudevents::PATH) {
        return events(text, lifecycle, &delivery)
            .unwrap_or_else(|| one_event(text, lifecycle, &delivery));
    }
    let form = items::object::<Form>(text);
    if let Some(endpoint) = path.as_deref().and_then(Endpoint::of) {
        endpoint.shape(&mut delivery);
        let form = form.unwrap_or_default();
        let is_batch = form.batch.is_some() && !matches!(endpoint, Endpoint::Call(_));
        return if is_batch { batch(text, delivery) } else { one_call(text, &delivery) };
    }
    match form {
        Some(Form { detail_type: Some(_), source: Some(_), .. }) => {
            bus::items(text, lifecycle, &delivery)
        }
        Some(Form { specversion: Some(_), .. }) => one_event(text, lifecycle, &delivery),
        Some(Form { batch: Some(_), .. }) => batch(text, delivery),
        Some(Form { .. }) => one_call(text, &delivery),
        None => events(text, lifecycle, &delivery).unwrap_or_else(|| {
            let message = "the record must be a tracking call, a batch of them, or an event";
            let rejection = Rejection::new("invalid_json", message);
            Mapping::of(Item::rejected(text, rejection, &delivery))
        }),
    }
}

fn one_call<'a>(text: &'a str, delivery: &Delivery) -> Mapping<'a> {
    Mapping::of(Item::parse(text, 0, delivery))
}

fn batch<'a>(text: &'a str, mut delivery: Delivery) -> Mapping<'a> {
    match Batch::read(text) {
        Ok(batch) => {
            delivery.share(&batch.shared);
            Mapping { items: batch.items(&delivery), ignored: 0 }
        }
        Err(rejection) => Mapping::of(Item::rejected(text, rejection, &delivery)),
    }
}

fn one_event<'a>(text: &'a str, lifecycle: &Lifecycle, delivery: &Delivery) -> Mapping<'a> {
    cloudevents::mapped(vec![cloudevents::structured(text)], lifecycle, delivery)
}

fn events<'a>(text: &'a str, lifecycle: &Lifecycle, delivery: &Delivery) -> Option<Mapping<'a>> {
    Some(cloudevents::mapped(cloudevents::batch(text)?, lifecycle, delivery))
}

//! What each receiver is sent, against the rules of its vendor and what its own clients were recorded with.

use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::alertmanager::label_name;
use super::text::{escaped, plain, units};
use super::*;
use crate::alert::Labels;
use crate::alerting::{Arrival, Mutes, Reason, message, summary};
use crate::lifecycle::Route;

const WEBHOOK_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn now() -> Timestamp {
    "2026-03-02T12:00:30Z".parse().unwrap()
}

fn receiver(channel: Channel) -> Receiver {
    Receiver {
        name: "oncall".to_owned(),
        channel,
        address: "oncall_url".to_owned(),
        ..Receiver::default()
    }
}

fn group_of(labels: &[(&str, &str)], alerts: &[(&str, &str)]) -> Group {
    let route = Route {
        matchers: Vec::new(),
        to: "oncall".to_owned(),
        grouping: None,
        escalate: Vec::new(),
        holds: true,
    };
    let mut all: Labels = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()]))
        .collect();
    let by: Vec<String> = labels.iter().map(|(name, _)| (*name).to_owned()).collect();
    all.entry("severity".to_owned()).or_insert_with(|| vec!["high".to_owned()]);
    all.entry("kind".to_owned()).or_insert_with(|| vec!["finding".to_owned()]);
    let at = "2026-03-02T12:00:00Z".parse().unwrap();
    let mut group = Group::new(&route, &by, &all, at);
    for (number, (name, headline)) in alerts.iter().enumerate() {
        let arrival = Arrival {
            key: format!("c{number}"),
            customer: format!("c{number}"),
            name: (*name).to_owned(),
            alert: "finding:phone_known".to_owned(),
            headline: (*headline).to_owned(),
            labels: all.clone(),
            seq: 1,
            at,
        };
        group.fire(&arrival, None, at);
    }
    group
}

fn key() -> ButtonKey {
    ButtonKey::of(&[7; 32])
}

fn mutes() -> Mutes<'static> {
    Mutes { silences: &[], rules: &[], sources: &[], now: now() }
}

fn sent(channel: Channel, group: &Group) -> Json {
    let (key, mutes) = (key(), mutes());
    let of = receiver(channel);
    let alert = message("g-1-1", &of, group, &Reason::FirstWait, &mutes, now(), Some(&key));
    let post = alert.post.unwrap();
    assert_eq!(
        (post.channel, post.secret.as_str(), post.id.as_str()),
        (channel, "oncall_url", "g-1-1")
    );
    serde_json::from_str(&post.body).unwrap()
}

fn resolved(group: &Group) -> Group {
    let mut group = group.clone();
    group.told(&Reason::FirstWait, &mutes(), now(), now());
    for bucket in &mut group.buckets {
        (bucket.resolved, bucket.firing) = (bucket.firing, 0);
    }
    group
}

fn example() -> Group {
    group_of(
        &[("csm", "kim@x")],
        &[("Ada & <Söhne>", "standard phone_known breached"), ("Axa", "late")],
    )
}

/// A recording of a vendor's own client.
fn recorded(name: &str) -> Json {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = path.join("../../tests/fixtures/recorded/alerts").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Whether a body has only members that the recorded one has, of the same kinds.
#[track_caller]
fn is_shaped_as(body: &Json, recorded: &Json, free: &[&str]) {
    match (body, recorded) {
        (Json::Object(body), Json::Object(recorded)) => {
            for (name, value) in body.iter().filter(|(name, _)| !free.contains(&name.as_str())) {
                let known = recorded.get(name);
                is_shaped_as(value, known.unwrap_or_else(|| panic!("`{name}` is unknown")), free);
            }
        }
        (body, recorded) => {
            let kind = |value: &Json| std::mem::discriminant(value);
            assert_eq!(kind(body), kind(recorded), "{body} {recorded}");
        }
    }
}

/// The rules of Block Kit.
#[track_caller]
fn fits_slack(body: &Json) {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let is_escaped = |text: &str| {
        let bare = text.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        assert!(!bare.contains(['&', '<', '>']), "{text}");
    };
    assert!(!text(&body["text"]).is_empty() && units(&text(&body["text"])) <= 3_000);
    is_escaped(&text(&body["text"]));
    let blocks = body["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50);
    let mut all = units(&text(&body["text"]));
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => {
                let text = text(&block["text"]["text"]);
                assert!((1..=150).contains(&units(&text)), "{text}");
                is_escaped(&text);
                all += units(&text);
            }
            "section" => {
                let text = text(&block["text"]["text"]);
                assert!((1..=3_000).contains(&units(&text)), "{}", units(&text));
                is_escaped(&text);
                all += units(&text);
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                elements.iter().for_each(|one| is_escaped(&text(&one["text"])));
            }
            "actions" => {
                assert!(units(&text(&block["block_id"])) <= 255);
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=25).contains(&elements.len()));
                for button in elements {
                    assert!(units(&text(&button["text"]["text"])) <= 75);
                    assert!(units(&text(&button["value"])) <= 2_000);
                    assert!(units(&text(&button["action_id"])) <= 255);
                }
            }
            other => panic!("{other}"),
        }
    }
    assert!(all < 13_000, "{all}");
}

/// The rules of Alertmanager's API.
#[track_caller]
fn fits_alertmanager(body: &Json) {
    let alerts = body.as_array().unwrap();
    assert!(!alerts.is_empty());
    for alert in alerts {
        let labels = alert["labels"].as_object().unwrap();
        assert!(labels.values().any(|value| value != ""), "{alert}");
        for (name, value) in labels.iter().chain(alert["annotations"].as_object().unwrap()) {
            assert_eq!(&label_name(name), name);
            assert!(!value.as_str().unwrap().is_empty() || !labels.contains_key(name), "{name}");
        }
        let at = |name: &str| alert[name].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert!(at("startsAt") <= at("endsAt"), "{alert}");
    }
}

#[test]
fn slack_is_sent_blocks_that_say_what_is_so_with_signed_buttons() {
    let body = sent(Channel::Slack, &example());
    fits_slack(&body);
    let recording = recorded("slack_incoming_webhook.json");
    is_shaped_as(&body, &recording["request"]["body"], &["blocks"]);
    assert_eq!(
        body["blocks"][1]["text"]["text"],
        "*2 firing* for csm=kim@x\nThe first message of this group.\n\
         • new: Ada &amp; &lt;Söhne&gt;: standard phone_known breached\n• new: Axa: late"
    );
    let actions = &body["blocks"][3];
    let words: Vec<&str> = actions["elements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|button| button["action_id"].as_str().unwrap())
        .collect();
    assert_eq!(words, ["acknowledge", "snooze_1h", "snooze_1d"]);
    let value = actions["elements"][0]["value"].as_str().unwrap();
    let button = key().verify(value, now()).unwrap();
    let group = example();
    assert_eq!(button.action, ButtonAction::Acknowledge);
    assert_eq!((button.group, button.receiver), (group.id.clone(), "oncall".to_owned()));
    assert_eq!(button.opened_at, group.opened_at.as_second());
    // Of one finding of one customer it is asked what it was worth.
    let mut one = group.clone();
    one.members.truncate(1);
    one.buckets.truncate(1);
    (one.buckets[0].firing, one.buckets[0].fresh) = (1, 1);
    one.members[0].alert = "finding.phone_known".to_owned();
    let body = sent(Channel::Slack, &one);
    fits_slack(&body);
    let buttons = body["blocks"][3]["elements"].as_array().unwrap().clone();
    let words: Vec<&str> = buttons.iter().map(|one| one["action_id"].as_str().unwrap()).collect();
    assert_eq!(words, ["useful", "known", "false", "snooze_1h", "snooze_1d"]);
    let value = buttons[2]["value"].as_str().unwrap();
    assert!(!value.contains(&one.members[0].key), "{value}");
    let button = key().verify(value, now()).unwrap();
    let (member, standard) = button.finding_of(&one).unwrap();
    assert_eq!((member, standard), (&one.members[0], "phone_known"));
    assert_eq!(key().verify(buttons[3]["value"].as_str().unwrap(), now()).unwrap().finding, None);
    let wrong = value.replace(".false:", ".useful:");
    assert_eq!(key().verify(&wrong, now()), Err(ButtonRefused::NotOurs));
    // There is nothing to acknowledge of what is over.
    let body = sent(Channel::Slack, &resolved(&group));
    assert_eq!(body["blocks"].as_array().unwrap().len(), 3);
}

#[test]
fn a_button_is_taken_as_it_was_signed_for_a_week_and_with_its_key_only() {
    let of = ("0123456789abcdef", "2026-03-02T12:00:00Z".parse().unwrap());
    let button = Button::new(ButtonAction::SnoozeDay, of, "team.a", now());
    let value = key().sign(&button);
    assert_eq!(key().verify(&value, now()), Ok(button));
    let week = SignedDuration::from_hours(7 * 24);
    assert!(key().verify(&value, now() + week).is_ok());
    let late = now() + week + SignedDuration::from_secs(1);
    assert_eq!(key().verify(&value, late), Err(ButtonRefused::Expired));
    let other = ButtonKey::of(&[8; 32]);
    let tampered = [
        value.replace("snooze_1d", "acknowledge"),
        value.replace("0123456789abcdef", "0123456789abcdee"),
        value.replace("team.a", "team.b"),
        format!("{value}x"),
        value.split_once('.').unwrap().1.to_owned(),
        format!(".{}", value.split_once('.').unwrap().1),
        other.sign(&Button::new(ButtonAction::SnoozeDay, of, "team.a", now())),
        "x".repeat(5_000),
        String::new(),
    ];
    for value in tampered {
        assert_eq!(key().verify(&value, now()), Err(ButtonRefused::NotOurs), "{value}");
    }
}

#[test]
fn pagerduty_is_triggered_acknowledged_and_resolved_under_one_key() {
    let recording = recorded("pagerduty_events_v2.json");
    let key = "0123456789abcdef0123456789ABCDEF";
    let target = Target::read(Channel::PagerDuty, [key]).unwrap();
    let group = example();
    let trigger = sent(Channel::PagerDuty, &group);
    let ack = Ack { author: "kim".to_owned(), reason: None, at: now() };
    let acknowledged = acknowledged("a-1", &receiver(Channel::PagerDuty), &group, &ack).unwrap();
    let resolve = sent(Channel::PagerDuty, &resolved(&group));
    for (index, body) in
        [trigger.to_string(), acknowledged.body, resolve.to_string()].iter().enumerate()
    {
        let post = Post {
            channel: Channel::PagerDuty,
            secret: "oncall_url".to_owned(),
            id: "g-1-1".to_owned(),
            body: body.clone(),
        };
        let request = post.request(&target, now());
        assert_eq!(request.url, "https://events.pagerduty.com/v2/enqueue");
        let event: Json = serde_json::from_str(&request.body).unwrap();
        assert_eq!(event["dedup_key"], format!("lifecycle:{}", group.id));
        assert_eq!(event["routing_key"], key);
        let wanted = &recording["requests"][index]["body"];
        assert_eq!(event["event_action"], wanted["event_action"]);
        is_shaped_as(&event, wanted, &["custom_details", "client", "timestamp"]);
    }
    assert_eq!(trigger["payload"]["severity"], "error");
    assert_eq!(trigger["payload"]["custom_details"]["csm"], "kim@x");
}

#[test]
fn alertmanager_knows_a_group_by_labels_that_stay() {
    let recording = recorded("alertmanager_webhook_v4.json");
    let group = example();
    let (firing, over) =
        (sent(Channel::Alertmanager, &group), sent(Channel::Alertmanager, &resolved(&group)));
    fits_alertmanager(&firing);
    fits_alertmanager(&over);
    let free = ["labels", "annotations", "endsAt"];
    is_shaped_as(&firing[0], &recording["post_api_v2_alerts"]["body"][0], &free);
    let named = |body: &Json, severity: &str| {
        let alerts = body.as_array().unwrap().iter();
        alerts.filter(|one| one["labels"]["severity"] == severity).cloned().collect::<Vec<_>>()
    };
    let (high, ended) = (&named(&firing, "high")[0], &named(&over, "high")[0]);
    assert_eq!(
        high["labels"],
        json!({
            "alertname": "Lifecycle", "receiver": "oncall", "group": group.id, "csm": "kim@x",
            "severity": "high",
        })
    );
    assert_eq!(high["endsAt"], "2026-04-01T12:00:30Z");
    assert_eq!(
        (&ended["labels"], &ended["endsAt"]),
        (&high["labels"], &json!("2026-03-02T12:00:30Z"))
    );
    // Were it of another severity before, that one is over.
    assert_eq!(named(&firing, "critical")[0]["endsAt"], "2026-03-02T12:00:30Z");
    for (name, good) in
        [("a-b", "a_b"), ("1st", "_1st"), ("", "_"), ("größe", "gr__e"), ("ok_1", "ok_1")]
    {
        assert_eq!(label_name(name), good);
    }
    let url = |url: &str| {
        let target = Target::read(Channel::Alertmanager, [url]).unwrap();
        let post = Post {
            channel: Channel::Alertmanager,
            secret: String::new(),
            id: String::new(),
            body: "[]".to_owned(),
        };
        post.request(&target, now())
    };
    assert_eq!(url("https://am.example.com/").url, "https://am.example.com/api/v2/alerts");
    assert_eq!(url("https://a/x/api/v2/alerts").url, "https://a/x/api/v2/alerts");
    let with_token = url("https://am.example.com t0ken");
    assert!(with_token.headers.contains(&("authorization", "Bearer t0ken".to_owned())));
}

#[test]
fn a_webhook_is_signed_as_standard_webhooks_asks_with_every_live_key() {
    // The vector of the specification's own libraries.
    let post = Post {
        channel: Channel::Webhook,
        secret: "crm".to_owned(),
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
        body: "{\"test\": 2432232314}".to_owned(),
    };
    let at = Timestamp::from_second(1_614_265_330).unwrap();
    let secret = format!("https://example.com/hook {WEBHOOK_KEY}");
    let target = Target::read(Channel::Webhook, [secret.as_str()]).unwrap();
    let header = |target: &Target, name: &str| {
        let request = post.request(target, at);
        request.headers.into_iter().find(|(known, _)| *known == name).unwrap().1
    };
    assert_eq!(header(&target, "webhook-id"), post.id);
    assert_eq!(header(&target, "webhook-timestamp"), "1614265330");
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    assert_eq!(header(&target, "webhook-signature"), signature);
    let other = "https://example.com/hook whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let both = Target::read(Channel::Webhook, [other, secret.as_str()]).unwrap();
    let signed = header(&both, "webhook-signature");
    assert!(signed.split(' ').count() == 2 && signed.ends_with(signature), "{signed}");
    let elsewhere =
        Target::read(Channel::Webhook, [secret.as_str(), "https://old.example.com whsec_AAAA"]);
    assert_eq!(elsewhere, Ok(target));
    let body = sent(Channel::Webhook, &example());
    assert_eq!((&body["type"], &body["timestamp"]), (&json!("alerts.firing"), &json!(now())));
    assert_eq!(body["data"]["alerts"][0]["name"], "Ada & <Söhne>");
    assert_eq!(sent(Channel::Webhook, &resolved(&example()))["type"], "alerts.resolved");
}

#[test]
fn a_secret_has_the_form_of_its_channel() {
    let routing = "0123456789abcdef0123456789ABCDEF";
    let hook = format!("https://example.com/h {WEBHOOK_KEY}");
    let regional = format!("https://events.eu.pagerduty.com/v2/enqueue {routing}");
    for (channel, secret) in [
        (Channel::Slack, "https://hooks.slack.com/services/T/B/X"),
        (Channel::Webhook, hook.as_str()),
        (Channel::PagerDuty, routing),
        (Channel::PagerDuty, regional.as_str()),
        (Channel::Alertmanager, "https://am.example.com"),
        (Channel::Alertmanager, "https://am.example.com token"),
    ] {
        assert!(Target::read(channel, [secret]).is_ok(), "{secret}");
    }
    let bad = [
        (Channel::Slack, "hooks.slack.com/services/T/B/X"),
        (Channel::Slack, "https://"),
        (Channel::Slack, "https://me@example.com/"),
        (Channel::Slack, "https://example.com/#x"),
        (Channel::Slack, "https://exämple.com/"),
        (Channel::Slack, "https://example.com\\@evil.example/"),
        (Channel::Slack, "https://a.example/ https://b.example/"),
        (Channel::Slack, ""),
        (Channel::Webhook, "https://example.com/h"),
        (Channel::Webhook, "https://example.com/h whsec_short"),
        (Channel::Webhook, "https://example.com/h MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (Channel::PagerDuty, "0123"),
        (Channel::PagerDuty, "https://events.eu.pagerduty.com/v2/enqueue"),
        (Channel::Alertmanager, "am.example.com"),
        (Channel::Alertmanager, "https://am.example.com a b"),
    ];
    for (channel, secret) in bad {
        let error = Target::read(channel, [secret]).unwrap_err().to_string();
        // The error goes to logs and to people: the secret is none of it.
        assert!(secret.len() < 9 || !error.contains(secret), "{error}");
    }
    assert_eq!(Target::read(Channel::Slack, []), Err(BadTarget::Unset));
    let target = Target::read(Channel::Webhook, [hook.as_str()]).unwrap();
    assert!(!format!("{target:?}").contains("example"));
}

#[test]
fn what_is_too_much_for_one_message_is_summed_up_for_every_channel() {
    let group = example();
    for channel in Channel::ALL {
        let alert = summary("s-1", &receiver(channel), &[&group, &group], 2, now());
        let Some(post) = alert.post else {
            assert_eq!(channel, Channel::Sns);
            continue;
        };
        let body: Json = serde_json::from_str(&post.body).unwrap();
        match channel {
            Channel::Slack => fits_slack(&body),
            Channel::Alertmanager => fits_alertmanager(&body),
            _ => assert!(body.to_string().contains("2 groups"), "{body}"),
        }
    }
}

#[test]
fn a_message_of_somebody_who_was_erased_names_nobody() {
    for channel in Channel::ALL.into_iter().skip(1) {
        let body = sent(channel, &example()).to_string();
        let post = Post { channel, secret: String::new(), id: "g-1-1".to_owned(), body };
        assert!(post.body.contains("Axa"), "{}", post.body);
        let without = post.without_names("Somebody was erased.");
        assert!(!without.body.contains("Axa") && !without.body.contains("Ada"), "{}", without.body);
        assert!(without.body.contains("Somebody was erased."), "{}", without.body);
        assert_eq!(without.id, post.id);
    }
}

proptest! {
    #[test]
    fn a_text_is_cut_to_what_fits_and_no_escape_in_two(text in "(?s).{0,80}[&<>]{0,40}\\PC{0,80}", most in 1usize..120) {
        let cut = escaped(&text, most);
        prop_assert!(units(&cut) <= most);
        let bare = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "");
        let is_bare = !bare.contains(['&', '<', '>']);
        prop_assert!(is_bare);
        if units(&text) <= most && !text.contains(['&', '<', '>']) {
            prop_assert_eq!(&cut, &text);
            prop_assert_eq!(plain(&text, most), text);
        } else {
            prop_assert!(units(&plain(&text, most)) <= most);
        }
    }

    #[test]
    fn whatever_alerts_say_a_body_is_what_its_receiver_takes(
        alerts in proptest::collection::vec(("(?s).{0,120}", "(?s)[&<>\"\\\\\u{1f600}a-z]{0,400}"), 1..60),
        label in "(?s).{1,300}",
    ) {
        let alerts: Vec<(&str, &str)> = alerts.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let group = group_of(&[("csm", &label)], &alerts);
        for group in [resolved(&group), group] {
            fits_slack(&sent(Channel::Slack, &group));
            fits_alertmanager(&sent(Channel::Alertmanager, &group));
            let webhook = sent(Channel::Webhook, &group);
            prop_assert!(webhook.to_string().len() <= MAX_BODY_BYTES, "{}", webhook.to_string().len());
            let told = webhook["data"]["alerts"].as_array().unwrap().len();
            if told < group.members.len() {
                prop_assert_eq!(&webhook["data"]["truncated"], &json!(true));
            }
            let event = sent(Channel::PagerDuty, &group);
            prop_assert!(event.to_string().len() <= 2 * MAX_BODY_BYTES);
            if event["event_action"] == "trigger" {
                prop_assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1_024);
            }
        }
    }
}

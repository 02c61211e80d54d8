//! Timelines of inhibition: what is so of one account mutes what is told of others, until it is over.

#![allow(clippy::unwrap_used, reason = "these are tests, helpers included")]

use domain::event::Event;
use jiff::{SignedDuration, Timestamp};
use lifecycle::clock::LocalClock;
use lifecycle::pack::{Pack, SweepFunction};
use platform::CustomerKey;
use platform::sweep::SweepKind;
use serde_json::{Value as Json, json};

/// Accounts of one holding know it by a trait, and so does the holding itself.
const FILE: &str = "
version: 1
traits: { name: text?, holding: text?, parent: account?, phone: text?, contract: yes_no? }
metrics: { logins: { count: login, over: 7d } }
stages:
  active: { enter: { when: metrics.logins >= 0, priority: 1 } }
standards:
  phone_known: { required: [traits.phone], severity: high, owner: ops }
  contract_signed: { holds: traits.contract, severity: critical, owner: legal }
alerts:
  group_by: [customer]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 30d
  routes:
    - { match: { kind: finding }, to: team }
  inhibit:
    - { when: { kind: finding, severity: critical }, mute: { kind: finding, severity: high }, equal: [holding] }
  receivers:
    team: { sns: team }
";

fn start() -> Timestamp {
    "2026-01-15T10:00:00Z".parse().unwrap()
}

struct World {
    pack: Pack,
    runs: u64,
}

impl World {
    async fn new() -> World {
        let pack = Pack::open(None, LocalClock::manual(start())).await.unwrap();
        pack.apply(FILE).await.unwrap().unwrap();
        World { pack, runs: 0 }
    }

    async fn tell(&self, account: &str, traits: Json) {
        let now = self.pack.clock.now();
        let body = json!({ "type": "group", "groupId": account, "userId": "u", "traits": traits });
        let Json::Object(body) = body else { panic!("a call is an object") };
        let event = Event::from_body(format!("{account}-{now}"), now, now, body).unwrap();
        let lifecycle = self.pack.store.lifecycle().await.unwrap();
        let key = CustomerKey::subject(account);
        self.pack.store.commit(&key, &[event], &lifecycle, now).await.unwrap();
    }

    /// So many minutes after the start everybody is judged, and people hear of it.
    async fn judged(&mut self, minutes: i64) {
        let at = start() + SignedDuration::from_mins(minutes);
        self.pack.clock.set(Some(at));
        self.runs += 1;
        let name = format!("run-{}", self.runs);
        self.pack.run(SweepFunction::Comply, &name, at, SweepKind::All).await.unwrap();
        self.pack.tell().await.unwrap();
        for later in [1, 6, 12] {
            self.pack.clock.set(Some(at + SignedDuration::from_mins(later)));
            self.pack.tick().await.unwrap();
        }
    }

    /// The accounts that people heard of since the last time: how many alerts are and were.
    fn heard(&self, from: usize) -> Vec<String> {
        let told = self.pack.sns.published().into_iter().skip(from);
        let subject = |text: Option<String>| {
            let text = text.unwrap_or_default();
            let text = text.split(':').next().unwrap_or_default().to_owned();
            text.replace("customer=", "")
        };
        let mut heard: Vec<String> = told.map(|one| subject(one.subject)).collect();
        heard.sort();
        heard
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_so_of_a_holding_mutes_every_account_of_it_until_it_is_over() {
    let mut world = World::new().await;
    world.tell("holding", json!({ "holding": "h1", "phone": "1", "contract": false })).await;
    for account in ["north", "south"] {
        let traits = json!({ "holding": "h1", "parent": "holding", "contract": true });
        world.tell(account, traits).await;
    }
    world.tell("other", json!({ "holding": "h2", "contract": true })).await;
    world.judged(0).await;
    let heard = world.heard(0);
    assert_eq!(heard, ["[1 firing] holding", "[1 firing] other"], "its accounts are muted");

    // Another account that joins the holding meanwhile is muted as well, and one that leaves is heard of.
    world.tell("west", json!({ "holding": "h1", "parent": "holding", "contract": true })).await;
    world.judged(60).await;
    assert_eq!(world.heard(2), Vec::<String>::new());

    world.tell("holding", json!({ "contract": true })).await;
    world.judged(120).await;
    let heard = world.heard(2);
    let expected =
        ["[1 firing] north", "[1 firing] south", "[1 firing] west", "[1 resolved] holding"];
    assert_eq!(heard, expected, "what still is so is told when it is over");

    // It begins again: nobody hears again of what they know, and of its end neither while it lasts.
    world.tell("holding", json!({ "contract": false })).await;
    world.judged(180).await;
    assert_eq!(world.heard(6), ["[1 firing] holding"]);
    world.tell("east", json!({ "holding": "h1", "contract": true })).await;
    world.judged(240).await;
    assert_eq!(world.heard(7), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_the_holding_that_is_critical_itself_mutes_the_others_and_is_heard() {
    let mut world = World::new().await;
    for (account, contract) in [("north", true), ("south", false), ("holding", true)] {
        world.tell(account, json!({ "holding": "h1", "contract": contract })).await;
    }
    world.judged(0).await;
    // Of the account itself what is critical is heard, what is muted is not.
    assert_eq!(world.heard(0), ["[1 firing] south"]);
    // Where the one that mutes is erased, the others are heard of.
    let store = &world.pack.store;
    let lifecycle = store.lifecycle().await.unwrap();
    let now = world.pack.clock.now();
    let (action, account) =
        (platform::store::PrivacyAction::DeleteOnly, platform::store::Person::Account);
    let asked = store.request_privacy(action, account, &["south".to_owned()], now).await.unwrap();
    store.run_privacy_request(&asked.id, &lifecycle, now, &mut |_| false).await.unwrap();
    world.judged(60).await;
    assert_eq!(world.heard(1), ["[1 firing] holding", "[1 firing] north"]);
}

//! When a feed is late or dropped, and what becomes of its one finding.

use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

/// A Monday at noon, UTC.
fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn hours(count: i64) -> SignedDuration {
    SignedDuration::from_hours(count)
}

fn product(every: Option<i64>) -> Feed {
    let file = "version: 1\nstages: { a: {} }\nfeeds: { product: { events: [login] } }\n";
    let mut feed = crate::lifecycle::load(file).unwrap().feeds.remove(0);
    feed.expect_every = every.map(Period::Elapsed);
    feed
}

/// Five weeks that end at an instant, with so many events in each hour since 1970.
fn rates(until: Timestamp, count: impl Fn(i64) -> u64) -> Rates {
    let end = until.as_second().div_euclid(3_600);
    let from = end - WEEKS * WEEK_HOURS;
    Rates { from, counts: (from..end).map(count).collect() }
}

fn berlin(holidays: &[&str]) -> Calendar {
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let holidays = holidays.iter().map(|date| date.parse().unwrap()).collect();
    Calendar::new(zone, [true, true, true, true, true, false, false], holidays)
}

fn look(
    feed: &Feed,
    before: &FeedHealth,
    (heard_at, rates): (Option<Timestamp>, &Rates),
    now: Timestamp,
) -> (FeedHealth, Option<Turn>) {
    let declared_at = self::now() - hours(24 * 90);
    let listened = Listened { heard_at, declared_at, rates };
    let (after, change) = watch(feed, before, &listened, &berlin(&[]), now);
    (after, change.map(|change| change.turn))
}

#[test]
fn a_feed_is_late_only_after_the_time_it_is_expected_in() {
    let none = Rates::default();
    for (every, heard, late) in [
        (Some(3_600), Some(3_600), false),
        (Some(3_600), Some(3_601), true),
        (Some(2 * 86_400), Some(86_400), false),
        (None, Some(90 * 86_400), false),
        // It was never heard of since the file was applied, three months ago.
        (Some(3_600), None, true),
        (None, None, false),
    ] {
        let heard = heard.map(|ago| now() - SignedDuration::from_secs(ago));
        let (after, turn) = look(&product(every), &FeedHealth::FRESH, (heard, &none), now());
        let want = if late { (Health::Late, Some(Turn::Opens)) } else { (Health::Fresh, None) };
        assert_eq!((after.health, turn), want, "{every:?} {heard:?}");
        let since = heard.unwrap_or(now() - hours(24 * 90));
        assert_eq!(after.silent_since, late.then_some(since));
    }
}

#[test]
fn a_finding_opens_stays_closes_and_soon_after_is_the_same_again() {
    let (feed, none) = (product(Some(3_600)), Rates::default());
    let heard = |at: i64| (Some(now() + hours(at)), &none);
    let (open, turn) = look(&feed, &FeedHealth::FRESH, heard(0), now() + hours(2));
    assert_eq!((turn, open.opened_at), (Some(Turn::Opens), Some(now() + hours(2))));
    let (still, turn) = look(&feed, &open, heard(0), now() + hours(30));
    assert_eq!((&still, turn), (&open, None), "one finding for as long as it lasts");
    let (closed, turn) = look(&feed, &open, heard(31), now() + hours(31));
    assert_eq!((turn, closed.health), (Some(Turn::Closes), Health::Fresh));
    assert_eq!((closed.silent_since, closed.closed_at), (None, Some(now() + hours(31))));
    let (again, turn) = look(&feed, &closed, heard(31), now() + hours(40));
    assert_eq!((turn, again.opened_at, again.reopened), (Some(Turn::Reopens), open.opened_at, 1));
    let (other, turn) = look(&feed, &closed, heard(60), now() + hours(62));
    assert_eq!((turn, other.reopened), (Some(Turn::Opens), 0), "a day later it is another one");
    let (gone, change) = forget("product", &open, now() + hours(3));
    assert!(!gone.is_open() && change.unwrap().turn == Turn::Closes);
    assert_eq!(forget("product", &FeedHealth::FRESH, now()).1, None);
}

#[test]
fn a_drop_is_measured_against_the_least_of_the_same_hours_of_past_weeks() {
    let noon = now().as_second() / 3_600;
    // Of each case: events in an hour of past weeks, and in the last hours, since when.
    for (what, usual, (since, share), dropped) in [
        ("as ever", 400, (noon - 24, 1.0), false),
        ("a third less is no drop", 400, (noon - 24, 0.67), false),
        ("half of many, within three hours", 400, (noon - 3, 0.5), true),
        ("half of many, for an hour", 400, (noon - 1, 0.5), false),
        ("half of some, for a day", 8, (noon - 24, 0.5), true),
        ("half of some, for six hours", 8, (noon - 6, 0.5), false),
        ("nothing of few tells nothing", 3, (noon - 24, 0.0), false),
    ] {
        let count = |hour: i64| {
            let share = if hour >= since { share } else { 1.0 };
            (f64::from(usual) * share) as u64
        };
        let found = rates(now(), count);
        let seen = (Some(now()), &found);
        let (after, turn) = look(&product(None), &FeedHealth::FRESH, seen, now());
        let want = if dropped { Health::Dropped } else { Health::Fresh };
        assert_eq!((after.health, turn.is_some()), (want, dropped), "{what}");
    }
    // One quiet week of four is usual enough.
    let quiet = |hour: i64| match (noon - hour) / WEEK_HOURS {
        0 | 2 => 150,
        _ => 400,
    };
    let found = rates(now(), quiet);
    let seen = (Some(now()), &found);
    assert_eq!(look(&product(None), &FeedHealth::FRESH, seen, now()).0.health, Health::Fresh);
}

#[test]
fn a_new_feed_is_compared_with_nothing() {
    let noon = now().as_second() / 3_600;
    for (weeks, dropped) in [(1, false), (2, false), (3, true)] {
        let all = rates(now(), |hour| if hour >= noon - 24 { 10 } else { 400 });
        let skipped = ((WEEKS - weeks) * WEEK_HOURS) as usize;
        let rates =
            Rates { from: all.from + skipped as i64, counts: all.counts[skipped..].to_vec() };
        let seen = (Some(now()), &rates);
        let (after, _) = look(&product(None), &FeedHealth::FRESH, seen, now());
        assert_eq!(after.is_open(), dropped, "{weeks} weeks");
    }
}

#[test]
fn a_holiday_is_no_drop() {
    let noon = now().as_second() / 3_600;
    let rates = rates(now(), |hour| if hour >= noon - 24 { 20 } else { 400 });
    let listened = Listened { heard_at: Some(now()), declared_at: now(), rates: &rates };
    for (holidays, dropped) in [(&[][..], true), (&["2026-06-01"][..], false)] {
        let calendar = berlin(holidays);
        let (after, _) = watch(&product(None), &FeedHealth::FRESH, &listened, &calendar, now());
        assert_eq!(after.is_open(), dropped, "{holidays:?}");
    }
}

#[test]
fn a_drop_ends_when_the_last_hours_are_as_usual_and_is_not_found_again() {
    let noon = now().as_second() / 3_600;
    // From noon on much less came, for ten hours.
    let count = |hour: i64| if (noon..noon + 10).contains(&hour) { 100 } else { 400 };
    let mut health = FeedHealth::FRESH;
    let mut told = Vec::new();
    for hour in 0..40 {
        let at = now() + hours(hour);
        let rates = rates(at, count);
        let (after, turn) = look(&product(None), &health, (Some(at), &rates), at);
        told.extend(turn.map(|turn| (hour, turn)));
        health = after;
    }
    assert_eq!(told, [(2, Turn::Opens), (12, Turn::Closes)]);
}

#[test]
fn hours_are_known_once_and_a_gap_starts_anew() {
    let hour = now().as_second() / 3_600;
    let at =
        |hours: i64, minutes: i64| now() + self::hours(hours) + SignedDuration::from_mins(minutes);
    let counts = BTreeMap::from([(hour, 5), (hour + 1, 7), (hour + 3, 2)]);
    let first = Rates::default().with(&counts, hour - 24, at(2, 1));
    assert_eq!(
        (first.until(), first.counts.len()),
        (hour + 1, 0),
        "the first hour is no whole one"
    );
    let known = first.with(&counts, hour - 22, at(4, 6));
    assert_eq!((known.from, &known.counts), (hour + 1, &vec![7, 0, 2]));
    assert_eq!(known.clone().with(&counts, hour - 22, at(4, 59)), known, "nothing new is whole");
    let later = known.clone().with(&BTreeMap::from([(hour + 90, 1)]), hour + 76, at(100, 6));
    assert_eq!((later.from, later.until()), (hour + 91, hour + 100));
    let long = known.with(&counts, 0, at(24 * 60, 6));
    assert_eq!(long.counts.len() as i64, WEEKS * WEEK_HOURS);
}

proptest! {
    /// Of one feed no second finding opens, none closes that is not open, and looking again changes nothing.
    #[test]
    fn findings_open_and_close_in_turn(steps in prop::collection::vec((0i64..6, any::<bool>()), 1..60)) {
        let (feed, none) = (product(Some(3 * 3_600)), Rates::default());
        let (mut health, mut at, mut heard) = (FeedHealth::FRESH, now(), now());
        for (ahead, is_heard) in steps {
            at += hours(ahead);
            if is_heard {
                heard = at;
            }
            let seen = (Some(heard), &none);
            let (after, turn) = look(&feed, &health, seen, at);
            match turn {
                Some(Turn::Opens | Turn::Reopens) => prop_assert!(!health.is_open() && after.is_open()),
                Some(Turn::Closes) => prop_assert!(health.is_open() && !after.is_open()),
                None => prop_assert_eq!(health.is_open(), after.is_open()),
            }
            prop_assert_eq!(after.is_open(), at.duration_since(heard) > hours(3));
            prop_assert_eq!(look(&feed, &after, seen, at), (after.clone(), None));
            health = after;
        }
    }
}

//! One customer: where it is and why, what is to be done about it, and what happened.

use axum::extract::State;
use domain::journal::{ChangeKind, JournalEntry};
use domain::task::Ended;
use domain::tended::Waiver;
use maud::{Markup, html};
use platform::Versioned;
use std::sync::Arc;

use super::history::{History, history};
use super::layout::{Nav, Page};
use super::{Failure, View, show};
use crate::App;
use crate::customer::{Customer, CustomerFinding, CustomerId};
use crate::explain::{Explanation, explained, log_until};
use crate::tasks::Task;
use crate::visitor::Role;

/// How many entries and events are shown, the newest.
const ENTRIES: i32 = 200;
const EVENTS: i32 = 25;
const NOTES: usize = 20;

/// What the page shows.
struct Shown<'v> {
    view: &'v View,
    customer: Customer,
    name: String,
    explanation: Explanation,
    history: History,
    journal: Vec<JournalEntry>,
    is_verified: bool,
    waived: Vec<(String, Waiver)>,
    /// Tasks of this visit that are over, and how they ended.
    closed: Vec<(String, &'static str)>,
    events: Vec<domain::event::Event>,
    can_act: bool,
}

/// A customer's page.
pub(super) async fn customer(
    State(app): State<Arc<App>>,
    view: View,
    id: CustomerId,
) -> Result<Page, Failure> {
    let found = id.find(&app.store).await?;
    let shown = Shown::read(&view, found).await?;
    let title = shown.name.clone();
    let body = shown.body();
    Ok(view.page(Nav::Customers, &title, body).with_charts())
}

impl<'v> Shown<'v> {
    async fn read(view: &'v View, found: Versioned) -> Result<Shown<'v>, Failure> {
        let (store, lifecycle, now) = (&view.app.store, &view.lifecycle, view.now);
        let journal = store.journal(&found.key, ENTRIES, None).await?.items;
        let (log, _) = log_until(store, &found, now).await?;
        let events = log.iter().rev().take(EVENTS as usize).cloned().collect();
        let history = history(lifecycle, &log, now);
        let explanation = explained(store, found.clone(), None, now).await?;
        let found = store.with_below(found, lifecycle).await?;
        let facts = domain::facts::Facts::new(&found.customer, lifecycle, now);
        let name = domain::overview::name(&facts).unwrap_or_else(|| found.key.id().to_owned());
        let head = &found.customer.status.journal;
        let ends = journal.first().map_or(head.seq == 0, |last| {
            last.seq == head.seq && last.hash == domain::hex(&head.hash)
        });
        let tended = found.customer.status.tended.iter();
        let waived =
            tended.filter_map(|(name, tended)| Some((name.clone(), tended.waived(now)?.clone())));
        let over = found.customer.status.tasks.over.iter();
        let closed = over.filter(|over| over.how != Ended::Ran);
        let closed =
            closed.map(|over| (format!("{}.{}", over.playbook, over.step), over.how.as_str()));
        let closed = closed.collect();
        Ok(Shown {
            view,
            closed,
            customer: Customer::new(&found, lifecycle, now),
            name,
            explanation,
            history,
            is_verified: ends && is_chained(&journal),
            waived: waived.collect(),
            journal,
            events,
            can_act: view.may(Role::Operator),
        })
    }

    /// Where a form about this customer goes.
    fn call(&self, what: &str) -> String {
        format!("/do{}/{what}", show::customer_href(&self.customer.id))
    }

    fn back(&self, part: &str) -> Markup {
        self.view.form(&format!("{}#{part}", show::customer_href(&self.customer.id)))
    }

    fn body(&self) -> Markup {
        html! {
            p.sub {
                @if self.name != self.customer.id { (self.customer.id) " · " }
                @for segment in &self.customer.segments {
                    a href=(show::href("/customers", &[("segment", segment)])) { (show::words(segment)) } " · "
                }
                @match self.customer.last_seen {
                    Some(at) => { "last seen " (show::distance(at, self.view.now)) },
                    None => { "never seen" },
                }
            }
            (self.tiles())
            @if self.can_act { (self.actions()) }
            div.grid {
                div.stack.s7 {
                    (self.why()) (self.over_time()) (self.health()) (self.metrics()) (self.journal())
                }
                div.stack.s5 {
                    (self.tasks()) (self.findings()) (self.notes()) (self.stages()) (self.traits()) (self.events())
                }
            }
        }
    }

    fn tiles(&self) -> Markup {
        let (one, lifecycle) = (&self.customer, &self.view.lifecycle);
        html! {
            ul.tiles {
                li {
                    span { "Stage" }
                    @match &one.stage {
                        Some(stage) => {
                            b { (show::words(&stage.name)) }
                            span { (stage.days) " days"
                                @if let Some(pace) = stage.pace { ", " (show::words(pace)) }
                                @if one.hold.is_some() { ", held by hand" } }
                        },
                        None => { b { "none yet" } span { "no decision so far" } },
                    }
                }
                li {
                    span { "Churn risk" }
                    @match &one.risk {
                        Some(risk) => {
                            b { (show::percent(risk.probability)) }
                            (show::chip(show::risk_tone(lifecycle, &risk.band), &risk.band))
                            span { " since " (show::day(risk.band_since)) }
                        },
                        None => { b { "–" } span { "not assessed yet" } },
                    }
                }
                @if let Some(amount) = one.risk.as_ref().and_then(|risk| risk.revenue_at_risk) {
                    li { span { "Revenue at risk" } b { (self.view.money(amount)) } span { "value times risk" } }
                }
                @if let Some(health) = &one.health {
                    li {
                        span { "Health" }
                        b { (format!("{:.0}", health.score)) }
                        (show::chip(show::health_tone(lifecycle, &health.band), &health.band))
                        span { " knows " (show::percent(health.coverage)) " of its inputs" }
                    }
                }
                li {
                    span { "To do" }
                    b { (one.tasks.len() + one.findings.len()) }
                    span { (one.tasks.len()) " tasks, " (one.findings.len()) " findings" }
                }
            }
        }
    }

    fn actions(&self) -> Markup {
        let one = &self.customer;
        let stages = self.view.lifecycle.stages.iter();
        let subject = match self.view.lifecycle.subject {
            domain::lifecycle::Subject::Account => "account",
            domain::lifecycle::Subject::User => "user",
        };
        html! {
            div.acts {
                details {
                    summary { "Move…" }
                    form method="post" action=(self.call("move")) {
                        (self.back("main"))
                        label { "To" select name="to" required {
                            @for stage in stages { option value=(stage.name) { (show::words(&stage.name)) } }
                        } }
                        label { "Why" textarea name="reason" rows="2" required maxlength="500" {} }
                        label { "Automation takes over again on (leave empty: when it is released)"
                            input type="date" name="until"; }
                        button.main type="submit" { "Move" }
                    }
                }
                @if one.hold.is_some() {
                    form method="post" action=(self.call("release")) {
                        (self.back("main")) button type="submit" { "Give back to automation" }
                    }
                }
                @if let Some(handoff) = one.stage.as_ref().and_then(|stage| stage.handoff.as_ref()) {
                    @if handoff.state != "acknowledged" {
                        form method="post" action=(self.call("handoff/ack")) {
                            (self.back("main")) button type="submit" { "Take over (handoff)" }
                        }
                    }
                }
                details {
                    summary { "Note…" }
                    form method="post" action=(self.call("notes")) {
                        (self.back("journal"))
                        label { "Note, for the journal" textarea name="text" rows="3" required maxlength="500" {} }
                        button.main type="submit" { "Save the note" }
                    }
                }
                @if self.view.may(Role::Admin) {
                    details {
                        summary { "Erase…" }
                        form method="post" action="/do/privacy/requests"
                            data-ask="Erase everything that is held of this customer? This cannot be undone." {
                            (self.view.form("/setup#privacy"))
                            input type="hidden" name="subject" value=(subject);
                            input type="hidden" name="ids[]" value=(one.id);
                            p { "Events, traits and tasks go for good; the journal keeps that decisions were made, without saying of whom." }
                            label { "What" select name="type" {
                                option value="DELETE_ONLY" { "Erase what is held" }
                                option value="SUPPRESS_WITH_DELETE" { "Erase, and turn away what still comes" }
                            } }
                            button.danger type="submit" { "Erase" }
                        }
                    }
                }
            }
        }
    }

    fn why(&self) -> Markup {
        let told = &self.explanation;
        html! {
            section.card #why {
                h2 { "Why it is here" }
                @if let Some(hold) = &self.customer.hold {
                    p.warning {
                        (hold.author) " chose this stage on " (show::day(hold.since)) ": " (hold.reason)
                        @if let Some(until) = hold.until { ". Automation takes over on " (show::day(until)) }
                        @if let Some(proposed) = &self.customer.proposed { ". It would move to " b { (show::words(&proposed.to)) } }
                    }
                }
                @match &told.decided_by {
                    Some(decided) => {
                        p { "Since " (show::time(decided.at)) ", by " code { (decided.rule) }
                            @if let Some(from) = &decided.from { ", from " (show::words(from)) } ":" }
                        (show::reasons(&decided.reasons))
                    },
                    None => (show::empty("Nothing was decided yet.", "The next run, within minutes, puts it into its stage.")),
                }
                @if let Some(risk) = &self.customer.risk {
                    h3 { "What raises the risk" }
                    @if risk.reasons.is_empty() { p.quiet { "Nothing in particular." } }
                    @else { (show::reasons(&risk.reasons)) }
                }
                @if !told.what_if.is_empty() {
                    h3 { "What would change it" }
                    ul { @for one in told.what_if.iter().take(5) { li { (one.text) } } }
                }
                @if let Some(next) = &told.next {
                    h3 { "What comes by itself" }
                    ul { @for change in &next.changes {
                        li { (show::time(next.at)) ": " (show::words(change.kind)) " "
                            @if let Some(to) = &change.to { b { (show::words(to)) } } " by " code { (change.rule) } }
                    } }
                }
                details { summary.more { "Why not another stage" }
                    ul.list { @for other in &told.others {
                        li {
                            b { (show::words(&other.stage)) } " "
                            span.quiet { (other.why_not.as_deref().unwrap_or("the next run moves it there")) }
                            div { code { (other.criteria.condition) } }
                        }
                    } }
                }
                @if !told.complete { p.quiet { "Only the newest 20,000 events were looked at." } }
            }
        }
    }

    fn over_time(&self) -> Markup {
        html! {
            section.card { h2 { "Health and risk over time" } (self.history.chart(&self.journal)) }
        }
    }

    fn health(&self) -> Markup {
        let Some(health) = &self.customer.health else { return html! {} };
        html! {
            section.card {
                h2 { "What the health is made of" }
                div.scroll { table.cards {
                    thead { tr { th scope="col" { "Factor" } th scope="col" { "Value" } th.n scope="col" { "Points" } th.w-bar scope="col" { "Share" } } }
                    tbody { @for factor in &health.factors { tr {
                        th scope="row" { (show::words(&factor.name)) " " span.quiet.id { (factor.expression) } }
                        td data-label="Value" { @match factor.value { Some(value) => (show::number(value)), None => span.quiet { "unknown: earns nothing" } } }
                        td.n data-label="Points" { (show::number(factor.points)) " of " (show::number(factor.weight)) }
                        td.w-bar data-label="" { (show::bar(factor.points / factor.weight.max(0.01), "")) }
                    } } }
                } }
            }
        }
    }

    fn metrics(&self) -> Markup {
        let metrics = self.customer.metrics.0.iter().enumerate();
        html! {
            section.card {
                h2 { "Metrics" }
                table {
                    thead { tr { th scope="col" { "Metric" } th.n scope="col" { "Now" } th.n scope="col" { "180 days" } } }
                    tbody { @for (index, (name, value)) in metrics { tr {
                        th scope="row" { (show::words(name)) }
                        td.n { (show::value(value)) }
                        td.n { (self.history.spark(index)) }
                    } } }
                }
            }
        }
    }

    fn tasks(&self) -> Markup {
        html! {
            section.card #tasks {
                h2 { "What to do next" }
                @if self.customer.tasks.is_empty() {
                    (show::empty("No task is open.", "Playbooks of the lifecycle file open them."))
                }
                ul.list { @for task in &self.customer.tasks { li { (self.task(task)) } } }
                @if !self.closed.is_empty() {
                    details { summary.more { "Closed in this visit" }
                        ul.list { @for (id, how) in &self.closed { li.row {
                            code { (id) } span.quiet { (how) }
                            @if self.can_act {
                                form.end method="post" action=(self.call(&format!("tasks/{id}/reopen"))) { (self.back("tasks"))
                                    button type="submit" aria-label={ "Open again: " (id) } { "Open again" } }
                            }
                        } } }
                    }
                }
            }
        }
    }

    fn notes(&self) -> Markup {
        let notes = self.journal.iter().filter(|entry| entry.kind == ChangeKind::Note);
        let notes: Vec<&JournalEntry> = notes.take(NOTES).collect();
        html! {
            section.card #notes {
                h2 { "Notes" }
                @if notes.is_empty() { (show::empty("Nobody wrote anything down.", "What is noted stays in the journal.")) }
                ul.list { @for note in notes { li {
                    p { (note.reason.as_deref().unwrap_or_default()) }
                    p.quiet { (note.author.as_deref().unwrap_or_default()) ", " (show::time(note.at)) }
                } } }
            }
        }
    }

    fn task(&self, task: &Task) -> Markup {
        let is_late = task.state == "overdue";
        let call = |what: &str| self.call(&format!("tasks/{}/{what}", task.id));
        html! {
            div.row { b { (task.title) }
                @if task.priority != "medium" { (show::chip(if matches!(task.priority, "urgent" | "high") { "tone-2" } else { "" }, task.priority)) }
                @if task.state == "snoozed" { (show::chip("", "put off")) } }
            p.quiet {
                (task.owner_name)
                @if let Some(due) = task.due { ", due " span class=[is_late.then_some("late")] { (show::distance(due, self.view.now)) } }
                @if let Some(until) = task.snoozed_until { ", put off until " (show::day(until)) }
                @if let Some(minutes) = task.effort_minutes { ", " (minutes) " min" }
                ", " code { (task.id) }
            }
            @if !task.checklist.is_empty() {
                ul.plain { @for (at, item) in task.checklist.iter().enumerate() { li.row {
                    span { @if item.done { "☑ " } @else { "☐ " } (item.text) }
                    @if self.can_act && !item.done {
                        form method="post" action=(call("check")) { (self.back("tasks"))
                            input type="hidden" name="item" value=(at + 1);
                            button type="submit" aria-label={ "Tick: " (item.text) } { "Tick" } }
                    }
                } } }
            }
            @if self.can_act {
                div.acts {
                    form method="post" action=(call("done")) { (self.back("tasks"))
                        button.main type="submit" aria-label={ "Done: " (task.title) } { "Done" } }
                    details.inline { summary { "Put off…" }
                        form method="post" action=(call("snooze")) { (self.back("tasks"))
                            label { "Until" input type="date" name="until" required; }
                            label { "Note" input type="text" name="note" maxlength="500"; }
                            button type="submit" { "Put off" } } }
                    details.inline { summary { "Give to…" }
                        form method="post" action=(call("reassign")) { (self.back("tasks"))
                            label { "To" input type="text" name="to" required maxlength="200"; }
                            button type="submit" { "Give" } } }
                }
            }
        }
    }

    fn findings(&self) -> Markup {
        html! {
            section.card #findings {
                h2 { "Findings" }
                @if self.customer.findings.is_empty() {
                    (show::empty("None is open.", "What the company promised itself is kept here."))
                }
                ul.list { @for finding in &self.customer.findings { li { (self.finding(finding)) } } }
                @for (standard, waiver) in &self.waived {
                    div.row { span { b { (show::words(standard)) } " is waived by " (waiver.author) ": " (waiver.reason)
                        @if let Some(until) = waiver.until { ", until " (show::day(until)) } }
                        @if self.can_act {
                            form method="post" action=(self.call(&format!("findings/{standard}/waive"))) { (self.back("findings"))
                                input type="hidden" name="_method" value="DELETE";
                                button type="submit" { "End the waiver" } }
                        }
                    }
                }
            }
        }
    }

    fn finding(&self, finding: &CustomerFinding) -> Markup {
        let call = |what: &str| self.call(&format!("findings/{}/{what}", finding.standard));
        html! {
            div.row { b { (show::words(&finding.standard)) } (show::severity(finding.severity)) }
            p.quiet {
                "open since " (show::day(finding.opened_at))
                @if let Some(owner) = &finding.owner { ", " (owner) " mends it" }
                @if finding.reopened > 0 { ", opened again " (finding.reopened) " times" }
                @if let Some(seen) = &finding.acknowledged {
                    ". " (seen.author) " saw it: " (seen.outcome)
                    @if let Some(note) = &seen.note { ", " (note) }
                }
            }
            @if self.can_act {
                div.acts {
                    details.inline { summary { "Acknowledge…" }
                        form method="post" action=(call("ack")) { (self.back("findings"))
                            label { "It is" select name="outcome" {
                                option value="useful" { "useful: worth knowing" }
                                option value="known" { "known: right, and known before" }
                                option value="false" { "false: wrong" }
                            } }
                            label { "Note" input type="text" name="note" maxlength="500"; }
                            button type="submit" { "Acknowledge" } } }
                    details.inline { summary { "Waive…" }
                        form method="post" action=(call("waive")) { (self.back("findings"))
                            label { "Why" input type="text" name="reason" required maxlength="500"; }
                            label { "Until (leave empty: until it is ended)" input type="date" name="until"; }
                            button type="submit" { "Waive" } } }
                }
            }
        }
    }

    fn stages(&self) -> Markup {
        let moves = self.journal.iter().filter(|entry| entry.kind == ChangeKind::Stage);
        let checkpoints = self.customer.stage.as_ref().map_or(&[][..], |stage| &stage.checkpoints);
        html! {
            section.card {
                h2 { "Stages" }
                ol.timeline {
                    @for (at, entry) in moves.take(30).enumerate() {
                        li.now[at == 0].by-hand[entry.author.is_some()] {
                            b { (show::words(entry.to.as_deref().unwrap_or("none"))) } " "
                            span.quiet { (show::day(entry.at)) ", "
                                @match &entry.author {
                                    Some(author) => { "by " (author) @if let Some(why) = &entry.reason { ": " (why) } },
                                    None => code { (entry.rule) },
                                }
                            }
                        }
                    }
                }
                @if !checkpoints.is_empty() {
                    h3 { "Checkpoints" }
                    ul.plain { @for one in checkpoints { li {
                        @if one.done { "☑ " } @else { "☐ " } (show::words(&one.name))
                        @if let Some(at) = one.at { " " span.quiet { (show::day(at)) } }
                        @if let Some(due) = one.due.filter(|_| !one.done) { " " span class=(if one.late { "late" } else { "quiet" }) { "due " (show::day(due)) } }
                    } } }
                }
            }
        }
    }

    fn traits(&self) -> Markup {
        let traits = &self.customer.traits.0;
        html! {
            section.card {
                h2 { "What is known" }
                @if traits.is_empty() { (show::empty("No traits.", "`identify` and `group` calls tell them.")) }
                dl.facts { @for (name, value) in traits {
                    dt { (show::words(name)) } dd { (show::value(value)) }
                } }
            }
        }
    }

    fn events(&self) -> Markup {
        html! {
            section.card {
                h2 { "Newest events" }
                @if self.events.is_empty() { (show::empty("No events.", "They may be older than the log keeps them.")) }
                table { tbody { @for event in &self.events { tr {
                    td { b { (event.name) } @if let Some(user) = &event.user { " " span.quiet { (user) } } }
                    td.n { (show::time(event.at)) }
                } } } }
            }
        }
    }

    fn journal(&self) -> Markup {
        html! {
            section.card #journal {
                div.row { h2 { "Journal" }
                    span.end { @if self.is_verified { (show::chip("tone-0", "verified: no entry was changed")) }
                        @else { (show::chip("tone-3", "does not verify")) } } }
                @if self.journal.is_empty() { (show::empty("No entry yet.", "Every decision makes one.")) }
                ul.list { @for entry in self.journal.iter().take(40) { li { (entry_row(entry)) } } }
                @if self.journal.len() > 40 {
                    p { a href={ "/api" (show::customer_href(&self.customer.id)) "/journal" } { "All entries, as JSON" } }
                }
            }
        }
    }
}

/// One entry of the journal.
fn entry_row(entry: &JournalEntry) -> Markup {
    html! {
        div.row {
            span { b { (show::words(entry.kind.as_str())) } " "
                @match (&entry.from, &entry.to) {
                    (Some(from), Some(to)) if from != to => { (show::words(from)) " → " (show::words(to)) },
                    (_, Some(to)) => (show::words(to)),
                    (Some(from), None) => { (show::words(from)) " → none" },
                    (None, None) => {},
                }
                " " code { (entry.rule) } }
            span.end.quiet { (show::time(entry.at)) }
        }
        @if let Some(author) = &entry.author {
            p { "By " b { (author) } @if let Some(reason) = &entry.reason { ": " (reason) }
                @if let Some(until) = entry.until { ", until " (show::day(until)) } }
        }
        details { summary.more { "#" (entry.seq) @if let Some(version) = entry.config_version { ", file version " (version) } }
            (show::reasons(&crate::reason::reasons(entry.reasons.clone())))
            p.quiet.id { "hash " code { (entry.hash) } } }
    }
}

/// Whether each entry, newest first, is as it was sealed and follows from the one before it.
fn is_chained(journal: &[JournalEntry]) -> bool {
    let follows =
        |pair: &[JournalEntry]| pair[0].prev == pair[1].hash && pair[0].seq == pair[1].seq + 1;
    journal.iter().all(JournalEntry::is_intact) && journal.windows(2).all(follows)
}

//! What another version of the lifecycle file would do, told before it is made active again: some
//! customers' logs lived through under both.

use domain::event::Event;
use domain::lifecycle::{Lifecycle, load};
use domain::plan::{Difference, Plan, Question, Subject};
use domain::replay::in_order;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use maud::{Markup, html};
use platform::store::{Configuration, CustomerFilter};
use platform::{Store, StoreError, Versioned};

use super::{View, show};

/// So many customers are looked at: a page waits for it.
const LOOKED_AT: i32 = 200;
const MONTHS: u32 = 3;
/// So many logs are read at a time.
const AT_ONCE: usize = 8;

/// Why a version cannot be planned, or what it would do.
pub(super) enum Planned {
    /// It does not load any more: why.
    Unusable(String),
    /// What it would do, and what the page leaves out.
    Plan(Box<Plan>, LeftOut),
}

/// What a page does not wait for.
#[derive(Debug, Clone, Copy)]
pub(super) struct LeftOut {
    /// There are more customers than were looked at.
    customers: bool,
    /// What accounts below others count.
    below: bool,
}

/// Lives through the last months of some customers under the active file and another version.
///
/// # Errors
/// When the tables cannot be read.
pub(super) async fn planned(view: &View, other: &Configuration) -> Result<Planned, StoreError> {
    let proposed = match load(&other.source) {
        Ok(loaded) => loaded,
        Err(found) => {
            let first = found.first().map_or_else(String::new, |found| found.message.clone());
            return Ok(Planned::Unusable(first));
        }
    };
    let store = &view.app.store;
    let page = store.customers(&CustomerFilter::default(), LOOKED_AT, None).await?;
    let logs = logs(store, &page.items).await?;
    let plan = lived(&view.lifecycle, &proposed, &page.items, &logs, view.now);
    let rolls_up = |file: &Lifecycle| file.metrics.iter().any(|metric| metric.rolls_up);
    let left_out = LeftOut {
        customers: page.next_cursor.is_some(),
        below: rolls_up(&view.lifecycle) || rolls_up(&proposed),
    };
    Ok(Planned::Plan(Box::new(plan), left_out))
}

async fn logs(store: &Store, customers: &[Versioned]) -> Result<Vec<Vec<Event>>, StoreError> {
    // Collected first: a stream over a closure that borrows is not `Send` to the compiler.
    let reads: Vec<_> = customers.iter().map(|found| store.whole_log(&found.key)).collect();
    let logs = stream::iter(reads).buffered(AT_ONCE);
    logs.map_ok(in_order).try_collect().await
}

fn lived(
    active: &Lifecycle,
    proposed: &Lifecycle,
    customers: &[Versioned],
    logs: &[Vec<Event>],
    now: jiff::Timestamp,
) -> Plan {
    let question = Question::weekly(active, proposed, now, MONTHS, None);
    let mut plan = Plan::default();
    for (found, log) in customers.iter().zip(logs) {
        let status = Some(&found.customer.status);
        plan.look_at(Subject { id: found.key.id(), status, log, below: None }, &question);
    }
    plan.finish();
    plan
}

/// The report.
pub(super) fn report(planned: &Planned, version: u64) -> Markup {
    let (plan, left_out) = match planned {
        Planned::Unusable(why) => {
            return html! { p.warning { "Version " (version) " can no longer be used: " (why) } };
        }
        Planned::Plan(plan, left_out) => (plan, *left_out),
    };
    let differences = [
        ("Findings that the next night opens", named(&plan.findings_now)),
        ("Tasks that the next night opens", named(&plan.tasks_now)),
        ("Findings over the months", named(&plan.findings)),
    ];
    html! {
        p { b { (plan.moved.customers) } " of " (plan.customers) " customers would be in another stage ("
            (show::percent(plan.share())) "), and " (plan.paths_differ) " would have taken another path within " (MONTHS) " months." }
        @if left_out.below { p.quiet { "What accounts below others count is left out here; " code { "lifecycle plan" } " counts it." } }
        @if left_out.customers { p.quiet { "These are the first " (LOOKED_AT) " customers; " code { "lifecycle plan" } " looks at all of them." } }
        @if plan.is_empty() { (show::empty("It would decide nothing differently.", "")) }
        @if !plan.by_stage.is_empty() {
            table {
                thead { tr { th scope="col" { "Now in" } th scope="col" { "Then in" } th.n scope="col" { "Customers" } } }
                tbody { @for ((from, to), weight) in &plan.by_stage { tr {
                    td { (show::words(from)) } td { (show::words(to)) } td.n { (weight.customers) }
                } } }
            }
            h3 { "Whom it moves" }
            ul.plain { @for one in &plan.named { li {
                (show::customer(&one.id, one.name.as_deref())) " to " (show::words(one.proposed.as_deref().unwrap_or("none")))
                " by " code { (one.rule) }
            } } }
        }
        @for (title, rows) in &differences {
            @if !rows.is_empty() {
                h3 { (title) }
                ul.plain { @for (name, difference) in rows { li {
                    (show::words(name)) ": " (difference.appear) " more, " (difference.vanish) " fewer"
                } } }
            }
        }
    }
}

/// Those that differ.
fn named(all: &std::collections::BTreeMap<String, Difference>) -> Vec<(&String, &Difference)> {
    all.iter().filter(|(_, one)| one.appear + one.vanish > 0).collect()
}

//! Tasks of all customers, and who has how many.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use domain::facts::Facts;
use domain::lifecycle::{Lifecycle, TaskRule};
use domain::stakes;
use domain::task::{self, State as Standing};
use jiff::Timestamp;
use platform::store::{CustomerKey, OpenTasks, TaskRecord};
use platform::{Store, StoreError, Versioned};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::App;
use crate::page::{List, PageParameters, PageRequest, Parameters, given};
use crate::problem::{Errors, Problem};

const STATES: [&str; 4] = ["open", "overdue", "snoozed", "done"];
const NEXT_BEST: &str = "next_best";
const ORDERS: [&str; 2] = ["due", NEXT_BEST];
/// So many open tasks are put into the order of what is best done next, or counted by owner.
const MOST: usize = 5_000;
/// A task that nobody said the effort of is taken to be half an hour.
const USUAL_MINUTES: f64 = 30.0;

/// A task for people.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Task {
    /// What it is called within its customer: the playbook and its step.
    #[schema(example = "rescue.call")]
    pub id: String,
    /// The customer's id.
    pub customer: String,
    /// The playbook that opened it.
    pub playbook: String,
    /// The visit or the period it belongs to.
    #[schema(example = "visit 3")]
    pub run: String,
    /// What is to be done.
    pub title: String,
    /// The success plan that it is an objective of; null where it is none.
    #[schema(required)]
    pub plan: Option<String>,
    /// Who does it: a trait, a team or an address.
    pub owner: String,
    /// Who that is, where a trait tells.
    pub owner_name: String,
    /// `open`, `overdue`, `snoozed`, `done` or `closed` (its cause was over).
    pub state: &'static str,
    /// `low`, `medium`, `high` or `urgent`.
    pub priority: &'static str,
    /// About how long it takes, in minutes; null where nobody said.
    #[schema(required)]
    pub effort_minutes: Option<u32>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// By when it is to be done.
    #[schema(required)]
    pub due: Option<Timestamp>,
    /// Until when it is put off.
    #[schema(required)]
    pub snoozed_until: Option<Timestamp>,
    /// What belongs to it, by the present lifecycle file.
    pub checklist: Vec<ChecklistItem>,
    /// When it was closed; null while it is open.
    #[schema(required)]
    pub closed_at: Option<Timestamp>,
    /// Who closed it, where it was a person.
    #[schema(required)]
    pub closed_by: Option<String>,
    /// What is at risk with the customer; null where it is not told, and where the list is not in
    /// the order of `next_best`.
    #[schema(required)]
    pub revenue_at_risk: Option<f64>,
}

/// An item of a checklist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ChecklistItem {
    /// What is to be done.
    pub text: String,
    /// Whether it is.
    pub done: bool,
}

impl Task {
    /// An open task of a customer.
    pub(crate) fn of(found: &Versioned, task: &task::Task, facts: &Facts<'_>) -> Task {
        let rule = task::step_of(facts, &task::rule(&task.playbook, &task.step));
        let rule = rule.and_then(|step| step.task());
        let owner_name = task::owner_name(&task.owner, facts);
        Task::new(found.key.id(), task, owner_name, rule, facts.as_of)
    }

    fn of_record(record: &TaskRecord, lifecycle: &Lifecycle, now: Timestamp) -> Task {
        let task = &record.task;
        let playbook = lifecycle.playbook(&task.playbook);
        let rule = playbook.and_then(|playbook| playbook.step(&task.step)?.task());
        let mut told = Task::new(&record.customer, task, record.owner_name.clone(), rule, now);
        if let Some(closed) = &record.closed {
            told.state = closed.how.as_str();
            told.closed_at = Some(closed.at);
            told.closed_by.clone_from(&closed.author);
        }
        told
    }

    fn new(
        customer: &str,
        task: &task::Task,
        owner_name: String,
        rule: Option<&TaskRule>,
        now: Timestamp,
    ) -> Task {
        let items = task.checklist(rule).into_iter();
        Task {
            id: task.id(),
            customer: customer.to_owned(),
            playbook: task.playbook.clone(),
            run: task.run.clone(),
            title: task.title.clone(),
            plan: rule.and_then(|rule| rule.plan.clone()),
            owner: task.owner.clone(),
            owner_name,
            state: task.state(now).as_str(),
            priority: task.priority.as_str(),
            effort_minutes: task.effort_minutes,
            opened_at: task.opened_at,
            due: task.due,
            snoozed_until: task.snoozed_until.filter(|until| *until > now),
            checklist: items
                .map(|(text, done)| ChecklistItem { text: text.to_owned(), done })
                .collect(),
            closed_at: None,
            closed_by: None,
            revenue_at_risk: None,
        }
    }

    /// What the revenue at risk comes to for each minute.
    fn worth(&self) -> f64 {
        let minutes = self.effort_minutes.map_or(USUAL_MINUTES, f64::from);
        self.revenue_at_risk.unwrap_or(0.0) / minutes
    }
}

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TasksParameters {
    /// `open` (the default: all that are not closed), `overdue`, `snoozed` or `done`.
    #[param(default = "open", example = "overdue", pattern = "^(open|overdue|snoozed|done)?$")]
    pub(crate) state: Option<String>,
    /// Only those of this owner: as the lifecycle file has it, or the person it comes to.
    pub(crate) owner: Option<String>,
    /// Only those of this customer.
    pub(crate) customer: Option<String>,
    /// `due` (the default), or `next_best`: what is at risk for each minute of effort first, then by
    /// due time.
    #[param(default = "due", example = "next_best", pattern = "^(due|next_best)?$")]
    pub(crate) order: Option<String>,
}

/// Tasks
///
/// Tasks of all customers. Those that are open come in the order in which they run out, those that
/// are closed newest first. In the order `next_best` the answer is one part, of at most `limit` tasks:
/// the best of the 5,000 that run out first.
#[utoipa::path(
    get,
    path = "/api/tasks",
    tag = "tasks",
    params(TasksParameters, PageParameters),
    responses((status = 200, description = "Tasks.", body = List<Task>), Errors)
)]
pub(crate) async fn tasks(
    State(app): State<Arc<App>>,
    Parameters(asked): Parameters<TasksParameters>,
    page: PageRequest,
) -> Result<Json<List<Task>>, Problem> {
    let state = given(asked.state).unwrap_or_else(|| "open".to_owned());
    if !STATES.contains(&state.as_str()) {
        return Err(Problem::unknown("unknown_state", "state", &state, STATES));
    }
    let order = given(asked.order).unwrap_or_else(|| "due".to_owned());
    if !ORDERS.contains(&order.as_str()) {
        return Err(Problem::unknown("unknown_order", "order", &order, ORDERS));
    }
    let (owner, customer) = (given(asked.owner), given(asked.customer));
    let is_wanted = |task: &Task| {
        let of_owner = |owner: &String| task.owner == *owner || task.owner_name == *owner;
        owner.as_ref().is_none_or(of_owner)
            && customer.as_ref().is_none_or(|customer| task.customer == *customer)
            && (state == "open" || state == "done" || task.state == state)
    };
    let (store, now) = (&app.store, app.clock.now());
    if let (Some(customer), true) = (&customer, state != "done") {
        // A customer holds its own open tasks.
        let lifecycle = store.lifecycle().await?;
        let found = store.find_customer(customer, lifecycle.subject).await?;
        let mut tasks: Vec<Task> =
            found.iter().flat_map(|found| open_of(found, &lifecycle, now)).collect();
        tasks.retain(|task| is_wanted(&Task { customer: customer.clone(), ..task.clone() }));
        if order == NEXT_BEST {
            by_worth(store, &lifecycle, &mut tasks, now).await?;
        }
        tasks.truncate(page.limit.into());
        return Ok(Json(List::new("tasks", tasks, None)));
    }
    let lifecycle = store.lifecycle().await?;
    let told = |record: &TaskRecord| Task::of_record(record, &lifecycle, now);
    if order == NEXT_BEST && state != "done" {
        let records = store.open_tasks_up_to(MOST).await?;
        let mut tasks: Vec<Task> = records.iter().map(told).filter(is_wanted).collect();
        by_worth(store, &lifecycle, &mut tasks, now).await?;
        tasks.truncate(page.limit.into());
        return Ok(Json(List::new("tasks", tasks, None)));
    }
    let list = format!("tasks:{state}");
    let start = page.start(&list)?;
    let (limit, cursor) = (i32::from(page.limit), start.as_deref());
    let read = match state.as_str() {
        "done" => store.closed_tasks(limit, cursor).await?,
        "overdue" => store.open_tasks(OpenTasks::OverdueAt(now), limit, cursor).await?,
        _ => store.open_tasks(OpenTasks::All, limit, cursor).await?,
    };
    let tasks = read.items.iter().map(told).filter(is_wanted).collect();
    Ok(Json(List::new(&list, tasks, read.next_cursor)))
}

/// The open tasks of a customer.
pub(crate) fn open_of(found: &Versioned, lifecycle: &Lifecycle, now: Timestamp) -> Vec<Task> {
    let facts = Facts::new(&found.customer, lifecycle, now);
    let open = found.customer.status.tasks.open.iter();
    open.map(|task| Task::of(found, task, &facts)).collect()
}

/// Open tasks of all customers, up to 5,000 of those that run out first: in that order, or with what
/// is best done next first.
///
/// # Errors
/// When the tables cannot be read.
pub async fn open_tasks(
    store: &Store,
    lifecycle: &Lifecycle,
    order: Order,
    now: Timestamp,
) -> Result<Vec<Task>, StoreError> {
    let records = store.open_tasks_up_to(MOST).await?;
    let told = records.iter().map(|record| Task::of_record(record, lifecycle, now));
    let mut tasks: Vec<Task> = told.collect();
    if order == Order::NextBest {
        by_worth(store, lifecycle, &mut tasks, now).await?;
    }
    Ok(tasks)
}

/// In which order open tasks are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// As they run out.
    Due,
    /// By what is at risk for each minute of effort, then as they run out.
    NextBest,
}

/// Puts what is best done next first.
async fn by_worth(
    store: &Store,
    lifecycle: &Lifecycle,
    tasks: &mut [Task],
    now: Timestamp,
) -> Result<(), StoreError> {
    let at_risk = at_risk(store, lifecycle, tasks, now).await?;
    for task in tasks.iter_mut() {
        task.revenue_at_risk = at_risk.get(&task.customer).copied();
    }
    let due = |task: &Task| task.due.unwrap_or(Timestamp::MAX);
    tasks.sort_by(|a, b| {
        let by_worth = b.worth().total_cmp(&a.worth());
        by_worth.then_with(|| due(a).cmp(&due(b))).then_with(|| a.id.cmp(&b.id))
    });
    Ok(())
}

/// What is at risk with each customer of these tasks.
async fn at_risk(
    store: &Store,
    lifecycle: &Lifecycle,
    tasks: &[Task],
    now: Timestamp,
) -> Result<HashMap<String, f64>, StoreError> {
    if lifecycle.stakes.is_none() {
        return Ok(HashMap::new());
    }
    let ids = tasks.iter().map(|task| task.customer.as_str());
    let mut keys: Vec<CustomerKey> =
        ids.flat_map(|id| CustomerKey::candidates(id, lifecycle.subject)).collect();
    keys.sort();
    keys.dedup();
    let mut found = HashMap::new();
    for customer in store.customers_by_key(&keys).await? {
        let facts = Facts::new(&customer.customer, lifecycle, now);
        let risk = customer.customer.status.risk.as_ref();
        if let (Some(value), Some(risk)) = (stakes::value(&facts), risk) {
            found.insert(customer.key.id().to_owned(), value * risk.probability);
        }
    }
    Ok(found)
}

/// How much an owner has to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub(crate) struct Workload {
    /// Who: the person that a trait tells, else the owner of the lifecycle file.
    pub(crate) owner: String,
    /// Tasks that are not closed.
    pub(crate) open: u64,
    /// Those of them that are overdue.
    pub(crate) overdue: u64,
    /// Those of them that are put off.
    pub(crate) snoozed: u64,
    /// The minutes that the open ones take, where the lifecycle file says so.
    pub(crate) effort_minutes: u64,
}

/// Workload
///
/// How many tasks each owner has, the most overdue first. Counts the 5,000 that run out first.
#[utoipa::path(
    get,
    path = "/api/workload",
    tag = "tasks",
    responses((status = 200, description = "Owners of open tasks.", body = List<Workload>), Errors)
)]
pub(crate) async fn workload(State(app): State<Arc<App>>) -> Result<Json<List<Workload>>, Problem> {
    let now = app.clock.now();
    let mut owners: BTreeMap<String, Workload> = BTreeMap::new();
    for record in app.store.open_tasks_up_to(MOST).await? {
        let owner = record.owner_name.clone();
        let load = owners.entry(owner.clone()).or_default();
        load.owner = owner;
        load.open += 1;
        match record.task.state(now) {
            Standing::Overdue => load.overdue += 1,
            Standing::Snoozed => load.snoozed += 1,
            Standing::Open => {}
        }
        load.effort_minutes += u64::from(record.task.effort_minutes.unwrap_or(0));
    }
    let mut owners: Vec<Workload> = owners.into_values().collect();
    owners.sort_by(|a, b| (b.overdue, b.open, &a.owner).cmp(&(a.overdue, a.open, &b.owner)));
    Ok(Json(List::new("workload", owners, None)))
}

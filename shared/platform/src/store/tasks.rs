//! Tasks of all customers: lists of records beside the customers' own, written in the transaction
//! that changes a task.
//!
//! Open ones are kept in the order in which they run out, so that those that are overdue are read
//! and no other; what was closed is kept for as long as events are. A task is what its customer has
//! of it; a record is for lists.

use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem};
use domain::customer::Customer;
use domain::facts::Facts;
use domain::journal::{Change, Effect};
use domain::lifecycle::Lifecycle;
use domain::task::{After, Ended, Task, owner_name};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::attributes::{Item, Reader, b, key, n, s};
use super::control::DAY;
use super::customers::index_time;
use super::read::{Page, cursor_key, cursor_text};
use super::{CustomerKey, Store, StoreError, Versioned};
use crate::codec;

/// The list of tasks that are open.
pub(super) const OPEN: &str = "tasks#open";
/// The list of those that are closed.
pub(super) const CLOSED: &str = "tasks#done";
/// Sorts behind every instant: a task that never runs out.
const NEVER: &str = "9999";

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The customer's id.
    pub customer: String,
    /// Who does it, with a trait's person in place of the trait.
    pub owner_name: String,
    /// The task, as it last was.
    pub task: Task,
    /// How and when it was closed, and by whom; none while it is open.
    pub closed: Option<ClosedTask>,
}

/// How a task was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedTask {
    /// When.
    pub at: Timestamp,
    /// How.
    pub how: Ended,
    /// Who, where it was a person.
    pub author: Option<String>,
}

/// Which open tasks to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenTasks {
    /// All.
    All,
    /// Those that had run out before this instant.
    OverdueAt(Timestamp),
}

/// The same task has the same digits wherever it is looked at.
fn digits(customer: &CustomerKey, task: (&str, &str, &str)) -> String {
    let (playbook, step, run) = task;
    let name = format!("{}\0{playbook}\0{step}\0{run}", customer.as_str());
    domain::hex(&Sha256::digest(name.as_bytes())[..8])
}

fn open_sort_key(customer: &CustomerKey, task: &Task) -> String {
    let due = task.runs_out().map_or_else(|| NEVER.to_owned(), index_time);
    format!("{due}#{}", digits(customer, (&task.playbook, &task.step, &task.run)))
}

fn closed_sort_key(customer: &CustomerKey, task: &Task, at: Timestamp) -> String {
    format!("{at}#{}", digits(customer, (&task.playbook, &task.step, &task.run)))
}

fn with_body(mut found: Item, record: &TaskRecord) -> Item {
    let bytes = serde_json::to_vec(record).unwrap_or_default();
    found.insert("body".to_owned(), b(codec::shrink(&bytes)));
    found
}

/// Reads a record.
pub(super) fn record_of(found: &Item) -> Result<TaskRecord, StoreError> {
    let read = Reader { table: "control", item: found };
    let bytes = codec::grow(read.bytes("body")?)
        .map_err(|source| StoreError::Codec { table: "control", source })?;
    serde_json::from_slice(&bytes).map_err(|_| StoreError::Item { table: "control", what: "task" })
}

/// Whether a record is of a customer: an id may be that of two kinds of customers.
pub(super) fn is_record_of(found: &Item, record: &TaskRecord, customer: &CustomerKey) -> bool {
    let TaskRecord { task, .. } = record;
    let digits = digits(customer, (&task.playbook, &task.step, &task.run));
    let sk = Reader { table: "control", item: found }.maybe_text("sk");
    sk.is_some_and(|sk| sk.ends_with(&digits))
}

impl Store {
    /// The records of tasks that differ between a customer before and after changes.
    pub(super) fn transact_tasks(
        &self,
        before: &Versioned,
        after: &Customer,
        changes: &[Change],
        (lifecycle, at): (&Lifecycle, Timestamp),
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let was = &before.customer.status.tasks;
        let is = &after.status.tasks;
        let facts = Facts::new(after, lifecycle, at);
        let record = |task: &Task, closed: Option<ClosedTask>| TaskRecord {
            customer: before.key.id().to_owned(),
            owner_name: owner_name(&task.owner, &facts),
            task: task.clone(),
            closed,
        };
        let of = |tasks: &[Task], wanted: &Task| {
            tasks.iter().find(|task| task.id() == wanted.id() && task.run == wanted.run).cloned()
        };
        let mut writes = Vec::new();
        for task in &was.open {
            let sort_key = open_sort_key(&before.key, task);
            match of(&is.open, task) {
                Some(same) if same == *task => {}
                Some(changed) => {
                    if open_sort_key(&before.key, &changed) != sort_key {
                        writes.push(self.transact_delete(OPEN, &sort_key)?);
                    }
                    writes.push(
                        self.transact_put(self.open_item(&before.key, &record(&changed, None)))?,
                    );
                }
                None => {
                    writes.push(self.transact_delete(OPEN, &sort_key)?);
                    let closed = closed(task, changes, at);
                    let record = record(task, Some(closed));
                    writes.push(self.transact_put(self.closed_item(&before.key, &record, at))?);
                }
            }
        }
        for task in is.open.iter().filter(|task| of(&was.open, task).is_none()) {
            writes.push(self.transact_put(self.open_item(&before.key, &record(task, None)))?);
            let over = was.over(&task.playbook, &task.step);
            if let Some(over) = over.filter(|over| over.run == task.run) {
                // It was closed, and is open again.
                let sort_key = closed_sort_key(&before.key, task, over.at);
                writes.push(self.transact_delete(CLOSED, &sort_key)?);
            }
        }
        Ok(writes)
    }

    fn open_item(&self, customer: &CustomerKey, record: &TaskRecord) -> Item {
        with_body(key(OPEN, &open_sort_key(customer, &record.task)), record)
    }

    fn closed_item(&self, customer: &CustomerKey, record: &TaskRecord, at: Timestamp) -> Item {
        let mut found =
            with_body(key(CLOSED, &closed_sort_key(customer, &record.task, at)), record);
        let expires = at.as_second() + i64::from(self.event_retention_days) * DAY;
        found.insert("expires".to_owned(), n(expires));
        found
    }

    fn transact_put(&self, found: Item) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.control;
        let put = Put::builder().table_name(table).set_item(Some(found)).build();
        let put = put.map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().put(put).build())
    }

    fn transact_delete(&self, pk: &str, sk: &str) -> Result<TransactWriteItem, StoreError> {
        let table = &self.tables.control;
        let delete = Delete::builder().table_name(table).set_key(Some(key(pk, sk))).build();
        let delete = delete.map_err(StoreError::call_built("TransactWriteItems", table))?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// A page of the tasks that are open, those that run out first first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn open_tasks(
        &self,
        which: OpenTasks,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<TaskRecord>, StoreError> {
        let start = cursor_key(cursor)?;
        let mut query = self.query_under(&self.tables.control, OPEN);
        if let OpenTasks::OverdueAt(at) = which {
            query = query
                .key_condition_expression("pk = :pk AND sk < :sk")
                .expression_attribute_values(":sk", s(index_time(at)));
        }
        let output = self.one_page(query.limit(limit).set_exclusive_start_key(start)).await?;
        let items = output.items.unwrap_or_default();
        let items = items.iter().map(record_of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: cursor_text(output.last_evaluated_key) })
    }

    /// The tasks that are open, up to a number of them.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn open_tasks_up_to(&self, most: usize) -> Result<Vec<TaskRecord>, StoreError> {
        let (mut found, mut cursor): (Vec<TaskRecord>, Option<String>) = (Vec::new(), None);
        while found.len() < most {
            let page = self.open_tasks(OpenTasks::All, 1_000, cursor.as_deref()).await?;
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        found.truncate(most);
        Ok(found)
    }

    /// A page of the tasks that are closed, newest first.
    ///
    /// # Errors
    /// When the table cannot be read, or the cursor is none of ours.
    pub async fn closed_tasks(
        &self,
        limit: i32,
        cursor: Option<&str>,
    ) -> Result<Page<TaskRecord>, StoreError> {
        let start = cursor_key(cursor)?;
        let (items, last) = self.query_control(CLOSED, limit, start, false).await?;
        let items = items.iter().map(record_of).collect::<Result<_, _>>()?;
        Ok(Page { items, next_cursor: cursor_text(last) })
    }

    /// Erases the records of a customer's tasks.
    pub(super) async fn erase_tasks(&self, of: &CustomerKey) -> Result<(), StoreError> {
        for list in [OPEN, CLOSED] {
            let mut start = None;
            loop {
                let (items, next) = self.query_control(list, 1_000, start, true).await?;
                for found in &items {
                    let record = record_of(found)?;
                    if record.customer == of.id() && is_record_of(found, &record, of) {
                        let sk = Reader { table: "control", item: found }.text("sk")?;
                        self.delete_control(list, sk).await?;
                    }
                }
                start = next;
                if start.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// How a task that is no longer open was closed, by the changes that did.
fn closed(task: &Task, changes: &[Change], at: Timestamp) -> ClosedTask {
    let change = changes.iter().find_map(|change| match &change.effect {
        Effect::Task(it)
            if (&it.playbook, &it.step, &it.run) == (&task.playbook, &task.step, &task.run) =>
        {
            match it.after {
                After::Over(how) => Some((how, it.by.as_ref())),
                After::Open(_) | After::Message(_) => None,
            }
        }
        _ => None,
    });
    let (how, by) = change.unwrap_or((Ended::Cleared, None));
    ClosedTask { at, how, author: by.map(|by| by.name.clone()) }
}

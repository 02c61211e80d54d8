//! Which column means what.

use domain::event::EventKind;
use domain::lifecycle::Subject;
use domain::lifecycle::diagnostic::nearest;
use jiff::tz::TimeZone;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Usage;
use super::time::TimeFormat;
use super::value::ValueType;

/// The form of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Rows of cells under a header.
    Csv,
    /// One JSON object a line: full tracking calls, or flat rows.
    Jsonl,
    /// The fixed columns of the CDNOW data set.
    Cdnow,
}

impl Format {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Csv => "CSV",
            Format::Jsonl => "JSON Lines",
            Format::Cdnow => "CDNOW",
        }
    }
}

/// How the rows of a file become tracking calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The form of the file; told by its name and content where it is `None`.
    pub format: Option<Format>,
    /// What separates cells; told by the header where it is `None`.
    pub delimiter: Option<u8>,
    /// What a customer is: it tells what a column called `customer_id` means.
    pub subject: Subject,
    /// The kind of call a row becomes.
    pub kind: EventKind,
    /// The event that every row is.
    pub event: Option<String>,
    /// The column that names the event.
    pub event_column: Option<String>,
    /// The column of the user's id.
    pub user: Option<String>,
    /// The column of the account's id.
    pub account: Option<String>,
    /// The column of the instant.
    pub time: Option<String>,
    /// How instants are written.
    pub time_format: TimeFormat,
    /// Where times without an offset are.
    pub zone: TimeZone,
    /// The column of the message id.
    pub id: Option<String>,
    /// The columns that become properties, or traits; all others where it is `None`.
    pub members: Option<Vec<Member>>,
    /// Read so many rows and no more.
    pub limit: Option<u64>,
}

/// A column that becomes a property or a trait.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// The name it gets.
    pub name: String,
    /// The column.
    pub column: String,
    /// How its cells are read.
    pub ty: ValueType,
}

impl Member {
    /// A column under the name that conditions can use.
    #[must_use]
    pub fn of_column(column: &str) -> Member {
        Member { name: name_of(column), column: column.to_owned(), ty: ValueType::Auto }
    }

    /// Reads `column` or `name=column`.
    ///
    /// # Errors
    /// When the name or the column is empty.
    pub fn parse(text: &str) -> Result<Member, String> {
        let member = match text.split_once('=') {
            Some((name, column)) => {
                Member { name: name.trim().to_owned(), ..Member::of_column(column.trim()) }
            }
            None => Member::of_column(text.trim()),
        };
        match member.name.is_empty() || member.column.is_empty() {
            true => Err(format!("`{text}` is neither a column nor name=column")),
            false => Ok(member),
        }
    }
}

/// A header as a name for conditions: `Order Total ($)` becomes `order_total`.
fn name_of(column: &str) -> String {
    if column.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
        return column.rsplit('.').next().unwrap_or(column).to_owned();
    }
    let mut name = String::new();
    for c in column.trim().chars() {
        if c.is_alphanumeric() || c == '_' {
            name.extend(c.to_lowercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_matches('_').to_owned()
}

impl Plan {
    /// Everything to be told from the file.
    #[must_use]
    pub fn new(subject: Subject, zone: TimeZone) -> Plan {
        Plan {
            format: None,
            delimiter: None,
            subject,
            kind: EventKind::Track,
            event: None,
            event_column: None,
            user: None,
            account: None,
            time: None,
            time_format: TimeFormat::Auto,
            zone,
            id: None,
            members: None,
            limit: None,
        }
    }

    /// Whether somebody said what columns mean: then no row is taken as a full tracking call.
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        let columns = [&self.event, &self.event_column, &self.user, &self.account, &self.time];
        columns.iter().any(|column| column.is_some())
            || self.id.is_some()
            || self.members.is_some()
            || self.kind != EventKind::Track
    }

    /// The same for the same mapping.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        domain::hex(&Sha256::digest(format!("{self:?}").as_bytes())[..8])
    }

    /// Finds the columns under a header.
    ///
    /// # Errors
    /// When a column is named that is not there, or one that is needed was neither named nor
    /// found by its usual names.
    pub(super) fn columns(&self, header: &[String], presence: Presence) -> Result<Columns, Usage> {
        let mut finder = Finder { header, presence, used: Vec::new() };
        let user = finder.find("--user", self.user.as_deref(), user_names(self.subject))?;
        let account =
            finder.find("--account", self.account.as_deref(), account_names(self.subject))?;
        let time = finder.find("--time", self.time.as_deref(), &TIME_NAMES)?;
        let id = finder.find("--id", self.id.as_deref(), &ID_NAMES)?;
        let is_named = self.event.is_some() || self.kind != EventKind::Track;
        let usual: &[&str] = if is_named { &[] } else { &EVENT_NAMES };
        let event = finder.find("--event-column", self.event_column.as_deref(), usual)?;
        let columns = header.join(", ");
        let time = time.ok_or_else(|| {
            Usage::new(format!(
                "which column is the time? Give --time COLUMN; there are: {columns}"
            ))
        })?;
        if user.is_none() && account.is_none() {
            let subject = match self.subject {
                Subject::Account => "account or the user? Give --account or --user",
                Subject::User => "user? Give --user",
            };
            return Err(Usage::new(format!(
                "which column is the id of the {subject} COLUMN; there are: {columns}"
            )));
        }
        if event.is_none() && !is_named {
            return Err(Usage::new(format!(
                "what happened? Give --event NAME where every row is the same event, or \
                 --event-column COLUMN; there are: {columns}"
            )));
        }
        let members = match &self.members {
            Some(named) => {
                for member in named {
                    finder.find("--properties", Some(&member.column), &[])?;
                }
                Some(named.clone())
            }
            None => None,
        };
        Ok(Columns { user, account, time, id, event, members, used: finder.used })
    }
}

/// Whether each row has every column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    Always,
    Sometimes,
}

/// The columns that mean something, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// The user's id.
    pub user: Option<String>,
    /// The account's id.
    pub account: Option<String>,
    /// The instant.
    pub time: String,
    /// The message id.
    pub id: Option<String>,
    /// The event's name.
    pub event: Option<String>,
    /// Properties or traits; all columns that are not used otherwise where it is `None`.
    pub members: Option<Vec<Member>>,
    pub(super) used: Vec<String>,
}

impl Columns {
    /// The columns under a header that become properties or traits.
    pub(super) fn members_of(&self, header: &[String]) -> Vec<Member> {
        match &self.members {
            Some(named) => named.clone(),
            None => {
                let rest = header.iter().filter(|column| !self.used.contains(column));
                rest.filter(|column| !column.trim().is_empty())
                    .map(|c| Member::of_column(c))
                    .collect()
            }
        }
    }
}

const TIME_NAMES: [&str; 13] = [
    "timestamp",
    "time",
    "eventtime",
    "eventtimestamp",
    "occurredat",
    "createdat",
    "datetime",
    "date",
    "eventdate",
    "orderdate",
    "invoicedate",
    "ts",
    "day",
];
const ID_NAMES: [&str; 3] = ["messageid", "eventid", "insertid"];
const EVENT_NAMES: [&str; 4] = ["event", "eventname", "eventtype", "action"];
const USER_NAMES: [&str; 10] = [
    "userid",
    "user",
    "customerid",
    "customer",
    "uid",
    "distinctid",
    "visitorid",
    "memberid",
    "contactid",
    "clientid",
];
const ACCOUNT_NAMES: [&str; 11] = [
    "accountid",
    "account",
    "groupid",
    "companyid",
    "company",
    "organizationid",
    "organisationid",
    "orgid",
    "workspaceid",
    "tenantid",
    "teamid",
];
const CUSTOMER_ACCOUNT_NAMES: [&str; 13] = [
    "accountid",
    "account",
    "groupid",
    "companyid",
    "company",
    "organizationid",
    "organisationid",
    "orgid",
    "workspaceid",
    "tenantid",
    "teamid",
    "customerid",
    "customer",
];
const PERSON_NAMES: [&str; 7] =
    ["userid", "user", "uid", "distinctid", "visitorid", "memberid", "contactid"];

/// A customer is the subject: the account where customers are accounts, else the user.
fn user_names(subject: Subject) -> &'static [&'static str] {
    match subject {
        Subject::Account => &PERSON_NAMES,
        Subject::User => &USER_NAMES,
    }
}

fn account_names(subject: Subject) -> &'static [&'static str] {
    match subject {
        Subject::Account => &CUSTOMER_ACCOUNT_NAMES,
        Subject::User => &ACCOUNT_NAMES,
    }
}

struct Finder<'a> {
    header: &'a [String],
    presence: Presence,
    used: Vec<String>,
}

impl Finder<'_> {
    /// The column that was named, or else the first that has one of the usual names.
    fn find(
        &mut self,
        flag: &str,
        named: Option<&str>,
        usual: &[&str],
    ) -> Result<Option<String>, Usage> {
        let found = match named {
            Some(name) => {
                let exact = self.header.iter().find(|column| *column == name);
                let loose = || self.header.iter().find(|column| plain(column) == plain(name));
                match exact.or_else(loose) {
                    Some(column) => Some(column.clone()),
                    None if self.presence == Presence::Sometimes => Some(name.to_owned()),
                    None => return Err(self.missing(flag, name)),
                }
            }
            None => usual
                .iter()
                .find_map(|usual| self.header.iter().find(|column| plain(column) == *usual))
                .filter(|column| !self.used.contains(column))
                .cloned(),
        };
        self.used.extend(found.clone());
        Ok(found)
    }

    fn missing(&self, flag: &str, name: &str) -> Usage {
        let near = nearest(name, self.header.iter().map(String::as_str));
        let help = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", self.header.join(", ")),
        };
        Usage::new(format!("{flag}: there is no column `{name}`; {help}"))
    }
}

fn plain(column: &str) -> String {
    column.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(subject: Subject) -> Plan {
        Plan::new(subject, TimeZone::UTC)
    }

    fn columns(plan: &Plan, header: &str) -> Result<Columns, String> {
        let header: Vec<String> = header.split(',').map(str::to_owned).collect();
        plan.columns(&header, Presence::Always).map_err(|usage| usage.to_string())
    }

    #[test]
    fn usual_names_need_no_flags() {
        let found = columns(&plan(Subject::User), "Customer ID,Event,Created At,total").unwrap();
        assert_eq!(found.user.as_deref(), Some("Customer ID"));
        assert_eq!(found.event.as_deref(), Some("Event"));
        assert_eq!(found.time, "Created At");
    }

    #[test]
    fn a_customer_is_the_account_where_customers_are_accounts() {
        let found = columns(&plan(Subject::Account), "customer_id,user_id,event,time").unwrap();
        assert_eq!(found.account.as_deref(), Some("customer_id"));
        assert_eq!(found.user.as_deref(), Some("user_id"));
    }

    #[test]
    fn what_cannot_be_told_is_asked_for_with_the_columns_there_are() {
        let plan = plan(Subject::User);
        assert!(columns(&plan, "user,event,x").unwrap_err().contains("--time COLUMN"));
        assert!(columns(&plan, "x,event,time").unwrap_err().contains("--user COLUMN"));
        assert!(columns(&plan, "user,x,time").unwrap_err().contains("--event NAME"));
    }

    #[test]
    fn a_misspelt_column_is_answered_with_the_nearest() {
        let plan = Plan { user: Some("costumer".to_owned()), ..plan(Subject::User) };
        let error = columns(&plan, "customer,event,time").unwrap_err();
        assert_eq!(error, "--user: there is no column `costumer`; did you mean `customer`?");
    }

    #[test]
    fn all_other_columns_become_properties_unless_some_are_named() {
        let header: Vec<String> =
            ["user", "time", "event", "Total ($)", "sku"].map(str::to_owned).into();
        let every = plan(Subject::User).columns(&header, Presence::Always).unwrap();
        let names: Vec<String> = every.members_of(&header).into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["total", "sku"]);
        let members = Some(vec![Member::parse("amount=Total ($)").unwrap()]);
        let some =
            Plan { members, ..plan(Subject::User) }.columns(&header, Presence::Always).unwrap();
        let names: Vec<String> = some.members_of(&header).into_iter().map(|m| m.name).collect();
        assert_eq!(names, ["amount"]);
    }

    #[test]
    fn another_mapping_has_another_fingerprint() {
        let one = plan(Subject::User);
        assert_eq!(one.fingerprint(), one.clone().fingerprint());
        let other = Plan { event: Some("order".to_owned()), ..one.clone() };
        assert_ne!(one.fingerprint(), other.fingerprint());
    }
}

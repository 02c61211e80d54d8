//! What a person says about a file: flags, and a mapping file that holds the same.

use std::fmt;
use std::path::{Path, PathBuf};

use domain::event::EventKind;
use domain::lifecycle::Lifecycle;
use jiff::tz::TimeZone;
use serde::de::{self, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::plan::{Format, Member, Plan};
use super::time::{ShiftTo, TimeFormat};
use super::value::ValueType;
use super::{Usage, cdnow};

/// Import events, or facts about customers, from a file.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    long_about = "Import events, or facts about customers, from a file.\n\n\
        Reads CSV under a header, JSON Lines, or the CDNOW sample. A JSON Lines row may be a full \
        tracking call (type, userId, event, properties, timestamp); any other row becomes one: say \
        which column is the user, the account, the time and the event, where their names do not \
        tell. All other columns become properties (or traits), as numbers, true or false, or text.\n\n\
        Importing the same rows again changes nothing: a row without an id of its own is told by its \
        content. An interrupted import of an unchanged file goes on where it stopped. A bad row is \
        set aside with its reason and does not stop the others. Memory does not grow with the file; \
        while the import runs, its rows lie once more beside the data.",
    after_long_help = "Examples:\n  \
        lifecycle import orders.csv --event order\n  \
        lifecycle import orders.csv --event order --user shopper --time 'ordered on' \\\n      \
        --time-format '%d.%m.%Y %H:%M' --timezone Europe/Berlin --properties amount=total,items\n  \
        lifecycle import accounts.csv --type group --account id --time signed_up --traits plan,mrr\n  \
        lifecycle import segment-export.jsonl\n  \
        lifecycle import orders.csv --map orders.map.yaml --dry-run\n  \
        lifecycle import CDNOW_sample.txt --shift-to today\n\n\
        A mapping file holds the same options, and flags win over it:\n  \
        format: csv                  # csv, jsonl or cdnow\n  \
        delimiter: \";\"\n  \
        type: track                  # track, identify or group\n  \
        event: order                 # or event_column: what\n  \
        user: shopper\n  \
        account: company\n  \
        time: ordered on\n  \
        time_format: \"%d.%m.%Y %H:%M\"\n  \
        timezone: Europe/Berlin\n  \
        id: order_no\n  \
        properties:                  # or traits; a list of columns will do\n    \
        amount: { column: total, type: number }   # auto, text, number or bool\n    \
        items: items\n\n\
        Times without an offset are in --timezone, or else in the time zone of the lifecycle file; \
        a date is the start of its day there. Without a format, ISO 8601, YYYYMMDD and seconds, \
        milli- or microseconds since 1970 are understood.\n\n\
        Exit codes: 0 imported, bad rows or not; 1 failed, or no row could be taken; 2 wrong use."
)]
pub struct Args {
    /// The file to import.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The form of the file [default: told by its name and content].
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// A YAML file that holds these options.
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// What a row becomes: an event, or facts about a user or an account [default: track].
    #[arg(long = "type", value_enum)]
    pub kind: Option<RowKind>,
    /// The event that every row is.
    #[arg(long, value_name = "NAME", conflicts_with = "event_column", help_heading = "Columns")]
    pub event: Option<String>,
    /// The column that names the event.
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub event_column: Option<String>,
    /// The column of the user's id.
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub user: Option<String>,
    /// The column of the account's id.
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub account: Option<String>,
    /// The column of the time.
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub time: Option<String>,
    /// The column of a unique id; without one, a row is told by its content.
    #[arg(long, value_name = "COLUMN", help_heading = "Columns")]
    pub id: Option<String>,
    /// The columns that become properties [default: all others].
    #[arg(
        long, value_name = "COLUMN|NAME=COLUMN", value_delimiter = ',', value_parser = Member::parse,
        help_heading = "Columns"
    )]
    pub properties: Vec<Member>,
    /// The columns that become traits of an identify or group row [default: all others].
    #[arg(
        long, value_name = "COLUMN|NAME=COLUMN", value_delimiter = ',', value_parser = Member::parse,
        conflicts_with = "properties", help_heading = "Columns"
    )]
    pub traits: Vec<Member>,
    /// How times are written: auto, unix, unix_ms, or a strptime pattern.
    #[arg(long, value_name = "FORMAT", value_parser = TimeFormat::parse, help_heading = "Cells")]
    pub time_format: Option<TimeFormat>,
    /// Where times without an offset are [default: the lifecycle file's time zone].
    #[arg(long, value_name = "ZONE", help_heading = "Cells")]
    pub timezone: Option<String>,
    /// What separates cells: a character, or `tab` [default: told by the header].
    #[arg(long, value_name = "CHAR", value_parser = parse_delimiter, help_heading = "Cells")]
    pub delimiter: Option<u8>,
    /// Move all rows by whole days, so that the last one falls on this date, or (`today`) as late
    /// as can be without lying in the future.
    #[arg(long, value_name = "DATE|today", value_parser = ShiftTo::parse)]
    pub shift_to: Option<ShiftTo>,
    /// Read so many rows and no more.
    #[arg(long, value_name = "N")]
    pub limit: Option<u64>,
    /// Read everything, show what it would become, and store nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Start again where an interrupted import of the same file would go on.
    #[arg(long)]
    pub restart: bool,
    /// Answer with one JSON object, and show no progress.
    #[arg(long)]
    pub json: bool,
    /// The lifecycle file to go by [default: the active one].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// What a row becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// Something a user did.
    Track,
    /// Facts about a user.
    Identify,
    /// Facts about an account.
    Group,
}

fn parse_delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ if text == "tab" || text == "\\t" => Ok(b'\t'),
        _ => Err(format!("`{text}` is not one character")),
    }
}

/// The options of a mapping file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mapping {
    format: Option<Format>,
    #[serde(rename = "type")]
    kind: Option<RowKind>,
    event: Option<String>,
    event_column: Option<String>,
    user: Option<String>,
    account: Option<String>,
    time: Option<String>,
    time_format: Option<String>,
    timezone: Option<String>,
    id: Option<String>,
    properties: Option<Members>,
    traits: Option<Members>,
    delimiter: Option<String>,
}

/// Columns that become properties or traits: a list, or names and where they come from.
#[derive(Debug)]
struct Members(Vec<Member>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        deserializer.deserialize_any(MembersVisitor).map(Members)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of columns, or names and their columns")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Member>, A::Error> {
        let mut members = Vec::new();
        while let Some(column) = list.next_element::<String>()? {
            members.push(Member::parse(&column).map_err(A::Error::custom)?);
        }
        Ok(members)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut named: A) -> Result<Vec<Member>, A::Error> {
        let mut members = Vec::new();
        while let Some((name, origin)) = named.next_entry::<String, Origin>()? {
            members.push(Member { name, column: origin.column, ty: origin.ty });
        }
        Ok(members)
    }
}

/// Where a property comes from: a column, or `{ column, type }`.
struct Origin {
    column: String,
    ty: ValueType,
}

impl<'de> Deserialize<'de> for Origin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Origin, D::Error> {
        deserializer.deserialize_any(OriginVisitor)
    }
}

struct OriginVisitor;

impl<'de> Visitor<'de> for OriginVisitor {
    type Value = Origin;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a column, or `{ column: …, type: … }`")
    }

    fn visit_str<E: de::Error>(self, column: &str) -> Result<Origin, E> {
        Ok(Origin { column: column.to_owned(), ty: ValueType::Auto })
    }

    fn visit_u64<E: de::Error>(self, column: u64) -> Result<Origin, E> {
        self.visit_str(&column.to_string())
    }

    fn visit_i64<E: de::Error>(self, column: i64) -> Result<Origin, E> {
        self.visit_str(&column.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Origin, A::Error> {
        let typed = Typed::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Origin { column: typed.column, ty: typed.ty })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    column: String,
    #[serde(rename = "type", default)]
    ty: ValueType,
}

impl Args {
    /// The lifecycle to go by where none is active yet and no file is at hand.
    #[must_use]
    pub fn preset(&self) -> &'static str {
        if self.format == Some(Format::Cdnow) || self.format.is_none() && is_cdnow(&self.file) {
            return "ecommerce";
        }
        domain::lifecycle::presets::PRESETS[0].name
    }

    /// The plan that flags and mapping file make; flags win.
    ///
    /// # Errors
    /// When the mapping file cannot be read, or the options do not go together.
    pub fn plan(&self, lifecycle: &Lifecycle) -> Result<Plan, Usage> {
        let mapping = match &self.map {
            Some(path) => read_mapping(path)?,
            None => Mapping::default(),
        };
        self.merged(mapping, lifecycle)
    }

    fn merged(&self, mapping: Mapping, lifecycle: &Lifecycle) -> Result<Plan, Usage> {
        let wrong = |error: String| Usage::new(error);
        let kind = match self.kind.or(mapping.kind).unwrap_or(RowKind::Track) {
            RowKind::Track => EventKind::Track,
            RowKind::Identify => EventKind::Identify,
            RowKind::Group => EventKind::Group,
        };
        let zone = match self.timezone.as_ref().or(mapping.timezone.as_ref()) {
            Some(name) => TimeZone::get(name).map_err(|_| {
                Usage::new(format!("`{name}` is no time zone: use an IANA name, as Europe/Berlin"))
            })?,
            None => lifecycle.calendar.zone().clone(),
        };
        let time_format = match (&self.time_format, &mapping.time_format) {
            (Some(format), _) => format.clone(),
            (None, Some(text)) => TimeFormat::parse(text).map_err(wrong)?,
            (None, None) => TimeFormat::Auto,
        };
        let delimiter = match (self.delimiter, &mapping.delimiter) {
            (Some(delimiter), _) => Some(delimiter),
            (None, Some(text)) => Some(parse_delimiter(text).map_err(wrong)?),
            (None, None) => None,
        };
        let (event, event_column) = match (&self.event, &self.event_column) {
            (None, None) => (mapping.event, mapping.event_column),
            (event, column) => (event.clone(), column.clone()),
        };
        if event.is_some() && event_column.is_some() {
            return Err(Usage::new("give `event` or `event_column`, not both"));
        }
        if kind != EventKind::Track && (event.is_some() || event_column.is_some()) {
            let kind = kind.as_str();
            return Err(Usage::new(format!("rows of --type {kind} have no event: leave it out")));
        }
        let given = |flags: &[Member], mapping: Option<Members>| match flags {
            [] => mapping.map(|members| members.0),
            flags => Some(flags.to_vec()),
        };
        let properties = given(&self.properties, mapping.properties);
        let traits = given(&self.traits, mapping.traits);
        let members = match (kind, properties, traits) {
            (EventKind::Track, _, Some(_)) => {
                return Err(Usage::new("traits need --type identify or --type group"));
            }
            (EventKind::Track, properties, None) => properties,
            (_, Some(_), _) => {
                let kind = kind.as_str();
                return Err(Usage::new(format!(
                    "rows of --type {kind} have traits, not properties"
                )));
            }
            (_, None, traits) => traits,
        };
        Ok(Plan {
            format: self.format.or(mapping.format),
            delimiter,
            kind,
            event,
            event_column,
            user: self.user.clone().or(mapping.user),
            account: self.account.clone().or(mapping.account),
            time: self.time.clone().or(mapping.time),
            time_format,
            id: self.id.clone().or(mapping.id),
            members,
            limit: self.limit,
            ..Plan::new(lifecycle.subject, zone)
        })
    }
}

fn read_mapping(path: &Path) -> Result<Mapping, Usage> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Usage::new(format!("cannot read {name}: {error}")))?;
    parse_mapping(&text).map_err(|error| Usage::new(format!("{name}: {error}")))
}

/// `yes`, `no`, `y` and `n` are names of columns here, not answers.
fn parse_mapping(text: &str) -> Result<Mapping, serde_saphyr::Error> {
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options)
}

fn is_cdnow(file: &Path) -> bool {
    let head = std::fs::File::open(file).and_then(|file| {
        let mut head = String::new();
        std::io::Read::read_to_string(&mut std::io::Read::take(file, 256), &mut head)?;
        Ok(head)
    });
    head.is_ok_and(|head| head.lines().next().is_some_and(cdnow::is_line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use domain::lifecycle::presets::preset;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn lifecycle() -> Lifecycle {
        domain::lifecycle::load(preset("ecommerce").unwrap().source).unwrap()
    }

    fn plan(flags: &str, mapping: &str) -> Result<Plan, String> {
        let words = ["import", "a.csv"].into_iter().chain(flags.split_whitespace());
        let args = Line::try_parse_from(words).map_err(|error| error.to_string())?.args;
        let mapping = match mapping {
            "" => Mapping::default(),
            text => parse_mapping(text).map_err(|error| error.to_string())?,
        };
        args.merged(mapping, &lifecycle()).map_err(|usage| usage.to_string())
    }

    #[test]
    fn flags_win_over_the_mapping_file() {
        let mapping = "user: shopper\ntime: when\nevent_column: what\ntimezone: Europe/Berlin\n\
            delimiter: tab\nproperties:\n  amount: { column: total, type: number }\n  items: n\n";
        let plan = plan("--time at --event order", mapping).unwrap();
        assert_eq!(plan.user.as_deref(), Some("shopper"));
        assert_eq!(plan.time.as_deref(), Some("at"));
        assert_eq!((plan.event.as_deref(), plan.event_column), (Some("order"), None));
        assert_eq!(plan.zone.iana_name(), Some("Europe/Berlin"));
        assert_eq!(plan.delimiter, Some(b'\t'));
        let members = plan.members.unwrap();
        assert_eq!((members[0].name.as_str(), members[0].ty), ("amount", ValueType::Number));
        assert_eq!((members[1].column.as_str(), members[1].ty), ("n", ValueType::Auto));
    }

    #[test]
    fn a_list_of_columns_will_do() {
        let mapped = plan("", "properties: [total, n=items]\n").unwrap().members.unwrap();
        let flagged = plan("--properties total,n=items", "").unwrap().members.unwrap();
        assert_eq!(mapped, flagged);
    }

    #[test]
    fn a_misspelt_option_of_the_mapping_file_is_an_error() {
        let error = plan("", "usr: shopper\n").unwrap_err();
        assert!(error.contains("usr"), "{error}");
    }

    #[test]
    fn options_that_do_not_go_together_are_refused() {
        assert!(plan("--traits plan", "").unwrap_err().contains("--type identify"));
        assert!(plan("--type group --properties a", "").unwrap_err().contains("traits"));
        assert!(plan("--type group --event a", "").unwrap_err().contains("no event"));
        assert!(plan("--event a --event-column b", "").is_err());
        assert!(plan("--timezone Berlin", "").unwrap_err().contains("Europe/Berlin"));
        assert!(plan("--time-format never", "").is_err());
        assert!(plan("--delimiter ab", "").is_err());
    }
}

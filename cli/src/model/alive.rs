//! `lifecycle alive`: who will come back, from nothing but when customers came.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use domain::period::{DAY, Period};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use risk::btyd::{BgNbd, BgNbdFit, History};
use risk::reason::{percent, short};
use risk::table::is_missing;
use risk::value::{GammaGamma, lifetime_value};
use serde_json::{Value as Json, json};

use super::file::{Cells, Header};
use super::{Usage, column, settle};
use crate::import::TimeFormat;

/// Tell who will come back, without labels
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Tell who will come back, from nothing but when customers came before.\n\n\
BG/NBD is fitted by maximum likelihood to the days on which each customer had an event; days are counted \
once per customer and day, and what is after --as-of is not looked at. The risk is the probability of \
no event within the horizon; the probability of being alive is no risk, because it is 1 for everybody who \
came once. Give it every customer ever seen: the lately active alone mislead it. With --value, amounts \
are expected too (gamma-gamma).",
    after_long_help = "Examples:\n  \
lifecycle alive --table orders.csv --id customer --time ordered_at --as-of 2026-06-30 --horizon 90d\n  \
lifecycle alive --table CDNOW_sample.txt --id id --time date --value amount --as-of 1997-09-30 --horizon 273d --unit week\n\n\
With --json, one object on standard output:\n  \
{\"params\": {\"r\", \"alpha\", \"a\", \"b\"}, \"log_likelihood\", \"unit\", \"horizon\", \"value\": {\"p\", \"q\", \"v\"} or null, \"skipped\",\n   \
\"customers\": [{\"id\", \"frequency\", \"recency\", \"age\", \"p_alive\", \"p_none\", \"expected\", \"expected_value\"}]}\n\
`frequency` is days after the first, `recency` from the first day to the last, `age` from the first to \
--as-of, in the unit; `p_none` is the risk; `expected` is events within the horizon. A table without \
names has columns 1, 2, ….\n\n\
Exit codes: 0 done, 1 failed (the file, or nobody came twice), 2 wrong use."
)]
pub struct Args {
    /// The table of events: separated by commas, semicolons, tabs or blanks
    #[arg(long, value_name = "FILE")]
    pub table: PathBuf,
    /// The column of the customer
    #[arg(long, value_name = "COL")]
    pub id: String,
    /// The column of the time
    #[arg(long, value_name = "COL")]
    pub time: String,
    /// The column of the amount
    #[arg(long, value_name = "COL")]
    pub value: Option<String>,
    /// The last day that is looked at
    #[arg(long, value_name = "DATE")]
    pub as_of: String,
    /// How far ahead, such as 90d or 13w
    #[arg(long, value_name = "PERIOD")]
    pub horizon: String,
    /// The unit of time
    #[arg(long, value_enum, default_value = "day")]
    pub unit: Unit,
    /// How times are written: auto, unix, unix_ms or a pattern such as "%d.%m.%Y"
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub time_format: String,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Unit {
    /// Days
    Day,
    /// Weeks
    Week,
}

impl Unit {
    fn days(self) -> f64 {
        match self {
            Unit::Day => 1.0,
            Unit::Week => 7.0,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Unit::Day => "day",
            Unit::Week => "week",
        }
    }
}

/// Fits, and prints what is to be expected of every customer.
///
/// # Errors
/// When the table cannot be read, or nobody in it came twice.
pub fn run(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let done = tell(args, out, err);
    settle(done, "alive", err)
}

fn tell(args: &Args, out: &mut impl Write, err: &mut impl Write) -> Result<ExitCode> {
    let format = TimeFormat::parse(&args.time_format).map_err(Usage)?;
    let (horizon_days, as_of) = (horizon(&args.horizon)?, day_of(&args.as_of, &TimeFormat::Auto));
    let as_of = as_of.map_err(|problem| Usage(format!("--as-of: {problem}")))?;
    let cells = Cells::read(&args.table, Header::Optional)?;
    let (days, skipped) = purchases(&cells, args, &format, as_of)?;
    if let Some(problem) = &skipped.example {
        writeln!(err, "note: {} rows were passed over; {problem}", skipped.rows)?;
    }
    let unit = args.unit.days();
    let customers: Vec<Customer> =
        days.iter().map(|(id, days)| Customer::of(id, days, as_of, unit)).collect();
    let histories: Vec<History> = customers.iter().map(|customer| customer.history).collect();
    let fit = BgNbd::fit(&histories)
        .with_context(|| format!("cannot tell who comes back from {}", args.table.display()))?;
    let amounts: Vec<(f64, f64)> =
        customers.iter().map(|customer| (customer.history.frequency, customer.amount)).collect();
    let value = args.value.as_ref().and_then(|_| GammaGamma::fit(&amounts));
    let horizon = horizon_days / unit;
    let outlooks: Vec<Outlook<'_>> =
        customers.iter().map(|customer| Outlook::of(customer, &fit, value, horizon)).collect();
    if args.json {
        let customers: Vec<Json> = outlooks.iter().map(Outlook::json).collect();
        let answer = json!({
            "params": fit.params,
            "log_likelihood": fit.log_likelihood,
            "unit": args.unit.name(),
            "horizon": horizon,
            "value": value,
            "skipped": skipped.rows,
            "customers": customers,
        });
        writeln!(out, "{answer}")?;
    } else {
        report(args, &fit, &outlooks, out)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn horizon(text: &str) -> Result<f64, Usage> {
    let period = Period::parse(text).map_err(|problem| Usage(format!("--horizon: {problem}")))?;
    match period {
        Period::Elapsed(0) => Err(Usage("--horizon has to be longer than 0".to_owned())),
        Period::Elapsed(seconds) => Ok(seconds as f64 / DAY as f64),
        Period::Workdays(_) => {
            Err(Usage(format!("--horizon {text}: days or weeks, such as 90d or 13w")))
        }
    }
}

/// The day of an instant, as days since 1970, as it is written.
fn day_of(text: &str, format: &TimeFormat) -> Result<i64, String> {
    let at = format.read(text, &TimeZone::UTC)?;
    // A time with an offset is on the day that it says, wherever that is.
    let date = match text.trim().get(..10).map(str::parse::<Date>) {
        Some(Ok(date)) => date,
        _ => at.to_zoned(TimeZone::UTC).date(),
    };
    let since = date.duration_since(Date::constant(1970, 1, 1));
    Ok(since.as_hours() / 24)
}

/// Rows that could not be taken.
#[derive(Debug, Default)]
struct Skipped {
    rows: usize,
    example: Option<String>,
}

impl Skipped {
    fn add(&mut self, row: usize, problem: &str) {
        self.rows += 1;
        if self.example.is_none() {
            self.example = Some(format!("row {}: {problem}", row + 1));
        }
    }
}

/// Amounts by customer and day.
type Purchases = BTreeMap<String, BTreeMap<i64, f64>>;

fn purchases(
    cells: &Cells,
    args: &Args,
    format: &TimeFormat,
    as_of: i64,
) -> Result<(Purchases, Skipped)> {
    let ids = cells.column(column(cells, "--id", &args.id)?);
    let times = cells.column(column(cells, "--time", &args.time)?);
    let amounts = match &args.value {
        Some(name) => Some(cells.column(column(cells, "--value", name)?)),
        None => None,
    };
    let (mut found, mut skipped) = (Purchases::new(), Skipped::default());
    for (row, (id, time)) in ids.iter().zip(&times).enumerate() {
        if is_missing(id) || is_missing(time) {
            skipped.add(row, "it has no customer or no time");
            continue;
        }
        let day = match day_of(time, format) {
            Ok(day) => day,
            Err(problem) => {
                skipped.add(row, &problem);
                continue;
            }
        };
        let amount = match amounts.as_ref().map(|amounts| amounts[row]) {
            None => 0.0,
            Some(cell) => match risk::table::number(cell) {
                Some(amount) => amount,
                None => {
                    skipped.add(row, "it has no amount");
                    continue;
                }
            },
        };
        if day <= as_of {
            let days = found.entry(id.trim().to_owned()).or_default();
            *days.entry(day).or_default() += amount;
        }
    }
    if found.is_empty() {
        match &skipped.example {
            Some(problem) => bail!("no row can be taken; {problem}"),
            None => bail!("no row is on or before --as-of {}", args.as_of),
        }
    }
    Ok((found, skipped))
}

struct Customer<'a> {
    id: &'a str,
    history: History,
    /// The mean amount of the days after the first.
    amount: f64,
}

impl<'a> Customer<'a> {
    fn of(id: &'a str, days: &BTreeMap<i64, f64>, as_of: i64, unit: f64) -> Customer<'a> {
        let first = days.first_key_value().map_or(as_of, |(day, _)| *day);
        let last = days.last_key_value().map_or(as_of, |(day, _)| *day);
        let frequency = days.len().saturating_sub(1) as f64;
        let history = History {
            frequency,
            recency: (last - first) as f64 / unit,
            age: (as_of - first) as f64 / unit,
        };
        let amount = days.values().skip(1).sum::<f64>() / frequency.max(1.0);
        Customer { id, history, amount }
    }
}

struct Outlook<'a> {
    customer: &'a Customer<'a>,
    p_alive: f64,
    p_none: f64,
    expected: f64,
    expected_value: Option<f64>,
}

impl<'a> Outlook<'a> {
    fn of(
        customer: &'a Customer<'a>,
        fit: &BgNbdFit,
        value: Option<GammaGamma>,
        horizon: f64,
    ) -> Outlook<'a> {
        let history = &customer.history;
        let amount =
            value.and_then(|value| value.expected_amount(history.frequency, customer.amount));
        Outlook {
            customer,
            p_alive: fit.params.p_alive(history),
            p_none: fit.params.p_none(history, horizon),
            expected: fit.params.expected(history, horizon),
            expected_value: amount
                .map(|amount| lifetime_value(&fit.params, history, amount, horizon, 1, 0.0)),
        }
    }

    fn json(&self) -> Json {
        let History { frequency, recency, age } = self.customer.history;
        json!({
            "id": self.customer.id,
            "frequency": frequency,
            "recency": recency,
            "age": age,
            "p_alive": self.p_alive,
            "p_none": self.p_none,
            "expected": self.expected,
            "expected_value": self.expected_value,
        })
    }
}

fn report(
    args: &Args,
    fit: &BgNbdFit,
    outlooks: &[Outlook<'_>],
    out: &mut impl Write,
) -> Result<()> {
    let BgNbd { r, alpha, a, b } = fit.params;
    let unit = args.unit.name();
    writeln!(
        out,
        "BG/NBD on {} customers, in {unit}s: r {r:.4}, alpha {alpha:.4}, a {a:.4}, b {b:.4}; \
         log-likelihood {:.2}.",
        outlooks.len(),
        fit.log_likelihood
    )?;
    let sum = |of: fn(&Outlook<'_>) -> f64| outlooks.iter().map(of).sum::<f64>();
    writeln!(
        out,
        "Within {}: {} days of events are expected, and {} of {} customers to have none.",
        args.horizon,
        short(sum(|one| one.expected)),
        short(sum(|one| one.p_none)),
        outlooks.len()
    )?;
    writeln!(out, "\nMost to be lost (expected before, silent now):")?;
    // Regulars who fell silent: what they used to bring times the risk that it is over.
    let weight = |one: &Outlook<'_>| {
        let History { frequency, recency, .. } = one.customer.history;
        if recency > 0.0 { one.p_none * frequency / recency } else { 0.0 }
    };
    let mut order: Vec<&Outlook<'_>> =
        outlooks.iter().filter(|one| one.customer.history.frequency >= 2.0).collect();
    order.sort_by(|x, y| weight(y).total_cmp(&weight(x)).then(x.customer.id.cmp(y.customer.id)));
    for one in order.into_iter().take(10) {
        let History { frequency, recency, age } = one.customer.history;
        writeln!(
            out,
            "  {:>12}  {:>4} that none comes; usually every {} {unit}s, silent for {}",
            one.customer.id,
            percent(one.p_none),
            short(recency / frequency),
            short(age - recency)
        )?;
    }
    Ok(())
}

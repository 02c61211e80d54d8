//! `lifecycle simulate`: the events of a company that never was.
//!
//! A subscription business sells three plans to accounts; their people log in, use features, ask for
//! help and answer surveys; invoices are paid or fail; contracts are renewed or not. It is made to
//! try a lifecycle file on, to test and load a stack with, and to train models on: accounts leave
//! for causes that show in their events before, and the cause is told when they do.
//!
//! # The model
//!
//! Every account lives its days by itself, on random numbers of its own, so that the first hundred
//! accounts of a thousand are those of a hundred. Its hidden state is:
//!
//! - **fit**, normal (0, 1), for life: how well the product suits it.
//! - **engagement**, 0 to 1.3: how much it is used. Each week it moves a fifth of the way to
//!   `0.35 + 0.18 fit + 0.45 onboarded - 0.08 old tickets`, with noise of 0.05.
//! - **fading**: begins with a weekly probability of 0.009 (more with a bad fit) and takes 14 % of
//!   the engagement a week, until somebody leaves or it is noticed (4 % a week).
//!
//! What that shows as:
//!
//! | what | events and traits |
//! |---|---|
//! | plans | `group` with `plan` (trial, team 55 %, business 30 %, enterprise 15 %), `mrr`, `seats_bought`, `csm` (5 % have none), `region`, `renewal_date`, `churn_notice`; `trial_converted`, `seats_added` |
//! | onboarding | `onboarding_step` {step, number} of five, the first with `kickoff_call`, the third with `training_held`; a daily probability of `0.12 (1 + 0.5 fit)`, half of it without a CSM, a tenth after 60 days |
//! | usage | `login`, `feature_used` {feature}, `api_call` {status}: each person on a workday with `0.42 engagement`; `seat_report` {used} weekly |
//! | support | `ticket_opened` {severity}, `ticket_closed`: a quarter are hard and stay open for 10 to 45 days |
//! | success | `call`, `meeting`, `email_reply`, by plan |
//! | surveys | `survey` {kind: nps, score}, quarterly, 60 % answer: `5 + 3.6 engagement + 0.8 fit - 0.8 old tickets` |
//! | billing | `invoice_paid`, `invoice_failed` {amount} monthly: 3 % fail at first, half of the three further tries; `subscription_renewed` {months, mrr} |
//! | churn | `churn_notice` (70 % of those who decide tell it before), `subscription_cancelled` {cause, mrr} |
//!
//! # Why accounts leave
//!
//! Once a week an account decides with probability `1 / (1 + exp(-z))`, where `z` is -7.2 (-7.9 for
//! enterprise) plus
//!
//! | cause | adds |
//! |---|---|
//! | `usage` | 5 times how far engagement is below 0.6, as a share of it; 1.3 times that within 60 days of a yearly renewal |
//! | `payment` | 1.6 for each failed payment in a row, up to two |
//! | `support` | 1.1 for each ticket that is open for more than a week, up to four |
//! | `onboarding` | 2 with fewer than three steps after 45 days |
//! | `sentiment` | 1.2 after an NPS answer of 6 or less |
//!
//! The cause that is told is drawn by those weights, with 0.4 for `other`. It leaves 14 to 30 days
//! later, or at the renewal of a yearly contract, and its engagement falls by a quarter a week until
//! then. Four failed payments in a row end it at once (`payment`), and a trial converts with
//! `0.5 + 0.5 engagement` or ends (`trial`). Eight in a hundred come back after 40 to 150 days, with
//! `subscription_restarted`.
//!
//! Four accounts of ten were there before the first day, most of them onboarded; the others join on
//! any of the days. Nothing here knows what a lifecycle file says.

mod account;
mod call;
mod company;
mod feed;
mod random;
mod send;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde::Serialize;

pub use call::Call;
pub use company::{Company, Shape};
pub use feed::{Feed, Stop};
pub use send::Sent;

use crate::clock::LocalClock;

/// Make up a company's events
#[derive(Debug, Clone, clap::Args)]
#[command(
    long_about = "Make up the events of a subscription business: accounts and their people, plans, \
onboarding, usage, seats, tickets, surveys, invoices, renewals, and churn with its causes.\n\n\
They are tracking calls, one JSON object a line in the order of time, with the names that the b2b-saas \
preset reads; `lifecycle import` takes them as they are. The same seed and --until tell the same \
story, and more accounts only add to it.",
    after_long_help = "Examples:\n  \
lifecycle simulate --out company.jsonl               500 accounts, twelve months up to today\n  \
lifecycle import company.jsonl                       into the local data\n  \
lifecycle simulate --accounts 20 --seed 7 | head     look at it\n  \
lifecycle simulate --stop-feed product --at 2026-06-20   without its logins from then on\n  \
lifecycle simulate --months 1 --send http://127.0.0.1:9000 --write-key dev\n\n\
With --json, one object on standard output (on standard error when the events go there):\n  \
{\"accounts\", \"users\", \"events\", \"churned\", \"causes\": {cause: accounts}, \"returned\", \
\"first_at\", \"last_at\", \"seed\", \"sent\": {\"accepted\", \"duplicates\", \"rejected\"} or null}\n\n\
Exit codes: 0 done, 1 failed (a file or the endpoint), 2 wrong use."
)]
pub struct Args {
    /// How many accounts the company has in all
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub accounts: u32,
    /// How many months are told
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub months: u32,
    /// Another number tells another story
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// The story ends before the UTC day of this instant or date [default: today]
    #[arg(long, value_name = "INSTANT", value_parser = instant)]
    pub until: Option<Timestamp>,
    /// A source that goes silent, for an alarm to be tried
    #[arg(long, value_enum, value_name = "FEED", requires = "at")]
    pub stop_feed: Option<Feed>,
    /// The instant or date from which on it is silent
    #[arg(long, value_name = "INSTANT", value_parser = instant, requires = "stop_feed")]
    pub at: Option<Timestamp>,
    /// Where to write: a file, or `-` for standard output [default: -, unless it is sent]
    #[arg(long, value_name = "FILE|-")]
    pub out: Option<PathBuf>,
    /// Send it to the tracking API at this URL
    #[arg(long, value_name = "URL", requires = "write_key")]
    pub send: Option<String>,
    /// The write key to send with
    #[arg(
        long,
        value_name = "KEY",
        requires = "send",
        env = "LIFECYCLE_WRITE_KEY",
        hide_env_values = true
    )]
    pub write_key: Option<String>,
    /// Print one JSON object that sums it up
    #[arg(long)]
    pub json: bool,
}

/// An instant such as `2026-06-30T12:00:00Z`, or the start of a date in UTC.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    if let Ok(date) = text.parse::<jiff::civil::Date>()
        && text.len() == 10
        && let Ok(midnight) = date.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(midnight.timestamp());
    }
    text.parse().map_err(|_| "write it as 2026-06-30T12:00:00Z, or as 2026-06-30".to_owned())
}

/// Why an account left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Usage,
    Payment,
    Support,
    Onboarding,
    Sentiment,
    Trial,
    Other,
}

impl Cause {
    fn as_str(self) -> &'static str {
        match self {
            Cause::Usage => "usage",
            Cause::Payment => "payment",
            Cause::Support => "support",
            Cause::Onboarding => "onboarding",
            Cause::Sentiment => "sentiment",
            Cause::Trial => "trial",
            Cause::Other => "other",
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Accounts that joined or were there.
    pub accounts: u64,
    /// Their people.
    pub users: u64,
    /// Calls.
    pub events: u64,
    /// Departures.
    pub churned: u64,
    /// Departures by cause.
    pub causes: BTreeMap<&'static str, u64>,
    /// Accounts that came back.
    pub returned: u64,
    /// The first call.
    pub first_at: Option<Timestamp>,
    /// The last call.
    pub last_at: Option<Timestamp>,
}

impl Tally {
    fn left(&mut self, cause: Cause) {
        self.churned += 1;
        *self.causes.entry(cause.as_str()).or_default() += 1;
    }
}

/// The tally as it is printed.
#[derive(Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    tally: &'a Tally,
    seed: u64,
    sent: Option<Sent>,
}

/// Writes and sends the events, and sums them up.
///
/// # Errors
/// When they cannot be written or sent.
pub async fn run(args: Args) -> Result<ExitCode> {
    let until = args.until.unwrap_or_else(|| LocalClock::system().now());
    let shape = Shape { accounts: args.accounts, months: args.months, seed: args.seed, until };
    let to = match (&args.out, &args.send) {
        (None, Some(_)) => None,
        (out, _) => Some(out.as_deref().unwrap_or(Path::new("-"))),
    };
    let mut sender = args.send.as_deref().zip(args.write_key.as_deref());
    let mut sender = sender.take().map(|(url, key)| send::Sender::new(url, key));
    let is_printed = to == Some(Path::new("-"));
    let mut writer = to.map(open).transpose()?;
    let stop = args.stop_feed.zip(args.at).map(|(feed, at)| Stop { feed, at });
    let mut company = Company::new(shape).stopping(stop);
    let bar = progress(company.days(), is_printed);
    while let Some(calls) = company.next_day() {
        for call in &calls {
            if let Some(writer) = &mut writer
                && let Err(error) = writeln!(writer, "{}", call.line())
            {
                // Whoever reads has read enough, as `head` does.
                let is_over = is_printed && error.kind() == ErrorKind::BrokenPipe;
                return if is_over { Ok(ExitCode::SUCCESS) } else { Err(error.into()) };
            }
            if let Some(sender) = &mut sender {
                sender.send(call).await?;
            }
        }
        bar.set_message(format!("{} events", company.tally.events));
        bar.inc(1);
    }
    if let Some(writer) = &mut writer
        && let Err(error) = writer.flush()
        && !(is_printed && error.kind() == ErrorKind::BrokenPipe)
    {
        return Err(error).context("cannot write the events");
    }
    if let Some(sender) = &mut sender {
        sender.flush().await?;
    }
    bar.finish_and_clear();
    let summary =
        Summary { tally: &company.tally, seed: args.seed, sent: sender.map(|sender| sender.sent) };
    let mut out: Box<dyn Write> = match is_printed {
        true => Box::new(std::io::stderr()),
        false => Box::new(std::io::stdout()),
    };
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    } else {
        write!(out, "{}", summary.text())?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Summary<'_> {
    fn text(&self) -> String {
        let Tally { accounts, users, events, churned, returned, .. } = self.tally;
        let mut text = format!(
            "{events} events of {accounts} accounts with {users} people; {churned} left, \
             {returned} came back.\n"
        );
        let causes: Vec<String> =
            self.tally.causes.iter().map(|(cause, count)| format!("{cause} {count}")).collect();
        if !causes.is_empty() {
            text.push_str(&format!("Causes: {}.\n", causes.join(", ")));
        }
        if let Some(Sent { accepted, duplicates, rejected }) = self.sent {
            text.push_str(&format!(
                "Sent: {accepted} new, {duplicates} there already, {rejected} rejected.\n"
            ));
        }
        text
    }
}

fn open(to: &Path) -> Result<Box<dyn Write>> {
    if to == Path::new("-") {
        return Ok(Box::new(BufWriter::new(std::io::stdout())));
    }
    let file = File::create(to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(Box::new(BufWriter::new(file)))
}

fn progress(days: u64, is_printed: bool) -> ProgressBar {
    let is_seen =
        std::io::stderr().is_terminal() && !(is_printed && std::io::stdout().is_terminal());
    if !is_seen {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(days), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("simulating  {bar:30} {pos}/{len} days, {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

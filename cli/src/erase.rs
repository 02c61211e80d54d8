//! `lifecycle erase`: everything held about a person or an account goes.

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use domain::lifecycle::{Lifecycle, Subject};
use indicatif::{ProgressBar, ProgressStyle};
use platform::store::{MAX_IDS, Person, PrivacyAction, PrivacyState};
use platform::{CustomerKey, Store};

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Erase everything held about a person or an account
#[derive(Debug, Args)]
#[command(
    long_about = "Erases everything held about a person or an account: events, state, findings, \
links, aliases, what was set aside. Of a user of an account only that user's events go. Decisions stay \
in the journal, without personal data, under a key that nothing leads back from, and still verify.\n\n  \
lifecycle erase u-17 --user\n  lifecycle erase acme --account --suppress --yes\n\n\
With --suppress, what still comes about the id is turned away; take it back with --unsuppress."
)]
pub struct EraseArgs {
    /// The ids, as their senders give them
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
    /// They are users' [default: whichever of the two is known]
    #[arg(long, conflicts_with = "account")]
    user: bool,
    /// They are accounts'
    #[arg(long)]
    account: bool,
    /// Turn away what still comes about them
    #[arg(long)]
    suppress: bool,
    /// Erase nothing: let in again what comes about them
    #[arg(long, conflicts_with_all = ["suppress", "yes"])]
    unsuppress: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Does what the arguments ask for.
///
/// # Errors
/// When the data cannot be opened or the tables cannot be used.
pub async fn run(args: EraseArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let (store, clock) = (&target.store, LocalClock::system());
    let lifecycle = store.lifecycle().await.context("there is no workspace to erase from")?;
    if args.ids.len() > MAX_IDS {
        return wrong(&format!("give at most {MAX_IDS} ids at a time"));
    }
    let subject = match subject(&args, store, &lifecycle).await? {
        Ok(subject) => subject,
        Err(message) => return wrong(&message),
    };
    let action = match (args.unsuppress, args.suppress) {
        (true, _) => PrivacyAction::Unsuppress,
        (_, true) => PrivacyAction::SuppressWithDelete,
        (_, false) => PrivacyAction::DeleteOnly,
    };
    if action.erases() && !args.yes && !is_sure(&args.ids, subject)? {
        return wrong("nothing was erased: say --yes, or answer yes");
    }
    let mut ids = args.ids.clone();
    ids.sort();
    ids.dedup();
    let mut request = store.request_privacy(action, subject, &ids, clock.now()).await?;
    if action.erases() {
        let bar = match std::io::stderr().is_terminal() && !args.json {
            true => ProgressBar::new(request.ids),
            false => ProgressBar::hidden(),
        };
        bar.set_style(ProgressStyle::with_template("  {bar:30} {pos}/{len} ids")?);
        let mut tell = |request: &platform::store::PrivacyRequest| {
            bar.set_position(request.done + request.failed);
            false
        };
        let done =
            store.run_privacy_request(&request.id, &lifecycle, clock.now(), &mut tell).await?;
        bar.finish_and_clear();
        request = done.unwrap_or(request);
    }
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&request)?)?;
    } else {
        let what = match action {
            PrivacyAction::Unsuppress => "let in again",
            PrivacyAction::SuppressWithDelete => "erased and turned away from now on",
            PrivacyAction::SuppressOnly | PrivacyAction::DeleteOnly => "erased",
        };
        writeln!(out, "{} of {} {what} (request {})", request.done, request.ids, request.id)?;
    }
    Ok(match request.state {
        PrivacyState::Finished => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// What the ids are: as told, else whichever of a user and an account is known.
async fn subject(
    args: &EraseArgs,
    store: &Store,
    lifecycle: &Lifecycle,
) -> Result<std::result::Result<Person, String>> {
    if lifecycle.subject == Subject::User {
        return Ok(match args.account {
            true => Err("customers are users here: there is nothing under an account's id".into()),
            false => Ok(Person::User),
        });
    }
    if args.user || args.account {
        return Ok(Ok(if args.user { Person::User } else { Person::Account }));
    }
    let mut known = Vec::new();
    for id in &args.ids {
        let is_account = store.customer(&CustomerKey::subject(id)).await?.is_here();
        let is_user = store.account_of(id).await?.is_some()
            || store.customer(&CustomerKey::unlinked_user(id)).await?.version > 0;
        known.push((is_account, is_user));
    }
    Ok(if known.iter().all(|known| *known == (true, false)) {
        Ok(Person::Account)
    } else if known.iter().all(|known| *known == (false, true)) {
        Ok(Person::User)
    } else {
        Err("say --user or --account: it cannot be told from what is known".to_owned())
    })
}

fn is_sure(ids: &[String], subject: Person) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let what = match subject {
        Person::User => "user",
        Person::Account => "account",
    };
    let named = match ids {
        [id] => format!("the {what} {id}"),
        ids => format!("{} {what}s", ids.len()),
    };
    let mut err = std::io::stderr();
    write!(err, "Erase everything held about {named}? This cannot be undone. [yes/no] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

fn wrong(message: &str) -> Result<ExitCode> {
    writeln!(std::io::stderr(), "error: {message}")?;
    Ok(ExitCode::from(2))
}

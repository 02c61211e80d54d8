//! `lifecycle secrets`: the secrets with which sources sign their webhooks, and those that have the
//! addresses of receivers.

use std::io::{IsTerminal as _, Read as _, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use domain::lifecycle::{Channel, SLACK_SIGNING};
use domain::post;
use platform::store::{MAX_LIVE, SecretOutcome};
use platform::{Store, StoreError};

use crate::clock::LocalClock;
use crate::target::{Target, TargetArgs};

/// Add, list and end the secrets of signed webhooks and of receivers
#[derive(Debug, Args)]
#[command(
    long_about = "A source that sends webhooks signs them with a secret, which it shows where the webhook is \
set up (Stripe: `whsec_…`; HubSpot: the client secret of the app). It is kept encrypted beside the \
other data, outside the lifecycle file, and never shown again. Two secrets of a source may be live, so \
that one can follow the other.\n\nA receiver of alerts that is no SNS topic names a secret that has its \
address:\n\n  slack         https://hooks.slack.com/services/…\n  webhook       https://… whsec_…\n  \
pagerduty     the routing key, or an address and the key\n  alertmanager  https://…, or with a bearer \
token behind it\n\nThe newest secret is used. With the signing secret of the Slack app as slack_signing, \
Slack messages have buttons; set the app's interactivity to <address>/v1/slack/actions.\n\n  pbpaste | lifecycle secrets add stripe --secret-stdin\n  lifecycle \
secrets list\n  lifecycle secrets remove stripe 5e88"
)]
pub struct SecretsArgs {
    #[command(subcommand)]
    action: Action,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a secret of a source, read from standard input
    Add {
        /// The name of the feed or of the receiver's secret in the lifecycle file, stripe, hubspot, or
        /// slack_signing
        source: String,
        /// Read the secret from standard input without a question
        #[arg(long)]
        secret_stdin: bool,
    },
    /// List the sources that have secrets, by the hashes of these
    List,
    /// End a secret of a source
    Remove {
        /// The source
        source: String,
        /// The beginning of the secret's hash
        id: String,
    },
}

/// Does what the arguments ask for.
///
/// # Errors
/// When the data cannot be opened, or standard input has no secret.
pub async fn run(args: SecretsArgs) -> Result<ExitCode> {
    let target = Target::open(&args.target).await?;
    let store = &target.store;
    let mut out = std::io::stdout();
    match args.action {
        Action::Add { source, secret_stdin } => {
            let secret = read_secret(&source, secret_stdin)?;
            let use_of_it = checked(store, &source, &secret).await?;
            add(store, &source, &secret).await?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "added": source }))?;
            } else {
                writeln!(
                    out,
                    "added a secret of {source}; running functions take it within half a minute\n\n\
                     {use_of_it}"
                )?;
            }
        }
        Action::List => {
            let secrets = store.list_source_secrets().await?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "items": secrets }))?;
            } else if secrets.is_empty() {
                writeln!(out, "No source has a secret. Add one: lifecycle secrets add stripe")?;
            }
            for secret in secrets.iter().filter(|_| !args.json) {
                writeln!(out, "{}  {}  {}", secret.id, secret.created_at, secret.source)?;
            }
        }
        Action::Remove { source, id } => {
            let secrets = store.list_source_secrets().await?;
            let mut found = secrets
                .iter()
                .filter(|secret| secret.source == source && secret.id.starts_with(&id));
            let (Some(secret), None) = (found.next(), found.next()) else {
                writeln!(
                    std::io::stderr(),
                    "error: `{id}` is the beginning of no hash of a secret of {source}, or of \
                     several; see `lifecycle secrets list`"
                )?;
                return Ok(ExitCode::FAILURE);
            };
            store.remove_source_secret(&source, &secret.id).await?;
            if args.json {
                writeln!(out, "{}", serde_json::json!({ "removed": secret.id }))?;
            } else {
                writeln!(
                    out,
                    "removed a secret of {source}; running functions stop taking it within half a \
                     minute"
                )?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Checks the secret of a receiver for its form; answers what a secret is used for.
async fn checked(store: &Store, source: &str, secret: &str) -> Result<String> {
    if source == SLACK_SIGNING {
        return Ok("Slack messages have buttons now. Set the interactivity of the app to \
                   <address>/v1/slack/actions."
            .to_owned());
    }
    let lifecycle = match store.lifecycle().await {
        Ok(lifecycle) => Some(lifecycle),
        Err(StoreError::NoLifecycle) => None,
        Err(error) => return Err(error.into()),
    };
    let receivers = lifecycle.iter().flat_map(|lifecycle| &lifecycle.receivers);
    let receivers = receivers.filter(|one| one.channel != Channel::Sns && one.address == source);
    let mut told = Vec::new();
    for receiver in receivers {
        let (name, channel) = (&receiver.name, receiver.channel.as_str());
        post::Target::read(receiver.channel, [secret])
            .map_err(|error| anyhow!("{source} is of the {channel} receiver {name}: {error}"))?;
        told.push(name.as_str());
    }
    Ok(match told.is_empty() {
        true => format!("Webhooks go to <address>/v1/webhooks/{source}."),
        false => format!("The receiver {} is told there.", told.join(" and ")),
    })
}

/// Makes a secret of a source live.
///
/// # Errors
/// When the source is no name, there are two others already, or it cannot be stored.
pub async fn add(store: &Store, source: &str, secret: &str) -> Result<()> {
    let is_name = !source.is_empty()
        && source.len() <= 64
        && source.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !is_name {
        bail!("`{source}` is no source: use the name of a feed in the lifecycle file");
    }
    match store.add_source_secret(source, secret, LocalClock::system().now()).await? {
        SecretOutcome::Added => Ok(()),
        SecretOutcome::TooMany => bail!(
            "{source} has {MAX_LIVE} secrets already; end one first, with `lifecycle secrets list` and \
             `lifecycle secrets remove {source} <hash>`"
        ),
    }
}

fn read_secret(source: &str, is_quiet: bool) -> Result<String> {
    let mut input = std::io::stdin();
    let mut secret = String::new();
    if input.is_terminal() {
        if !is_quiet {
            write!(std::io::stderr(), "the secret of {source}: ")?;
        }
        input.read_line(&mut secret).context("cannot read the secret")?;
    } else {
        let mut limited = (&mut input).take(4_096);
        limited.read_to_string(&mut secret).context("cannot read the secret")?;
    }
    let secret = secret.trim();
    if secret.is_empty() {
        bail!("there is no secret on standard input");
    }
    Ok(secret.to_owned())
}

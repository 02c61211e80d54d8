//! `lifecycle dev`: the whole pack in one process, on this machine.

mod sample;
mod schedule;
mod server;

use std::io::{IsTerminal as _, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use console::{Role, Visitor};

use crate::clock::LocalClock;
use crate::configuration::{InvalidFile, Source, print_diagnostics};
use crate::pack::Pack;
use crate::signals::Signals;
use crate::{secrets, target};

/// Run the whole pack on this machine
#[derive(Debug, Args)]
#[command(
    long_about = "Runs the whole pack in one process: the functions' own handlers behind local \
HTTP, an embedded DynamoDB, a local SNS endpoint, the schedules and the journal's stream.\n\n\
Send events as to any Segment-compatible API, with the write key as Basic user name:\n\n  \
curl -u dev: http://127.0.0.1:9000/v1/track -H 'content-type: application/json' \\\n    \
-d '{\"userId\":\"ada\",\"event\":\"login\",\"timestamp\":\"2026-01-15T10:30:00Z\",\"messageId\":\"1\"}'\n  \
curl http://127.0.0.1:9000/api/customers/ada\n\n\
Signed webhooks go to /v1/webhooks/SOURCE, with --webhook-secret SOURCE=SECRET; CloudEvents to \
/v1/cloudevents.\n\n\
The console is at /: who is at risk, why, and what to do next. \
The lifecycle file is read again when it changes. Stop with Ctrl-C."
)]
pub struct DevArgs {
    /// The port on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 9000)]
    port: u16,
    /// The folder of the data; made where it is not there [default: .lifecycle]
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    data: Option<PathBuf>,
    /// Keep the data in memory only
    #[arg(long)]
    memory: bool,
    /// The lifecycle file [default: the one active in the data, ./lifecycle.yaml, or b2b-saas]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Load 18 months of purchases of 2,357 customers, shifted to end today, and run the schedules
    /// through them (in memory, with the ecommerce preset, unless told otherwise)
    #[arg(long)]
    sample: bool,
    /// Follow the system's clock, or stand still until POST /dev/clock
    #[arg(long, value_enum, default_value_t = ClockKind::System)]
    clock: ClockKind,
    /// The write key that senders use
    #[arg(long, value_name = "KEY", default_value = "dev")]
    write_key: String,
    /// A secret with which a source signs its webhooks; may be given several times
    #[arg(long, value_name = "SOURCE=SECRET", value_parser = source_secret)]
    webhook_secret: Vec<SourceSecret>,
    /// Who acts on the pages [default: the user of this machine]
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true, default_value = "dev")]
    author: String,
    /// What you may do on the pages
    #[arg(long, value_enum, value_name = "ROLE", default_value_t = RoleArg::Admin)]
    role: RoleArg,
    /// Print JSON lines instead of text
    #[arg(long)]
    json: bool,
}

/// A source and a secret of it; neither is printed.
#[derive(Clone)]
struct SourceSecret {
    source: String,
    secret: String,
}

impl std::fmt::Debug for SourceSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=***", self.source)
    }
}

fn source_secret(argument: &str) -> Result<SourceSecret, String> {
    match argument.split_once('=') {
        Some((source, secret)) if !source.is_empty() && !secret.is_empty() => {
            Ok(SourceSecret { source: source.to_owned(), secret: secret.to_owned() })
        }
        _ => Err("write it as `stripe=whsec_…`".to_owned()),
    }
}

/// What you may do on the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleArg {
    Viewer,
    Operator,
    Admin,
}

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Role {
        match role {
            RoleArg::Viewer => Role::Viewer,
            RoleArg::Operator => Role::Operator,
            RoleArg::Admin => Role::Admin,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ClockKind {
    System,
    Manual,
}

/// Runs until it is told to stop.
///
/// # Errors
/// When the data or the port cannot be used.
pub async fn run(args: DevArgs) -> Result<ExitCode> {
    let system = LocalClock::system();
    let clock = match args.clock {
        ClockKind::System => system,
        ClockKind::Manual => LocalClock::manual(system.now()),
    };
    let data = match (&args.data, args.memory || args.sample) {
        (Some(folder), _) => Some(folder.clone()),
        (None, true) => None,
        (None, false) => Some(PathBuf::from(".lifecycle")),
    };
    let mut signals = Signals::listen().context("cannot listen to signals")?;
    // The port first: the likeliest thing to be wrong, and the quickest to say.
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await;
    let listener = listener.with_context(|| {
        format!("cannot listen on 127.0.0.1:{}; use --port 0 for any free port", args.port)
    })?;
    let address = listener.local_addr()?;
    let pack = Arc::new(Pack::open(data.as_deref(), clock).await?);
    let source = match configure(&pack, &args).await {
        Ok(source) => source,
        Err(error) if error.is::<InvalidFile>() => {
            print_error(&error);
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => return Err(error),
    };
    pack.store.add_write_key(&args.write_key, "dev", pack.clock.now()).await?;
    for given in &args.webhook_secret {
        secrets::add(&pack.store, &given.source, &given.secret).await?;
    }
    if let Some(folder) = &data {
        target::announce(folder, pack.dynamodb_endpoint())?;
    }

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let file = Arc::new(schedule::WatchedFile::new(source));
    let visitor = Visitor { name: args.author.clone(), role: args.role.into() };
    let router = server::router(Arc::clone(&pack), Arc::clone(&file), args.clock, address, visitor);
    let serving = tokio::spawn({
        let mut stopped = stopped.clone();
        let until = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        axum::serve(listener, router).with_graceful_shutdown(until).into_future()
    });
    greet(&args, &pack, &file, &format!("http://{address}"), data.as_deref())?;

    let work = async {
        if args.sample {
            sample::play(&pack, args.json).await?;
            if !args.json {
                writeln!(std::io::stdout(), "Look at it on http://{address}/\n")?;
            }
        }
        schedule::keep_running(&pack, &file, args.clock == ClockKind::System).await
    };
    let failed: Option<anyhow::Error> = tokio::select! {
        () = signals.come() => None,
        ended = work => ended.err(),
    };
    let _ = stop.send(true);
    // Open connections get a moment to end.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), serving).await;
    if let Some(folder) = &data {
        target::withdraw(folder);
    }
    match failed {
        None => Ok(ExitCode::SUCCESS),
        Some(error) => Err(error),
    }
}

/// Makes the lifecycle active that the arguments ask for; answers where it is from.
async fn configure(pack: &Pack, args: &DevArgs) -> Result<Source> {
    let source = match (&args.config, args.sample) {
        (Some(path), _) => Source::file(path)?,
        (None, true) => Source::preset("ecommerce"),
        (None, false) => {
            if pack.resume().await? {
                let active = pack.store.configuration().await?.map(|active| active.source);
                return Ok(Source {
                    name: "the active lifecycle file".to_owned(),
                    path: None,
                    text: active.unwrap_or_default(),
                });
            }
            Source::given_or_found(None)?.unwrap_or_else(|| Source::preset("b2b-saas"))
        }
    };
    if let Err(found) = pack.apply(&source.text).await? {
        print_diagnostics(&mut std::io::stderr(), &source.name, &source.text, &found)?;
        return Err(InvalidFile { name: source.name, errors: found.len() }.into());
    }
    Ok(source)
}

fn greet(
    args: &DevArgs,
    pack: &Pack,
    file: &schedule::WatchedFile,
    url: &str,
    data: Option<&std::path::Path>,
) -> Result<()> {
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "listening": url }))?;
        return Ok(out.flush()?);
    }
    let bold = |text: &str| match out.is_terminal() {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let place = data.map_or("in memory".to_owned(), |folder| format!("in {}", folder.display()));
    let lines = [
        format!("{} on {url}", bold("lifecycle dev")),
        format!("  console    {}", bold(&format!("{url}/"))),
        format!("  lifecycle  {}", file.name()),
        format!("  data       {place}"),
        format!(
            "  events     curl -u {}: {url}/v1/track -H 'content-type: application/json' \\",
            args.write_key
        ),
        "               -d '{\"userId\":\"ada\",\"event\":\"login\"}'".to_owned(),
        format!("  customer   curl {url}/api/customers/ada"),
        format!("  alerts     curl {url}/dev/sns; {url}/dev/outbox has what is no SNS"),
        format!("  API        {url}/api/openapi.json"),
        format!("  time       {}", pack.clock.now()),
        String::new(),
    ];
    writeln!(out, "{}", lines.join("\n"))?;
    Ok(out.flush()?)
}

fn print_error(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
}

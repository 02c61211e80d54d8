//! The `lifecycle` command: reading the arguments and handing them on.

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use lifecycle::clock::LocalClock;
use lifecycle::configuration::activate;
use lifecycle::target::{Target, TargetArgs};
use lifecycle::{
    alerts, apply, audit, by_hand, cases, deploy_check, dev, erase, eval, explain, export, finding,
    history, import, init, keys, model, outcomes, plan, quarantine, run, schema, secrets, simulate,
    tasks, validate,
};

/// Runs a company's customer lifecycle: stages, churn risk, standards and alerts, from one file
#[derive(Debug, Parser)]
#[command(
    name = "lifecycle",
    version,
    arg_required_else_help = true,
    after_help = "Start here:\n  lifecycle dev --sample      see it at work on 18 months of a shop's purchases\n  \
                  lifecycle init              write a lifecycle.yaml to make your own\n  \
                  lifecycle dev               run it on this machine\n\n\
                  Exit codes: 0 done, 1 failed, 2 wrong use."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, for the length of the process")]
enum Command {
    Dev(dev::DevArgs),
    Init(init::Args),
    Validate(validate::Args),
    Schema(schema::Args),
    Eval(eval::Args),
    Test(cases::TestArgs),
    Plan(plan::PlanArgs),
    Apply(apply::ApplyArgs),
    History(history::HistoryArgs),
    Diff(history::DiffArgs),
    Rollback(apply::RollbackArgs),
    Explain(explain::ExplainArgs),
    Import(ImportArgs),
    Simulate(simulate::Args),
    Train(model::train::Args),
    Score(model::score::Args),
    Alive(model::alive::Args),
    Models(model::versions::ModelsArgs),
    Run(run::RunArgs),
    Keys(keys::KeysArgs),
    Move(by_hand::MoveArgs),
    Release(by_hand::ReleaseArgs),
    Ack(by_hand::AckArgs),
    Findings(finding::FindingsArgs),
    Finding(finding::FindingArgs),
    Adherence(finding::AdherenceArgs),
    Outcomes(outcomes::OutcomesArgs),
    Tasks(tasks::TasksArgs),
    Task(tasks::TaskArgs),
    Alerts(alerts::AlertsArgs),
    Silence(alerts::SilenceArgs),
    Secrets(secrets::SecretsArgs),
    Quarantine(quarantine::QuarantineArgs),
    Erase(erase::EraseArgs),
    Export(export::ExportArgs),
    Audit(audit::AuditArgs),
    DeployCheck(deploy_check::DeployCheckArgs),
}

#[derive(Debug, Args)]
struct ImportArgs {
    #[command(flatten)]
    import: import::Args,
    #[command(flatten)]
    target: TargetArgs,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    lifecycle::logs::init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error.into()),
    };
    let done = runtime.block_on(execute(cli.command));
    // Whatever still runs in the background ends with the process.
    runtime.shutdown_background();
    done.unwrap_or_else(|error| complain(&error))
}

async fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Init(args) => init::run(&args, &mut std::io::stdout()),
        Command::Validate(args) => {
            validate::run(&args, &mut std::io::stdout(), &mut std::io::stderr()).await
        }
        Command::Schema(schema::Args {}) => schema::run(&mut std::io::stdout()),
        Command::Eval(args) => eval::run(&args, &mut std::io::stdout(), &mut std::io::stderr()),
        Command::Test(args) => cases::run(args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::History(args) => history::history(args).await,
        Command::Diff(args) => history::diff(args).await,
        Command::Rollback(args) => apply::rollback(args).await,
        Command::Explain(args) => explain::run(args).await,
        Command::Import(ImportArgs { import, target }) => {
            let clock = LocalClock::system();
            let target = Target::open(&target).await?;
            let preset = import.preset();
            let lifecycle =
                activate(&target.store, import.config.as_deref(), preset, clock.now()).await?;
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            let (store, clock, notes) = (&target.store, clock.handle(), &target.notes);
            import::run(import, store, &lifecycle, &clock, notes, &mut out, &mut err).await
        }
        Command::Simulate(args) => simulate::run(args).await,
        Command::Train(args) => {
            model::train::run(&args, &mut std::io::stdout(), &mut std::io::stderr()).await
        }
        Command::Score(args) => {
            model::score::run(&args, &mut std::io::stdout(), &mut std::io::stderr())
        }
        Command::Alive(args) => {
            model::alive::run(&args, &mut std::io::stdout(), &mut std::io::stderr())
        }
        Command::Models(args) => model::versions::run(args, &mut std::io::stdout()).await,
        Command::Run(args) => run::run(args).await,
        Command::Keys(args) => keys::run(args).await,
        Command::Move(args) => by_hand::move_customer(args).await,
        Command::Release(args) => by_hand::release(args).await,
        Command::Ack(args) => by_hand::acknowledge(args).await,
        Command::Findings(args) => finding::findings(args).await,
        Command::Finding(args) => finding::finding(args).await,
        Command::Adherence(args) => finding::adherence(args).await,
        Command::Outcomes(args) => outcomes::run(args).await,
        Command::Tasks(args) => tasks::list(args).await,
        Command::Task(args) => tasks::act(args).await,
        Command::Alerts(args) => alerts::alerts(args).await,
        Command::Silence(args) => alerts::silence(args).await,
        Command::Secrets(args) => secrets::run(args).await,
        Command::Quarantine(args) => quarantine::run(args).await,
        Command::Erase(args) => erase::run(args).await,
        Command::Export(args) => export::run(args).await,
        Command::Audit(args) => audit::run(args).await,
        Command::DeployCheck(args) => deploy_check::run(args).await,
    }
}

fn complain(error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

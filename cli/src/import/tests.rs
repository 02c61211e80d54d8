//! Whole imports, into the embedded engine.

use std::path::{Path, PathBuf};

use domain::lifecycle::presets::preset;
use domain::lifecycle::{Lifecycle, load as load_lifecycle};
use platform::store::{CustomerFilter, QuarantineFilter};
use platform::{Clock, CustomerKey, Store};
use serde_json::Value as Json;

use super::*;
use crate::embedded::{Engine, Location, create_tables};

struct Workspace {
    store: Store,
    lifecycle: Lifecycle,
    clock: Clock,
    folder: tempfile::TempDir,
    _engine: Engine,
}

impl Workspace {
    async fn new(preset_name: &str) -> Workspace {
        let engine = Engine::start(Location::Memory).unwrap();
        let client = engine.dynamodb();
        let tables = create_tables(&client, "").await.unwrap();
        let now = "2026-06-30T00:00:00Z".parse().unwrap();
        Workspace {
            store: Store::new(client, tables, 400),
            lifecycle: load_lifecycle(preset(preset_name).unwrap().source).unwrap(),
            clock: Clock::new(move || now),
            folder: tempfile::tempdir().unwrap(),
            _engine: engine,
        }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn rows(&self, file: &Path) -> Rows {
        let args = Args { file: file.to_owned(), ..Args::default() };
        Rows::open(file, &args.plan(&self.lifecycle).unwrap()).unwrap()
    }

    fn options(&self) -> Options {
        Options { chunk_events: 500, ..Options::new(self.folder.path().join("imports")) }
    }

    async fn load(&self, file: &Path, options: &Options) -> Report {
        let rows = self.rows(file);
        load(rows, &self.store, &self.lifecycle, &self.clock, |_| {}, options).await.unwrap()
    }

    /// Runs the command: its exit code, what it printed, and what it complained of.
    async fn run(&self, args: Args) -> (String, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let (store, notes) = (&self.store, self.folder.path());
        let code = run(args, store, &self.lifecycle, &self.clock, notes, &mut out, &mut err).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (format!("{:?}", code.unwrap()), text(out), text(err))
    }

    fn leftovers(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("imports")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn code(code: ExitCode) -> String {
    format!("{code:?}")
}

#[tokio::test]
async fn importing_the_sample_twice_makes_all_of_it_duplicates() {
    let workspace = Workspace::new("ecommerce").await;
    let file = workspace.file("CDNOW_sample.txt", cdnow::SAMPLE);
    let first = workspace.load(&file, &workspace.options()).await;
    assert_eq!((first.rows, first.accepted, first.duplicates), (6_919, 6_919, 0));
    assert_eq!((first.customers, first.rejected, first.resumed_at), (2_357, 0, None));
    let key = CustomerKey::subject("0001");
    let customer = workspace.store.customer(&key).await.unwrap();
    let again = workspace.load(&file, &workspace.options()).await;
    assert_eq!((again.accepted, again.duplicates, again.customers), (0, 6_919, 2_357));
    assert_eq!(workspace.store.customer(&key).await.unwrap(), customer);
    assert!(workspace.leftovers().is_empty());
}

#[tokio::test]
async fn the_sample_imported_and_the_sample_of_dev_are_the_same_events() {
    let workspace = Workspace::new("ecommerce").await;
    let file = workspace.file("CDNOW_sample.txt", cdnow::SAMPLE);
    let last: jiff::civil::Date = "2026-06-29".parse().unwrap();
    let events = cdnow::purchases(cdnow::SAMPLE, last, workspace.clock.now());
    let groups: Vec<_> = events
        .into_iter()
        .filter(|(user, _)| user == "0001")
        .map(|(user, event)| (CustomerKey::subject(&user), vec![event]))
        .collect();
    for group in &groups {
        let one = std::slice::from_ref(group);
        let now = workspace.clock.now();
        workspace.store.commit_bulk(one, &workspace.lifecycle, now).await.unwrap();
    }
    let options = Options { shift: Some(ShiftTo::Date(last)), ..workspace.options() };
    let report = workspace.load(&file, &options).await;
    assert_eq!(report.duplicates, groups.len() as u64);
    assert_eq!(report.last_at.unwrap().to_string(), "2026-06-29T12:00:00Z");
}

#[tokio::test]
async fn an_interrupted_import_goes_on_and_loses_nothing() {
    let workspace = Workspace::new("ecommerce").await;
    let file = workspace.file("CDNOW_sample.txt", cdnow::SAMPLE);
    let options = workspace.options();
    let stop = tokio::sync::Notify::new();
    let mut chunks = 0;
    let interrupted = load(
        workspace.rows(&file),
        &workspace.store,
        &workspace.lifecycle,
        &workspace.clock,
        |progress| {
            chunks += u32::from(progress.phase == Phase::Storing);
            if chunks == 3 {
                stop.notify_one();
            }
        },
        &options,
    );
    tokio::select! {
        biased;
        () = stop.notified() => {}
        _ = interrupted => panic!("the import was not interrupted"),
    }
    let rest = workspace.load(&file, &options).await;
    let stored = rest.resumed_at.unwrap();
    assert!((1_500..6_919).contains(&stored), "{stored}");
    assert_eq!(rest.rows, 6_919);
    assert_eq!(rest.accepted + rest.duplicates, 6_919);
    assert_eq!(rest.customers, 2_357);
    assert!(workspace.leftovers().is_empty());

    let again = workspace.load(&file, &options).await;
    assert_eq!((again.accepted, again.duplicates, again.resumed_at), (0, 6_919, None));
}

#[tokio::test]
async fn an_import_interrupted_anywhere_ends_as_if_it_was_not() {
    let whole = Workspace::new("ecommerce").await;
    let text: String = cdnow::SAMPLE.lines().take(900).map(|line| format!("{line}\n")).collect();
    whole.load(&whole.file("a.txt", &text), &whole.options()).await;

    let broken = Workspace::new("ecommerce").await;
    let file = broken.file("a.txt", &text);
    let options = Options { chunk_events: 100, ..broken.options() };
    for polls in [1, 5, 20, 60, 150, 400] {
        let import = load(
            broken.rows(&file),
            &broken.store,
            &broken.lifecycle,
            &broken.clock,
            |_| {},
            &options,
        );
        let mut import = Box::pin(import);
        for _ in 0..polls {
            let polled = futures::poll!(&mut import);
            if polled.is_ready() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_micros(50)).await;
        }
    }
    broken.load(&file, &options).await;
    let all = |store: &Store| {
        let store = store.clone();
        async move { store.customers(&CustomerFilter::default(), 10_000, None).await.unwrap().items }
    };
    let (mut expected, mut found) = (all(&whole.store).await, all(&broken.store).await);
    expected.sort_by(|a, b| a.key.cmp(&b.key));
    found.sort_by(|a, b| a.key.cmp(&b.key));
    let customers = |list: Vec<platform::Versioned>| -> Vec<_> {
        list.into_iter().map(|one| (one.key, one.customer)).collect()
    };
    assert_eq!(customers(found), customers(expected));
}

#[tokio::test]
async fn a_restart_forgets_what_was_interrupted() {
    let workspace = Workspace::new("ecommerce").await;
    let file = workspace.file("a.csv", "user,time,event\nu,2026-01-01,order\n");
    let options = workspace.options();
    let rows = workspace.rows(&file);
    let place = checkpoint::Place::of(&options.checkpoints, &file, rows.plan(), None).unwrap();
    let mut left = checkpoint::Checkpoint::of_file(&file);
    (left.partitions, left.partition, left.rows, left.stored) = (1, 1, 1, 1);
    place.write(&left).unwrap();
    let restart = Options { restart: true, ..options.clone() };
    assert_eq!(workspace.load(&file, &restart).await.accepted, 1);
    place.write(&left).unwrap();
    assert_eq!(workspace.load(&file, &options).await.resumed_at, Some(1));
}

#[tokio::test]
async fn bad_rows_are_set_aside_with_their_reason_and_the_rest_counts() {
    let workspace = Workspace::new("ecommerce").await;
    let file = workspace.file(
        "orders.csv",
        "customer,ordered,total\nu1,2026-01-01,10\nu2,never,10\nu3,2030-01-01,10\nu4,2026-01-02,5\n",
    );
    let args = Args {
        event: Some("order".to_owned()),
        time: Some("ordered".to_owned()),
        file,
        ..Args::default()
    };
    let (exit, out, err) = workspace.run(args.clone()).await;
    assert_eq!(exit, code(ExitCode::SUCCESS));
    assert!(
        out.starts_with("Imported 4 rows: 2 new, 0 there already, 2 rejected; 2 customers."),
        "{out}"
    );
    assert!(err.contains("user = customer, time = ordered, every row is `order`"), "{err}");
    assert!(err.contains("line 3, ordered: `never` is not a time"), "{err}");
    assert!(err.contains("line 4: 2030-01-01T00:00:00Z lies in the future"), "{err}");
    let aside =
        workspace.store.quarantined(&QuarantineFilter::default(), 10, None).await.unwrap().items;
    assert_eq!(aside.len(), 2);
    assert!(aside.iter().any(|one| one.code == "time" && one.raw == "u2,never,10\n"), "{aside:?}");

    let (_, out, err) = workspace.run(Args { json: true, ..args }).await;
    let answer: Json = serde_json::from_str(&out).unwrap();
    assert_eq!((&answer["duplicates"], &answer["rejected"]), (&Json::from(2), &Json::from(2)));
    assert!(answer["rows_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(err, "");
}

#[tokio::test]
async fn a_file_without_a_good_row_has_failed_and_wrong_use_is_code_2() {
    let workspace = Workspace::new("ecommerce").await;
    let args =
        Args { file: workspace.file("a.csv", "user,time,event\nu,x,y\n"), ..Args::default() };
    assert_eq!(workspace.run(args.clone()).await.0, code(ExitCode::FAILURE));
    let (exit, _, err) = workspace.run(Args { user: Some("usr".to_owned()), ..args.clone() }).await;
    assert_eq!(exit, code(ExitCode::from(2)));
    assert!(err.contains("did you mean `user`?"), "{err}");
    let future = Args { shift_to: Some(ShiftTo::parse("2030-01-01").unwrap()), ..args };
    assert_eq!(workspace.run(future).await.0, code(ExitCode::from(2)));
}

#[tokio::test]
async fn a_dry_run_shows_what_rows_become_and_stores_nothing() {
    let workspace = Workspace::new("ecommerce").await;
    let file =
        workspace.file("a.csv", "user,time,event,total\nu,2026-01-01,order,9.5\nu,x,order,1\n");
    let args = Args { file, dry_run: true, ..Args::default() };
    let (exit, out, err) = workspace.run(args.clone()).await;
    assert_eq!(exit, code(ExitCode::SUCCESS));
    assert!(out.contains("2 rows, 1 of them good; 1 customers."), "{out}");
    assert!(out.contains("\"total\":9.5"), "{out}");
    assert!(err.contains("line 3, time: `x` is not a time"), "{err}");
    let (_, out, _) = workspace.run(Args { json: true, ..args }).await;
    let answer: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["events"]["order"], 1);
    let stored = workspace.store.customers(&CustomerFilter::default(), 10, None).await.unwrap();
    assert!(stored.items.is_empty());
    assert!(
        workspace
            .store
            .quarantined(&QuarantineFilter::default(), 10, None)
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn users_roll_up_to_the_account_that_any_row_of_the_file_names() {
    let workspace = Workspace::new("b2b-saas").await;
    let at = "2026-01-01T00:00:00Z".parse().unwrap();
    workspace.store.link("u3", "a3", at, &workspace.lifecycle, at).await.unwrap();
    let file = workspace.file(
        "calls.jsonl",
        concat!(
            r#"{"type":"track","event":"login","userId":"u1","timestamp":"2026-01-01T00:00:00Z"}"#,
            "\n",
            r#"{"type":"track","event":"login","userId":"u2","timestamp":"2026-01-01T00:00:00Z"}"#,
            "\n",
            r#"{"type":"track","event":"login","userId":"u3","timestamp":"2026-01-01T00:00:00Z"}"#,
            "\n",
            r#"{"type":"group","groupId":"a1","userId":"u1","timestamp":"2026-01-02T00:00:00Z"}"#,
            "\n",
            r#"{"type":"group","groupId":"a0","userId":"u1","timestamp":"2025-01-02T00:00:00Z"}"#,
            "\n",
            r#"{"type":"page","anonymousId":"n1","timestamp":"2026-01-02T00:00:00Z"}"#,
            "\n",
        ),
    );
    let report = workspace.load(&file, &workspace.options()).await;
    assert_eq!((report.accepted, report.customers), (6, 5));
    let count = async |key: CustomerKey| {
        workspace.store.event_page(&key, 10, None).await.unwrap().items.len()
    };
    assert_eq!(count(CustomerKey::subject("a1")).await, 2);
    assert_eq!(count(CustomerKey::subject("a0")).await, 1);
    assert_eq!(count(CustomerKey::subject("a3")).await, 1);
    assert_eq!(count(CustomerKey::unlinked_user("u2")).await, 1);
    assert_eq!(count(CustomerKey::unlinked_user("n1")).await, 1);
    assert_eq!(workspace.store.account_of("u1").await.unwrap().as_deref(), Some("a1"));
}

#[tokio::test]
async fn equal_rows_are_two_events_and_another_file_with_them_none() {
    let workspace = Workspace::new("ecommerce").await;
    let text = "user,time,event,amount\nu,2026-01-01,order,5\nu,2026-01-01,order,5\n";
    let first = workspace.file("first.csv", text);
    assert_eq!(workspace.load(&first, &workspace.options()).await.accepted, 2);
    let other = "amount,event,user,time\n5,order,u,2026-01-01\n5,order,u,2026-01-01\n5,order,v,2026-01-01\n";
    let other = workspace.file("other.csv", other);
    let report = workspace.load(&other, &workspace.options()).await;
    assert_eq!((report.accepted, report.duplicates), (1, 2));
}

//! The `console` Lambda: wiring only.
#![expect(clippy::disallowed_methods, reason = "a main.rs hands in the clock")]

use std::sync::Arc;

use jiff::Timestamp;
use lambda_http::{Error, Request, run, service_fn};
use platform::{Clock, aws::Environment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::from_env("console", Clock::new(Timestamp::now)).await?;
    let handoff = environment.handoff()?;
    let Environment { store, clock, telemetry, .. } = environment;
    let app = Arc::new(console::App { store, clock, handoff });
    let limits = Arc::new(console::Limits::default());
    run(service_fn(|request: Request| {
        let (app, telemetry) = (Arc::clone(&app), telemetry.clone());
        let limits = Arc::clone(&limits);
        async move {
            let work = console::handle(&app, &limits, request);
            telemetry.measure(&app.store, work, console::counts).await
        }
    }))
    .await
}

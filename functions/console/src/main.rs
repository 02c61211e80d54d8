//! The `console` Lambda: wiring only.
#![expect(clippy::disallowed_methods, reason = "a main.rs hands in the clock")]

use std::sync::Arc;

use jiff::Timestamp;
use lambda_runtime::{Diagnostic, Error, LambdaEvent, run, service_fn};
use platform::gateway::Event;
use platform::lambda::Incoming;
use platform::{Clock, aws::Environment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::from_env("console", Clock::new(Timestamp::now)).await?;
    let handoff = environment.handoff()?;
    let Environment { store, clock, telemetry, .. } = environment;
    let app = Arc::new(console::App { store, clock, handoff });
    let limits = Arc::new(console::Limits::default());
    run(service_fn(|event: LambdaEvent<Incoming<Event>>| {
        let (app, telemetry) = (Arc::clone(&app), telemetry.clone());
        let limits = Arc::clone(&limits);
        async move {
            let work = async {
                let event = event.payload.expected()?;
                Ok::<_, Diagnostic>(console::handle(&app, &limits, event).await)
            };
            telemetry.measure(&app.store, work, console::counts).await
        }
    }))
    .await
}

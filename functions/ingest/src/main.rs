//! The `ingest` Lambda: wiring only.
#![expect(clippy::disallowed_methods, reason = "a main.rs hands in the clock")]

use std::sync::Arc;

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::egress::Egress;
use platform::{Clock, aws::Environment};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let environment = Environment::from_env("ingest", Clock::new(Timestamp::now)).await?;
    let (store, clock) = (environment.store, environment.clock);
    let public_url = environment.settings.public_url;
    let app = Arc::new(ingest::App { store, clock, public_url, egress: Egress::quick() });
    let telemetry = environment.telemetry;
    run(service_fn(|event: LambdaEvent<Box<RawValue>>| {
        let (app, telemetry) = (Arc::clone(&app), telemetry.clone());
        async move {
            let work = ingest::respond(&app, event);
            telemetry.measure(&app.store, work, |answer| answer.counts).await
        }
    }))
    .await
}

//! The `notify` Lambda: wiring only.
#![expect(clippy::disallowed_methods, reason = "a main.rs hands in the clock")]

use std::sync::Arc;

use jiff::Timestamp;
use lambda_runtime::{Error, LambdaEvent, run, service_fn};
use platform::egress::Egress;
use platform::lambda::{Incoming, failure};
use platform::post::Poster;
use platform::publish::{Publisher, SnsPublisher};
use platform::{Clock, aws::Environment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let Environment { settings, sdk, store, clock, telemetry } =
        Environment::from_env("notify", Clock::new(Timestamp::now)).await?;
    let sns = SnsPublisher::new(aws_sdk_sns::Client::new(&sdk), settings.topics);
    let poster = Poster::new(store.clone(), clock.clone(), Egress::public());
    let publisher = Publisher { sns, poster };
    let app = Arc::new(notify::App { store, clock, publisher });
    run(service_fn(|event: LambdaEvent<Incoming<_>>| {
        let (app, telemetry) = (Arc::clone(&app), telemetry.clone());
        async move {
            let work = Box::pin(async {
                let answer = notify::handle_any(&app, event.payload.expected()?).await;
                answer.map_err(|error| failure("StoreError", &error))
            });
            telemetry.measure(&app.store, work, notify::Answer::counts).await
        }
    }))
    .await
}

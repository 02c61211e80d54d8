//! The `evaluate` Lambda: wiring only.
#![expect(clippy::disallowed_methods, reason = "a main.rs hands in the clock")]

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    evaluate::serve(platform::Clock::new(jiff::Timestamp::now)).await
}

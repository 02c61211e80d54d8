//! What can go wrong with the tables.

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};

use crate::codec::CodecError;

/// What can go wrong with the tables. `Display` never carries the source: the chain is logged once,
/// at the edge.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A call to DynamoDB failed.
    #[error("{operation} on {table} failed ({code})")]
    Call {
        /// The API operation.
        operation: &'static str,
        /// The table.
        table: String,
        /// The error code, or the kind of failure.
        code: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An item is not as this version writes it.
    #[error("an item of {table} cannot be read: {what}")]
    Item {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Stored bytes are damaged.
    #[error("an item of {table} cannot be unpacked")]
    Codec {
        /// The table.
        table: &'static str,
        /// The cause.
        #[source]
        source: CodecError,
    },
    /// Others kept changing the same item.
    #[error("gave up after {0} conflicts on one item")]
    Conflict(u32),
    /// A batch kept leaving items unprocessed.
    #[error("DynamoDB left {0} items of a batch unprocessed")]
    Unprocessed(usize),
    /// No lifecycle file was applied yet.
    #[error("no lifecycle file is active")]
    NoLifecycle,
    /// The active lifecycle file no longer loads.
    #[error("the active lifecycle file cannot be used: {0}")]
    Lifecycle(String),
    /// It was done already, under the same key.
    #[error("it was done already, under the same key")]
    Repeated,
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers")]
    Random,
    /// A page cursor is none of ours.
    #[error("the cursor is not one this server gave out")]
    Cursor,
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            StoreError::Call { .. }
            | StoreError::Conflict(_)
            | StoreError::Repeated
            | StoreError::Unprocessed(_)
            | StoreError::Random
            | StoreError::NoLifecycle => true,
            StoreError::Item { .. }
            | StoreError::Codec { .. }
            | StoreError::Lifecycle(_)
            | StoreError::Cursor => false,
        }
    }

    pub(crate) fn call<E, R>(
        operation: &'static str,
        table: &str,
    ) -> impl FnOnce(SdkError<E, R>) -> StoreError
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        R: std::fmt::Debug + Send + Sync + 'static,
    {
        let table = table.to_owned();
        move |source| {
            let code = source.code().map(str::to_owned);
            let code = code.unwrap_or_else(|| {
                match &source {
                    SdkError::TimeoutError(_) => "timeout",
                    SdkError::DispatchFailure(_) => "dispatch",
                    SdkError::ResponseError(_) => "response",
                    _ => "unknown",
                }
                .to_owned()
            });
            StoreError::Call { operation, table, code, source: Box::new(source) }
        }
    }

    /// A request that could not even be built.
    pub(crate) fn call_built(
        operation: &'static str,
        table: &str,
    ) -> impl FnOnce(aws_sdk_dynamodb::error::BuildError) -> StoreError {
        let table = table.to_owned();
        move |source| StoreError::Call {
            operation,
            table,
            code: "build".to_owned(),
            source: Box::new(source),
        }
    }
}

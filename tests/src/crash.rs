//! Processes that die at a call of theirs to the tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;

/// Which side of a call the process dies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The call does not reach the table.
    Before,
    /// The call is done, and its answer not heard.
    After,
}

/// Ends a process at one of its calls: none of the later ones is made either.
#[derive(Debug, Clone, Default)]
pub struct Crash(Arc<Plan>);

#[derive(Debug, Default)]
struct Plan {
    sent: AtomicUsize,
    heard: AtomicUsize,
    /// One more than the last call that is made; 0 for no crash.
    last_sent: AtomicUsize,
    last_heard: AtomicUsize,
}

impl Crash {
    /// A client that dies with the process.
    #[must_use]
    pub fn client(&self, client: &Client) -> Client {
        let config = client.config().to_builder().interceptor(self.clone());
        Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
    }

    /// Dies at the `n`th call from now, counted from 0.
    pub fn at(&self, n: usize, side: Side) {
        self.0.sent.store(0, Ordering::SeqCst);
        self.0.heard.store(0, Ordering::SeqCst);
        let (sent, heard) = match side {
            Side::Before => (n + 1, usize::MAX),
            Side::After => (n + 2, n + 1),
        };
        self.0.last_sent.store(sent, Ordering::SeqCst);
        self.0.last_heard.store(heard, Ordering::SeqCst);
    }

    /// Lives again: whether it had died.
    pub fn recover(&self) -> bool {
        let has_died = |count: &AtomicUsize, last: &AtomicUsize| {
            let last = last.swap(0, Ordering::SeqCst);
            last > 0 && count.load(Ordering::SeqCst) >= last
        };
        let (sent, heard) = (
            has_died(&self.0.sent, &self.0.last_sent),
            has_died(&self.0.heard, &self.0.last_heard),
        );
        sent || heard
    }
}

fn count(counter: &AtomicUsize, last: &AtomicUsize) -> Result<(), BoxError> {
    let made = counter.fetch_add(1, Ordering::SeqCst) + 1;
    match last.load(Ordering::SeqCst) {
        0 => Ok(()),
        last if made < last => Ok(()),
        _ => Err("the process is dead".into()),
    }
}

impl Intercept for Crash {
    fn name(&self) -> &'static str {
        "Crash"
    }

    fn modify_before_transmit(
        &self,
        _context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        count(&self.0.sent, &self.0.last_sent)
    }

    fn modify_before_deserialization(
        &self,
        _context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        count(&self.0.heard, &self.0.last_heard)
    }
}

//! The signals that ask a process to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What ends a process: Ctrl-C, or a polite request.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals from now on: one that comes before anybody waits for it is not lost.
    ///
    /// # Errors
    /// When the system does not let them be listened to.
    pub(crate) fn listen() -> std::io::Result<Signals> {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one.
    pub(crate) async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

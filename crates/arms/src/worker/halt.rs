//! Why a running step is told to stop, and the telling.

use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// Why a step is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The orchestrator wants the step back.
    WantedBack,
    /// The lease is gone.
    Lost,
    /// The step took longer than it may.
    TimeOver,
    /// The worker goes away.
    Drain,
}

/// Both ends of the telling. The first cause stays, except that a lost lease outdoes all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Halt {
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
    lost: CancellationToken,
}

impl Halt {
    pub(crate) fn tell(&self, cause: Cause) {
        self.cause.get_or_init(|| cause);
        if cause == Cause::Lost {
            self.lost.cancel();
        }
        self.token.cancel();
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        if self.lost.is_cancelled() { Some(Cause::Lost) } else { self.cause.get().copied() }
    }

    /// Fires with any cause.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Fires when the lease is gone.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

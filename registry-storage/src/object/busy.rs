//! One process does one thing with an upload session at a time.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use object_store::path::Path;
use tokio::time::{Instant, sleep};

/// How long to wait for a session that another request has. One that was
/// dropped lets go once it has put aside what it got.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// The sessions that this process is at work on.
#[derive(Debug, Default)]
pub(super) struct Busy(Mutex<HashSet<Path>>);

/// As long as this is there, no other request of this process has the session.
#[derive(Debug)]
pub(super) struct Turn {
    busy: Arc<Busy>,
    key: Path,
}

impl Busy {
    fn try_enter(self: &Arc<Self>, key: &Path) -> Option<Turn> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(key.clone()).then(|| Turn {
            busy: Arc::clone(self),
            key: key.clone(),
        })
    }

    /// `None` when another request keeps the session.
    pub(super) async fn enter(self: &Arc<Self>, key: &Path) -> Option<Turn> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_enter(key) {
                Some(turn) => return Some(turn),
                None if Instant::now() >= deadline => return None,
                None => sleep(PAUSE).await,
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let keys = &self.busy.0;
        let mut keys = keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.remove(&self.key);
    }
}

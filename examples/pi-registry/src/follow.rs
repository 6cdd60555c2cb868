//! Files that change while the registry runs.
//!
//! They are read again and compared by content: Kubernetes swaps symbolic
//! links, which watches of the files themselves do not notice.

use std::time::Duration;

use tokio::task;
use tokio::time::sleep;

/// How soon a changed file is noticed.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Looks every [`INTERVAL`] until it is dropped, on a thread that may wait: the
/// files may be on a network's file system.
pub(crate) async fn follow(what: &str, look: impl FnMut() + Send + 'static) {
    let mut look = look;
    loop {
        sleep(INTERVAL).await;
        let looked = task::spawn_blocking(move || {
            look();
            look
        });
        match looked.await {
            Ok(again) => look = again,
            // The runtime ends, or there is a bug in what was just done.
            Err(error) => {
                tracing::error!(%error, "{what} are not followed any more");
                return;
            }
        }
    }
}

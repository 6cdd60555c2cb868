//! What the service manager is told that started the program: [sd_notify(3)].
//! Without one, nothing happens.
//!
//! [sd_notify(3)]: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html

use sd_notify::NotifyState;

/// The registry answers.
pub(crate) fn ready(listens: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(listens)]);
}

/// It takes no new connections, and ends when the transfers have.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("the service manager is not told: {error}");
    }
}

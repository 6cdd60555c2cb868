//! Whether an object store can do what pushes need.

use registry_storage::object::ProbeStep;

use super::Report;
use crate::backend::{ObjectBackend, Place};
use crate::config::{ObjectStore, Storage};

/// Lists, writes, reads and removes an object.
pub(super) async fn look(store: &ObjectStore, storage: &Storage, report: &mut Report) {
    /// In the order in which they are tried.
    const STEPS: [ProbeStep; 4] = [
        ProbeStep::List,
        ProbeStep::Write,
        ProbeStep::Read,
        ProbeStep::Delete,
    ];
    let place = Place::of(store);
    let key = place.key;
    let objects = match ObjectBackend::new(store, storage.redirect).await {
        Ok(objects) => objects,
        // Its line begins with the key that is wrong.
        Err(error) => return report.error(key, &error.to_string()),
    };
    let (failed, fault) = match storage.read_only {
        true => (Some(ProbeStep::Write), objects.look().await.err()),
        false => {
            match objects.probe().await {
                Ok(probed) => {
                    if !probed.compares {
                        report.warning(
                        key,
                        &format!("{place} writes without comparing: let one registry only write to it"),
                    );
                    }
                    (None, None)
                }
                Err((step, line)) => (Some(step), Some(line)),
            }
        }
    };
    if fault.is_none() || failed != Some(ProbeStep::List) {
        for step in STEPS.into_iter().take_while(|step| Some(*step) != failed) {
            report.ok(key, &format!("{place}: can {step} objects"));
        }
    }
    match (failed, fault) {
        (Some(step), Some(line)) => report.error(key, &format!("cannot {step} objects: {line}")),
        (Some(_), None) => report.ok(key, "read-only, as configured: nothing was written"),
        (None, _) => {}
    }
}

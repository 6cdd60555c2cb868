//! Whether the storage can do what pushes need.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use registry_storage::FileSystem;
use registry_storage::filesystem::Access;

use super::{Report, disk};
use crate::config::{Driver, Storage};
use crate::logging::chain;

const KEY: &str = "storage.filesystem.rootdirectory";

/// Opens the storage as a start would, and tries a write of its own.
pub(super) async fn storage(storage: &Storage, report: &mut Report) {
    match &storage.driver {
        Driver::FileSystem(root) => directory(root, storage, report).await,
        #[cfg(feature = "object-store")]
        Driver::ObjectStore(store) => super::bucket::look(store, storage, report).await,
    }
}

async fn directory(root: &Path, storage: &Storage, report: &mut Report) {
    let read_only = storage.read_only;
    let shown = root.display();
    match FileSystem::new(root).prepare().await {
        Err(error) => {
            let reason = chain(&error);
            let explained = disk::explain(root);
            report.error(
                KEY,
                &format!("{shown} cannot be used: {reason}: {explained}"),
            );
            return;
        }
        Ok(Access::ReadOnly { reason }) => {
            let text = format!(
                "{shown} can be read but not written: {}: {}",
                chain(&reason),
                disk::explain(root)
            );
            if read_only {
                report.ok(KEY, &format!("read-only, as configured: {text}"));
            } else {
                report.error(KEY, &text);
            }
        }
        Ok(_) if read_only => report.ok(KEY, &format!("{shown} can be read")),
        Ok(_) => match write(root) {
            Ok(()) => report.ok(
                KEY,
                &format!(
                    "{shown} can be written, renamed and synced: {}",
                    disk::owner(root)
                ),
            ),
            Err((act, error)) => report.error(
                KEY,
                &format!("cannot {act} in {shown}: {error}: {}", disk::explain(root)),
            ),
        },
    }
    disk::place(root, KEY, storage.reserve, report);
}

/// Writes, syncs, renames and reads a file back. The failure names the act.
fn write(root: &Path) -> Result<(), (&'static str, io::Error)> {
    // No name that distribution or we give to anything.
    let dir = root.join(format!(".pi-registry-check-{}", std::process::id()));
    fs::create_dir(&dir).map_err(|error| ("make a directory", error))?;
    let done = write_in(&dir);
    let removed = fs::remove_dir_all(&dir).map_err(|error| ("remove a directory", error));
    done.and(removed)
}

fn write_in(dir: &Path) -> Result<(), (&'static str, io::Error)> {
    const TEXT: &[u8] = b"written by pi-registry check";
    let (before, after) = (dir.join("before"), dir.join("after"));
    let mut file = File::create(&before).map_err(|error| ("make a file", error))?;
    file.write_all(TEXT)
        .map_err(|error| ("write a file", error))?;
    file.sync_all().map_err(|error| ("sync a file", error))?;
    drop(file);
    fs::rename(&before, &after).map_err(|error| ("rename a file", error))?;
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| ("sync a directory", error))?;
    let mut text = Vec::new();
    File::open(&after)
        .and_then(|mut file| file.read_to_end(&mut text))
        .map_err(|error| ("read a file", error))?;
    if text != TEXT {
        let error = io::Error::other("it holds something else than was written");
        return Err(("read a file back", error));
    }
    Ok(())
}

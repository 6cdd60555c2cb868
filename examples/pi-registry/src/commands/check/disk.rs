//! What kind of place a directory is, how full, and whose.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use registry_storage::filesystem::Reserve;
use rustix::process::{getegid, geteuid};

use super::Report;
use super::mount;

/// File systems that forget, by the magic number of statfs(2).
const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;
const OVERLAY: u32 = 0x794c_7630;

/// With less than this, the next image may not fit.
const LITTLE_SPACE: u64 = 1 << 30;

/// Looks at the place of a directory that exists.
pub(super) fn place(dir: &Path, what: &str, reserve: Reserve, report: &mut Report) {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    kind(&dir, what, report);
    space(&dir, what, reserve, report);
}

fn kind(dir: &Path, what: &str, report: &mut Report) {
    let shown = dir.display();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the type's width differs between machines, the number's does not"
    )]
    let magic = rustix::fs::statfs(dir).map(|stat| stat.f_type as u32);
    let mount = mount::holding(dir);
    let at = mount.as_ref().map_or_else(String::new, |mount| {
        format!(" ({} at {})", mount.kind, mount.point.display())
    });
    if mount.as_ref().is_some_and(mount::Mount::is_empty_dir) {
        report.warning(
            what,
            &format!(
                "{shown} is an emptyDir of Kubernetes{at}: everything is gone with the pod: use a \
                 PersistentVolumeClaim"
            ),
        );
        return;
    }
    match magic {
        Ok(TMPFS | RAMFS) => report.warning(
            what,
            &format!(
                "{shown} is in memory{at}: everything is gone after a restart: mount a volume on a \
                 disk there"
            ),
        ),
        Ok(OVERLAY) => report.warning(
            what,
            &format!(
                "{shown} is in the container's own layer{at}: everything is gone with the \
                 container: mount a volume there"
            ),
        ),
        Ok(_) => report.ok(what, &format!("{shown} is on a disk{at}")),
        Err(error) => report.warning(
            what,
            &format!("cannot tell what file system {shown} is on: {error}"),
        ),
    }
}

fn space(dir: &Path, what: &str, reserve: Reserve, report: &mut Report) {
    let stat = match rustix::fs::statvfs(dir) {
        Ok(stat) => stat,
        Err(error) => {
            report.warning(what, &format!("cannot tell the free space: {error}"));
            return;
        }
    };
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    let text = format!("{} MiB of {} MiB are free", free >> 20, total >> 20);
    if stat.f_files > 0 && stat.f_favail == 0 {
        report.error(
            what,
            "no file can be made, all inodes are in use: remove files",
        );
    } else if total > 0 && free == 0 {
        report.error(what, &format!("{text}: make room or use a larger disk"));
    } else if free < reserve.of(total) {
        report.error(
            what,
            &format!(
                "{text}, and pushes must leave {} MiB of it: make room, or lower \
                 storage.filesystem.reserve",
                reserve.of(total) >> 20
            ),
        );
    } else if free < LITTLE_SPACE {
        report.warning(what, &format!("{text}: make room before it is full"));
    } else {
        report.ok(what, &text);
    }
}

/// Whose a directory is, and who asks. Of a directory that is not there, its
/// nearest ancestor.
pub(super) fn owner(dir: &Path) -> String {
    let user = user();
    match nearest(dir) {
        Some((dir, metadata)) => {
            let (uid, gid) = (metadata.uid(), metadata.gid());
            let mode = metadata.mode() & 0o7777;
            let shown = dir.display();
            format!(
                "{shown} belongs to {uid}:{gid} with mode {mode:04o}, this process runs as {user}"
            )
        }
        None => format!("this process runs as {user}"),
    }
}

/// The same of one that cannot be written, and what to do about it.
pub(super) fn explain(dir: &Path) -> String {
    let facts = owner(dir);
    let Some((dir, metadata)) = nearest(dir) else {
        return facts;
    };
    let shown = dir.display();
    let uid = geteuid().as_raw();
    let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    if !metadata.is_dir() {
        format!("{shown} is not a directory")
    } else if mount::holding(&real).is_some_and(|mount| mount.read_only) {
        format!("{facts}; it is mounted read-only: mount it for writing")
    } else if uid != 0 && metadata.uid() != uid {
        format!(
            "{facts}: give it to this user (chown -R {} {shown}, in Kubernetes fsGroup: {}), or run \
             as {}:{}",
            user(),
            getegid().as_raw(),
            metadata.uid(),
            metadata.gid()
        )
    } else if uid != 0 {
        format!("{facts}: allow its owner to write (chmod -R u+rwX {shown})")
    } else {
        facts
    }
}

fn user() -> String {
    format!("{}:{}", geteuid().as_raw(), getegid().as_raw())
}

fn nearest(dir: &Path) -> Option<(&Path, Metadata)> {
    dir.ancestors()
        .find_map(|dir| dir.metadata().ok().map(|metadata| (dir, metadata)))
}

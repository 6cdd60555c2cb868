//! The mount that holds a path, from `/proc/self/mountinfo`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// A line of mountinfo, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Which directory of the mounted file system is seen.
    pub(super) root: PathBuf,
    /// Where it is seen.
    pub(super) point: PathBuf,
    pub(super) read_only: bool,
    /// The file system's type, such as `ext4`.
    pub(super) kind: String,
}

impl Mount {
    /// Whether it is a volume that Kubernetes removes with the pod.
    pub(super) fn is_empty_dir(&self) -> bool {
        let of_pod = |path: &Path| {
            path.components()
                .any(|part| part.as_os_str() == "kubernetes.io~empty-dir")
        };
        of_pod(&self.root) || of_pod(&self.point)
    }
}

/// The mount that holds `path`, which is absolute and without links.
pub(super) fn holding(path: &Path) -> Option<Mount> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    find(&table, path)
}

fn find(table: &str, path: &Path) -> Option<Mount> {
    // Of several at one place, the last is on top.
    table
        .lines()
        .filter_map(parse)
        .filter(|mount| path.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.components().count())
}

fn parse(line: &str) -> Option<Mount> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(3);
    let root = unescaped(fields.next()?);
    let point = unescaped(fields.next()?);
    let options = fields.next()?;
    let mut filesystem = filesystem.split(' ');
    let kind = filesystem.next()?.to_owned();
    let whole = filesystem.nth(1).unwrap_or_default();
    let is_read_only = |options: &str| options.split(',').any(|option| option == "ro");
    Some(Mount {
        root,
        point,
        read_only: is_read_only(options) || is_read_only(whole),
        kind,
    })
}

/// Blanks and backslashes are written as `\040` and the like.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first == b'\\'
            && let Some(digits) = tail.get(..3)
            && let Ok(digits) = std::str::from_utf8(digits)
            && let Ok(byte) = u8::from_str_radix(digits, 8)
        {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a
30 22 8:1 /var/lib/kubelet/pods/7/volumes/kubernetes.io~empty-dir/data /var/lib/registry rw - ext4 /dev/sda1 rw
31 22 0:30 / /mnt/my\\040disk ro,nosuid - ext4 /dev/sdb1 rw
32 22 0:31 / /srv rw shared:7 master:1 - xfs /dev/sdc ro,seclabel
33 22 0:32 / /over rw - ext4 /dev/sdd rw
34 33 0:33 / /over rw - tmpfs tmpfs rw
broken
";

    #[test]
    fn the_nearest_mount_holds_a_path() {
        for (path, point, kind, read_only, empty_dir) in [
            ("/home/x", "/", "overlay", false, false),
            (
                "/var/lib/registry/docker",
                "/var/lib/registry",
                "ext4",
                false,
                true,
            ),
            ("/var/lib/registry2", "/", "overlay", false, false),
            ("/mnt/my disk/a", "/mnt/my disk", "ext4", true, false),
            ("/srv", "/srv", "xfs", true, false),
            ("/over/x", "/over", "tmpfs", false, false),
        ] {
            let mount = find(TABLE, Path::new(path)).expect(path);
            assert_eq!(mount.point, Path::new(point), "{path}");
            assert_eq!(mount.kind, kind, "{path}");
            assert_eq!(mount.read_only, read_only, "{path}");
            assert_eq!(mount.is_empty_dir(), empty_dir, "{path}");
        }
        assert_eq!(find("", Path::new("/")), None);
    }
}

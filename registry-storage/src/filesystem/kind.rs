//! Kinds of file systems, by the numbers that Linux gives them.

use rustix::fs::StatFs;

pub(super) const BTRFS: u32 = 0x9123_683e;
pub(super) const EXT: u32 = 0xef53;
pub(super) const F2FS: u32 = 0xf2f5_2010;
pub(super) const OVERLAY: u32 = 0x794c_7630;
pub(super) const RAMFS: u32 = 0x8584_58f6;
pub(super) const TMPFS: u32 = 0x0102_1994;
pub(super) const XFS: u32 = 0x5846_5342;

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers have 32 bits, in a type of either sign and perhaps more"
)]
pub(super) fn kind(found: &StatFs) -> u32 {
    found.f_type as u32
}

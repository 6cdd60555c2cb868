use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rcgen::CertificateParams;
use tempfile::TempDir;

use super::*;
use crate::server::tests::{Ca, Pair, provider};

/// A volume as the kubelet mounts a secret: files are links into `..data`,
/// which is a link that is swapped.
struct Volume {
    dir: TempDir,
    ca: Ca,
    generation: u32,
}

impl Volume {
    fn new() -> (Self, Pair) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let ca = Ca::new("servers");
        let mut volume = Self {
            dir,
            ca,
            generation: 0,
        };
        let pair = volume.pair();
        volume.swap(&pair);
        for name in ["tls.crt", "tls.key"] {
            let target = Path::new("..data").join(name);
            symlink(target, volume.dir.path().join(name)).expect("a link");
        }
        (volume, pair)
    }

    fn pair(&self) -> Pair {
        let params = CertificateParams::new(["registry.local".to_owned()]);
        self.ca.issue(&params.expect("a host name"))
    }

    fn swap(&mut self, pair: &Pair) {
        self.generation += 1;
        let name = format!("..{}", self.generation);
        let path = self.dir.path().join(&name);
        fs::create_dir(&path).expect("a directory");
        fs::write(path.join("tls.crt"), &pair.certificate).expect("a file");
        fs::write(path.join("tls.key"), &pair.key).expect("a file");
        let new = self.dir.path().join("..data_tmp");
        symlink(name, &new).expect("a link");
        fs::rename(new, self.dir.path().join("..data")).expect("swapped");
    }

    fn options(&self) -> ServerOptions {
        let path = self.dir.path();
        ServerOptions::new(path.join("tls.crt"), path.join("tls.key"))
    }

    fn load(&self) -> Reloading {
        Reloading::load(self.options(), provider()).expect("a good pair")
    }
}

fn serves(tls: &Reloading, pair: &Pair) -> bool {
    let file = crate::pem::PemFile::new("pair", pair.certificate.as_bytes());
    *tls.certificates() == *file.certificates().expect("a certificate")
}

#[test]
fn a_swapped_volume_is_seen_once() {
    let (mut volume, old) = Volume::new();
    let tls = volume.load();
    let config = tls.config();
    assert_eq!(tls.reload().expect("good"), Reloaded::Unchanged);
    assert!(Arc::ptr_eq(&config, &tls.config()), "sessions must go on");
    let new = volume.pair();
    volume.swap(&new);
    assert!(serves(&tls, &old));
    assert_eq!(tls.reload().expect("good"), Reloaded::Changed);
    assert!(serves(&tls, &new));
    assert_eq!(tls.reload().expect("good"), Reloaded::Unchanged);
}

#[test]
fn the_same_content_in_other_files_is_unchanged() {
    let (mut volume, pair) = Volume::new();
    let tls = volume.load();
    volume.swap(&pair);
    assert_eq!(tls.reload().expect("good"), Reloaded::Unchanged);
}

#[test]
fn a_broken_pair_is_told_once_and_keeps_the_old_until_it_heals() {
    let (mut volume, old) = Volume::new();
    let tls = volume.load();
    let new = volume.pair();
    let half = Pair {
        key: old.key.clone(),
        ..new.clone()
    };
    volume.swap(&half);
    let error = tls.reload().expect_err("half a pair");
    assert!(matches!(error, TlsError::KeyMismatch { .. }));
    assert_eq!(tls.reload().expect("told"), Reloaded::StillBroken);
    assert!(serves(&tls, &old));
    // Another fault is news.
    fs::remove_file(volume.dir.path().join("tls.key")).expect("a link");
    assert!(matches!(tls.reload(), Err(TlsError::Pem(_))));
    assert_eq!(tls.reload().expect("told"), Reloaded::StillBroken);
    fs::write(volume.dir.path().join("tls.key"), &new.key).expect("a file");
    assert_eq!(tls.reload().expect("healed"), Reloaded::Changed);
    assert!(serves(&tls, &new));
}

#[test]
fn a_fault_that_comes_back_is_told_again() {
    let (mut volume, good) = Volume::new();
    let tls = volume.load();
    let bad = Pair {
        key: String::new(),
        ..good.clone()
    };
    for _ in 0..2 {
        volume.swap(&bad);
        tls.reload().expect_err("an empty key");
        volume.swap(&good);
        assert_eq!(tls.reload().expect("good"), Reloaded::Unchanged);
    }
}

#[test]
fn what_was_refused_is_served_once_the_check_agrees() {
    let (mut volume, old) = Volume::new();
    // As of a certificate whose validity begins in a minute.
    static BEGUN: AtomicBool = AtomicBool::new(true);
    let check = |_: &[CertificateDer<'_>]| match BEGUN.load(Ordering::Relaxed) {
        true => Ok(()),
        false => Err("not yet valid".into()),
    };
    let tls = Reloading::load_checked(volume.options(), provider(), check).expect("a good pair");
    BEGUN.store(false, Ordering::Relaxed);
    let new = volume.pair();
    volume.swap(&new);
    assert!(matches!(tls.reload(), Err(TlsError::Refused { .. })));
    assert_eq!(tls.reload().expect("told"), Reloaded::StillBroken);
    assert!(serves(&tls, &old));
    BEGUN.store(true, Ordering::Relaxed);
    assert_eq!(tls.reload().expect("good"), Reloaded::Changed);
    assert!(serves(&tls, &new));
}

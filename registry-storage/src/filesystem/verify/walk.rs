//! All repositories, of which several are looked at together.

use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;

use registry_spec::types::RepositoryName;

use super::beneath::Dir;
use super::run::{Run, add};
use crate::filesystem::layout;

/// How many names wait for a worker.
const WAITING: usize = 64;

impl Run<'_> {
    /// Looks at every repository, with all workers.
    pub(super) fn check_repositories(&self) {
        let Some(repositories) = self.dir(&self.base, layout::REPOSITORIES) else {
            return;
        };
        let (sender, receiver) = mpsc::sync_channel::<RepositoryName>(WAITING);
        let receiver = Mutex::new(receiver);
        let next = || {
            let receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
            receiver.recv()
        };
        thread::scope(|scope| {
            for _ in 0..self.options.workers.get() {
                scope.spawn(|| {
                    while let Ok(name) = next() {
                        // When stopped, those that wait are only taken.
                        if !self.is_stopped() {
                            self.check_repository(&name);
                            add(&self.counts.repositories, 1);
                        }
                    }
                });
            }
            self.walk(&repositories, "", &|name| {
                // Fails when there is no worker any more.
                let _ = sender.send(name);
            });
            drop(sender);
        });
    }

    /// Visits what lies below a directory whose names begin with `prefix`; true
    /// when it has something of a repository in it.
    fn walk(&self, dir: &Dir, prefix: &str, visit: &dyn Fn(RepositoryName)) -> bool {
        let mut is_repository = false;
        for entry in self.entries(dir) {
            if self.is_stopped() {
                return false;
            }
            if !prefix.is_empty() && entry.text().starts_with('_') {
                is_repository |= entry.is_dir() && layout::RESERVED.contains(&entry.text());
                if !entry.is_dir() || !layout::RESERVED.contains(&entry.text()) {
                    self.strange(dir, &entry);
                }
                continue;
            }
            let name = format!("{prefix}{}", entry.text());
            let child = match name.parse::<RepositoryName>() {
                Ok(name) => self.dir(dir, &entry.name).map(|dir| (name, dir)),
                Err(_) => None,
            };
            match child {
                Some((name, dir)) => {
                    if self.walk(&dir, &format!("{name}/"), visit) {
                        visit(name);
                    }
                }
                None => self.strange(dir, &entry),
            }
        }
        is_repository
    }
}

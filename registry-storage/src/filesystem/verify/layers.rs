//! `_layers/`: which blobs a repository has.

use std::collections::HashSet;

use registry_spec::types::Digest;

use super::beneath::Dir;
use super::blobs::Content;
use super::links::{Fix, Found, Of, Seed};
use super::manifests::parts;
use super::report::{Mend, ProblemKind};
use super::repository::Look;
use crate::filesystem::layout;

impl Look<'_, '_> {
    pub(super) fn layers(&mut self, layers: &Dir) {
        // Distribution's garbage collection leaves links to what it removes.
        let mut dead = Vec::new();
        let run = self.run;
        run.digests(layers, |digest, dir| {
            run.only(&dir, &[layout::LINK]);
            if let Some(content) = self.link(&dir, &digest, Of::Layer)
                && matches!(run.content(&content), Ok(Content::Absent))
            {
                dead.push((digest, content));
            }
        });
        if dead.is_empty() {
            return;
        }
        // What is needed is told by the manifest that needs it. Its link stays:
        // a push to one repository mends all that have one.
        let mut unneeded: HashSet<Digest> = dead.iter().map(|(digest, _)| *digest).collect();
        self.each_manifest(|_, manifest| {
            for part in parts(manifest) {
                unneeded.remove(&part.descriptor.digest);
            }
        });
        for (digest, content) in dead {
            if unneeded.contains(&digest) {
                let dir = run.tree.layout.layer(&self.name, &digest);
                self.found.push(Found {
                    kind: ProblemKind::LinkDead,
                    path: layout::link(&dir),
                    detail: "a link to a blob that is gone, which no manifest needs".to_owned(),
                    mend: Mend::Note,
                    fix: Some(Fix::Layer { dir, content }),
                    hurt: Seed::Nobody,
                });
            }
        }
    }
}

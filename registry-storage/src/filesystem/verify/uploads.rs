//! `_uploads/`: sessions that go on, or that nobody goes on with. They are only
//! told of: the server removes old ones.

use std::io::Read as _;

use registry_spec::types::UploadId;

use super::beneath::{Dir, Opened, Place, called};
use super::report::ProblemKind;
use super::repository::Look;
use crate::filesystem::layout;

/// Longer than any time.
const MAX_TIME_LEN: u64 = 64;

impl Look<'_, '_> {
    pub(super) fn uploads(&self, uploads: &Dir) {
        let run = self.run;
        for entry in run.entries(uploads) {
            match (
                entry.text().parse::<UploadId>(),
                run.dir(uploads, &entry.name),
            ) {
                (Ok(_), Some(session)) => self.session(&session),
                _ => run.strange(uploads, &entry),
            }
        }
    }

    fn session(&self, session: &Dir) {
        let run = self.run;
        let odd = |name: &str, detail: String| {
            run.note(ProblemKind::UploadOdd, session.path.join(name), detail);
        };
        run.only(
            session,
            &[layout::DATA, "startedat", "hashstate.json", "hashstates"],
        );
        match session.look(layout::DATA) {
            Ok(Place::File(_)) => {}
            // Distribution makes it with the first bytes.
            Ok(Place::Absent) => {}
            Ok(Place::Other(kind)) => odd(
                layout::DATA,
                format!("{} stands in the place of an upload's bytes", called(kind)),
            ),
            Err(error) => run.unreadable(&session.path, &error),
        }
        let mut text = String::new();
        let is_time = match session.file("startedat") {
            Ok(Opened::File(file, _)) => {
                let read = file.take(MAX_TIME_LEN).read_to_string(&mut text);
                read.is_ok() && humantime::parse_rfc3339_weak(text.trim()).is_ok()
            }
            _ => false,
        };
        // One that was finished a moment ago is gone.
        let is_there = !matches!(run.look(&session.path), Ok(Place::Absent));
        if !is_time && is_there {
            let detail = "an upload session without the time of its beginning, which registry:2 \
                          never removes";
            odd("startedat", detail.to_owned());
        }
    }
}

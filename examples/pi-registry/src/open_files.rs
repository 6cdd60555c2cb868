//! The limit on open files.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, as programs written in Go do by
/// themselves: each connection and each blob being read holds a descriptor,
/// and the usual soft limit of 1024 is a leftover for programs with `select`.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// How many files may be open at once.
pub(crate) fn limit() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .and_then(|limit| limit.try_into().ok())
        .unwrap_or(usize::MAX)
}

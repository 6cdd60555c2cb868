//! Podman, Buildah, Skopeo and CRI-O, which read the same folders.

use super::{Plan, Target};

pub(super) fn plan(mut plan: Plan, target: &Target, folders: &str) -> Plan {
    let file = |target: Target| target.ca_file(format!("{folders}/{}/ca.crt", target.registry));
    plan.files = target.each().map(file).collect();
    plan.notes = vec!["No restart is needed: the folder is read at each pull and push.".into()];
    plan.note_name();
    plan
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::super::fixtures::{paths, plan};

    #[test]
    fn root_and_a_user_have_folders_of_their_own() {
        assert_eq!(
            paths(&plan(Client::Podman)),
            ["/etc/containers/certs.d/registry.local:5000/ca.crt"]
        );
        assert_eq!(
            paths(&plan(Client::PodmanRootless)),
            ["~/.config/containers/certs.d/registry.local:5000/ca.crt"]
        );
    }
}

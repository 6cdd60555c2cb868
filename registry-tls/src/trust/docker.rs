//! Docker's engine: a folder for each registry, read at each request.

use super::{Plan, Target};

pub(super) fn plan(mut plan: Plan, target: &Target) -> Plan {
    let file =
        |target: Target| target.ca_file(format!("/etc/docker/certs.d/{}/ca.crt", target.registry));
    plan.files = target.each().map(file).collect();
    plan.notes =
        vec!["No restart is needed: docker reads the folder at each pull and push.".into()];
    plan.note_name();
    plan
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{CA, plan, target};
    use super::super::{CaCertificates, Client, Target};

    #[test]
    fn the_folder_has_the_name_that_images_begin_with() {
        for (registry, folder) in [
            ("registry.local", "registry.local"),
            ("registry.local:5000", "registry.local:5000"),
            ("pi-dockerregistry", "pi-dockerregistry:443"),
            ("[fd00::1]:5000", "[fd00::1]:5000"),
        ] {
            let registry = registry.parse().expect(registry);
            let ca = CaCertificates::from_pem(CA.as_bytes()).expect("a CA");
            let plan = Client::Docker.plan(&Target::new(registry, ca));
            let path = format!("/etc/docker/certs.d/{folder}/ca.crt");
            assert_eq!(plan.files.len(), 1);
            assert_eq!(plan.files[0].path.to_str(), Some(path.as_str()));
        }
    }

    #[test]
    fn the_file_is_the_ca_below_one_line_of_comment() {
        let contents = &plan(Client::Docker).files[0].contents;
        assert_eq!(contents.split_once('\n').map(|(_, pem)| pem), Some(CA));
        assert_eq!(plan(Client::Docker), Client::Docker.plan(&target()));
    }
}

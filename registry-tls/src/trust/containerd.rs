//! containerd and MicroK8s: a folder for each registry with `hosts.toml`,
//! read at each request.

use super::{Plan, Target, TrustFile};

const FOLDER: &str = "/etc/containerd/certs.d";

pub(super) fn plan(mut plan: Plan, target: &Target) -> Plan {
    plan.files = target
        .each()
        .flat_map(|target| files(&target, FOLDER))
        .collect();
    plan.notes = vec![
        format!(
            "containerd reads the folder only if its config_path names it. Look with \
             `containerd config dump | grep config_path`, and if it does not, put this into \
             /etc/containerd/config.toml and restart containerd once.\n\
             containerd 2.x:\n\
             \x20 version = 3\n\
             \x20 [plugins.\"io.containerd.cri.v1.images\".registry]\n\
             \x20   config_path = \"{FOLDER}\"\n\
             containerd 1.x:\n\
             \x20 version = 2\n\
             \x20 [plugins.\"io.containerd.grpc.v1.cri\".registry]\n\
             \x20   config_path = \"{FOLDER}\""
        ),
        format!("No restart is needed after that. ctr needs --hosts-dir {FOLDER} each time."),
    ];
    plan.note_name();
    plan
}

pub(super) fn plan_microk8s(mut plan: Plan, target: &Target) -> Plan {
    let folders = "/var/snap/microk8s/current/args/certs.d";
    plan.files = target
        .each()
        .flat_map(|target| files(&target, folders))
        .collect();
    plan.notes = vec!["Every node needs these files. No restart is needed.".into()];
    plan.note_name();
    plan
}

/// The certificate belongs to `server` itself. In a table `[host."https://…"]`
/// containerd would take it for a mirror, and after a failure there ask the
/// server again without the CA: the error shown would be the wrong one. An
/// empty table must be there, without one containerd 1.x refuses the file.
fn files(target: &Target, folders: &str) -> Vec<TrustFile> {
    let folder = format!("{folders}/{}", target.registry);
    // Relative to the folder of hosts.toml.
    let ca = "ca = \"ca.crt\"";
    let toml = format!("server = \"{}\"\n{ca}\n\n[host]\n", target.registry.url());
    let mut hosts = target.marked(format!("{folder}/hosts.toml"), &toml);
    hosts.shared = vec![ca.to_owned()];
    vec![target.ca_file(format!("{folder}/ca.crt")), hosts]
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::super::fixtures::{paths, plan};

    #[test]
    fn hosts_toml_names_the_server_and_the_ca_beside_it() {
        let plan = plan(Client::Containerd);
        assert_eq!(
            paths(&plan),
            [
                "/etc/containerd/certs.d/registry.local:5000/ca.crt",
                "/etc/containerd/certs.d/registry.local:5000/hosts.toml"
            ]
        );
        assert_eq!(
            plan.files[1].contents,
            "# Made by registry-tls for the registry registry.local:5000\n\
             server = \"https://registry.local:5000\"\n\
             ca = \"ca.crt\"\n\n\
             [host]\n"
        );
    }

    #[test]
    fn microk8s_has_its_own_place() {
        assert_eq!(
            paths(&plan(Client::Microk8s))[1],
            "/var/snap/microk8s/current/args/certs.d/registry.local:5000/hosts.toml"
        );
    }
}

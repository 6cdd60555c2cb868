//! k3s and RKE2: one `registries.yaml` for all registries, read at start.

use super::{Plan, Target};

pub(super) fn plan(mut plan: Plan, target: &Target, name: &str) -> Plan {
    let folder = format!("/etc/rancher/{name}");
    let mut yaml = "configs:\n".to_owned();
    let mut shared = Vec::new();
    for target in target.each() {
        // A file for each name: which names an old registries.yaml lacks is
        // then seen by the paths in it.
        let ca = target.ca_file(format!("{folder}/{}.crt", target.registry.file_stem()));
        let path = ca.path.display().to_string();
        yaml += &format!(
            "  \"{}\":\n    tls:\n      ca_file: \"{path}\"\n",
            target.registry
        );
        shared.push(path);
        plan.files.push(ca);
    }
    let mut registries = target.marked(format!("{folder}/registries.yaml"), &yaml);
    registries.shared = shared;
    plan.files.push(registries);
    // A server's unit is k3s or rke2-server, an agent's k3s-agent or rke2-agent.
    plan.commands = vec![format!("systemctl try-restart '{name}*.service'")];
    plan.notes = vec![
        format!(
            "Every node needs these files: servers and agents. {name} reads them only when it \
             starts; running pods are not stopped by a restart."
        ),
        "An entry for a registry stands below `configs:`, which the file has only once.".into(),
        "Releases of early 2024 (before v1.27.13, v1.28.9, v1.29.4) ignore it unless the registry \
         stands below `mirrors:` as well: update them."
            .into(),
    ];
    plan.note_name();
    plan
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::super::fixtures::{paths, plan};

    #[test]
    fn registries_yaml_names_the_ca_file_by_its_whole_path() {
        let plan = plan(Client::K3s);
        let ca = "/etc/rancher/k3s/registry-ca-registry.local-5000.crt";
        assert_eq!(paths(&plan), [ca, "/etc/rancher/k3s/registries.yaml"]);
        assert_eq!(
            plan.files[1].contents,
            format!(
                "# Made by registry-tls for the registry registry.local:5000\n\
                 configs:\n  \"registry.local:5000\":\n    tls:\n      ca_file: \"{ca}\"\n"
            )
        );
        assert_eq!(plan.commands, ["systemctl try-restart 'k3s*.service'"]);
    }

    #[test]
    fn rke2_is_alike_in_another_place() {
        let plan = plan(Client::Rke2);
        assert_eq!(paths(&plan)[1], "/etc/rancher/rke2/registries.yaml");
        assert_eq!(plan.commands, ["systemctl try-restart 'rke2*.service'"]);
    }
}

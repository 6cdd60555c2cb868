//! macOS and Windows, and Docker Desktop on both.

use super::{Plan, Target};

pub(super) fn plan_macos(mut plan: Plan, target: &Target) -> Plan {
    let files =
        |target: Target| target.ca_files(&format!("~/.docker/certs.d/{}", target.registry), "ca");
    plan.files = target.each().flat_map(files).collect();
    let trust = |path: String| {
        let path = path.replacen('~', "$HOME", 1);
        format!(
            "sudo security add-trusted-cert -d -r trustRoot \
             -k /Library/Keychains/System.keychain \"{path}\""
        )
    };
    plan.commands = plan
        .files
        .iter()
        .map(|file| trust(file.path.display().to_string()))
        .collect();
    plan.notes = vec![
        "Restart Docker Desktop: it reads the keychain and ~/.docker/certs.d when it starts."
            .into(),
    ];
    plan.note_name();
    plan
}

pub(super) fn plan_windows(mut plan: Plan, target: &Target) -> Plan {
    plan.files = target.ca_files(".", &target.registry.file_stem());
    for file in &mut plan.files {
        // Windows is the one that may want BEGIN in the first line.
        file.contents = without_first_line(&file.contents);
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        plan.commands
            .push(format!("certutil -addstore -f Root \"{name}\""));
        file.path = name.into_owned().into();
    }
    let folders: Vec<_> = plan
        .registries
        .iter()
        .map(|name| {
            let name = name.to_string().replace(':', "");
            format!("C:\\ProgramData\\docker\\certs.d\\{name}\\ca.crt")
        })
        .collect();
    plan.notes = vec![
        "Run this in PowerShell as administrator. Instead of certutil: Import-Certificate \
         -FilePath FILE -CertStoreLocation Cert:\\LocalMachine\\Root"
            .into(),
        "Restart Docker Desktop: it reads the machine's store when it starts.".into(),
        format!("Windows containers read {} as well.", folders.join(" and ")),
    ];
    plan
}

fn without_first_line(text: &str) -> String {
    text.split_once('\n')
        .map_or(text, |(_, rest)| rest)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::Client;
    use super::super::fixtures::{CA, paths, plan};

    #[test]
    fn macos_trusts_the_file_that_docker_desktop_reads() {
        let plan = plan(Client::Macos);
        assert_eq!(
            paths(&plan),
            ["~/.docker/certs.d/registry.local:5000/ca.crt"]
        );
        assert_eq!(
            plan.commands,
            ["sudo security add-trusted-cert -d -r trustRoot \
              -k /Library/Keychains/System.keychain \
              \"$HOME/.docker/certs.d/registry.local:5000/ca.crt\""]
        );
    }

    #[test]
    fn windows_gets_a_plain_certificate_and_its_command() {
        let plan = plan(Client::Windows);
        assert_eq!(paths(&plan), ["registry-ca-registry.local-5000.crt"]);
        assert_eq!(plan.files[0].contents, CA);
        assert_eq!(
            plan.commands,
            ["certutil -addstore -f Root \"registry-ca-registry.local-5000.crt\""]
        );
    }
}

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::super::fixtures::{CA, CA_RENEWED, LEAF, LEAF_KEY, SECOND_CA, plan, target, target_of};
use super::super::{Client, Plan, SystemStore};
use super::*;

const UNIX: [Client; 12] = [
    Client::Docker,
    Client::Containerd,
    Client::Microk8s,
    Client::K3s,
    Client::Rke2,
    Client::Podman,
    Client::PodmanRootless,
    Client::System(SystemStore::Debian),
    Client::System(SystemStore::Fedora),
    Client::System(SystemStore::Arch),
    Client::Kubernetes,
    Client::Macos,
];

/// Runs a plan's script in a real shell, with a home that is not ours.
fn run(plan: &Plan, root: &Path, arguments: &[&str]) -> Output {
    let mut shell = Command::new("sh")
        .args(arguments)
        .env("ROOT", root)
        .env("HOME", "/home/somebody")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut input = shell.stdin.take().expect("piped");
    input.write_all(plan.script().as_bytes()).expect("written");
    drop(input);
    shell.wait_with_output().expect("an end")
}

fn below(root: &Path, path: &Path) -> PathBuf {
    let path = match path.strip_prefix("~") {
        Ok(rest) => Path::new("home/somebody").join(rest),
        Err(_) => path.strip_prefix("/").unwrap_or(path).to_owned(),
    };
    root.join(path)
}

#[test]
fn each_script_writes_exactly_the_files_of_its_plan() {
    let target = target().with_server(LEAF.as_bytes(), LEAF_KEY.as_bytes());
    let target = target
        .expect("a pair")
        .also("192.168.0.201:5000".parse().expect("an address"));
    for client in UNIX {
        let plan = client.plan(&target);
        let root = tempfile::tempdir().expect("a folder");
        assert_eq!(run(&plan, root.path(), &["-n"]).status.code(), Some(0));
        let first = run(&plan, root.path(), &[]);
        assert_eq!(first.status.code(), Some(0), "{client:?}: {first:?}");
        for file in &plan.files {
            let path = below(root.path(), &file.path);
            assert_eq!(fs::read_to_string(&path).expect("a file"), file.contents);
            let mode = fs::metadata(&path).expect("a file").permissions().mode();
            let expected = if file.secret { 0o600 } else { 0o644 };
            assert_eq!(mode & 0o777, expected, "{path:?}");
        }
        let again = run(&plan, root.path(), &[]);
        assert_eq!(again.status.code(), Some(0), "{again:?}");
        let said = String::from_utf8_lossy(&again.stdout).into_owned();
        assert_eq!(
            said.matches("unchanged: ").count(),
            plan.files.len(),
            "{said}"
        );
        assert!(!said.contains("written: "), "{said}");
    }
}

#[test]
fn a_script_renews_our_file_and_leaves_foreign_ones() {
    let root = tempfile::tempdir().expect("a folder");
    let path = below(root.path(), &plan(Client::Docker).files[0].path);
    run(&plan(Client::Docker), root.path(), &[]);
    let renewed = run(
        &Client::Docker.plan(&target_of(CA_RENEWED)),
        root.path(),
        &[],
    );
    assert_eq!(renewed.status.code(), Some(0), "{renewed:?}");
    assert!(
        fs::read_to_string(&path)
            .expect("a file")
            .ends_with(CA_RENEWED)
    );

    for (there, code) in [(SECOND_CA, 1), (CA, 0)] {
        fs::write(&path, there).expect("writes");
        let output = run(&plan(Client::Docker), root.path(), &[]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(fs::read_to_string(&path).expect("a file"), there);
    }
}

#[test]
fn a_script_writes_a_key_through_nobodys_link() {
    let root = tempfile::tempdir().expect("a folder");
    let theirs = root.path().join("theirs");
    fs::write(&theirs, "").expect("writes");
    let target = target().with_server(LEAF.as_bytes(), LEAF_KEY.as_bytes());
    let plan = Client::Kubernetes.plan(&target.expect("a pair"));
    for file in &plan.files {
        let name = format!("{}.new", file.path.display());
        std::os::unix::fs::symlink(&theirs, root.path().join(name)).expect("a link");
    }
    let output = run(&plan, root.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(fs::read_to_string(&theirs).expect("a file"), "");
}

#[test]
fn a_script_keeps_registries_yaml_and_says_what_to_add() {
    let root = tempfile::tempdir().expect("a folder");
    let plan = plan(Client::K3s);
    let path = below(root.path(), &plan.files[1].path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
    fs::write(&path, "mirrors: {}\n").expect("writes");
    let output = run(&plan, root.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "mirrors: {}\n");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let (_, missing) = said.split_once("by hand\n").expect("what to add");
    assert!(
        missing.starts_with("configs:\n  \"registry.local:5000\":\n"),
        "{missing}"
    );

    fs::write(&path, format!("mirrors: {{}}\n{missing}")).expect("writes");
    assert_eq!(run(&plan, root.path(), &[]).status.code(), Some(0));

    let both = target().also("10.0.0.1:5000".parse().expect("an address"));
    let output = run(&Client::K3s.plan(&both), root.path(), &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn only_plans_for_root_use_sudo_and_commands_come_last() {
    for client in UNIX {
        let script = plan(client).script();
        assert_eq!(script.contains("$sudo"), client.needs_root(), "{client:?}");
        if let Some(command) = plan(client).commands.last() {
            assert!(script.trim_end().ends_with(command.as_str()), "{script}");
        }
    }
}

#[test]
fn the_script_for_windows_holds_the_certificate_and_the_command() {
    let script = plan(Client::Windows).script();
    assert!(
        script.contains(&format!("\n@'\n{CA}'@ | Set-Content")),
        "{script}"
    );
    assert!(
        script.ends_with("certutil -addstore -f Root \"registry-ca-registry.local-5000.crt\"\n")
    );
}

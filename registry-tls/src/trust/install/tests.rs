use super::super::Client;
use super::super::fixtures::{CA, CA_RENEWED, LEAF, LEAF_KEY, SECOND_CA, plan, target, target_of};
use super::*;

const DOCKER: &str = "etc/docker/certs.d/registry.local:5000/ca.crt";
const K3S: &str = "etc/rancher/k3s/registries.yaml";

/// A root with one file in it.
fn root_with(path: &str, text: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
    fs::write(path, text).expect("a file");
    root
}

fn read(root: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(root.path().join(path)).expect(path)
}

fn mode_of(path: &Path) -> u32 {
    let metadata = fs::metadata(path).expect("a file");
    metadata.permissions().mode() & 0o777
}

#[test]
fn a_second_time_changes_nothing_and_a_renewed_ca_replaces_ours() {
    let root = tempfile::tempdir().expect("a folder");
    let plan = plan(Client::Docker);
    let first = plan.install(root.path()).expect("installs");
    assert_eq!(first.written, [root.path().join(DOCKER)]);
    assert_eq!(mode_of(&first.written[0]), 0o644);

    let second = plan.install(root.path()).expect("installs");
    assert!(!second.changed());
    assert_eq!(second.unchanged, first.written);

    let renewed = Client::Docker.plan(&target_of(CA_RENEWED));
    assert!(renewed.install(root.path()).expect("installs").changed());
    assert!(read(&root, DOCKER).ends_with(CA_RENEWED));
    let folder = first.written[0].parent().expect("a parent");
    assert_eq!(fs::read_dir(folder).expect("a folder").count(), 1);
}

#[test]
fn the_same_ca_copied_by_hand_is_enough() {
    let root = root_with(DOCKER, CA);
    let installed = plan(Client::Docker).install(root.path()).expect("installs");
    assert!(!installed.changed());
    assert_eq!(read(&root, DOCKER), CA);
}

#[test]
fn a_foreign_file_stops_the_installation_before_anything_is_written() {
    let path = "etc/containerd/certs.d/registry.local:5000/ca.crt";
    let root = root_with(path, SECOND_CA);
    let error = plan(Client::Containerd).install(root.path());
    assert!(
        matches!(error, Err(InstallError::Foreign { .. })),
        "{error:?}"
    );
    assert_eq!(read(&root, path), SECOND_CA);
    let folder = root.path().join(path);
    let folder = fs::read_dir(folder.parent().expect("a parent")).expect("a folder");
    assert_eq!(folder.count(), 1);
}

#[test]
fn registries_yaml_of_the_user_is_kept_and_it_is_said_what_to_add() {
    let users = "# mine\nmirrors:\n  docker.io:\n";
    let root = root_with(K3S, users);
    let plan = plan(Client::K3s);
    let installed = plan.install(root.path()).expect("installs");
    assert_eq!(installed.written.len(), 1, "the CA");
    assert_eq!(read(&root, K3S), users);
    let told = installed.kept[0].to_string();
    assert!(
        told.contains("registries.yaml exists and was kept"),
        "{told}"
    );
    assert!(told.contains("\n  \"registry.local:5000\":\n"), "{told}");

    // Said in a comment it is not yet done.
    let commented = format!("{users}# {}", plan.files[1].shared[0]);
    fs::write(root.path().join(K3S), commented).expect("writes");
    assert_eq!(plan.install(root.path()).expect("installs").kept.len(), 1);

    let added = format!("{users}{}", installed.kept[0].missing);
    fs::write(root.path().join(K3S), &added).expect("writes");
    let again = plan.install(root.path()).expect("installs");
    assert!(again.kept.is_empty() && !again.changed());
    assert_eq!(read(&root, K3S), added);
}

#[test]
fn a_private_key_is_readable_by_its_owner_only() {
    let root = tempfile::tempdir().expect("a folder");
    let target = target().with_server(LEAF.as_bytes(), LEAF_KEY.as_bytes());
    let plan = Client::Kubernetes.plan(&target.expect("a pair"));
    let written = plan.install(root.path()).expect("installs").written;
    assert_eq!(
        written.iter().map(|path| mode_of(path)).collect::<Vec<_>>(),
        [0o644, 0o600]
    );

    fs::set_permissions(&written[1], Permissions::from_mode(0o644)).expect("a mode");
    assert!(!plan.install(root.path()).expect("installs").changed());
    assert_eq!(mode_of(&written[1]), 0o600);
}

#[test]
fn a_file_where_a_folder_should_be_is_named() {
    let root = root_with("etc/docker", "");
    let error = plan(Client::Docker)
        .install(root.path())
        .expect_err("fails");
    assert!(error.to_string().contains(DOCKER), "{error}");
}

#[test]
fn a_second_name_that_registries_yaml_lacks_is_not_taken_for_done() {
    let root = tempfile::tempdir().expect("a folder");
    let installed = plan(Client::K3s).install(root.path()).expect("installs");
    assert_eq!(installed.written.len(), 2);
    let both = target().also("10.0.0.1:5000".parse().expect("an address"));
    let plan = Client::K3s.plan(&both);
    let installed = plan.install(root.path()).expect("installs");
    assert!(installed.kept[0].missing.contains("10.0.0.1:5000"));

    // On a new node nothing is to be done by hand.
    let root = tempfile::tempdir().expect("a folder");
    let installed = plan.install(root.path()).expect("installs");
    assert_eq!((installed.written.len(), installed.kept.len()), (3, 0));
    let text = read(&root, K3S);
    assert_eq!(text.matches("configs:").count(), 1, "{text}");
    assert_eq!(text.matches("    tls:").count(), 2, "{text}");
}

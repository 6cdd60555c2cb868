use std::fs;

use super::*;

fn address(text: &str) -> RegistryAddress {
    text.parse().expect(text)
}

#[test]
fn no_proxy_is_read_as_go_reads_it() {
    for (exceptions, registry, expected) in [
        ("", "r.local:5000", false),
        ("", "localhost:5000", true),
        ("", "127.0.0.9:5000", true),
        ("", "[::1]:5000", true),
        ("*", "r.local", true),
        ("a, *", "10.0.0.1", true),
        ("r.local", "r.local:5000", true),
        ("R.Local", "r.local:5000", true),
        ("local", "r.local:5000", true),
        (".local", "r.local:5000", true),
        (".r.local", "r.local:5000", false),
        ("*.local", "r.local:5000", true),
        ("*.r.local", "r.local:5000", false),
        ("cal", "r.local:5000", false),
        ("r.local:5000", "r.local:5000", true),
        ("r.local:5001", "r.local:5000", false),
        ("r.local:443", "r.local", true),
        ("a,b, r.local ,c", "r.local", true),
        ("10.0.0.0/8", "10.1.2.3:5000", true),
        ("10.0.0.0/8", "11.1.2.3:5000", false),
        ("0.0.0.0/0", "11.1.2.3:5000", true),
        ("10.0.0.0/8", "r.local", false),
        ("10.0.0.0/33", "10.0.0.1", false),
        ("10.0.0.1", "10.0.0.1:5000", true),
        ("10.0.0.1:5000", "10.0.0.1:5000", true),
        ("10.0.0.1:5001", "10.0.0.1:5000", false),
        ("10.0.0", "10.0.0.1:5000", false),
        ("fd00::/8", "[fd00::1]:5000", true),
        ("fd00::1", "[fd00::1]:5000", true),
        ("[fd00::1]:5000", "[fd00::1]:5000", true),
        ("[fd00::1]:5001", "[fd00::1]:5000", false),
        (",,:5000,", "r.local:5000", false),
    ] {
        let passes = passes_by(exceptions, &address(registry));
        assert_eq!(passes, expected, "{exceptions:?} for {registry}");
    }
}

fn lines(root: &Path, variables: &[(&str, &str)], registry: &str) -> String {
    let mut machine = Machine::below(root);
    for (name, value) in variables {
        let (name, value) = ((*name).to_owned(), (*value).to_owned());
        machine.variables.insert(name, value);
    }
    let mut report = Report::default();
    check(&machine, &address(registry), &mut report);
    assert_eq!(report.errors(), 0);
    report.lines.join("\n")
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

#[test]
fn each_proxy_is_told_with_the_place_of_its_exceptions() {
    let root = tempfile::tempdir().expect("a folder");
    let root = root.path();
    assert_eq!(
        lines(root, &[], "r.local"),
        "ok: proxy: none is set for HTTPS"
    );

    let shell = [("https_proxy", "http://me:secret@proxy:3128")];
    let text = lines(root, &shell, "r.local");
    assert!(text.contains("this shell asks the registry through the proxy http://proxy:3128: "));
    assert!(!text.contains("secret"), "{text}");

    write(
        root,
        "etc/systemd/system/docker.service.d/p.conf",
        "[Service]\nEnvironment=\"HTTPS_PROXY=http://p:1\" \"NO_PROXY=a b,other.local\"\n",
    );
    let text = lines(root, &[], "r.local:5000");
    assert_eq!(
        text,
        "warning: proxy: docker's daemon asks the registry through the proxy http://p:1: if the \
         proxy does not know it, add r.local to NO_PROXY in \
         /etc/systemd/system/docker.service.d/p.conf, then systemctl daemon-reload && systemctl \
         restart docker"
    );
    let text = lines(root, &[], "other.local:5000");
    assert!(text.starts_with("ok: proxy: docker's daemon asks the registry without"));

    // This one has the last word.
    let json = r#"{"proxies": {"https-proxy": "http://q:1", "no-proxy": "r.local"}}"#;
    write(root, "etc/docker/daemon.json", json);
    let text = lines(root, &[], "r.local:5000");
    assert_eq!(
        text,
        "ok: proxy: docker's daemon asks the registry without the proxy http://q:1"
    );

    write(
        root,
        "etc/systemd/system/k3s-agent.service.env",
        "NO_PROXY=r.local\nCONTAINERD_HTTPS_PROXY='http://k:1'\nCONTAINERD_NO_PROXY=10.0.0.0/8\n",
    );
    let text = lines(root, &[], "r.local:5000");
    assert!(text.contains("warning: proxy: k3s asks the registry through the proxy http://k:1"));
    assert!(
        text.contains("/etc/systemd/system/k3s-agent.service.env, then"),
        "{text}"
    );
}

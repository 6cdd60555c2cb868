//! The first words of a registry that was started without any configuration.

use std::io::Write;
use std::net::SocketAddr;

/// Writes where everything is, and how to push a first image.
///
/// Nobody may be there to read it; that is no reason to fail.
pub(crate) fn write(mut to: impl Write, listening: SocketAddr, data: &str) {
    let text = format!(
        "\
pi-registry {version} listens on {url}, data in {data}

Push a first image with Docker:
  docker pull alpine
  docker tag alpine {host}/alpine
  docker push {host}/alpine
or with Podman:
  podman pull docker.io/library/alpine
  podman push --tls-verify=false docker.io/library/alpine {host}/alpine

",
        version = env!("CARGO_PKG_VERSION"),
        url = format_args!("http://{listening}"),
        // By this name both programs talk plain HTTP to it.
        host = format_args!("localhost:{}", listening.port()),
    );
    let _ = to.write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_can_be_copied() {
        let mut text = Vec::new();
        let listening = "127.0.0.1:5000".parse().expect("valid");
        write(&mut text, listening, "/home/pi/registry-data");
        let text = String::from_utf8(text).expect("text");
        assert!(
            text.contains("listens on http://127.0.0.1:5000, data in /home/pi/registry-data\n")
        );
        assert!(text.contains("\n  docker push localhost:5000/alpine\n"));
        assert!(text.contains("podman push --tls-verify=false"));
    }
}

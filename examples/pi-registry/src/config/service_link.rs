//! Variables that Kubernetes and old Docker links put into a container for a
//! neighbouring service.
//!
//! A Service called `registry` or `registry-auth` injects names such as
//! `REGISTRY_PORT=tcp://10.0.0.7:5000` or `REGISTRY_AUTH_SERVICE_HOST=10.0.0.7`,
//! which look like configuration and are none. Both the name and the value
//! must fit, so that a real key which ends in one of these words stays one.

use std::net::IpAddr;

/// Whether a variable is such a link. `rest` is the name after `REGISTRY_`.
pub(super) fn is_service_link(rest: &str, value: &str) -> bool {
    let rest = rest.to_ascii_uppercase();
    // The service's own name may come before, ended by an underscore.
    let segments: Vec<&str> = rest.split('_').collect();
    (0..segments.len()).any(|start| is_link(&segments[start..], value))
}

fn is_link(segments: &[&str], value: &str) -> bool {
    match segments {
        ["SERVICE", "HOST"] => is_address(value),
        // A named port adds its name, which may hold underscores.
        ["SERVICE", "PORT", ..] => is_port(value),
        ["PORT"] => is_url(value),
        ["PORT", port, protocol, rest @ ..] => {
            is_port(port)
                && is_protocol(protocol)
                && match rest {
                    [] => is_url(value),
                    ["ADDR"] => is_address(value),
                    ["PORT"] => is_port(value),
                    ["PROTO"] => is_protocol(value),
                    _ => false,
                }
        }
        _ => false,
    }
}

fn is_address(value: &str) -> bool {
    value.parse::<IpAddr>().is_ok()
}

fn is_port(value: &str) -> bool {
    value.parse::<u16>().is_ok()
}

fn is_protocol(value: &str) -> bool {
    ["tcp", "udp", "sctp"]
        .iter()
        .any(|known| value.eq_ignore_ascii_case(known))
}

fn is_url(value: &str) -> bool {
    value
        .split_once("://")
        .is_some_and(|(scheme, _)| is_protocol(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_kubernetes_are_recognised() {
        for (rest, value) in [
            ("PORT", "tcp://10.43.0.7:5000"),
            ("SERVICE_HOST", "10.43.0.7"),
            ("SERVICE_HOST", "fd00::7"),
            ("SERVICE_PORT", "5000"),
            ("SERVICE_PORT_HTTP_5000", "5000"),
            ("PORT_5000_TCP", "tcp://10.43.0.7:5000"),
            ("PORT_5000_TCP_ADDR", "10.43.0.7"),
            ("PORT_5000_TCP_PORT", "5000"),
            ("PORT_5000_TCP_PROTO", "tcp"),
            ("PORT_53_UDP_PROTO", "udp"),
            ("AUTH_PORT", "tcp://10.43.0.8:5001"),
            ("STORAGE_SERVICE_HOST", "10.43.0.9"),
            ("HTTP_PORT_80_TCP", "tcp://10.43.0.9:80"),
            ("MY_UI_SERVICE_PORT", "80"),
        ] {
            assert!(is_service_link(rest, value), "{rest}={value}");
        }
    }

    #[test]
    fn keys_that_look_alike_stay_keys() {
        for (rest, value) in [
            ("HTTP_ADDR", ":5000"),
            ("LOG_FIELDS_SERVICE", "registry"),
            ("AUTH_TOKEN_SERVICE", "registry.example"),
            ("LOG_FIELDS_PORT", "5000"),
            ("STORAGE_S3_PORT", "9000"),
            ("SERVICE_HOST", "example"),
            ("PORT_5000_TCP_ADDR", "example"),
        ] {
            assert!(!is_service_link(rest, value), "{rest}={value}");
        }
    }
}

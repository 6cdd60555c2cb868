//! `pi-registry doctor` as a program: its exit code is for scripts.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};

fn doctor(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pi-registry"))
        .arg("doctor")
        .args(arguments)
        .output()
        .expect("the program runs")
}

#[test]
fn errors_are_1_and_warnings_are_0() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound").to_string();
    let server = std::thread::spawn(move || {
        // A connection, the handshake on it, then plain HTTP.
        for _ in 0..2 {
            let (mut tcp, _) = listener.accept().expect("a connection");
            let _ = tcp.read(&mut [0; 4096]).expect("a request");
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .expect("written");
        }
    });
    let output = doctor(&[&address]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("warning: tls: "), "{text}");
    server.join().expect("no panic");

    // Nobody listens there any more.
    let output = doctor(&[&address]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("error: connect: "), "{text}");
}

#[test]
fn what_is_no_address_is_told_on_one_line() {
    for (arguments, code) in [(&["library/app"] as &[_], 1), (&[], 2)] {
        let output = doctor(arguments);
        assert_eq!(output.status.code(), Some(code));
        assert!(output.stdout.is_empty());
    }
    let output = doctor(&["r.local", "--ca", "/nonexistent/ca.crt"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("/nonexistent/ca.crt"), "{text}");
}

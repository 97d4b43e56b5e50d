use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::component::Component;
use super::control;
use super::layout::Layout;
use super::state::State;

/// How long a component may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(5);
/// How much of an answer is read; its first line is what counts.
const ANSWER_BYTES_MAX: u64 = 4096;
/// How much of a reason is kept.
const REASON_CHARS_MAX: usize = 300;

/// Returns how a component is; `Err` with what it says, or with why it says nothing.
pub(super) fn check(component: Component, layout: &Layout, state: &State) -> Result<(), String> {
    let ports = &state.ports;
    let local = |port: u16| format!("https://127.0.0.1:{port}");
    match component {
        Component::Etcd => http(ports.etcd_health, "/health"),
        Component::ApiServer => api(layout, &control::api_url(state), "/readyz"),
        Component::ControllerManager => api(layout, &local(ports.controllers), "/healthz"),
        Component::Scheduler => api(layout, &local(ports.scheduler), "/healthz"),
        Component::Containerd => containerd(layout),
        Component::Kubelet => http(ports.kubelet_health, "/healthz"),
        Component::Proxy => http(ports.proxy_health, "/healthz"),
        Component::Dns => http(ports.dns_health, "/health"),
    }
}

/// Asks over HTTPS as the administrator, with the kubectl of the cluster.
fn api(layout: &Layout, server: &str, path: &str) -> Result<(), String> {
    let mut command = kubectl(layout);
    command.args(["--server", server, "get", "--raw", path]);
    quiet(&mut command)
}

fn containerd(layout: &Layout) -> Result<(), String> {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(layout.containerd_socket()).args(["--timeout", "5s", "version"]);
    quiet(&mut command)
}

/// Returns the kubectl of the cluster, set to it, with bounded patience.
pub(super) fn kubectl(layout: &Layout) -> Command {
    let mut command = Command::new(layout.kubectl());
    command.arg("--kubeconfig").arg(layout.kubeconfig()).args(["--request-timeout", "5s"]);
    command.args(["--cache-dir".as_ref(), layout.path("configuration/kubectl").as_os_str()]);
    command
}

fn quiet(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(reason(&String::from_utf8_lossy(&output.stderr)))
}

/// Returns what people need of an error: the checks that failed, where the API server lists all of them, else its last line.
fn reason(errors: &str) -> String {
    let checks = errors.split("\\n").filter_map(|check| check.strip_prefix("[-]"));
    let failed = checks.map(|check| check.split(' ').next().unwrap_or(check)).collect::<Vec<_>>().join(", ");
    let last = || errors.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no answer");
    let text = if failed.is_empty() { last().to_owned() } else { format!("not yet: {failed}") };
    text.chars().take(REASON_CHARS_MAX).collect()
}

fn http(port: u16, path: &str) -> Result<(), String> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let answer = ask(address, path).map_err(|error| format!("http://{address}{path}: {error}"))?;
    match status(&answer) {
        Some(200) => Ok(()),
        Some(status) => Err(format!("http://{address}{path} answers {status}")),
        None => Err(format!("http://{address}{path} does not speak HTTP")),
    }
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

/// Returns the last lines of a log, each with its beginning, for people.
pub(super) fn tail(log: &Path) -> String {
    const LINES: usize = 12;
    const LINE_CHARS_MAX: usize = 240;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<String> = text.lines().map(|line| line.chars().take(LINE_CHARS_MAX).collect()).collect();
    lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn the_status_of_an_answer_is_read() {
        let check = |answer: &[u8], expected| assert_eq!(status(answer), expected);
        check(b"HTTP/1.1 200 OK\r\nDate: x\r\n\r\nok", Some(200));
        check(b"HTTP/1.0 503 Service Unavailable\r\n", Some(503));
        check(b"SSH-2.0\r\n", None);
        check(b"", None);
    }

    #[test]
    fn reasons_are_short() {
        let check = |errors: &str, expected: &str| assert_eq!(reason(errors), expected, "{errors}");
        check(
            r#"Error from server: an error on the server ("[+]ping ok\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\n[-]etcd failed\n[+]shutdown ok")"#,
            "not yet: poststarthook/rbac/bootstrap-roles, etcd",
        );
        check("warning\nThe connection was refused\n\n", "The connection was refused");
        check("", "no answer");
        assert_eq!(reason(&"a".repeat(1000)).len(), REASON_CHARS_MAX);
    }

    #[test]
    fn a_component_that_is_not_well_is_told_from_one_that_is() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            for status in ["200 OK", "500 Internal Server Error"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut lines = BufReader::new(&stream).lines();
                assert!(lines.any(|line| line.unwrap().is_empty()), "the request has an end");
                write!(stream, "HTTP/1.1 {status}\r\n\r\n").unwrap();
            }
        });
        assert_eq!(http(port, "/healthz"), Ok(()));
        assert!(http(port, "/healthz").unwrap_err().contains("answers 500"));
        server.join().unwrap();
        assert!(http(port, "/healthz").is_err(), "nobody listens");
    }

    #[test]
    fn the_end_of_a_log_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: Vec<String> = (0..40).map(|line| line.to_string()).collect();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        assert_eq!(tail(file.path()), lines[28..].join("\n"));
        assert_eq!(tail(Path::new("/nowhere/a.log")), "");
    }
}

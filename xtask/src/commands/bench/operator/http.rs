//! Calls over plain HTTP on loopback, which the processes of the bench answer with a length.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::Context as _;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Asks for a text.
pub(super) fn get(address: &str, path: &str) -> anyhow::Result<String> {
    call(address, &format!("GET {path} HTTP/1.1\r\n"), "")
}

/// Sends JSON with an admin token.
pub(super) fn post(address: &str, path: &str, token: &str, body: &str) -> anyhow::Result<String> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    call(address, &head, body)
}

fn call(address: &str, head: &str, body: &str) -> anyhow::Result<String> {
    let what = head.lines().next().unwrap_or_default().to_owned();
    let answer = exchange(address, head, body).with_context(|| format!("{what} at {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("{what} at {address}: no HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    anyhow::ensure!(status.starts_with('2'), "{what} at {address} answers {status}: {body}");
    Ok(body.to_owned())
}

fn exchange(address: &str, head: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{head}Host: {address}\r\nConnection: close\r\n\r\n{body}").as_bytes())?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(answer)
}

//! A provider that gives one answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Starts a provider and returns its address; it ends with the process.
pub(crate) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(answer(stream))));
    address
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let request: serde_json::Value = serde_json::from_slice(&body)?;
    let (kind, body) =
        if request["stream"] == true { ("text/event-stream", STREAM) } else { ("application/json", WHOLE) };
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

const WHOLE: &str = r#"{"id":"a1","object":"chat.completion","created":1,"model":"tiny-1","choices":[{"index":0,"message":{"role":"assistant","content":"billing, access"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#;

const STREAM: &str = concat!(
    r#"data: {"id":"a1","object":"chat.completion.chunk","created":1,"model":"tiny-1","choices":[{"index":0,"delta":{"role":"assistant","content":"billing"}}]}"#,
    "\n\n",
    r#"data: {"id":"a1","object":"chat.completion.chunk","created":1,"model":"tiny-1","choices":[{"index":0,"delta":{"content":", access"},"finish_reason":"stop"}]}"#,
    "\n\n",
    r#"data: {"id":"a1","object":"chat.completion.chunk","created":1,"model":"tiny-1","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15}}"#,
    "\n\ndata: [DONE]\n\n",
);

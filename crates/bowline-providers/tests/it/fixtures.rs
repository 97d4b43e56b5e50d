use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bowline_chat::openai_chat::{Envelope, StreamEncoder, decode_request, encode_response};
use bowline_chat::{DecodeError, StreamEvent};
use bowline_providers::{PROVIDERS, ProviderSpec};
use bowline_types::chain;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;

/// The cases that every provider has.
const REQUIRED: [&str; 13] = [
    "401.error.json",
    "429.error.json",
    "basic.response.json",
    "basic.stream.sse",
    "cut.stream.sse",
    "error.stream.sse",
    "malformed.response.json",
    "malformed.stream.sse",
    "refusal.response.json",
    "tools.response.json",
    "tools.stream.sse",
    "unknown.response.json",
    "usage.response.json",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Returns the files of a folder whose names contain `part`, in order.
fn cases(folder: &Path, part: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), path))
        .filter(|(name, path)| path.is_file() && name.contains(part) && !name.ends_with(".snap"))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Returns every streamed case of a provider.
pub(crate) fn streams(spec: &ProviderSpec) -> Vec<(String, Vec<u8>)> {
    cases(&root().join(spec.kind), ".stream.")
}

fn check(spec: &ProviderSpec, case: &str, found: &str) {
    let name = case.rsplit_once('.').map_or(case, |(name, _)| name);
    insta::with_settings!({
        snapshot_path => root().join(spec.kind),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, found);
    });
}

fn envelope() -> Envelope {
    Envelope { id: "inf_1".to_owned(), model: "fast".to_owned(), created: 1_790_000_000 }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

fn failure(error: &DecodeError) -> String {
    match error {
        DecodeError::Upstream(error) => format!("the provider failed: {error:#?}"),
        error => chain(error),
    }
}

#[test]
fn table_and_folders_are_the_same() {
    let folders = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
    let folders: BTreeSet<_> = folders.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let kinds: BTreeSet<_> = PROVIDERS.iter().map(|spec| spec.kind.to_owned()).collect();
    assert_eq!(folders, kinds);
    for spec in PROVIDERS {
        let folder = root().join(spec.kind);
        let missing: Vec<_> = REQUIRED.iter().filter(|case| !folder.join(case).is_file()).collect();
        assert!(missing.is_empty(), "{}: {missing:?}", spec.kind);
        assert!(folder.join("SOURCE.md").is_file(), "{}", spec.kind);
    }
}

#[test]
fn shared_requests_are_written_for_every_provider() {
    for (case, body) in cases(&root(), ".request.json") {
        let request = decode_request(&body).unwrap();
        for spec in PROVIDERS {
            let found = match spec.encode_request(&request, "upstream-model") {
                Err(error) => format!("refused: {error}"),
                Ok(wire) => {
                    let mut found =
                        format!("POST {}\n{}\n", wire.path, pretty(&serde_json::from_slice(&wire.body).unwrap()));
                    for note in wire.notes {
                        writeln!(found, "note: {}: {}", note.parameter, note.change).unwrap();
                    }
                    found
                }
            };
            check(spec, &case, &found);
        }
    }
}

#[test]
fn answers_are_read_and_written_for_a_client() {
    for spec in PROVIDERS {
        for (case, body) in cases(&root().join(spec.kind), ".response.json") {
            let found = match spec.decode_response(&body) {
                Err(error) => failure(&error),
                Ok(response) => {
                    let client = encode_response(&response, &envelope());
                    let client = client.map_or_else(|error| format!("refused: {error}"), |body| pretty(&body));
                    format!("{response:#?}\n\n{client}")
                }
            };
            check(spec, &case, &found);
        }
    }
}

#[test]
fn streams_are_read_and_written_for_a_client() {
    for spec in PROVIDERS {
        for (case, body) in streams(spec) {
            let mut decoder = spec.stream_decoder();
            let mut events = decoder.push(&body);
            events.extend(decoder.finish());
            let mut encoder = StreamEncoder::new(envelope(), true);
            let mut client = Vec::new();
            let refused = events.iter().find_map(|event| encoder.encode(event, &mut client).err());
            let mut found = String::new();
            for event in &events {
                writeln!(found, "{event:?}").unwrap();
            }
            writeln!(found, "\n{}", String::from_utf8(client).unwrap()).unwrap();
            if let Some(error) = refused {
                writeln!(found, "refused: {error}").unwrap();
            }
            let is_whole = matches!(events.last(), Some(StreamEvent::End | StreamEvent::Error(_)));
            assert_eq!(is_whole, !case.starts_with("cut."), "{}/{case}", spec.kind);
            check(spec, &case, &found);
        }
    }
}

#[test]
fn failed_calls_are_read() {
    for spec in PROVIDERS {
        for (case, recorded) in cases(&root().join(spec.kind), ".error.json") {
            let recorded: Value = serde_json::from_slice(&recorded).unwrap();
            let pair = |(name, value): (&String, &Value)| {
                (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value.as_str().unwrap()).unwrap())
            };
            let headers: HeaderMap = recorded["headers"].as_object().unwrap().iter().map(pair).collect();
            let status = recorded["status"].as_u64().unwrap().try_into().unwrap();
            let error = spec.decode_error(status, &headers, recorded["body"].as_str().unwrap().as_bytes());
            check(spec, &case, &format!("{error:#?}"));
        }
    }
}

use std::collections::BTreeMap;

use bowline_types::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// The predicate of a plain signature, as cosign 3 writes it: an empty object
/// (`pkg/types/predicate.go` of github.com/sigstore/cosign/v3 v3.1.3, read 2026-11-25).
pub const COSIGN_SIGN: &str = "https://sigstore.dev/cosign/sign/v1";

const TYPE: &str = "https://in-toto.io/Statement/v1";
/// What cosign's `attest` writes, and what is read too.
const TYPE_OF_BEFORE: &str = "https://in-toto.io/Statement/v0.1";

/// A statement of in-toto: something that is said of artifacts.
///
/// <https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md>, read 2026-11-25:
/// `{"_type", "subject": [{"name", "digest": {"sha256"}}], "predicateType", "predicate"}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// The type of the statement.
    #[serde(rename = "_type")]
    kind: String,
    /// What it is about.
    pub subject: Vec<Subject>,
    /// What kind of thing is said.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said.
    #[serde(default)]
    pub predicate: Value,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// A name, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Digests by algorithm, in hexadecimal digits.
    pub digest: BTreeMap<String, String>,
}

// === impl Statement ===

impl Statement {
    /// Says something of the artifact that has this digest.
    #[must_use]
    pub fn new(of: Digest, predicate_type: &str, predicate: Value) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), of.hex())]);
        let subject = vec![Subject { name: None, digest }];
        Self { kind: TYPE.to_owned(), subject, predicate_type: predicate_type.to_owned(), predicate }
    }

    /// Returns the plain signature of the artifact that has this digest.
    #[must_use]
    pub fn signature(of: Digest) -> Self {
        Self::new(of, COSIGN_SIGN, Value::Object(serde_json::Map::new()))
    }

    /// Returns whether the statement is about the artifact that has this digest.
    #[must_use]
    pub fn is_about(&self, digest: Digest) -> bool {
        let hex = digest.hex();
        self.subject
            .iter()
            .any(|subject| subject.digest.get("sha256").is_some_and(|found| found.eq_ignore_ascii_case(&hex)))
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let refused = |reason: String| Error::Statement { reason };
        let statement: Self = serde_json::from_slice(bytes).map_err(|error| refused(error.to_string()))?;
        match statement.kind.as_str() {
            TYPE | TYPE_OF_BEFORE => Ok(statement),
            other => Err(refused(format!("its type is `{other}`"))),
        }
    }

    pub(crate) fn write(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| Error::Statement { reason: error.to_string() })
    }
}

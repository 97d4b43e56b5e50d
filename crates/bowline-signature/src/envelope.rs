//! A statement in a DSSE envelope in a Sigstore bundle.
//!
//! <https://github.com/secure-systems-lab/dsse/blob/master/envelope.md> and
//! <https://github.com/sigstore/protobuf-specs/blob/main/protos/sigstore_bundle.proto>, read 2026-11-25:
//! `{"mediaType", "verificationMaterial": {"publicKey": {"hint"}}, "dsseEnvelope": {"payload", "payloadType", "signatures": [{"sig"}]}}`,
//! bytes in base 64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, PrivateKey, PublicKey, Result, Statement};

/// The media type of a Sigstore bundle, which is also the artifact type of the referrer that carries it.
pub const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// The annotation of a referrer that says what kind of statement it carries, as cosign writes it.
pub const PREDICATE_ANNOTATION: &str = "dev.sigstore.bundle.predicateType";

/// Bundles of before version 0.3, with other names of the same content.
const MEDIA_TYPES_READ: [&str; 2] = [MEDIA_TYPE, "application/vnd.dev.sigstore.bundle+json;version=0.3"];

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What a signature that holds says, and by which key.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// The statement.
    pub statement: Statement,
    /// The place of the key among those that were tried.
    pub key: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SigstoreBundle {
    media_type: String,
    verification_material: Value,
    dsse_envelope: Option<Envelope>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signature>,
}

#[derive(Serialize, Deserialize)]
struct Signature {
    sig: String,
}

/// Signs a statement and returns the Sigstore bundle, as JSON.
///
/// # Errors
/// Fails where the statement has no JSON form.
pub fn sign(statement: &Statement, key: &PrivateKey) -> Result<Vec<u8>> {
    let payload = statement.write()?;
    let signature = key.sign(&pre_authentication(PAYLOAD_TYPE, &payload));
    let bundle = SigstoreBundle {
        media_type: MEDIA_TYPE.to_owned(),
        verification_material: serde_json::json!({ "publicKey": { "hint": key.public()?.hint() } }),
        dsse_envelope: Some(Envelope {
            payload: STANDARD.encode(&payload),
            payload_type: PAYLOAD_TYPE.to_owned(),
            signatures: vec![Signature { sig: STANDARD.encode(signature) }],
        }),
    };
    serde_json::to_vec(&bundle).map_err(|error| Error::Bundle { reason: error.to_string() })
}

/// Verifies a Sigstore bundle with any of `keys`, and returns what it says. The caller must ask what the statement is about.
///
/// Only key pairs are known: a bundle with a certificate is verified where its key is among `keys`, and its transparency log is not asked.
///
/// # Errors
/// Refuses what is no such bundle, and a signature of no key among them.
pub fn verify(bundle: &[u8], keys: &[PublicKey]) -> Result<Verified> {
    let refused = |reason: String| Error::Bundle { reason };
    let bundle: SigstoreBundle = serde_json::from_slice(bundle).map_err(|error| refused(error.to_string()))?;
    if !MEDIA_TYPES_READ.contains(&bundle.media_type.as_str()) {
        return Err(refused(format!("its media type is `{}`", bundle.media_type)));
    }
    let envelope = bundle.dsse_envelope.ok_or_else(|| refused("it has no DSSE envelope".to_owned()))?;
    if envelope.payload_type != PAYLOAD_TYPE {
        return Err(refused(format!("its payload is `{}`", envelope.payload_type)));
    }
    let [signature] = envelope.signatures.as_slice() else {
        return Err(refused(format!("it has {} signatures, not one", envelope.signatures.len())));
    };
    let bytes = |text: &str| STANDARD.decode(text).map_err(|error| refused(error.to_string()));
    let (payload, signature) = (bytes(&envelope.payload)?, bytes(&signature.sig)?);
    let message = pre_authentication(PAYLOAD_TYPE, &payload);
    let key = keys.iter().position(|key| key.verify(&message, &signature).is_ok()).ok_or(Error::Key)?;
    // Nothing of the payload is read before its signature holds.
    Ok(Verified { statement: Statement::read(&payload)?, key })
}

/// Returns what is signed: DSSE's pre-authentication encoding, so that a payload cannot be taken for one of another type.
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len());
    [head.as_bytes(), payload].concat()
}

#[cfg(test)]
mod tests {
    use bowline_types::Digest;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_signed_is_verified() {
        let (ours, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
        let statement = Statement::new(Digest::of(b"bundle"), "https://bowline.dev/eval-report/v1", json!({"a": [1]}));
        let bundle = sign(&statement, &ours).unwrap();
        assert_eq!(bundle, sign(&statement, &ours).unwrap(), "signing again makes nothing new");
        let keys = [other.public().unwrap(), ours.public().unwrap()];
        let verified = verify(&bundle, &keys).unwrap();
        assert_eq!(verified, Verified { statement, key: 1 });
        assert!(verified.statement.is_about(Digest::of(b"bundle")));
        assert!(!verified.statement.is_about(Digest::of(b"another")));
        assert!(matches!(verify(&bundle, &keys[..1]), Err(Error::Key)));
        assert!(matches!(verify(&bundle, &[]), Err(Error::Key)));
    }

    /// Checks that a bundle in which something was replaced is refused.
    fn check(path: &[&str], value: Value, expected: &str) {
        let key = PrivateKey::generate().unwrap();
        let bundle = sign(&Statement::signature(Digest::of(b"bundle")), &key).unwrap();
        let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
        let pointer = path.iter().map(|part| format!("/{part}")).collect::<String>();
        *bundle.pointer_mut(&pointer).unwrap() = value;
        let error = verify(&serde_json::to_vec(&bundle).unwrap(), &[key.public().unwrap()]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_was_changed_is_refused() {
        let other = Statement::signature(Digest::of(b"another")).write().unwrap();
        check(&["dsseEnvelope", "payload"], STANDARD.encode(other).into(), "not made with this key");
        check(&["dsseEnvelope", "payloadType"], "text/plain".into(), "payload is `text/plain`");
        check(&["dsseEnvelope", "signatures", "0", "sig"], "AAAA".into(), "not made with this key");
        check(&["dsseEnvelope", "signatures", "0", "sig"], "%".into(), "not a Sigstore bundle");
        check(&["dsseEnvelope", "signatures"], json!([]), "0 signatures");
        check(&["dsseEnvelope"], Value::Null, "no DSSE envelope");
        check(&["mediaType"], "application/json".into(), "media type");
    }

    #[test]
    fn the_encoding_is_that_of_dsse() {
        // The example of <https://github.com/secure-systems-lab/dsse/blob/master/protocol.md>, "Test Vectors".
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}

use super::*;

/// Made with cosign 3.1.3, see `fixtures/cosign/SOURCE.md`.
const KEY: &str = include_str!("../../fixtures/cosign/cosign.key");
const PUBLIC: &str = include_str!("../../fixtures/cosign/cosign.pub");
const PASSWORD: &str = "correct-horse";

fn password(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn keys_of_cosign_are_read() {
    let key = PrivateKey::from_pem(KEY, &password(PASSWORD)).unwrap();
    let public = PublicKey::from_pem(PUBLIC).unwrap();
    assert_eq!(key.public().unwrap(), public);
    assert_eq!(public.to_pem().unwrap(), PUBLIC);
    public.verify(b"message", &key.sign(b"message")).unwrap();
    assert!(matches!(public.verify(b"another", &key.sign(b"message")), Err(Error::Key)));
}

#[test]
fn keys_are_sealed_and_opened() {
    let key = PrivateKey::generate().unwrap();
    let pem = key.to_pem(&password("a")).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n"), "{pem}");
    assert_eq!(PrivateKey::from_pem(&pem, &password("a")).unwrap().public().unwrap(), key.public().unwrap());
    assert!(matches!(PrivateKey::from_pem(&pem, &password("b")), Err(Error::Password)));
    assert_ne!(PrivateKey::generate().unwrap().public().unwrap(), key.public().unwrap());
}

/// Checks why a text is no private key.
fn check(pem: &str, expected: &str) {
    let error = PrivateKey::from_pem(pem, &password(PASSWORD)).unwrap_err().to_string();
    assert!(error.contains(expected) && error.contains("hint: "), "{error}");
}

#[test]
fn other_texts_are_refused() {
    check("", "not a private key of cosign");
    check(PUBLIC, "its label is `PUBLIC KEY`");
    let sealed =
        |json: &str| pem_rfc7468::encode_string(LABELS[0], pem_rfc7468::LineEnding::LF, json.as_bytes()).unwrap();
    check(&sealed("{}"), "missing field");
    let (_, json) = pem_rfc7468::decode_vec(KEY.as_bytes()).unwrap();
    let json = String::from_utf8(json).unwrap();
    assert!(json.contains("\"N\":65536"), "{json}");
    check(&sealed(&json.replace("\"N\":65536", "\"N\":1073741824")), "scrypt with N=1073741824");
    check(&sealed(&json.replace("nacl/secretbox", "rot13")), "sealed with scrypt and rot13");
    assert!(PublicKey::from_pem(KEY).is_err());
    assert!(PublicKey::from_pem("nothing").is_err());
}

#[test]
fn private_keys_do_not_show() {
    let key = PrivateKey::from_pem(KEY, &password(PASSWORD)).unwrap();
    assert_eq!(format!("{key:?}"), "PrivateKey(…)");
}

use bowline_delivery::Signing;
use bowline_gateway::Secrets as _;
use bowline_signature::{PrivateKey, PublicKey};
use bowline_types::{Secret, SecretRef};

use crate::cli::KeyPlace;
use crate::failure::{Failure, Result};
use crate::settings::ProcessSecrets;

/// Where cosign looks for the password of a key.
pub(crate) const PASSWORD: &str = "COSIGN_PASSWORD";

/// Opens a key to sign with.
///
/// # Errors
/// It is not there, is none, or has another password.
pub(crate) fn signing(place: &KeyPlace, password: Option<&SecretRef>) -> Result<Signing> {
    let pem = secret(&place.0, "key")?;
    let key = PrivateKey::from_pem(pem.expose(), &key_password(password)?)?;
    Ok(Signing { key, predicates: Vec::new() })
}

/// Reads a public key.
///
/// # Errors
/// It is not there, or is none.
pub(crate) fn public_key(place: &KeyPlace) -> Result<PublicKey> {
    Ok(PublicKey::from_pem(secret(&place.0, "public key")?.expose())?)
}

/// Returns the password of a key: that of the reference, else cosign's variable, else the empty one.
pub(crate) fn key_password(place: Option<&SecretRef>) -> Result<Secret> {
    match place {
        Some(place) => secret(place, "password"),
        None => {
            let found = ProcessSecrets.resolve(&SecretRef::Env(PASSWORD.to_owned()));
            Ok(found.unwrap_or_else(|| Secret::new(String::new())))
        }
    }
}

/// Reads a key or password.
fn secret(place: &SecretRef, noun: &str) -> Result<Secret> {
    ProcessSecrets.resolve(place).ok_or_else(|| Failure::user(format!("there is no {noun} at {place}")))
}

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_types::{Digest, Secret};
use p256::SecretKey;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding,
};
use zeroize::Zeroizing;

use crate::{Error, Result, sealed};

/// The label of a private key that cosign made, and the one of before version 2.
const LABELS: [&str; 2] = ["ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY"];

/// A private key: ECDSA on the curve P-256, as cosign makes them. `Debug` shows none of it.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// A public key: ECDSA on the curve P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    /// The SubjectPublicKeyInfo in DER.
    der: Vec<u8>,
}

// === impl PrivateKey ===

impl PrivateKey {
    /// Makes a key.
    ///
    /// # Errors
    /// Fails where the operating system has no randomness.
    pub fn generate() -> Result<Self> {
        loop {
            let mut bytes = Zeroizing::new([0; 32]);
            getrandom::fill(bytes.as_mut_slice()).map_err(Error::Randomness)?;
            // Zero and what exceeds the order of the curve, one in 2^32, are no keys.
            if let Ok(key) = SecretKey::from_slice(bytes.as_slice()) {
                return Ok(Self(key.into()));
            }
        }
    }

    /// Opens the PEM of `cosign.key`.
    ///
    /// # Errors
    /// Refuses other text, and a wrong password.
    pub fn from_pem(pem: &str, password: &Secret) -> Result<Self> {
        let refused = |reason: String| Error::PrivateKey { reason };
        let (label, sealed) =
            pem_rfc7468::decode_vec(pem.trim().as_bytes()).map_err(|error| refused(error.to_string()))?;
        if !LABELS.contains(&label) {
            return Err(refused(format!("its label is `{label}`")));
        }
        let plain = sealed::open(&sealed, password.expose().as_bytes())?;
        let key = SecretKey::from_pkcs8_der(&plain).map_err(|error| refused(error.to_string()))?;
        Ok(Self(key.into()))
    }

    /// Returns the PEM for `cosign.key`, sealed with a password; an empty one protects nothing.
    ///
    /// # Errors
    /// Fails where the operating system has no randomness.
    pub fn to_pem(&self, password: &Secret) -> Result<String> {
        let refused = |reason: String| Error::PrivateKey { reason };
        let plain = self.0.to_pkcs8_der().map_err(|error| refused(error.to_string()))?;
        let sealed = sealed::seal(plain.as_bytes(), password.expose().as_bytes())?;
        pem_rfc7468::encode_string(LABELS[0], pem_rfc7468::LineEnding::LF, &sealed)
            .map_err(|error| refused(error.to_string()))
    }

    /// Returns the public half.
    ///
    /// # Errors
    /// None happens: every point of the curve has an encoding.
    pub fn public(&self) -> Result<PublicKey> {
        PublicKey::new(*self.0.verifying_key())
    }

    /// Signs a message, in DER. The same message has the same signature (RFC 6979), so signing again makes no second artifact.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature: DerSignature = self.0.sign(message);
        signature.as_bytes().to_vec()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

// === impl PublicKey ===

impl PublicKey {
    fn new(key: VerifyingKey) -> Result<Self> {
        let der = key.to_public_key_der().map_err(|error| Error::PublicKey { reason: error.to_string() })?;
        Ok(Self { key, der: der.into_vec() })
    }

    /// Reads the PEM of `cosign.pub`.
    ///
    /// # Errors
    /// Refuses other text and other kinds of keys.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = VerifyingKey::from_public_key_pem(pem.trim());
        Self::new(key.map_err(|error| Error::PublicKey { reason: error.to_string() })?)
    }

    /// Returns the PEM for `cosign.pub`.
    ///
    /// # Errors
    /// None happens: every point of the curve has an encoding.
    pub fn to_pem(&self) -> Result<String> {
        self.key.to_public_key_pem(LineEnding::LF).map_err(|error| Error::PublicKey { reason: error.to_string() })
    }

    /// Returns how people and logs name the key: the digest of its DER.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&self.der)
    }

    /// Returns how a Sigstore bundle hints at the key: its fingerprint in base 64, as cosign writes it.
    pub(crate) fn hint(&self) -> String {
        STANDARD.encode(self.fingerprint().as_bytes())
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<()> {
        let signature = DerSignature::try_from(signature).map_err(|_| Error::Key)?;
        self.key.verify(message, &signature).map_err(|_| Error::Key)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests;

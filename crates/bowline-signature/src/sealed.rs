//! How cosign keeps a private key: a key from the password by scrypt, and NaCl's secretbox over the PKCS #8 of the private key.
//!
//! <https://github.com/secure-systems-lab/go-securesystemslib/blob/main/encrypted/encrypted.go>, read 2026-11-25:
//! `{"kdf":{"name":"scrypt","params":{"N","r","p"},"salt"},"cipher":{"name":"nacl/secretbox","nonce"},"ciphertext"}`, bytes in base 64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::aead::Aead as _;
use crypto_secretbox::{KeyInit as _, XSalsa20Poly1305};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Error, Result};

const SCRYPT: &str = "scrypt";
const SECRETBOX: &str = "nacl/secretbox";
/// The exponents of N that are read: any other could make the reader work for hours.
const LOG_N: std::ops::RangeInclusive<u8> = 15..=17;
/// The one that is written: what cosign writes.
const LOG_N_WRITTEN: u8 = 16;
const R: u32 = 8;
const P: u32 = 1;
const SALT_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

#[derive(Serialize, Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Serialize, Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Serialize, Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Serialize, Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// Seals bytes with a password.
pub(crate) fn seal(plain: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    getrandom::fill(&mut salt).map_err(Error::Randomness)?;
    getrandom::fill(&mut nonce).map_err(Error::Randomness)?;
    let key = derive(password, &salt, LOG_N_WRITTEN)?;
    let sealed = XSalsa20Poly1305::new((&*key).into()).encrypt((&nonce).into(), plain);
    let sealed = Sealed {
        kdf: Kdf {
            name: SCRYPT.to_owned(),
            params: Params { n: 1 << LOG_N_WRITTEN, r: R, p: P },
            salt: STANDARD.encode(salt),
        },
        cipher: Cipher { name: SECRETBOX.to_owned(), nonce: STANDARD.encode(nonce) },
        ciphertext: STANDARD.encode(sealed.map_err(|_| refused("it is too long"))?),
    };
    serde_json::to_vec(&sealed).map_err(|error| refused(error.to_string()))
}

/// Opens what was sealed.
pub(crate) fn open(sealed: &[u8], password: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let sealed: Sealed = serde_json::from_slice(sealed).map_err(|error| refused(error.to_string()))?;
    if sealed.kdf.name != SCRYPT || sealed.cipher.name != SECRETBOX {
        return Err(refused(format!("sealed with {} and {}", sealed.kdf.name, sealed.cipher.name)));
    }
    let Params { n, r, p } = sealed.kdf.params;
    let log_n = LOG_N.into_iter().find(|log_n| n == 1 << log_n).filter(|_| r == R && p == P);
    let log_n = log_n.ok_or_else(|| refused(format!("scrypt with N={n}, r={r}, p={p} is not what cosign uses")))?;
    let bytes = |text: &str| STANDARD.decode(text).map_err(|error| refused(error.to_string()));
    let nonce: [u8; NONCE_BYTES] =
        bytes(&sealed.cipher.nonce)?.try_into().map_err(|_| refused("the nonce is short"))?;
    let key = derive(password, &bytes(&sealed.kdf.salt)?, log_n)?;
    let cipher = XSalsa20Poly1305::new((&*key).into());
    let plain = cipher.decrypt((&nonce).into(), bytes(&sealed.ciphertext)?.as_slice());
    plain.map(Zeroizing::new).map_err(|_| Error::Password)
}

fn derive(password: &[u8], salt: &[u8], log_n: u8) -> Result<Zeroizing<[u8; 32]>> {
    let parameters = scrypt::Params::new(log_n, R, P).map_err(|error| refused(error.to_string()))?;
    let mut key = Zeroizing::new([0; 32]);
    scrypt::scrypt(password, salt, &parameters, key.as_mut_slice()).map_err(|error| refused(error.to_string()))?;
    Ok(key)
}

fn refused(reason: impl Into<String>) -> Error {
    Error::PrivateKey { reason: reason.into() }
}

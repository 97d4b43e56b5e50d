use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::digest::{Digest, hex, unhex};
use crate::name::Subject;

/// Text that is not an id of the kind asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not an id (expected `{prefix}` and 32 hexadecimal digits)")]
pub struct IdParseError {
    text: String,
    prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident, $prefix:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// A typed prefix and a UUIDv7 in 32 hexadecimal digits, so ids sort by the time they were made.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id, unique on every machine, that sorts by `now`.
            #[must_use]
            pub fn generate(now: Timestamp) -> Self {
                Self(uuid_at(now))
            }

            /// Returns the id of the UUID given.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdParseError;

            fn from_str(text: &str) -> Result<Self, IdParseError> {
                let bytes = text.strip_prefix($prefix).and_then(unhex).and_then(|bytes| bytes.try_into().ok());
                let uuid = bytes.map(|bytes| Self(Uuid::from_bytes(bytes)));
                uuid.ok_or_else(|| IdParseError { text: text.to_owned(), prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// One served call.
    InferenceId, "inf_";
    /// One piece of evidence about an inference.
    OutcomeId, "out_";
    /// One rollout.
    RolloutId, "rol_";
    /// One virtual key; not the key itself.
    KeyId, "key_";
    /// One process that writes records, so that its counters of losses can be told apart.
    InstanceId, "ins_";
}

fn uuid_at(now: Timestamp) -> Uuid {
    let micros = u64::try_from(now.as_micros()).unwrap_or(0);
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, micros / 1_000_000, nanos))
}

/// An inference id as an application sees it: the id and a MAC that binds it to the key that made the call.
///
/// Written `inf_<32 digits>_<16 digits>`. Feedback by another key fails [`InferenceToken::verify`], so nobody judges
/// another's calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct InferenceToken {
    /// The inference.
    pub inference: InferenceId,
    mac: [u8; 8],
}

/// The secret under the MAC of [`InferenceToken`]: 32 random bytes, one per installation.
#[derive(Clone)]
pub struct TokenSecret([u8; 32]);

// === impl InferenceToken ===

impl InferenceToken {
    /// Binds an inference to the key that made it.
    #[must_use]
    pub fn new(secret: &TokenSecret, inference: InferenceId, key: KeyId) -> Self {
        Self { inference, mac: secret.mac(inference, key) }
    }

    /// Returns whether `key` made the call.
    #[must_use]
    pub fn verify(&self, secret: &TokenSecret, key: KeyId) -> bool {
        secret.mac(self.inference, key).ct_eq(&self.mac).into()
    }
}

impl fmt::Display for InferenceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.inference, hex(&self.mac))
    }
}

impl fmt::Debug for InferenceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.inference, f)
    }
}

impl FromStr for InferenceToken {
    type Err = IdParseError;

    fn from_str(text: &str) -> Result<Self, IdParseError> {
        let error = || IdParseError { text: text.to_owned(), prefix: "inf_" };
        let (inference, mac) = text.rsplit_once('_').ok_or_else(error)?;
        let mac = unhex(mac).and_then(|mac| mac.try_into().ok()).ok_or_else(error)?;
        Ok(Self { inference: inference.parse().map_err(|_| error())?, mac })
    }
}

// === impl TokenSecret ===

impl TokenSecret {
    /// Makes a new secret from the operating system's randomness.
    ///
    /// # Errors
    /// Fails where the operating system has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Returns the secret that [`TokenSecret::expose`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text.trim()).and_then(|bytes| bytes.try_into().ok()).map(Self)
    }

    /// Returns the secret as 64 hexadecimal digits, for the one file that keeps it.
    #[must_use]
    pub fn expose(&self) -> String {
        hex(&self.0)
    }

    fn mac(&self, inference: InferenceId, key: KeyId) -> [u8; 8] {
        // HMAC takes a key of any length (RFC 2104, section 2), so this never returns early.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return [0; 8] };
        mac.update(b"bowline/inference-token/1\n");
        mac.update(inference.uuid().as_bytes());
        mac.update(key.uuid().as_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let mut short = [0; 8];
        short.copy_from_slice(&bytes[..8]);
        short
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret(…)")
    }
}

/// A virtual key in the clear: `bwl_` and 64 hexadecimal digits of randomness. Shown once; `Debug` shows none of it.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// What is kept of a virtual key: its SHA-256. A key has 256 random bits, so a plain hash is enough.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ApiKeyHash(Digest);

// === impl ApiKeyHash ===

impl ApiKeyHash {
    /// Returns what stands in the place of the hash where a key is no secret but belongs to a subject. It is unique, and no text that could be
    /// sent as a key has it: it is the digest of a text that is none.
    #[must_use]
    pub fn of_subject(key: KeyId, subject: &Subject) -> Self {
        Self(Digest::of(format!("bowline/key-of-subject/1\n{key}\n{subject}").as_bytes()))
    }
}

/// Text that is not a virtual key; not repeated, as it may be another secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a Bowline key (expected `bwl_` and 64 hexadecimal digits)")]
pub struct ApiKeyParseError;

// === impl ApiKey ===

impl ApiKey {
    /// Makes a new key from the operating system's randomness.
    ///
    /// # Errors
    /// Fails where the operating system has none.
    pub fn generate() -> Result<Self, getrandom::Error> {
        TokenSecret::generate().map(|secret| Self(format!("bwl_{}", secret.expose())))
    }

    /// Returns the key, for the one place that shows or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns what is kept of it.
    #[must_use]
    pub fn hash(&self) -> ApiKeyHash {
        ApiKeyHash(Digest::of(self.0.as_bytes()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyParseError;

    fn from_str(text: &str) -> Result<Self, ApiKeyParseError> {
        let valid = text.strip_prefix("bwl_").and_then(unhex).is_some_and(|bytes| bytes.len() == 32);
        if valid { Ok(Self(text.to_owned())) } else { Err(ApiKeyParseError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_round_trip() {
        let early = InferenceId::generate(Timestamp::from_micros(1_790_000_000_000_000));
        let late = InferenceId::generate(Timestamp::from_micros(1_790_000_000_002_000));
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!(early.to_string().parse::<KeyId>().is_err());
    }

    #[test]
    fn tokens_belong_to_one_key() {
        let now = Timestamp::from_micros(1_790_000_000_000_000);
        let secret = TokenSecret::generate().unwrap();
        let (mine, other) = (KeyId::generate(now), KeyId::generate(now));
        let token = InferenceToken::new(&secret, InferenceId::generate(now), mine);
        let token: InferenceToken = token.to_string().parse().unwrap();
        assert!(token.verify(&secret, mine));
        assert!(!token.verify(&secret, other));
        assert!(!token.verify(&TokenSecret::generate().unwrap(), mine));
    }

    #[test]
    fn keys_parse_and_do_not_show() {
        let key = ApiKey::generate().unwrap();
        assert_eq!(key.expose().parse(), Ok(key.clone()));
        assert_eq!(format!("{key:?}"), "ApiKey(…)");
        assert!("sk-live".parse::<ApiKey>().is_err());
    }
}

/// The result of an operation on signatures.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a key, a signature or an attestation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text holds no private key of cosign.
    #[error(
        "not a private key of cosign: {reason}\nhint: `bowline bundle key generate` and `cosign generate-key-pair` make one"
    )]
    PrivateKey {
        /// What is wrong.
        reason: String,
    },
    /// The password does not open the private key.
    #[error("the password does not open the private key\nhint: --key-password env:NAME or file:PATH says where it is")]
    Password,
    /// The text holds no public key that is known here.
    #[error("not a public key: {reason}\nhint: it is the PEM in `cosign.pub`, of an ECDSA key on the curve P-256")]
    PublicKey {
        /// What is wrong.
        reason: String,
    },
    /// The document is no Sigstore bundle with a DSSE envelope.
    #[error("not a Sigstore bundle: {reason}")]
    Bundle {
        /// What is wrong.
        reason: String,
    },
    /// The signature was not made by the key.
    #[error("the signature was not made with this key")]
    Key,
    /// The statement cannot be read, or written.
    #[error("the statement is not one of in-toto: {reason}")]
    Statement {
        /// What is wrong.
        reason: String,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system has no randomness")]
    Randomness(#[source] getrandom::Error),
}

//! The authority between Bowline's processes, and the certificate of the control role.

use std::time::Duration;

use bowline_types::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::error::{Error, Result};

/// The life of the authority. Its end is that of trust: with a new one all processes read `ca.crt` again.
const AUTHORITY_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// The life of a certificate.
const CERTIFICATE_LIFE: Duration = Duration::from_secs(90 * 86_400);
/// Clocks of machines may be behind by so much.
const BACKDATED: Duration = Duration::from_secs(300);
/// The Service of the control role.
const SERVICE: &str = "bowline-control";
/// The name of the authority.
const AUTHORITY_NAME: &str = "Bowline control authority";

/// An authority that signs.
pub(super) struct Authority {
    /// In PEM.
    pub(super) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
pub(super) struct Issued {
    pub(super) certificate: String,
    pub(super) key: String,
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

// === impl Authority ===

impl Authority {
    /// Makes a new one.
    ///
    /// # Errors
    /// There is no randomness.
    pub(super) fn make(now: Timestamp) -> Result<Issued> {
        let failed = |source| Error::Certificate { what: "the authority", source: Box::new(source) };
        let key = KeyPair::generate().map_err(failed)?;
        let (mut params, from, until) = (params(), now.before(BACKDATED), now.after(AUTHORITY_LIFE));
        lives(&mut params, from, until);
        let certificate = params.self_signed(&key).map_err(failed)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem(), from, until })
    }

    /// Reads one that was made here.
    ///
    /// # Errors
    /// The key is none.
    pub(super) fn read(certificate: String, key: &str) -> Result<Self> {
        let failed = |source| Error::Certificate {
            what: "a certificate with the key in Secret `bowline-ca`",
            source: Box::new(source),
        };
        let key = KeyPair::from_pem(key).map_err(failed)?;
        // What its signatures need of the authority is the same in every one: name, key and purpose.
        Ok(Self { certificate, issuer: Issuer::new(params(), key) })
    }

    /// Issues a certificate for the control role's Service.
    ///
    /// # Errors
    /// There is no randomness.
    pub(super) fn issue(&self, namespace: &str, now: Timestamp) -> Result<Issued> {
        let failed =
            |source| Error::Certificate { what: "the certificate of the control role", source: Box::new(source) };
        let names = [
            SERVICE.to_owned(),
            format!("{SERVICE}.{namespace}"),
            format!("{SERVICE}.{namespace}.svc"),
            format!("{SERVICE}.{namespace}.svc.cluster.local"),
            "localhost".to_owned(),
        ];
        let mut params = CertificateParams::new(names.to_vec()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, SERVICE);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let (from, until) = (now.before(BACKDATED), now.after(CERTIFICATE_LIFE));
        lives(&mut params, from, until);
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(failed)?;
        Ok(Issued { certificate: certificate.pem(), key: key.serialize_pem(), from, until })
    }
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn lives(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let date = |at: Timestamp| {
        time::OffsetDateTime::from_unix_timestamp(at.as_micros().div_euclid(1_000_000))
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    };
    (params.not_before, params.not_after) = (date(from), date(until));
}

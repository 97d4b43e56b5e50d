//! What Bowline's processes trust each other by: the Secrets with the tokens and the certificates, made where they are not there.
//!
//! So a manifest holds no secret. Every replica may try: what is there is not overwritten, and of two that make it one is refused. Whoever wants
//! tokens or certificates of their own makes the Secrets first; what is not marked as made here is never touched.

mod certificate;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline_server::{AdminToken, GatewayTokens};
use bowline_types::{Timestamp, chain};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::context::Context;
use crate::error::{Error, Result};
use certificate::{Authority, Issued};

/// The Secret with `admin.token` and `gateway.token`.
const TOKENS: &str = "bowline-tokens";
/// The Secret with the authority and its key, which only the operator reads.
const AUTHORITY: &str = "bowline-ca";
/// The Secret with the certificate of the control role, and with the authority that others trust it by.
const CERTIFICATE: &str = "bowline-tls";
/// When what is in a Secret was made, and when it ends, in seconds since 1970: only the operator writes these.
const ISSUED_ANNOTATION: &str = "bowline.dev/issued-at";
const EXPIRES_ANNOTATION: &str = "bowline.dev/expires-at";

/// How often certificates are looked at.
const LOOK: Duration = Duration::from_secs(3_600);
/// The wait after a failure; it doubles up to [`RETRY_WAIT_MAX`].
const RETRY_WAIT: Duration = Duration::from_millis(500);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Makes what is not there, and renews certificates before they end, until told to stop.
pub(crate) async fn keep(context: &Context, shutdown: &CancellationToken) {
    let (mut wait, mut failing) = (RETRY_WAIT, false);
    loop {
        let pause = match ensure(context).await {
            Ok(()) => {
                context.secrets_there.store(true, Ordering::Relaxed);
                (wait, failing) = (RETRY_WAIT, false);
                LOOK
            }
            Err(error) => {
                let error = chain(&error);
                // One line when it begins is enough.
                if std::mem::replace(&mut failing, true) {
                    debug!(error, "the Secrets between Bowline's processes could not be made or looked at");
                } else {
                    warn!(error, "the Secrets between Bowline's processes could not be made or looked at; tried again");
                }
                wait = (wait * 2).min(RETRY_WAIT_MAX);
                wait
            }
        };
        tokio::select! { () = shutdown.cancelled() => return, () = sleep(pause) => {} }
    }
}

/// Makes what is not there, and renews what ends.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub(crate) async fn ensure(context: &Context) -> Result<()> {
    let api: Api<Secret> = context.api(&context.options.system_namespace);
    if read(&api, TOKENS).await?.is_none() {
        let admin = AdminToken::generate().map_err(|error| Error::Token(Box::new(error)))?;
        let gateway = GatewayTokens::generate().map_err(|error| Error::Token(Box::new(error)))?;
        let data = [("admin.token", admin.expose().to_owned()), ("gateway.token", gateway.expose().to_owned())];
        create(&api, &secret(TOKENS, data, None)).await?;
    }
    let now = context.now();
    let found = read(&api, CERTIFICATE).await?;
    if found.as_ref().is_some_and(|found| !is_due(found, now)) {
        return Ok(());
    }
    let authority = authority(&api, now).await?;
    let issued = authority.issue(&context.options.system_namespace, now)?;
    let data = [("ca.crt", authority.certificate.clone()), ("tls.crt", issued.certificate), ("tls.key", issued.key)];
    let mut wanted = secret(CERTIFICATE, data, Some((issued.from, issued.until)));
    match found {
        None => create(&api, &wanted).await,
        Some(found) => {
            // Over that very version: another replica may have been faster.
            wanted.metadata.resource_version = found.resource_version();
            let replaced = api.replace(CERTIFICATE, &PostParams::default(), &wanted).await;
            match replaced.map_err(Error::kubernetes("renew the certificate")) {
                Err(error) if error.status() == Some(409) => Ok(()),
                Err(error) => Err(error),
                Ok(_) => {
                    info!("the certificate of the control role was renewed");
                    Ok(())
                }
            }
        }
    }
}

/// Returns the authority that is there, else a new one. One that ends is followed by another, under which the next certificate is.
async fn authority(api: &Api<Secret>, now: Timestamp) -> Result<Authority> {
    for _ in 0..2 {
        if let Some(found) = read(api, AUTHORITY).await? {
            let text = |key: &str| {
                let bytes = found.data.as_ref().and_then(|data| data.get(key));
                bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok())
            };
            let incomplete = Error::Incomplete { kind: "Secret bowline-ca", field: "ca.crt and ca.key" };
            let (certificate, key) = text("ca.crt").zip(text("ca.key")).ok_or(incomplete)?;
            return Authority::read(certificate, &key);
        }
        let Issued { certificate, key, from, until } = Authority::make(now)?;
        create(api, &secret(AUTHORITY, [("ca.crt", certificate), ("ca.key", key)], Some((from, until)))).await?;
    }
    Err(Error::Incomplete { kind: "namespace of the operator", field: "Secret bowline-ca" })
}

/// Returns whether two thirds of the life of what is in a Secret are over. One that others made is not for us to judge.
fn is_due(secret: &Secret, now: Timestamp) -> bool {
    let at = |annotation: &str| secret.annotations().get(annotation)?.parse::<i64>().ok();
    let (Some(issued), Some(expires)) = (at(ISSUED_ANNOTATION), at(EXPIRES_ANNOTATION)) else { return false };
    let now = now.as_micros() / 1_000_000;
    now.saturating_sub(issued).saturating_mul(3) >= expires.saturating_sub(issued).saturating_mul(2)
}

async fn read(api: &Api<Secret>, name: &str) -> Result<Option<Secret>> {
    api.get_opt(name).await.map_err(Error::kubernetes(format!("read Secret `{name}`")))
}

/// Creates a Secret; that another replica was faster is as good.
async fn create(api: &Api<Secret>, secret: &Secret) -> Result<()> {
    let name = secret.name_any();
    let created = api.create(&PostParams::default(), secret).await;
    match created.map_err(Error::kubernetes(format!("make Secret `{name}`"))) {
        Err(error) if error.status() == Some(409) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => {
            info!(name, "a Secret was made");
            Ok(())
        }
    }
}

fn secret<const N: usize>(name: &str, data: [(&str, String); N], life: Option<(Timestamp, Timestamp)>) -> Secret {
    let seconds = |at: Timestamp| (at.as_micros() / 1_000_000).to_string();
    let annotations = life.map(|(from, until)| {
        BTreeMap::from([(ISSUED_ANNOTATION.to_owned(), seconds(from)), (EXPIRES_ANNOTATION.to_owned(), seconds(until))])
    });
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "bowline-operator".to_owned())].into()),
            annotations,
            ..ObjectMeta::default()
        },
        data: Some(data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect()),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn certificates_are_renewed_after_two_thirds_of_their_life() {
        let own = secret(CERTIFICATE, [("tls.crt", String::new())], Some((at(0), at(90))));
        assert!(!is_due(&own, at(59)));
        assert!(is_due(&own, at(60)));
        let others = secret(CERTIFICATE, [("tls.crt", String::new())], None);
        assert!(!is_due(&others, at(1_000_000)), "who brings a certificate renews it");
    }
}

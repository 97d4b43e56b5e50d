//! Credentials of providers: read by name from the namespace of a ModelBackend, and kept for gateways in one Secret of the system namespace,
//! a file each. Gateways see no other Secret, and the operator lists none.

use std::collections::BTreeSet;

use bowline_crd::ModelBackend;
use bowline_types::SecretRef;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use serde_json::{Value, json};

use super::gateways;
use super::name::digits;
use crate::apply::merge;
use crate::bundle::{Setback, text};
use crate::context::Context;
use crate::error::{Error, Result};

/// The longest name of a file in a Secret, in bytes.
const FILE_BYTES_MAX: usize = 253;
/// The files that the operator wrote, so that those of people stay.
const FILES_ANNOTATION: &str = "bowline.dev/files";
/// How often it is tried to change what somebody else changes too.
const ATTEMPTS_MAX: u32 = 5;

/// Returns the name of the file with the credential of a backend.
fn file(namespace: &str, name: &str) -> String {
    let plain = format!("{namespace}.{name}");
    if plain.len() <= FILE_BYTES_MAX {
        return plain;
    }
    // Names of objects are ASCII.
    let stem: String = plain.chars().take(FILE_BYTES_MAX - 9).collect();
    format!("{stem}-{}", digits(plain.as_bytes()))
}

/// Returns where gateways find the credential of a backend; `None` where it has none.
pub(super) fn reference(context: &Context, backend: &ModelBackend, namespace: &str) -> Option<SecretRef> {
    backend.spec.api_key.as_ref()?;
    let folder = &context.options.backends.credentials_folder;
    Some(SecretRef::File(format!("{folder}/{}", file(namespace, &backend.name_any()))))
}

/// Hands the credential of a backend to gateways, or takes it from them.
///
/// # Errors
/// The Secret is not there, or cannot be read or written.
pub(super) async fn keep(context: &Context, backend: &ModelBackend, namespace: &str) -> Result<(), Setback> {
    let value = match &backend.spec.api_key {
        None => None,
        Some(place) => Some(text(context, namespace, place, "spec.apiKey").await?),
    };
    let file = file(namespace, &backend.name_any());
    let changed = change(context, |data, ours| match &value {
        Some(value) => {
            ours.insert(file.clone());
            let value = ByteString(value.as_bytes().to_vec());
            let is_same = data.get(&file).is_some_and(|known| *known == value);
            if is_same { Vec::new() } else { vec![(file.clone(), Some(value))] }
        }
        None if ours.remove(&file) => vec![(file.clone(), None)],
        None => Vec::new(),
    });
    changed.await.map_err(Setback::Failed)
}

/// Takes every credential away whose backend is not there any more. `present` has namespace and name of those that are.
///
/// # Errors
/// The Secret cannot be read or written.
pub(super) async fn sweep(context: &Context, present: &[(String, String)]) -> Result<()> {
    let kept: BTreeSet<_> = present.iter().map(|(namespace, name)| file(namespace, name)).collect();
    change(context, |_, ours| {
        let gone: Vec<_> = ours.difference(&kept).cloned().collect();
        ours.retain(|file| kept.contains(file));
        gone.into_iter().map(|file| (file, None)).collect()
    })
    .await
}

type Data = std::collections::BTreeMap<String, ByteString>;

/// Changes the Secret of gateways over the version that was read, and has gateways see it.
async fn change(
    context: &Context,
    plan: impl Fn(&Data, &mut BTreeSet<String>) -> Vec<(String, Option<ByteString>)>,
) -> Result<()> {
    let name = &context.options.backends.credentials_secret;
    let api: Api<Secret> = context.api(&context.options.system_namespace);
    let mut attempts = 0;
    let written = loop {
        attempts += 1;
        let found = api.get_opt(name).await.map_err(Error::kubernetes(format!("read Secret `{name}`")))?;
        let data = found.as_ref().and_then(|secret| secret.data.clone()).unwrap_or_default();
        let known = found.as_ref().and_then(|secret| secret.annotations().get(FILES_ANNOTATION));
        let listed = known.map_or("", String::as_str).split(',').filter(|file| !file.is_empty());
        let mut ours: BTreeSet<_> = listed.map(str::to_owned).collect();
        let before = ours.clone();
        let changes = plan(&data, &mut ours);
        if changes.is_empty() && before == ours {
            return Ok(());
        }
        let files = ours.into_iter().collect::<Vec<_>>().join(",");
        let written = match found {
            None => create(&api, name, files, changes).await,
            Some(found) => {
                let data: serde_json::Map<String, Value> =
                    changes.into_iter().map(|(file, value)| (file, json!(value))).collect();
                let change = json!({
                    "metadata": {
                        "resourceVersion": found.resource_version(), "annotations": { (FILES_ANNOTATION): files },
                    },
                    "data": data,
                });
                merge(&api, name, &change).await
            }
        };
        match written {
            Err(error) if error.status() == Some(409) && attempts < ATTEMPTS_MAX => {}
            written => break written?,
        }
    };
    gateways::nudge(context, &written.resource_version().unwrap_or_default()).await
}

async fn create(
    api: &Api<Secret>,
    name: &str,
    files: String,
    changes: Vec<(String, Option<ByteString>)>,
) -> Result<Secret> {
    let data = changes.into_iter().filter_map(|(file, value)| Some((file, value?)));
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some([("app.kubernetes.io/managed-by".to_owned(), "bowline-operator".to_owned())].into()),
            annotations: Some([(FILES_ANNOTATION.to_owned(), files)].into()),
            ..ObjectMeta::default()
        },
        data: Some(data.collect()),
        ..Secret::default()
    };
    api.create(&PostParams::default(), &secret).await.map_err(Error::kubernetes(format!("make Secret `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_has_a_file_of_its_own() {
        assert_eq!(file("desk", "llm"), "desk.llm");
        let long = |last: &str| file(&"n".repeat(63), &format!("{}{last}", "x".repeat(252)));
        assert_eq!(long("a").len(), FILE_BYTES_MAX);
        assert_ne!(long("a"), long("b"));
    }
}

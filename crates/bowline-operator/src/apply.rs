//! Server-side apply with the one field manager, and what is done where two writers meet.

use std::fmt::Debug;
use std::time::Duration;

use bowline_crd::FIELD_MANAGER;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Result, status};

/// How often something is written before a conflict is final.
const ATTEMPTS_MAX: u32 = 5;
/// The wait after the first conflict; it doubles.
const CONFLICT_WAIT: Duration = Duration::from_millis(20);

/// Applies an object as the operator wants it; fields that it no longer names go. A conflict is retried: it is no news to anybody.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub(crate) async fn apply<K>(api: &Api<K>, object: &K) -> Result<K>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let name = object.name_any();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(object);
    let write = || api.patch(&name, &params, &patch);
    retried(write).await.map_err(Error::kubernetes(format!("apply {} `{name}`", K::kind(&()))))
}

/// Applies a status. With a `version`, only over that one (`metadata.resourceVersion`): a conflict is then for the caller, who reads again.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub(crate) async fn apply_status<K>(
    api: &Api<K>,
    name: &str,
    status: &impl Serialize,
    version: Option<&str>,
) -> Result<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let status = serde_json::to_value(status).map_err(|source| Error::Encode { what: "a status", source })?;
    let mut metadata = json!({ "name": name });
    if let (Some(version), Value::Object(metadata)) = (version, &mut metadata) {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
    let object = json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "metadata": metadata,
        "status": status,
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(&object);
    let write = || api.patch_status(name, &params, &patch);
    let written = match version {
        Some(_) => write().await,
        None => retried(write).await,
    };
    written.map_err(Error::kubernetes(format!("write the status of {} `{name}`", K::kind(&()))))
}

/// Merges a change of metadata, such as an annotation that is taken away.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub(crate) async fn merge<K>(api: &Api<K>, name: &str, change: &Value) -> Result<K>
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Clone + Debug,
{
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let patch = Patch::Merge(change);
    let write = || api.patch(name, &params, &patch);
    retried(write).await.map_err(Error::kubernetes(format!("change {} `{name}`", K::kind(&()))))
}

async fn retried<T, F: Future<Output = kube::Result<T>>>(mut write: impl FnMut() -> F) -> kube::Result<T> {
    let mut wait = CONFLICT_WAIT;
    for _ in 1..ATTEMPTS_MAX {
        match write().await {
            Err(error) if status(&error) == Some(409) => tokio::time::sleep(wait).await,
            written => return written,
        }
        wait *= 2;
    }
    write().await
}

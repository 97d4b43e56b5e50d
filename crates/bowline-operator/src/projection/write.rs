//! Writes projections, and only what differs.

use std::fmt::Debug;

use bowline_crd::condition::LEVER;
use bowline_crd::{FIELD_MANAGER, PROMPT_ANNOTATION};
use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use tracing::debug;

use super::known::{Entry, Projected, fingerprint, owners};
use super::{Desired, Space};
use crate::apply::{apply, apply_status};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::metrics::KindLabel;

/// Writes that are under way at once, of one namespace.
const WRITES_AT_ONCE: usize = 8;

/// Writes what differs. All are tried; the first failure is returned.
///
/// # Errors
/// The API server refuses one, or cannot be reached.
pub(super) async fn write_all<K>(
    context: &Context,
    space: &Space,
    namespace: &str,
    desired: impl IntoIterator<Item = Desired<K>>,
) -> Result<()>
where
    K: Projected,
    Desired<K>: Send,
{
    let api: Api<K> = context.api(namespace);
    // What is as it should be costs neither a call nor a future.
    let changed: Vec<_> = desired.into_iter().filter_map(|one| difference(space, one)).collect();
    let waiting = context.metrics.queue.get_or_create_owned(&KindLabel { kind: K::KIND });
    waiting.set(i64::try_from(changed.len()).unwrap_or(i64::MAX));
    let api = &api;
    let mut writes = futures_util::stream::iter(changed)
        .map(|(one, entry)| async move { write(context, space, api, namespace, one, entry).await })
        .buffer_unordered(WRITES_AT_ONCE);
    let mut failed = None;
    while let Some(written) = writes.next().await {
        waiting.dec();
        if let Err(error) = written {
            failed.get_or_insert(error);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Deletes projections; one that is gone already is no failure.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub(super) async fn delete_all<K: Projected>(
    context: &Context,
    space: &Space,
    namespace: &str,
    names: Vec<String>,
) -> Result<()> {
    let api: Api<K> = context.api(namespace);
    for name in names {
        let uid = K::entries(&space.known()).get(&name).map(|entry| entry.uid.clone());
        let preconditions = uid.map(|uid| Preconditions { uid: Some(uid), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        let deleted =
            api.delete(&name, &params).await.map_err(Error::kubernetes(format!("delete {} `{name}`", K::KIND)));
        match deleted {
            Err(error) if !error.is_gone() && error.status() != Some(409) => return Err(error),
            _ => {}
        }
        context.metrics.writes.get_or_create(&KindLabel { kind: K::KIND }).inc();
        K::entries_mut(&mut space.known()).remove(&name);
    }
    Ok(())
}

/// A projection that is to be written, with what is kept of the one that is there.
type Difference<K> = (Desired<K>, Option<Entry<<K as Projected>::Subject>>);

/// Returns a projection that differs from what is there, with what is kept of that.
fn difference<K: Projected>(space: &Space, mut one: Desired<K>) -> Option<Difference<K>> {
    let entry = K::entries(&space.known()).get(&one.name).cloned();
    let Some(entry) = entry else {
        return one.object.is_some().then_some((one, None));
    };
    // The answer to a lever is not known to the control role, and stays.
    K::lever_set(&mut one.status, entry.lever.as_deref().cloned());
    let conditions = K::conditions(&mut one.status);
    if let Some(handled) = entry.handled() {
        conditions.retain(|condition| condition.type_ != LEVER);
        conditions.push(handled.clone());
        conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    }
    let same = entry.owners == owners(&one.owners) && entry.status == fingerprint::<K>(one.status.clone());
    (!same).then_some((one, Some(entry)))
}

async fn write<K: Projected>(
    context: &Context,
    space: &Space,
    api: &Api<K>,
    namespace: &str,
    one: Desired<K>,
    entry: Option<Entry<K::Subject>>,
) -> Result<()> {
    let Desired { name, owners: wanted, object, status, news } = one;
    let uid = match (&entry, object) {
        (Some(entry), _) if entry.owners == owners(&wanted) => entry.uid.clone(),
        (Some(entry), _) => {
            adopt(api, &name, &wanted).await?;
            entry.uid.clone()
        }
        (None, Some(mut object)) => {
            object.meta_mut().owner_references = Some(wanted);
            let made = apply(api, &object).await?;
            keep(space, &made);
            made.uid().unwrap_or_default()
        }
        (None, None) => return Ok(()),
    };
    let reference = ObjectReference {
        api_version: Some(K::api_version(&()).into_owned()),
        kind: Some(K::KIND.to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(name.clone()),
        uid: Some(uid),
        ..ObjectReference::default()
    };
    // Told before it is written: after a crash in between it is told again, and not never.
    for (reason, note) in news {
        context.events.tell(&reference, reason, note).await;
    }
    let written = apply_status(api, &name, &status, None).await?;
    context.metrics.writes.get_or_create(&KindLabel { kind: K::KIND }).inc();
    keep(space, &written);
    debug!(kind = K::KIND, namespace, name, "projected");
    Ok(())
}

/// Gives an object that is there other owners; the rest of it stays.
async fn adopt<K: Projected + Debug>(
    api: &Api<K>,
    name: &str,
    owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference],
) -> Result<()> {
    let operation = || format!("give {} `{name}` its owner", K::KIND);
    let mut object = api.get(name).await.map_err(Error::kubernetes(operation()))?;
    let meta = object.meta_mut();
    // Annotations of people stay theirs: what is not applied is not owned.
    let own = std::mem::take(meta.annotations.get_or_insert_default())
        .into_iter()
        .filter(|(key, _)| key == PROMPT_ANNOTATION);
    *meta = kube::core::ObjectMeta {
        name: meta.name.take(),
        namespace: meta.namespace.take(),
        annotations: Some(own.collect()),
        owner_references: Some(owners.to_vec()),
        ..kube::core::ObjectMeta::default()
    };
    let mut object = serde_json::to_value(&object).map_err(|source| Error::Encode { what: "a projection", source })?;
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(name, &params, &Patch::Apply(&object)).await.map_err(Error::kubernetes(operation()))?;
    Ok(())
}

/// Keeps what the API server answered.
pub(super) fn keep<K: Projected>(space: &Space, object: &K) {
    space.known().keep(object);
}

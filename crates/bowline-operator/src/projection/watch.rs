//! Follows the projections: to leave alone what is as it should be, to make again what somebody deleted, and to see levers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bowline_types::chain;
use futures_util::StreamExt as _;
use kube::ResourceExt as _;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::known::{Entries, Entry, Projected};
use super::{Projections, Space, locked};
use crate::context::{Context, PAGE_OBJECTS_MAX, Scope};
use crate::metrics::KindLabel;

/// A list that is not complete yet, by namespace.
type Listing<K> = BTreeMap<String, Entries<K>>;

/// Follows the objects of a kind until told to stop. A kind that is missing is waited for: its manifest may be applied later, or again.
pub(crate) async fn follow<K: Projected>(context: Arc<Context>, scope: Scope, stop: CancellationToken) {
    let config = watcher::Config::default().page_size(PAGE_OBJECTS_MAX);
    let watch = watcher(scope.api::<K>(&context.client), config).default_backoff();
    let mut watch = std::pin::pin!(watch.take_until(stop.cancelled_owned()));
    let (mut listing, mut complete) = (Listing::<K>::new(), false);
    while let Some(event) = watch.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                debug!(kind = K::KIND, error = chain(&error), "the kind cannot be watched now");
                continue;
            }
        };
        let ends = matches!(event, Event::InitDone);
        take::<K>(&context.projections, &scope, event, &mut listing);
        if ends && !std::mem::replace(&mut complete, true) {
            context.projections.list_done();
        }
        let spaces = locked(&context.projections.spaces);
        let count: usize = spaces.values().map(|space| K::entries(&space.known()).len()).sum();
        drop(spaces);
        let label = KindLabel { kind: K::KIND };
        context.metrics.objects.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn take<K: Projected>(projections: &Projections, scope: &Scope, event: Event<K>, listing: &mut Listing<K>) {
    match event {
        Event::Apply(object) => {
            let space = projections.space(&object.namespace().unwrap_or_default());
            if changed::<K>(&space, &object) {
                space.nudge.notify_one();
            }
        }
        Event::Delete(object) => {
            let space = projections.space(&object.namespace().unwrap_or_default());
            let known = space.known().forget(&object);
            if known {
                space.nudge.notify_one();
            }
        }
        Event::Init => listing.clear(),
        Event::InitApply(object) => {
            let entries = listing.entry(object.namespace().unwrap_or_default()).or_default();
            entries.insert(object.name_any(), Entry::of(&object));
        }
        Event::InitDone => {
            let listed = std::mem::take(listing);
            for namespace in listed.keys() {
                projections.space(namespace);
            }
            let mut listed = listed;
            for (namespace, space) in locked(&projections.spaces).iter() {
                if matches!(scope, Scope::Namespace(own) if own != namespace) {
                    continue;
                }
                *K::entries_mut(&mut space.known()) = listed.remove(namespace).unwrap_or_default();
                space.nudge.notify_one();
            }
        }
    }
}

/// Keeps what is told of an object; returns whether it is other than it should be, or a lever was pulled.
fn changed<K: Projected>(space: &Space, object: &K) -> bool {
    let entry = Entry::of(object);
    let mut known = space.known();
    let before = K::entries(&known).get(&object.name_any());
    if before.is_some_and(|before| before.uid == entry.uid && before.version > entry.version) {
        return false;
    }
    let same = before.is_some_and(|before| (before.status, before.owners) == (entry.status, entry.owners));
    let pulled = entry.pulled && !before.is_some_and(|before| before.pulled);
    known.keep(object);
    !same || pulled
}

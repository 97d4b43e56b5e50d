//! As much of an API server as the operator uses: objects with versions, lists, watches, server-side apply, merges, statuses, finalizers.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use axum::body::Body;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, broadcast};

/// The API server.
#[derive(Clone)]
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Event>,
    /// Told of each write that is made.
    pub(crate) written: Arc<Notify>,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<Place, Value>,
    /// What each manager applied last, by object and subresource.
    applied: BTreeMap<(Place, String, bool), Value>,
    history: Vec<Event>,
    /// Kinds whose manifests are not applied.
    missing: BTreeSet<String>,
    writes: Vec<String>,
    /// After how many writes the server is gone, and whether that last write was still done.
    cut: Option<(usize, bool)>,
    down: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    kind: String,
    namespace: String,
    name: String,
}

#[derive(Clone, Debug)]
struct Event {
    version: u64,
    kind: String,
    namespace: String,
    word: &'static str,
    object: Value,
}

/// A path of the API, taken apart.
struct Route {
    kind: String,
    namespace: String,
    name: Option<String>,
    status: bool,
}

type Answer = Result<Value, (StatusCode, String)>;

// === impl Server ===

impl Server {
    pub(crate) fn new() -> Self {
        let state = State { version: 1, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), events: broadcast::channel(65_536).0, written: Arc::default() }
    }

    pub(crate) fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// Puts an object there, as a person applies it; one that is there keeps its status and what else others wrote.
    pub(crate) fn put(&self, kind: &str, object: Value) {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let place = Place { kind: kind.to_owned(), namespace, name };
        let mut state = self.state.lock().unwrap();
        let mut whole = state.objects.get(&place).cloned().unwrap_or_else(|| json!({ "metadata": {} }));
        merge(&mut whole, &object);
        let event = state.store(place, whole);
        drop(state);
        self.tell(event);
    }

    /// Changes an object, as a person merges something into it.
    pub(crate) fn merge(&self, kind: &str, namespace: &str, name: &str, change: &Value) {
        let place = Place { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        let mut state = self.state.lock().unwrap();
        let mut object = state.objects[&place].clone();
        merge(&mut object, change);
        let event = state.store(place, object);
        drop(state);
        self.tell(event);
    }

    /// Deletes an object; one with finalizers is only marked.
    pub(crate) fn delete(&self, kind: &str, namespace: &str, name: &str) {
        let place = Place { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        let event = self.state.lock().unwrap().remove(&place);
        self.tell(event);
    }

    /// Takes a kind away with all its objects, as the deletion of its manifest does.
    pub(crate) fn kind_delete(&self, kind: &str) {
        let places: Vec<_> = {
            let mut state = self.state.lock().unwrap();
            state.missing.insert(kind.to_owned());
            state.objects.keys().filter(|place| place.kind == kind).cloned().collect()
        };
        for place in places {
            let event = self.state.lock().unwrap().remove(&place);
            self.tell(event);
        }
    }

    pub(crate) fn kind_apply(&self, kind: &str) {
        self.state.lock().unwrap().missing.remove(kind);
    }

    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let place = Place { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
        self.state.lock().unwrap().objects.get(&place).cloned()
    }

    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        let state = self.state.lock().unwrap();
        state.objects.iter().filter(|(place, _)| place.kind == kind).map(|(_, object)| object.clone()).collect()
    }

    /// Has the server be gone after so many writes; `done` says whether the last of them still was.
    pub(crate) fn cut_after(&self, writes: usize, done: bool) {
        let mut state = self.state.lock().unwrap();
        let already = state.writes.len();
        state.cut = Some((already + writes, done));
    }

    /// Has it be there again.
    pub(crate) fn heal(&self) {
        let mut state = self.state.lock().unwrap();
        (state.cut, state.down) = (None, false);
    }

    pub(crate) fn is_down(&self) -> bool {
        self.state.lock().unwrap().down
    }

    /// Returns the writes so far, as `PATCH promptbundles/main status`; those of leases and events are not counted.
    pub(crate) fn writes(&self) -> Vec<String> {
        self.state.lock().unwrap().writes.clone()
    }

    fn tell(&self, event: Option<Event>) {
        if let Some(event) = event {
            drop(self.events.send(event));
        }
        self.written.notify_waiters();
    }

    async fn answer(self, request: Request<kube::client::Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
        let Some(route) = Route::of(head.uri.path()) else {
            return failure(StatusCode::NOT_FOUND, "no such path");
        };
        {
            let state = self.state.lock().unwrap();
            if state.down {
                return failure(StatusCode::INTERNAL_SERVER_ERROR, "the server is gone");
            }
            if state.missing.contains(&route.kind) {
                return failure(StatusCode::NOT_FOUND, "the server could not find the requested resource");
            }
        }
        if head.method == Method::GET && query.get("watch").is_some_and(|watch| watch == "true") {
            return self.watch(&route, &query);
        }
        let sent: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let kind = head.headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_apply = kind.contains("apply-patch");
        let answer = self.change(&head.method, &route, &query, is_apply, sent);
        self.written.notify_waiters();
        match answer {
            Ok(object) => Response::new(Body::from(object.to_string())),
            Err((status, message)) => failure(status, &message),
        }
    }

    fn change(
        &self,
        method: &Method,
        route: &Route,
        query: &BTreeMap<String, String>,
        is_apply: bool,
        sent: Value,
    ) -> Answer {
        let mut state = self.state.lock().unwrap();
        let name = route.name.clone().or_else(|| sent["metadata"]["name"].as_str().map(str::to_owned));
        if *method == Method::GET {
            return match &route.name {
                Some(_) => state.read(route),
                None => Ok(state.list(route)),
            };
        }
        let mut done = true;
        if !matches!(route.kind.as_str(), "leases" | "events") {
            let status = if route.status { " status" } else { "" };
            state.writes.push(format!("{method} {}/{}{status}", route.kind, name.clone().unwrap_or_default()));
            if let Some((writes, last_done)) = state.cut
                && state.writes.len() >= writes
            {
                state.down = true;
                done = last_done;
            }
        }
        if !done {
            return Err((StatusCode::INTERNAL_SERVER_ERROR, "the server is gone".to_owned()));
        }
        let place =
            Place { kind: route.kind.clone(), namespace: route.namespace.clone(), name: name.unwrap_or_default() };
        let (answer, event) = match *method {
            Method::POST => state.create(&place, sent),
            Method::PUT => state.replace(&place, sent),
            Method::DELETE => state.delete(&place, &sent),
            _ if is_apply => state.apply(&place, route.status, query.get("fieldManager"), sent),
            _ => state.patch(&place, &sent),
        };
        let down = state.down;
        drop(state);
        self.tell(event);
        // Whoever asked does not hear that it was done.
        if down { Err((StatusCode::INTERNAL_SERVER_ERROR, "the server is gone".to_owned())) } else { answer }
    }

    fn watch(&self, route: &Route, query: &BTreeMap<String, String>) -> Response<Body> {
        let since: u64 = query.get("resourceVersion").and_then(|version| version.parse().ok()).unwrap_or(0);
        let live = self.events.subscribe();
        let past: Vec<_> =
            self.state.lock().unwrap().history.iter().filter(|event| event.version > since).cloned().collect();
        let last = past.last().map_or(since, |event| event.version);
        let (kind, namespace) = (route.kind.clone(), route.namespace.clone());
        let live = futures_util::stream::unfold(live, |mut live| async move { Some((live.recv().await.ok()?, live)) });
        let live = live.filter(move |event| std::future::ready(event.version > last));
        let own = futures_util::stream::iter(past).chain(live).filter(move |event| {
            std::future::ready(event.kind == kind && (namespace.is_empty() || event.namespace == namespace))
        });
        let lines = own
            .map(|event| Ok::<_, Infallible>(format!("{}\n", json!({ "type": event.word, "object": event.object }))));
        Response::new(Body::from_stream(lines))
    }
}

impl tower::Service<Request<kube::client::Body>> for Server {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        self.clone().answer(request).map(Ok).boxed()
    }
}

// === impl Route ===

impl Route {
    fn of(path: &str) -> Option<Self> {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        parts.drain(..if parts.first() == Some(&"api") { 2 } else { 3 });
        let own = |text: &&str| (*text).to_owned();
        // `namespaces/NAME` alone is the object itself.
        let namespace = match parts[..] {
            ["namespaces", namespace, _, ..] => {
                parts.drain(..2);
                namespace.to_owned()
            }
            _ => String::new(),
        };
        Some(Self {
            kind: own(parts.first()?),
            namespace,
            name: parts.get(1).map(own),
            status: parts.get(2) == Some(&"status"),
        })
    }
}

// === impl State ===

impl State {
    fn read(&self, route: &Route) -> Answer {
        let name = route.name.clone().unwrap_or_default();
        let place = Place { kind: route.kind.clone(), namespace: route.namespace.clone(), name };
        self.objects.get(&place).cloned().ok_or_else(|| absent(&place))
    }

    fn list(&self, route: &Route) -> Value {
        let own = self.objects.iter().filter(|(place, _)| {
            place.kind == route.kind && (route.namespace.is_empty() || place.namespace == route.namespace)
        });
        let items: Vec<_> = own.map(|(_, object)| object.clone()).collect();
        json!({
            "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": self.version.to_string() }, "items": items,
        })
    }

    fn create(&mut self, place: &Place, sent: Value) -> (Answer, Option<Event>) {
        if self.objects.contains_key(place) {
            return (Err((StatusCode::CONFLICT, format!("{} already exists", place.name))), None);
        }
        let event = self.store(place.clone(), sent);
        (self.objects.get(place).cloned().ok_or_else(|| absent(place)), event)
    }

    fn replace(&mut self, place: &Place, sent: Value) -> (Answer, Option<Event>) {
        let Some(found) = self.objects.get(place) else { return (Err(absent(place)), None) };
        if let Some(conflict) = conflict(found, &sent) {
            return (Err(conflict), None);
        }
        let event = self.store(place.clone(), sent);
        (self.objects.get(place).cloned().ok_or_else(|| absent(place)), event)
    }

    fn delete(&mut self, place: &Place, sent: &Value) -> (Answer, Option<Event>) {
        let Some(found) = self.objects.get(place).cloned() else { return (Err(absent(place)), None) };
        let uid = &sent["preconditions"]["uid"];
        if !uid.is_null() && *uid != found["metadata"]["uid"] {
            return (Err((StatusCode::CONFLICT, "the UID in the precondition does not match".to_owned())), None);
        }
        (Ok(found), self.remove(place))
    }

    fn apply(
        &mut self,
        place: &Place,
        status: bool,
        manager: Option<&String>,
        mut sent: Value,
    ) -> (Answer, Option<Event>) {
        let found = self.objects.get(place).cloned();
        if status && found.is_none() {
            return (Err(absent(place)), None);
        }
        let mut object = found.clone().unwrap_or_else(|| json!({ "metadata": {} }));
        if let Some(conflict) = conflict(&object, &sent) {
            return (Err(conflict), None);
        }
        if let Some(metadata) = sent["metadata"].as_object_mut() {
            metadata.remove("resourceVersion");
        }
        let sent = match status {
            true => json!({ "status": sent["status"] }),
            false => {
                sent.as_object_mut().unwrap().remove("status");
                sent
            }
        };
        let key = (place.clone(), manager.cloned().unwrap_or_default(), status);
        if let Some(before) = self.applied.insert(key, sent.clone()) {
            forget(&mut object, &before, &sent);
        }
        merge(&mut object, &sent);
        let is_projection = matches!(place.kind.as_str(), "prompts" | "promptversions" | "promptrollouts");
        if is_projection && found.as_ref().is_some_and(|found| found["spec"] != object["spec"]) {
            return (Err((StatusCode::UNPROCESSABLE_ENTITY, "spec is immutable".to_owned())), None);
        }
        let event = self.store(place.clone(), object);
        (self.objects.get(place).cloned().ok_or_else(|| absent(place)), event)
    }

    fn patch(&mut self, place: &Place, sent: &Value) -> (Answer, Option<Event>) {
        let Some(mut object) = self.objects.get(place).cloned() else { return (Err(absent(place)), None) };
        if let Some(conflict) = conflict(&object, sent) {
            return (Err(conflict), None);
        }
        merge(&mut object, sent);
        let event = self.store(place.clone(), object.clone());
        (Ok(self.objects.get(place).cloned().unwrap_or(object)), event)
    }

    /// Keeps an object under a new version; one that is the same keeps its own.
    fn store(&mut self, place: Place, mut object: Value) -> Option<Event> {
        let found = self.objects.get(&place).cloned();
        let ends = object["metadata"]["deletionTimestamp"].is_string()
            && object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
        if ends {
            return self.gone(&place);
        }
        if let Some(found) = &found {
            object["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"].clone();
            if *found == object {
                return None;
            }
        }
        self.version += 1;
        let metadata = object["metadata"].as_object_mut().unwrap();
        metadata.insert("resourceVersion".to_owned(), self.version.to_string().into());
        metadata.entry("name").or_insert(place.name.clone().into());
        if !place.namespace.is_empty() {
            metadata.insert("namespace".to_owned(), place.namespace.clone().into());
        }
        metadata.entry("uid").or_insert(format!("uid-{}", self.version).into());
        metadata.entry("creationTimestamp").or_insert("2026-11-25T08:00:00Z".into());
        let before = metadata.get("generation").and_then(Value::as_i64).unwrap_or(0);
        let changed = found.as_ref().is_none_or(|found| found["spec"] != object["spec"]);
        object["metadata"]["generation"] = (before + i64::from(changed)).into();
        let word = if found.is_some() { "MODIFIED" } else { "ADDED" };
        self.objects.insert(place.clone(), object.clone());
        Some(self.note(&place, word, object))
    }

    fn remove(&mut self, place: &Place) -> Option<Event> {
        let found = self.objects.get(place)?.clone();
        if found["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            return self.gone(place);
        }
        let mut marked = found;
        marked["metadata"]["deletionTimestamp"] = "2026-11-25T09:00:00Z".into();
        marked["metadata"]["generation"] = (marked["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
        self.store(place.clone(), marked)
    }

    fn gone(&mut self, place: &Place) -> Option<Event> {
        let object = self.objects.remove(place)?;
        self.applied.retain(|(known, _, _), _| known != place);
        self.version += 1;
        Some(self.note(place, "DELETED", object))
    }

    fn note(&mut self, place: &Place, word: &'static str, object: Value) -> Event {
        let (kind, namespace) = (place.kind.clone(), place.namespace.clone());
        let event = Event { version: self.version, kind, namespace, word, object };
        self.history.push(event.clone());
        event
    }
}

fn conflict(found: &Value, sent: &Value) -> Option<(StatusCode, String)> {
    let wanted = &sent["metadata"]["resourceVersion"];
    let differs = !wanted.is_null() && *wanted != found["metadata"]["resourceVersion"];
    differs.then(|| (StatusCode::CONFLICT, "the object has been modified".to_owned()))
}

fn absent(place: &Place) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("{} \"{}\" not found", place.kind, place.name))
}

fn failure(status: StatusCode, message: &str) -> Response<Body> {
    let reason = match status {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        StatusCode::UNPROCESSABLE_ENTITY => "Invalid",
        _ => "InternalError",
    };
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": status.as_u16(),
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response
}

/// Merges as RFC 7396 does.
fn merge(into: &mut Value, change: &Value) {
    let Value::Object(change) = change else {
        *into = change.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    let into = into.as_object_mut().unwrap();
    for (key, value) in change {
        if value.is_null() {
            into.remove(key);
        } else {
            merge(into.entry(key).or_insert(Value::Null), value);
        }
    }
}

/// Takes away what was applied before and is applied no longer.
fn forget(object: &mut Value, before: &Value, now: &Value) {
    let (Value::Object(object), Value::Object(before)) = (object, before) else { return };
    for (key, old) in before {
        match now.get(key) {
            None => drop(object.remove(key)),
            Some(new) => {
                if let Some(inner) = object.get_mut(key) {
                    forget(inner, old, new);
                }
            }
        }
    }
}

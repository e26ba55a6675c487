//! What does an API server look like that is all in memory? A tower service under kube's own client, so that the product's code runs
//! unchanged on top, a million times faster than on a real one and with faults at will.
//!
//! ```text
//! kube Client -> Wire (delays, faults) -> Call -> Store (versions, generations, uids, ownership of fields) -> log -> Watch -> Wire -> Client
//! ```
//!
//! It knows the kinds of [`kinds::KINDS`] and of the API what the operator depends on; `contract_apiserver` replays one script of
//! requests against this and against the real one, so that the two cannot drift apart. It has no controllers: a simulation plays them
//! on the [`Store`]. It knows neither finalizers but `foregroundDeletion`, nor field selectors, nor pages of lists.

mod answers;
mod call;
mod fields;
pub mod kinds;
mod store;
mod watch;
mod wire;

pub use answers::Refusal;
pub use call::{Call, Verb};
pub use store::{Admission, Change, Key, Observer, Store, Stored, Writer};
pub use wire::{Delivery, Plain, Replied, Sent, Wire};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use k8s_openapi::jiff::Timestamp;
use kinds::KINDS;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch::{Sender, channel};
use tokio::time::Instant;

/// What time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;
type Broken = Box<dyn std::error::Error + Send + Sync>;

/// An API server. Clones are the same one.
#[derive(Clone)]
pub struct FakeApiServer {
    store: Arc<Mutex<Store>>,
    written: Arc<Sender<u64>>,
    clock: Clock,
}

impl FakeApiServer {
    /// An empty one.
    pub fn new(clock: Clock) -> Self {
        Self { store: Arc::default(), written: Arc::new(channel(0).0), clock }
    }

    /// A client: its name stands in [`Change::writer`] and is its field manager where it names none.
    pub fn client(&self, name: &str, wire: Arc<dyn Wire>) -> Client {
        let (server, name) = (self.clone(), name.to_owned());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, name, wire) = (server.clone(), name.clone(), wire.clone());
            async move { server.serve(&name, wire, request).await }
        });
        Client::new(service, "default")
    }

    /// Reads or changes the store as a part of the cluster does, without a wire.
    pub fn within<T>(&self, act: impl FnOnce(&mut Store) -> T) -> T {
        let mut store = self.lock();
        store.set_time(whole_seconds((self.clock)()));
        let before = store.version();
        let answer = act(&mut store);
        let after = store.version();
        drop(store);
        if after != before {
            self.written.send_replace(after);
        }
        answer
    }

    /// Becomes the version of each write.
    pub fn writes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.written.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, client: &str, wire: Arc<dyn Wire>, request: Request<Body>) -> Result<Reply, Broken> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let content_type = parts.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut call = match Call::new(client, &parts.method, &parts.uri, content_type) {
            Ok(call) => call,
            Err(refusal) => return Ok(refused(&refusal)),
        };
        let object: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        if call.verb == Verb::Create {
            call.name = object["metadata"]["name"].as_str().map(str::to_owned);
        }
        match wire.send(&call, &body).await {
            Sent::Arrives => {}
            Sent::Refused(refusal) => return Ok(refused(&refusal)),
            Sent::Broken => return Err("connection reset by peer".into()),
        }
        if call.verb == Verb::Watch {
            return Ok(self.watch(call, wire));
        }
        let stale = if call.verb == Verb::List { wire.stale(&call) } else { None };
        let answer = self.within(|store| answer(store, &call, object, stale));
        match wire.reply(&call).await {
            Replied::Arrives => Ok(answer.map_or_else(|refusal| refused(&refusal), |(code, body)| reply(code, body))),
            Replied::Broken => Err("connection reset by peer".into()),
        }
    }

    fn watch(&self, call: Call, wire: Arc<dyn Wire>) -> Reply {
        let seconds = call.query.get("timeoutSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(300);
        let at = call.version().unwrap_or_else(|| self.lock().version());
        let watch = watch::Watch {
            call,
            store: self.store.clone(),
            wire,
            written: self.written.subscribe(),
            at,
            ends: Instant::now() + Duration::from_secs(seconds),
            waiting: VecDeque::new(),
            over: false,
        };
        let frames = watch.stream().map(|line| Ok::<_, Infallible>(Frame::data(line)));
        Response::new(StreamBody::new(frames).boxed_unsync())
    }
}

fn whole_seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn reply(code: u16, body: Bytes) -> Reply {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn refused(refusal: &Refusal) -> Reply {
    let mut response = reply(refusal.code, Bytes::from(refusal.body().to_string()));
    if let Some(seconds) = refusal.retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, http::HeaderValue::from(seconds));
    }
    response
}

/// Everything but watches, in one step: nothing happens in between.
fn answer(store: &mut Store, call: &Call, object: Value, stale: Option<u64>) -> Result<(u16, Bytes), Refusal> {
    let kind = KINDS.get(call.kind).ok_or_else(Refusal::not_found_path)?;
    let key = call.key();
    let manager = call.query.get("fieldManager").unwrap_or(&call.client).clone();
    let writer = Writer { name: call.client.clone(), manager };
    let shown = |stored: Stored| stored.shown(kind);
    match call.verb {
        Verb::Get => store.get(&key).cloned().map(|stored| (200, shown(stored))).ok_or_else(|| Refusal::not_found(kind, &key.2)),
        Verb::List | Verb::Watch => {
            let version = stale.unwrap_or_else(|| store.version());
            let namespace = call.namespace.as_deref();
            let found = stale.map_or_else(|| store.list(call.kind, namespace), |past| store.list_at(past, call.kind, namespace));
            let items: Vec<Bytes> =
                found.into_iter().filter(|(key, stored)| call.selects(key, stored)).map(|(_, stored)| shown(stored)).collect();
            Ok((200, list(kind, version, &items)))
        }
        Verb::Create => {
            let namespace = call.namespace.clone().unwrap_or_default();
            store.create(&writer, call.kind, &namespace, object).map(|stored| (201, shown(stored)))
        }
        Verb::Replace if kind.put_creates && store.get(&key).is_none() => {
            if let Some(uid) = object["metadata"]["uid"].as_str() {
                return Err(Refusal::uid_mismatch_absent(kind, &key.2, uid));
            }
            store.create(&writer, call.kind, &key.1, object).map(|stored| (201, shown(stored)))
        }
        Verb::Replace => {
            guard(store, kind, &key, call, &object)?;
            store.update(&writer, &key, call.status, |there| *there = object).map(|stored| (200, shown(stored)))
        }
        Verb::Merge => {
            guard(store, kind, &key, call, &object)?;
            store.update(&writer, &key, call.status, |there| merge(there, &object)).map(|stored| (200, shown(stored)))
        }
        Verb::Apply => {
            guard(store, kind, &key, call, &object)?;
            let force = call.query.get("force").is_some_and(|force| force == "true");
            let created = store.get(&key).is_none();
            store.apply(&writer, &key, call.status, &object, force).map(|stored| (if created { 201 } else { 200 }, shown(stored)))
        }
        Verb::Delete => {
            let uid = object["preconditions"]["uid"].as_str();
            store.delete(&writer, &key, uid, object["propagationPolicy"] == "Foreground")?;
            if let Some(marked) = store.get(&key).cloned() {
                return Ok((200, shown(marked)));
            }
            Ok((200, Bytes::from_static(br#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}"#)))
        }
    }
}

fn list(kind: &kinds::Kind, version: u64, items: &[Bytes]) -> Bytes {
    let (api_version, of) = (kind.api_version(), kind.kind);
    let head = format!(r#"{{"apiVersion":"{api_version}","kind":"{of}List","metadata":{{"resourceVersion":"{version}"}},"items":["#);
    Bytes::from([head.as_bytes(), &items.join(&b","[..]), b"]}"].concat())
}

/// A write that names a version wants that one. A uid never changes, but a patch of a status may name any: there it is not looked at.
fn guard(store: &Store, kind: &kinds::Kind, key: &Key, call: &Call, object: &Value) -> Result<(), Refusal> {
    let Some(there) = store.get(key).map(|stored| &stored.object["metadata"]) else { return Ok(()) };
    let (uid, version) = (&object["metadata"]["uid"], &object["metadata"]["resourceVersion"]);
    let replaces = call.verb == Verb::Replace;
    match (uid.as_str(), there["uid"].as_str().unwrap_or_default()) {
        (Some(wanted), uid) if wanted != uid && replaces => return Err(Refusal::uid_mismatch(kind, &key.2, wanted, uid)),
        (Some(wanted), uid) if wanted != uid && !call.status => {
            return Err(Refusal::invalid(kind, &key.2, &format!("metadata.uid: Invalid value: {wanted:?}: field is immutable")));
        }
        _ => {}
    }
    match version.as_str() {
        Some(version) if there["resourceVersion"] != version => Err(Refusal::version_conflict(kind, &key.2)),
        None if replaces && kind.versioned => {
            Err(Refusal::invalid(kind, &key.2, "metadata.resourceVersion: Invalid value: 0: must be specified for an update"))
        }
        _ => Ok(()),
    }
}

/// RFC 7396.
fn merge(there: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        there.clone_from(patch);
        return;
    };
    if !there.is_object() {
        *there = json!({});
    }
    let Some(map) = there.as_object_mut() else { return };
    for (name, value) in fields {
        if value.is_null() {
            map.remove(name);
        } else {
            merge(map.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

//! How is a step done on one of the two servers, and what of its answer is compared?

use crate::admission;
use crate::bodies::settings;
use crate::step::{Action, Ask, Step};
use anyhow::{Context, Result, bail};
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use gowindows_core::kinds::Kind;
use gowindows_tests::fake_apiserver::kinds::KINDS;
use gowindows_tests::fake_apiserver::{FakeApiServer, Plain};
use http_body_util::BodyExt;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DeleteParams, PostParams};
use kube::client::Body;
use kube::{Api, Client};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A loaded machine's request or event takes no longer.
const LIMIT: Duration = Duration::from_secs(60);

const UID_LENGTH: usize = 36;

/// One of the two servers, as one script uses it.
pub struct Server {
    client: Client,
    fake: Option<FakeApiServer>,
    namespace: String,
    /// What steps have kept.
    kept: BTreeMap<&'static str, String>,
    /// Version and uid that each object had when it was last shown.
    shown: BTreeMap<(String, String), (u64, String)>,
}

impl Server {
    /// The fake one, empty.
    pub fn fake(namespace: &str) -> Self {
        let server = FakeApiServer::new(Arc::new(Timestamp::now));
        let settings = settings();
        server.within(|store| store.admit_by(Box::new(move |kind, object| admission::admit(kind, object, &settings))));
        Self::new(server.client("contract", Arc::new(Plain)), Some(server), namespace)
    }

    /// The real one, with a namespace for this script.
    pub async fn real(client: Client, namespace: &str) -> Result<Self> {
        let object: Namespace = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await?;
        Ok(Self::new(client, None, namespace))
    }

    fn new(client: Client, fake: Option<FakeApiServer>, namespace: &str) -> Self {
        let kept = BTreeMap::from([("namespace", namespace.to_owned())]);
        Self { client, fake, namespace: namespace.to_owned(), kept, shown: BTreeMap::new() }
    }

    /// Does a step. The answer is what is compared.
    pub async fn perform(&mut self, step: &Step) -> Result<Value> {
        match &step.action {
            Action::Request(ask) => {
                let (code, body) = timeout(LIMIT, self.request(ask)).await.context("no answer in time")??;
                self.answer(step, code, &body)
            }
            Action::Watch { ask, until } => timeout(LIMIT, self.watch(step, ask, until)).await.context("not all events came in time")?,
            Action::Compact => {
                if let Some(fake) = &self.fake {
                    fake.within(|store| store.compact());
                }
                Ok(Value::Null)
            }
            Action::TerminateNamespace => {
                match &self.fake {
                    Some(fake) => fake.within(|store| store.terminate_namespace(&self.namespace)),
                    None => drop(Api::<Namespace>::all(self.client.clone()).delete(&self.namespace, &DeleteParams::default()).await?),
                }
                Ok(Value::Null)
            }
        }
    }

    async fn send(&self, ask: &Ask) -> Result<http::Response<Body>> {
        let body = if ask.body.is_null() { Vec::new() } else { self.fill(&ask.body.to_string()).into_bytes() };
        let ask = Ask { query: ask.query.iter().map(|(name, value)| (*name, self.fill(value))).collect(), ..ask.clone() };
        let request = http::Request::builder().method(ask.method.clone()).uri(self.fill(&ask.uri(&self.namespace)));
        let request = request.header(http::header::CONTENT_TYPE, ask.content_type).body(Body::from(body))?;
        Ok(self.client.send(request).await?)
    }

    async fn request(&self, ask: &Ask) -> Result<(u16, Value)> {
        let response = self.send(ask).await?;
        let code = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok((code, serde_json::from_slice(&body).with_context(|| format!("not JSON: {}", String::from_utf8_lossy(&body)))?))
    }

    async fn watch(&mut self, step: &Step, ask: &Ask, until: &str) -> Result<Value> {
        let response = self.send(ask).await?;
        let code = response.status().as_u16();
        let bytes = response.into_body().into_data_stream().map_err(std::io::Error::other);
        let mut lines = bytes.into_async_read().lines();
        let mut events = Vec::new();
        while let Some(line) = lines.next().await {
            let event: Value = serde_json::from_str(&line?)?;
            let (kind, object) = (event["type"].as_str().unwrap_or_default(), &event["object"]);
            let over = ["ERROR", until].contains(&kind) || object["metadata"]["name"] == until;
            let mut shown = self.answer(step, 0, object)?;
            shown["code"] = json!(object["code"].as_u64());
            events.push(json!({"type": kind, "name": object["metadata"]["name"], "object": shown}));
            if over {
                return Ok(json!({"code": code, "events": events}));
            }
        }
        bail!("the watch ended after {}", Value::Array(events))
    }

    /// The texts of a script with what was kept.
    fn fill(&self, text: &str) -> String {
        self.kept.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{{{name}}}}}"), value))
    }

    /// The reverse for uids, which differ between the servers by nature.
    fn unfill(&self, value: &Value) -> Result<Value> {
        let uids = self.kept.iter().filter(|(_, value)| value.len() == UID_LENGTH);
        let text = uids.fold(value.to_string(), |text, (name, value)| text.replace(value.as_str(), &format!("{{{{{name}}}}}")));
        Ok(serde_json::from_str(&text)?)
    }

    fn answer(&mut self, step: &Step, code: u16, body: &Value) -> Result<Value> {
        for (name, pointer) in &step.keeps {
            let value = body.pointer(pointer).and_then(Value::as_str).with_context(|| format!("no {pointer} to keep in {body}"))?;
            self.kept.insert(name, value.to_owned());
        }
        let mut answer = json!({"code": code});
        if body["kind"] == "Status" {
            answer["status"] = body["status"].clone();
            answer["reason"] = body["reason"].clone();
            if step.words {
                answer["message"] = self.unfill(&body["message"])?;
            }
            return Ok(answer);
        }
        if let Some(items) = body["items"].as_array() {
            let items: Result<Vec<Value>> = items.iter().map(|item| self.object(step, item)).collect();
            answer["items"] = Value::Array(items?);
            answer["kind"] = body["kind"].clone();
            answer["has a version"] = json!(body["metadata"]["resourceVersion"].is_string());
            return Ok(answer);
        }
        if let (Some(answer), Value::Object(object)) = (answer.as_object_mut(), self.object(step, body)?) {
            answer.extend(object);
        }
        Ok(answer)
    }

    fn object(&mut self, step: &Step, object: &Value) -> Result<Value> {
        let metadata = &object["metadata"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, uid) = (text(&metadata["resourceVersion"]).parse().unwrap_or_default(), text(&metadata["uid"]));
        // In a list, items do not say their kind.
        let kind = match &step.action {
            Action::Request(ask) | Action::Watch { ask, .. } => ask.kind,
            Action::Compact | Action::TerminateNamespace => "",
        };
        let before = self.shown.insert((kind.to_owned(), text(&metadata["name"])), (version, uid.clone()));
        let (version, uid) = match before {
            None => ("first", "first"),
            Some((old, old_uid)) => (
                if old == version {
                    "same"
                } else if old < version {
                    "newer"
                } else {
                    "older"
                },
                if old_uid == uid { "same" } else { "other" },
            ),
        };
        let mut seen = json!({
            "name": metadata["name"], "uid": uid, "version": version, "generation": metadata["generation"],
            "deleting": metadata["deletionTimestamp"].is_string(),
        });
        for pointer in &step.sees {
            seen[*pointer] = self.unfill(object.pointer(pointer).unwrap_or(&Value::Null))?;
        }
        for path in &step.owned {
            seen[format!("owners of {path}")] = owners(object, path);
        }
        if kind == "Deployment" {
            let workload = serde_json::from_value::<Deployment>(object.clone())?.read();
            seen["observed"] = json!(workload.observed);
            seen["containers"] =
                workload.containers.iter().map(|container| json!([container.name, container.image, container.applied_by])).collect();
        }
        if kind == "GoWindowsImage" {
            seen["status"] = self.unfill(&object["status"])?;
        }
        Ok(seen)
    }
}

/// Who owns the field at a path such as `f:spec/f:replicas`.
fn owners(object: &Value, path: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array();
    let owns = |entry: &&Value| path.split('/').try_fold(&entry["fieldsV1"], |fields, part| fields.get(part)).is_some();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let owner = |entry: &Value| format!("{} {} {}", text(&entry["manager"]), text(&entry["operation"]), text(&entry["subresource"]));
    let mut owners: Vec<String> = entries.into_iter().flatten().filter(owns).map(owner).collect();
    owners.sort();
    json!(owners)
}

/// Whether the real server knows every kind of the scripts: a definition that is established may be served a moment later.
pub async fn serves_every_kind(client: &Client) -> bool {
    for kind in &KINDS {
        let root = if kind.group.is_empty() { "api" } else { "apis" };
        let uri = format!("/{root}/{}/{}?limit=1", kind.api_version(), kind.plural);
        let Ok(request) = http::Request::get(uri).body(Vec::new()) else { return false };
        if client.request_text(request).await.is_err() {
            return false;
        }
    }
    true
}

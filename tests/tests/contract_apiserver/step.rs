//! What is asked of both API servers? A script is data: steps in order, each with what the operator depends on in its answer.

use gowindows_tests::fake_apiserver::kinds::{KINDS, by_name};
use http::Method;
use serde_json::{Value, json};
use std::fmt;

/// Kinds of the whole cluster.
const IN_NO_NAMESPACE: [&str; 1] = ["Node"];

/// One step of a script. Texts may hold `{{name}}`, which stands for what an earlier step has kept.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub action: Action,
    /// What the real answer must hold: a subset of the normalised answer, so that both servers cannot agree on nonsense.
    pub shows: Value,
    /// JSON pointers into the object whose values are compared.
    pub sees: Vec<&'static str>,
    /// Paths of `managedFields` whose owners are compared.
    pub owned: Vec<&'static str>,
    /// What later steps may use: its name and the pointer to it.
    pub keeps: Vec<(&'static str, &'static str)>,
    /// The operator shows the message to people.
    pub words: bool,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// A request.
    Request(Ask),
    /// A watch, read up to an event of the kind or of the object with the name in `until`, or up to an error.
    Watch {
        /// The request.
        ask: Ask,
        /// Which event is the last that is read.
        until: &'static str,
    },
    /// Old versions are forgotten. The real server's watch caches begin at its own start: there it is so already.
    Compact,
    /// The script's namespace is deleted and stays terminating.
    TerminateNamespace,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `POST`, ...
    pub method: Method,
    /// `Job`, ...
    pub kind: &'static str,
    /// The object's name; none for lists and creations.
    pub name: Option<String>,
    /// To the status subresource.
    pub status: bool,
    /// Options.
    pub query: Vec<(&'static str, String)>,
    /// The body's.
    pub content_type: &'static str,
    /// The body; null for none.
    pub body: Value,
}

impl Ask {
    /// Path and query.
    pub fn uri(&self, namespace: &str) -> String {
        let kind = &KINDS[by_name(self.kind)];
        let root = if kind.group.is_empty() { "api" } else { "apis" };
        let name = self.name.iter().map(|name| format!("/{name}")).collect::<String>();
        let status = if self.status { "/status" } else { "" };
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query).finish();
        let namespace = if IN_NO_NAMESPACE.contains(&self.kind) { String::new() } else { format!("namespaces/{namespace}/") };
        format!("/{root}/{}/{namespace}{}{name}{status}?{query}", kind.api_version(), kind.plural)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.action {
            Action::Request(ask) | Action::Watch { ask, .. } => write!(f, "{} {} {}", ask.method, ask.uri("{{namespace}}"), ask.body),
            Action::Compact => f.write_str("compact"),
            Action::TerminateNamespace => f.write_str("delete the namespace"),
        }
    }
}

impl Step {
    fn new(action: Action) -> Self {
        Self { action, shows: Value::Null, sees: Vec::new(), owned: Vec::new(), keeps: Vec::new(), words: false }
    }

    fn request(method: Method, kind: &'static str, name: Option<&str>, content_type: &'static str, body: Value) -> Self {
        let name = name.map(str::to_owned);
        let ask = Ask { method, kind, name, status: false, query: Vec::new(), content_type, body };
        Self::new(Action::Request(ask)).code(200)
    }

    fn ask(&mut self) -> Option<&mut Ask> {
        match &mut self.action {
            Action::Request(ask) | Action::Watch { ask, .. } => Some(ask),
            Action::Compact | Action::TerminateNamespace => None,
        }
    }

    fn code(self, code: u16) -> Self {
        self.shows(json!({"code": code}))
    }

    /// The real answer must be this refusal.
    pub fn refused(self, code: u16, reason: &str) -> Self {
        self.shows(json!({"code": code, "reason": reason}))
    }

    /// The object must be a new one.
    pub fn creates(self) -> Self {
        self.code(201)
    }

    /// The real answer must hold this, too.
    pub fn shows(mut self, answer: Value) -> Self {
        match (self.shows.as_object_mut(), answer) {
            (Some(shows), Value::Object(answer)) => shows.extend(answer),
            (_, answer) => self.shows = answer,
        }
        self
    }

    /// Compares these fields.
    pub fn sees(mut self, pointers: &[&'static str]) -> Self {
        self.sees.extend(pointers);
        self
    }

    /// Compares who owns these fields.
    pub fn owned(mut self, paths: &[&'static str]) -> Self {
        self.owned.extend(paths);
        self
    }

    /// Keeps a value for later steps.
    pub fn keeps(mut self, name: &'static str, pointer: &'static str) -> Self {
        self.keeps.push((name, pointer));
        self
    }

    /// Compares the message.
    pub fn words(mut self) -> Self {
        self.words = true;
        self
    }

    /// With an option.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Some(ask) = self.ask() {
            ask.query.push((name, value.to_owned()));
        }
        self
    }

    /// As this field manager.
    pub fn by(self, manager: &str) -> Self {
        self.with("fieldManager", manager)
    }

    /// Over the fields of others.
    pub fn forced(self) -> Self {
        self.with("force", "true")
    }

    /// To the status subresource.
    pub fn on_status(mut self) -> Self {
        if let Some(ask) = self.ask() {
            ask.status = true;
        }
        self
    }
}

const JSON: &str = "application/json";

/// Reads one object.
pub fn get(kind: &'static str, name: &str) -> Step {
    Step::request(Method::GET, kind, Some(name), JSON, Value::Null)
}

/// Reads the objects of the script's namespace that a label selector selects.
pub fn list(kind: &'static str, selector: &str) -> Step {
    Step::request(Method::GET, kind, None, JSON, Value::Null).with("labelSelector", selector)
}

/// Follows the same from a version.
pub fn watch(kind: &'static str, selector: &str, version: &str, until: &'static str) -> Step {
    let Action::Request(ask) = list(kind, selector).action else { unreachable!("a list is a request") };
    Step::new(Action::Watch { ask, until }).code(200).with("watch", "true").with("resourceVersion", version)
}

/// Creates an object.
pub fn create(kind: &'static str, body: Value) -> Step {
    Step::request(Method::POST, kind, None, JSON, body).code(201)
}

/// Replaces an object.
pub fn replace(kind: &'static str, name: &str, body: Value) -> Step {
    Step::request(Method::PUT, kind, Some(name), JSON, body)
}

/// Merges a patch into an object.
pub fn merge(kind: &'static str, name: &str, body: Value) -> Step {
    Step::request(Method::PATCH, kind, Some(name), "application/merge-patch+json", body)
}

/// Applies a part of an object.
pub fn apply(kind: &'static str, name: &str, manager: &str, body: Value) -> Step {
    Step::request(Method::PATCH, kind, Some(name), "application/apply-patch+yaml", body).by(manager)
}

/// Deletes an object.
pub fn delete(kind: &'static str, name: &str, options: Value) -> Step {
    Step::request(Method::DELETE, kind, Some(name), JSON, options)
}

/// Forgets old versions.
pub fn compact() -> Step {
    Step::new(Action::Compact)
}

/// Deletes the script's namespace.
pub fn terminate_namespace() -> Step {
    Step::new(Action::TerminateNamespace)
}

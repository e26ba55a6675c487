//! What does a request ask for?

use super::answers::Refusal;
use super::kinds;
use super::store::{Key, Stored};
use std::collections::BTreeMap;

/// What is done with an object or a list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read many.
    List,
    /// Follow many.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Replace,
    /// JSON merge patch.
    Merge,
    /// Server-side apply.
    Apply,
    /// DELETE.
    Delete,
}

impl Verb {
    /// Whether it changes anything.
    pub fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A request, taken apart.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which client sent it.
    pub client: String,
    /// What it asks for.
    pub verb: Verb,
    /// The kind, its place in [`kinds::KINDS`].
    pub kind: usize,
    /// The namespace; `None` for all.
    pub namespace: Option<String>,
    /// The object's name; of a creation, the name in its body.
    pub name: Option<String>,
    /// It goes to the status subresource.
    pub status: bool,
    pub(super) query: BTreeMap<String, String>,
}

impl Call {
    pub(super) fn new(client: &str, method: &http::Method, uri: &http::Uri, content_type: &str) -> Result<Self, Refusal> {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        let parts: Vec<&str> = uri.path().trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::not_found_path()),
        };
        let (namespace, plural, name, sub) = match rest {
            ["namespaces", namespace, plural] => (Some(*namespace), *plural, None, None),
            ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name), None),
            ["namespaces", namespace, plural, name, sub] => (Some(*namespace), *plural, Some(*name), Some(*sub)),
            [plural] => (None, *plural, None, None),
            // Of no namespace: nodes.
            [plural, name] => (None, *plural, Some(*name), None),
            [plural, name, sub] => (None, *plural, Some(*name), Some(*sub)),
            _ => return Err(Refusal::not_found_path()),
        };
        let kind = kinds::by_path(group, version, plural).ok_or_else(Refusal::not_found_path)?;
        let watches = query.get("watch").is_some_and(|watch| watch == "true" || watch == "1");
        let verb = match (method.as_str(), name) {
            ("GET", None) if watches => Verb::Watch,
            ("GET", None) => Verb::List,
            ("GET", Some(_)) => Verb::Get,
            ("POST", None) => Verb::Create,
            ("PUT", Some(_)) => Verb::Replace,
            ("PATCH", Some(_)) if content_type.starts_with("application/apply-patch") => Verb::Apply,
            ("PATCH", Some(_)) if content_type.starts_with("application/merge-patch") => Verb::Merge,
            ("DELETE", Some(_)) => Verb::Delete,
            _ => return Err(Refusal::new(405, "MethodNotAllowed", "the fake API server does not do this")),
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Ok(Self {
            client: client.to_owned(),
            verb,
            kind,
            namespace: owned(namespace),
            name: owned(name),
            status: sub == Some("status"),
            query,
        })
    }

    /// Whether a list is read page by page, as those of watches are.
    pub fn is_paged(&self) -> bool {
        self.query.contains_key("limit")
    }

    /// The label selector, as it was sent.
    pub fn label_selector(&self) -> Option<&str> {
        self.query.get("labelSelector").map(String::as_str)
    }

    pub(super) fn key(&self) -> Key {
        (self.kind, self.namespace.clone().unwrap_or_default(), self.name.clone().unwrap_or_default())
    }

    pub(super) fn version(&self) -> Option<u64> {
        self.query.get("resourceVersion").and_then(|version| version.parse().ok()).filter(|version| *version > 0)
    }

    /// Whether an object is in the namespace and has the labels and fields that are asked for. Equality is all that the operator uses.
    pub(super) fn selects(&self, key: &Key, stored: &Stored) -> bool {
        let labels = &stored.object["metadata"]["labels"];
        let field = |path: &str| path.split('.').fold(&*stored.object, |value, part| &value[part]).as_str();
        key.0 == self.kind
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == key.1)
            && self.pairs("labelSelector").all(|(name, value)| labels[name].as_str() == Some(value))
            && self.pairs("fieldSelector").all(|(path, value)| field(path) == Some(value))
    }

    fn pairs(&self, selector: &str) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.query.get(selector).map(String::as_str).unwrap_or_default().split(',');
        pairs.filter_map(|pair| pair.split_once('=')).map(|(name, value)| (name, value.trim_start_matches('=')))
    }
}

//! What do build containers get where an object says nothing?

use super::SettingsError;
use gowindows_crds::sizes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Defaults of `build.resources`, in the same form.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ResourceSettings {
    /// What the scheduler sets aside, beside `{cpu: 500m, memory: 1Gi}`.
    pub requests: BTreeMap<String, String>,
    /// What the containers may use at most, beside `{memory: 4Gi}`.
    pub limits: BTreeMap<String, String>,
    /// Up to how much memory the operator raises the limit of a build that ran out of it. Default: twice the limit.
    pub max_memory: Option<String>,
}

impl ResourceSettings {
    /// The requests of an object that names none.
    pub fn requests(&self) -> BTreeMap<String, String> {
        with(&self.requests, &[("cpu", "500m"), ("memory", "1Gi")])
    }

    /// The limits of an object that names none.
    pub fn limits(&self) -> BTreeMap<String, String> {
        with(&self.limits, &[("memory", "4Gi")])
    }

    /// The most memory that a build gets by itself, in bytes.
    pub fn most_memory(&self) -> u64 {
        let limit = self.limits().get("memory").and_then(|memory| sizes::quantity(memory)).unwrap_or_default();
        self.max_memory.as_deref().and_then(sizes::quantity).unwrap_or_else(|| limit.saturating_mul(2))
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let refused = |key: &str, value: &str, problem: &str| {
            let (key, value, problem) = (key.to_owned(), value.to_owned(), problem.to_owned());
            Err(SettingsError::Resources { key, value, problem })
        };
        let memory = |from: &BTreeMap<String, String>| from.get("memory").cloned().unwrap_or_default();
        let (request, limit) = (memory(&self.requests()), memory(&self.limits()));
        let most = self.max_memory.clone().unwrap_or_else(|| limit.clone());
        for (key, value) in [("requests.memory", &request), ("limits.memory", &limit), ("maxMemory", &most)] {
            if sizes::quantity(value).is_none_or(|bytes| bytes == 0) {
                return refused(key, value, "is no amount of memory; use one such as 4Gi");
            }
        }
        match () {
            () if self.requests.contains_key("memory") && sizes::quantity(&request) > sizes::quantity(&limit) => {
                refused("requests.memory", &request, &format!("is more than limits.memory ({limit})"))
            }
            () if sizes::quantity(&most) < sizes::quantity(&limit) => {
                refused("maxMemory", &most, &format!("is less than limits.memory ({limit})"))
            }
            () => Ok(()),
        }
    }
}

fn with(given: &BTreeMap<String, String>, defaults: &[(&str, &str)]) -> BTreeMap<String, String> {
    let defaults = defaults.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    defaults.chain(given.clone()).collect()
}

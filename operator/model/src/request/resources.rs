//! What do the containers get that compile and test, and how much memory may it become?

use super::Refusal;
use super::checks::invalid;
use crate::settings::{ResourceSettings, Settings};
use gowindows_crds::sizes;
use gowindows_crds::v1alpha1::BuildResources;
use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeMap;

/// Memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRequest {
    /// What is set aside.
    pub request: u64,
    /// What may be used at most.
    pub limit: u64,
    /// Up to what the operator may raise the limit.
    pub most: u64,
    /// The object names the first, so that it is never raised.
    pub request_is_declared: bool,
    /// The object names the second.
    pub limit_is_declared: bool,
}

/// `build.resources` with the operator's defaults.
pub(super) fn resources(spec: Option<BuildResources>, settings: &Settings) -> Result<(ResourceRequirements, MemoryRequest), Refusal> {
    let BuildResources { requests, limits, max_memory } = spec.unwrap_or_default();
    let (requests, limits) = (texts(requests), texts(limits));
    let (request_is_declared, limit_is_declared) = (requests.contains_key("memory"), limits.contains_key("memory"));
    let mut requests: BTreeMap<_, _> = settings.resources.requests().into_iter().chain(requests).collect();
    let mut limits: BTreeMap<_, _> = settings.resources.limits().into_iter().chain(limits).collect();
    let memory = memory(&requests, &limits, max_memory, &settings.resources, (request_is_declared, limit_is_declared))?;
    // A default is no reason to refuse a small limit, nor is one a reason to exceed what the object calls the most.
    if !request_is_declared {
        requests.insert("memory".into(), sizes::text(memory.request));
    }
    if !limit_is_declared {
        limits.insert("memory".into(), sizes::text(memory.limit));
    }
    let quantities = |all: BTreeMap<String, String>| Some(all.into_iter().map(|(name, value)| (name, Quantity(value))).collect());
    Ok((ResourceRequirements { claims: None, requests: quantities(requests), limits: quantities(limits) }, memory))
}

fn memory(
    requests: &BTreeMap<String, String>,
    limits: &BTreeMap<String, String>,
    max_memory: Option<String>,
    defaults: &ResourceSettings,
    (request_is_declared, limit_is_declared): (bool, bool),
) -> Result<MemoryRequest, Refusal> {
    let bytes = |field: &str, value: &String| {
        let remedy = "use an amount of memory such as 4Gi";
        sizes::quantity(value).filter(|bytes| *bytes > 0).ok_or_else(|| invalid(field, value, remedy))
    };
    let of = |field: &str, from: &BTreeMap<String, String>| bytes(field, from.get("memory").unwrap_or(&String::new()));
    let request = of("build.resources.requests.memory", requests)?;
    let limit = of("build.resources.limits.memory", limits)?;
    let most = max_memory.as_ref().map(|most| bytes("build.resources.maxMemory", most)).transpose()?;
    if let (Some(most), Some(text), true) = (most, &max_memory, limit_is_declared)
        && most < limit
    {
        let remedy =
            format!("it is less than build.resources.limits.memory ({}); leave one of them out, or make this the larger", limits["memory"]);
        return Err(invalid("build.resources.maxMemory", text, &remedy));
    }
    let limit = if limit_is_declared { limit } else { most.map_or(limit, |most| limit.min(most)) };
    if request_is_declared && request > limit {
        let remedy = format!("it is more than the limit of {}; set build.resources.limits.memory as well", sizes::text(limit));
        return Err(invalid("build.resources.requests.memory", &requests["memory"], &remedy));
    }
    let most = most.unwrap_or(if limit_is_declared { limit } else { defaults.most_memory() });
    Ok(MemoryRequest { request: request.min(limit), limit, most, request_is_declared, limit_is_declared })
}

fn texts(given: BTreeMap<String, IntOrString>) -> BTreeMap<String, String> {
    let text = |value| match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text,
    };
    given.into_iter().map(|(name, value)| (name, text(value))).collect()
}

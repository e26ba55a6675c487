//! What are the values of the variables that a pod gives its containers?
//!
//! Plain values, ConfigMaps, Secrets, fields of the pod and resources of the container, in a kubelet's order and with its
//! error texts.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Container, EnvVarSource, Pod, ResourceFieldSelector, Secret};
use kube::{Api, Client, ResourceExt};

use crate::{command::expand, node::ALLOCATABLE};

/// Who asks: a pod with its address, on a node with its own.
pub struct Asker<'a> {
    /// A client that may read ConfigMaps and Secrets.
    pub client: &'a Client,
    /// The pod.
    pub pod: &'a Pod,
    /// The pod's address.
    pub ip: String,
    /// The node's address.
    pub host: String,
}

impl Asker<'_> {
    /// The variables of `container`.
    pub async fn environment(&self, container: &Container) -> Result<BTreeMap<String, String>> {
        let mut variables = BTreeMap::new();
        for source in container.env_from.iter().flatten() {
            let prefix = source.prefix.clone().unwrap_or_default();
            let content = if let Some(reference) = &source.config_map_ref {
                self.config_map(&reference.name, reference.optional).await?
            } else if let Some(reference) = &source.secret_ref {
                self.secret(&reference.name, reference.optional).await?
            } else {
                BTreeMap::new()
            };
            variables.extend(content.into_iter().map(|(key, value)| (format!("{prefix}{key}"), text(value))));
        }
        for variable in container.env.iter().flatten() {
            let value = match (&variable.value, &variable.value_from) {
                (_, Some(source)) => self.referred(source, container).await?,
                (value, None) => Some(expand(value.as_deref().unwrap_or_default(), &variables)),
            };
            variables.extend(value.map(|value| (variable.name.clone(), value)));
        }
        Ok(variables)
    }

    /// The content of a ConfigMap; nothing when it is missing and `optional`.
    pub async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, Vec<u8>>> {
        let found = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace()).get_opt(name).await?;
        let Some(map) = found else { return missing(optional, "configmap", name) };
        let texts = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
        Ok(texts.chain(map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0))).collect())
    }

    /// The content of a Secret; nothing when it is missing and `optional`.
    pub async fn secret(&self, name: &str, optional: Option<bool>) -> Result<BTreeMap<String, Vec<u8>>> {
        let found = Api::<Secret>::namespaced(self.client.clone(), &self.namespace()).get_opt(name).await?;
        let Some(secret) = found else { return missing(optional, "secret", name) };
        Ok(secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect())
    }

    /// A field of the pod, such as `metadata.labels['app']`.
    pub fn field(&self, path: &str) -> Result<String> {
        let spec = self.pod.spec.as_ref();
        let entry = |map: &BTreeMap<String, String>, key: &str| map.get(key).cloned().unwrap_or_default();
        if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
            return match map {
                "metadata.labels" => Ok(entry(self.pod.labels(), key)),
                "metadata.annotations" => Ok(entry(self.pod.annotations(), key)),
                _ => bail!("unsupported fieldPath: {path}"),
            };
        }
        Ok(match path {
            "metadata.name" => self.pod.name_any(),
            "metadata.namespace" => self.namespace(),
            "metadata.uid" => self.pod.uid().unwrap_or_default(),
            "metadata.labels" => lines(self.pod.labels()),
            "metadata.annotations" => lines(self.pod.annotations()),
            "spec.nodeName" => spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
            "spec.serviceAccountName" => spec.and_then(|spec| spec.service_account_name.clone()).unwrap_or_default(),
            "status.podIP" | "status.podIPs" => self.ip.clone(),
            "status.hostIP" | "status.hostIPs" => self.host.clone(),
            _ => bail!("unsupported fieldPath: {path}"),
        })
    }

    async fn referred(&self, source: &EnvVarSource, container: &Container) -> Result<Option<String>> {
        let entry = |content: BTreeMap<String, Vec<u8>>, key: &str, optional: Option<bool>, kind: &str, name: &str| match content.get(key) {
            Some(value) => Ok(Some(text(value.clone()))),
            None if optional == Some(true) => Ok(None),
            None => bail!("couldn't find key {key} in {kind} {}/{name}", self.namespace()),
        };
        if let Some(field) = &source.field_ref {
            self.field(&field.field_path).map(Some)
        } else if let Some(resource) = &source.resource_field_ref {
            resource_field(resource, container).map(Some)
        } else if let Some(of) = &source.config_map_key_ref {
            entry(self.config_map(&of.name, of.optional).await?, &of.key, of.optional, "ConfigMap", &of.name)
        } else if let Some(of) = &source.secret_key_ref {
            entry(self.secret(&of.name, of.optional).await?, &of.key, of.optional, "Secret", &of.name)
        } else {
            Ok(None)
        }
    }

    fn namespace(&self) -> String {
        self.pod.namespace().unwrap_or_default()
    }
}

/// A request or limit of `container` in units of the divisor, rounded up; the node's allocatable where there is no limit.
pub fn resource_field(selector: &ResourceFieldSelector, container: &Container) -> Result<String> {
    let (list, name) = selector.resource.split_once('.').context("a resource without limits. or requests.")?;
    let resources = container.resources.clone().unwrap_or_default();
    let own = if list == "limits" { resources.limits } else { resources.requests };
    let own = own.and_then(|own| own.get(name).map(|quantity| quantity.0.clone()));
    let allocatable = ALLOCATABLE.iter().find(|(of, _)| list == "limits" && *of == name).map(|(_, quantity)| (*quantity).to_owned());
    let quantity = number(&own.or(allocatable).unwrap_or_else(|| "0".to_owned()))?;
    let divisor = selector.divisor.as_ref().map(|divisor| number(&divisor.0)).transpose()?.filter(|divisor| *divisor > 0.0);
    Ok(format!("{}", (quantity / divisor.unwrap_or(1.0)).ceil()))
}

/// A quantity such as `500m` or `128Mi` as a number.
fn number(quantity: &str) -> Result<f64> {
    const UNITS: [(&str, f64); 12] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("", 1.0),
    ];
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((quantity.strip_suffix(unit)?, factor)));
    let (digits, factor) = unit.unwrap_or((quantity, &1.0));
    Ok(digits.parse::<f64>().with_context(|| format!("{quantity:?} is not a quantity"))? * factor)
}

fn missing(optional: Option<bool>, kind: &str, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    if optional == Some(true) { Ok(BTreeMap::new()) } else { bail!("{kind} \"{name}\" not found") }
}

fn lines(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity};

    use super::*;

    #[test]
    fn a_resource_is_rounded_up_to_the_divisor() {
        let limits = BTreeMap::from([("cpu".to_owned(), Quantity("1500m".into())), ("memory".to_owned(), Quantity("128Mi".into()))]);
        let resources = Some(ResourceRequirements { limits: Some(limits), ..ResourceRequirements::default() });
        let container = Container { resources, ..Container::default() };
        for (resource, divisor, value) in [
            ("limits.cpu", None, "2"),
            ("limits.cpu", Some("1m"), "1500"),
            ("limits.memory", None, "134217728"),
            ("limits.memory", Some("1Mi"), "128"),
        ] {
            let divisor = divisor.map(|divisor| Quantity(divisor.into()));
            let selector = ResourceFieldSelector { resource: resource.into(), divisor, container_name: None };
            assert_eq!(resource_field(&selector, &container).unwrap(), value, "{resource}");
        }
        let selector = ResourceFieldSelector { resource: "limits.cpu".into(), ..ResourceFieldSelector::default() };
        assert_ne!(resource_field(&selector, &Container::default()).unwrap(), "0");
    }
}

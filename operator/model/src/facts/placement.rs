//! Where may the pods of a workload run? As the scheduler sees it, as far as systems and builds of Windows go: other labels of nodes are not
//! known here and count as fitting.

use k8s_openapi::api::core::v1::{Affinity, NodeAffinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec};
use std::collections::BTreeMap;

/// On every node: `windows` or `linux`.
pub const SYSTEM_LABEL: &str = "kubernetes.io/os";
/// On a Windows node: its version, three parts.
pub const BUILD_LABEL: &str = "node.kubernetes.io/windows-build";

/// On every node: by it pods are kept on nodes that are named.
pub const HOST_LABEL: &str = "kubernetes.io/hostname";

/// Taints that come and go with a node's condition: they say nothing about which pods are wanted there.
const PASSING: [&str; 8] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.cloudprovider.kubernetes.io/uninitialized",
];

/// What keeps pods off a node unless they tolerate it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; often none.
    pub value: String,
    /// `NoSchedule` or `NoExecute`.
    pub effect: String,
}

impl std::fmt::Display for Taint {
    /// As `kubectl taint` spells it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{equals}{}:{}", self.key, self.value, self.effect)
    }
}

impl Taint {
    /// Those of a node that keep pods away for as long as somebody wants it so.
    pub fn lasting<'a>(taints: impl IntoIterator<Item = &'a k8s_openapi::api::core::v1::Taint>) -> Vec<Self> {
        let lasts = |taint: &&k8s_openapi::api::core::v1::Taint| {
            ["NoSchedule", "NoExecute"].contains(&taint.effect.as_str()) && !PASSING.contains(&taint.key.as_str())
        };
        let taints = taints.into_iter().filter(lasts);
        let mut lasting: Vec<Self> = taints
            .map(|taint| Self { key: taint.key.clone(), value: taint.value.clone().unwrap_or_default(), effect: taint.effect.clone() })
            .collect();
        lasting.sort();
        lasting
    }
}

/// What a pod template says about nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    selector: BTreeMap<String, String>,
    /// One of these must hold, where there are any: each a list of label, operator and values.
    terms: Vec<Vec<(String, String, Vec<String>)>>,
    /// Key, value, effect; empty ones stand for any. A value of none stands for any as well.
    tolerations: Vec<(String, Option<String>, String)>,
}

fn known(label: &str) -> bool {
    [SYSTEM_LABEL, BUILD_LABEL].contains(&label)
}

fn required(pod: &PodSpec) -> Option<&NodeSelector> {
    pod.affinity.as_ref()?.node_affinity.as_ref()?.required_during_scheduling_ignored_during_execution.as_ref()
}

impl Placement {
    /// Of a pod template.
    pub fn of(pod: &PodSpec) -> Self {
        let selector = pod.node_selector.iter().flatten().filter(|(label, _)| known(label));
        let expressions = |term: &NodeSelectorTerm| {
            let expressions = term.match_expressions.iter().flatten().filter(|expression| known(&expression.key));
            expressions.map(|one| (one.key.clone(), one.operator.clone(), one.values.clone().unwrap_or_default())).collect()
        };
        let tolerations = pod.tolerations.iter().flatten().map(|one| {
            let value = (one.operator.as_deref() != Some("Exists")).then(|| one.value.clone().unwrap_or_default());
            (one.key.clone().unwrap_or_default(), value, one.effect.clone().unwrap_or_default())
        });
        Self {
            selector: selector.map(|(label, value)| (label.clone(), value.clone())).collect(),
            terms: required(pod).iter().flat_map(|selector| &selector.node_selector_terms).map(expressions).collect(),
            tolerations: tolerations.collect(),
        }
    }

    /// Drops of a pod template all that [`Self::of`] does not read.
    pub fn slim(pod: &PodSpec) -> PodSpec {
        let term = |term: &NodeSelectorTerm| {
            let expressions = term.match_expressions.iter().flatten().filter(|expression| known(&expression.key));
            let expressions: Vec<NodeSelectorRequirement> = expressions.cloned().collect();
            NodeSelectorTerm { match_expressions: Some(expressions), match_fields: None }
        };
        let affinity = required(pod).map(|selector| {
            let selector = NodeSelector { node_selector_terms: selector.node_selector_terms.iter().map(term).collect() };
            let node_affinity =
                NodeAffinity { required_during_scheduling_ignored_during_execution: Some(selector), ..NodeAffinity::default() };
            Affinity { node_affinity: Some(node_affinity), ..Affinity::default() }
        });
        let selector = pod.node_selector.iter().flatten().filter(|(label, _)| known(label));
        PodSpec {
            affinity,
            node_selector: Some(selector.map(|(label, value)| (label.clone(), value.clone())).collect()),
            tolerations: pod.tolerations.clone(),
            ..PodSpec::default()
        }
    }

    /// Whether labels let the pods onto a Linux node.
    pub fn allows_linux(&self) -> bool {
        self.allows(&[(SYSTEM_LABEL, "linux")])
    }

    /// Whether labels let the pods onto a Windows node of this version, of three or four parts.
    pub fn allows_windows(&self, os_version: &str) -> bool {
        let build: Vec<&str> = os_version.split('.').take(3).collect();
        self.allows(&[(SYSTEM_LABEL, "windows"), (BUILD_LABEL, &build.join("."))])
    }

    fn allows(&self, labels: &[(&str, &str)]) -> bool {
        let value = |label: &str| labels.iter().find(|(name, _)| *name == label).map(|(_, value)| *value);
        let holds = |(label, operator, values): &(String, String, Vec<String>)| {
            let listed = value(label).is_some_and(|value| values.iter().any(|one| one == value));
            match operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value(label).is_some(),
                "DoesNotExist" => value(label).is_none(),
                _ => true,
            }
        };
        self.selector.iter().all(|(label, wanted)| value(label) == Some(wanted))
            && (self.terms.is_empty() || self.terms.iter().any(|term| term.iter().all(holds)))
    }

    /// The first of these taints that the pods do not tolerate.
    pub fn kept_off_by<'a>(&self, taints: &'a [Taint]) -> Option<&'a Taint> {
        let tolerated = |taint: &Taint| {
            self.tolerations.iter().any(|(key, value, effect)| {
                (key.is_empty() || *key == taint.key)
                    && value.as_ref().is_none_or(|value| *value == taint.value && !key.is_empty())
                    && (effect.is_empty() || *effect == taint.effect)
            })
        };
        taints.iter().find(|taint| !tolerated(taint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn placement(pod: Value) -> Placement {
        let mut pod = pod;
        pod["containers"] = json!([]);
        let pod: PodSpec = serde_json::from_value(pod).expect("a pod");
        let (whole, slim) = (Placement::of(&pod), Placement::of(&Placement::slim(&pod)));
        assert_eq!(whole, slim, "what is dropped does not matter");
        whole
    }

    fn affine(terms: Value) -> Placement {
        let required = json!({"nodeSelectorTerms": terms});
        placement(json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}))
    }

    #[test]
    fn labels_keep_pods_off_as_the_scheduler_does() {
        let system = |values: &[&str]| json!({"key": SYSTEM_LABEL, "operator": "In", "values": values});
        let builds = |operator: &str, values: &[&str]| json!({"key": BUILD_LABEL, "operator": operator, "values": values});
        let zone = json!({"key": "zone", "operator": "In", "values": ["a"]});
        // Linux, 2019, 2022.
        let table = [
            (placement(json!({})), [true, true, true]),
            (placement(json!({"nodeSelector": {SYSTEM_LABEL: "windows", "zone": "a"}})), [false, true, true]),
            (placement(json!({"nodeSelector": {BUILD_LABEL: "10.0.20348"}})), [false, false, true]),
            (affine(json!([{"matchExpressions": [system(&["windows"]), zone]}])), [false, true, true]),
            (affine(json!([{"matchExpressions": [builds("In", &["10.0.20348", "10.0.26100"])]}])), [false, false, true]),
            (affine(json!([{"matchExpressions": [system(&["windows"]), builds("NotIn", &["10.0.17763"])]}])), [false, false, true]),
            (affine(json!([{"matchExpressions": [builds("Exists", &[])]}])), [false, true, true]),
            (affine(json!([{"matchExpressions": [builds("DoesNotExist", &[])]}])), [true, false, false]),
            (affine(json!([{"matchExpressions": [builds("In", &["10.0.17763"])]}, {"matchExpressions": [zone]}])), [true, true, true]),
        ];
        for (placement, expected) in table {
            let allows =
                [placement.allows_linux(), placement.allows_windows("10.0.17763.8389"), placement.allows_windows("10.0.20348.5499")];
            assert_eq!(allows, expected, "{placement:?}");
        }
    }

    #[test]
    fn taints_keep_pods_off_unless_they_are_tolerated() {
        let taint = |key: &str, value: &str| Taint { key: key.into(), value: value.into(), effect: "NoSchedule".into() };
        let taints = [taint("os", "windows"), taint("team", "")];
        let table = [
            (json!([]), Some("os=windows:NoSchedule")),
            (json!([{"key": "os", "value": "windows"}]), Some("team:NoSchedule")),
            (json!([{"key": "os", "value": "Windows"}]), Some("os=windows:NoSchedule")),
            (json!([{"key": "os", "operator": "Exists", "effect": "NoExecute"}, {"key": "team"}]), Some("os=windows:NoSchedule")),
            (json!([{"key": "os", "operator": "Exists"}, {"key": "team", "operator": "Equal"}]), None),
            (json!([{"operator": "Exists"}]), None),
        ];
        for (tolerations, expected) in table {
            let placement = placement(json!({"tolerations": tolerations}));
            assert_eq!(placement.kept_off_by(&taints).map(ToString::to_string).as_deref(), expected, "{tolerations}");
        }
    }

    #[test]
    fn what_passes_by_itself_is_no_reason() {
        let taints: Vec<k8s_openapi::api::core::v1::Taint> = serde_json::from_value(json!([
            {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
            {"key": "os", "value": "windows", "effect": "NoSchedule"},
            {"key": "soft", "effect": "PreferNoSchedule"},
            {"key": "node.kubernetes.io/os", "value": "windows", "effect": "NoSchedule"},
        ]))
        .expect("taints");
        let lasting: Vec<String> = Taint::lasting(&taints).iter().map(ToString::to_string).collect();
        assert_eq!(lasting, ["node.kubernetes.io/os=windows:NoSchedule", "os=windows:NoSchedule"]);
    }
}

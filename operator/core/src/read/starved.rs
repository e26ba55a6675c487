//! Did a build end because of its memory?
//!
//! | sign | whose memory |
//! |---|---|
//! | the runtime ended a container, or a program in it, at its limit (`OOMKilled`) | the container's |
//! | the go command says that the kernel killed the compiler, or that there is no memory | the container's; that of a buildkitd elsewhere |
//! | the kubelet evicted the pod because of memory | the node's: more was used than was set aside |

use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_model::wire::stages::COMPILE;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

/// What the go command says where the kernel has killed a program that it ran.
const KILLED: [&str; 3] = ["/compile: signal: killed", "/link: signal: killed", "/asm: signal: killed"];
/// What a program of Go says that gets no memory: on Linux, and on Windows.
const REFUSED: [&str; 3] = ["fatal error: runtime: cannot allocate memory", "runtime: out of memory", "fatal error: out of memory"];

/// Whose memory a stage works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Its container's, which has this limit.
    Own(Option<String>),
    /// That of a buildkitd elsewhere.
    OfBuildkitd,
}

impl Memory {
    /// Of a container of a pod.
    pub(super) fn of(pod: &Pod, container: &str, engine: BuildEngine) -> Self {
        let spec = pod.spec.as_ref();
        if container == COMPILE && engine == BuildEngine::BuildKit && !spec.is_some_and(crate::read::has_buildkitd) {
            return Self::OfBuildkitd;
        }
        let all = spec.into_iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers));
        let named = all.into_iter().find(|declared| declared.name == container);
        let limit = named.and_then(|named| Some(named.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.clone()));
        Self::Own(limit)
    }
}

/// Why a stage ended, where that was its memory.
pub(super) fn of_stage(stage: &str, ended: &ContainerStateTerminated, memory: &Memory) -> Option<String> {
    let limit = match memory {
        Memory::Own(Some(limit)) => format!(" of {limit}"),
        Memory::Own(None) | Memory::OfBuildkitd => String::new(),
    };
    let used = format!("Stage {stage} used more memory than its limit{limit}.");
    if ended.reason.as_deref() == Some("OOMKilled") {
        return Some(used);
    }
    let said = ended.message.as_deref().unwrap_or_default();
    let is_killed = said.lines().any(|line| KILLED.iter().any(|sign| line.trim_end().ends_with(sign)));
    if stage != COMPILE || !(is_killed || REFUSED.iter().any(|sign| said.contains(sign))) {
        return None;
    }
    let elsewhere = "The compiler ran out of memory in buildkitd. Give its machine, or its pod, more.";
    Some(if *memory == Memory::OfBuildkitd { elsewhere.to_owned() } else { used })
}

/// What the kubelet says of a pod that it evicted because of memory.
pub(super) fn eviction(pod: &Pod) -> Option<&str> {
    let status = pod.status.as_ref().filter(|status| status.reason.as_deref() == Some("Evicted"))?;
    status.message.as_deref().filter(|message| message.contains("resource: memory"))
}

/// That the node was short of memory, in the kubelet's words.
pub(super) fn of_node(pod: Option<&Pod>) -> String {
    let said = pod.and_then(eviction).map(|said| format!(": {}", super::go_output::clip(said))).unwrap_or_default();
    format!("The kubelet evicted the build's pod because its node was short of memory{said}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use gowindows_model::wire::stages::{ASSEMBLE, TEST};
    use serde_json::json;

    fn ended(reason: &str, message: &str) -> ContainerStateTerminated {
        ContainerStateTerminated { exit_code: 1, reason: Some(reason.into()), message: Some(message.into()), ..Default::default() }
    }

    #[test]
    fn memory_is_told_from_a_mistake_in_the_program() {
        let killed = "net/http: /usr/local/go/pkg/tool/linux_amd64/compile: signal: killed\n";
        let own = Memory::Own(Some("4Gi".into()));
        let table = [
            (COMPILE, "OOMKilled", "", &own, Some("its limit of 4Gi.")),
            (TEST, "OOMKilled", "", &own, Some("Stage test")),
            (ASSEMBLE, "OOMKilled", "", &own, Some("Stage assemble")),
            (COMPILE, "Error", killed, &own, Some("its limit of 4Gi.")),
            (
                COMPILE,
                "Error",
                "#9 1.2 net/http: /usr/local/go/pkg/tool/linux_amd64/link: signal: killed",
                &Memory::OfBuildkitd,
                Some("in buildkitd"),
            ),
            (COMPILE, "Error", "runtime: VirtualAlloc of 8192 bytes failed with errno=1455\nfatal error: out of memory", &own, Some("4Gi")),
            (COMPILE, "Error", "./main.go:7:2: undefined: killed", &own, None),
            // A test may kill what it has started.
            (TEST, "Error", "/tmp/compile: signal: killed", &own, None),
        ];
        for (stage, reason, message, memory, expected) in table {
            let told = of_stage(stage, &ended(reason, message), memory);
            assert!(
                told.as_deref().map_or(expected.is_none(), |told| expected.is_some_and(|part| told.contains(part))),
                "{message}: {told:?}"
            );
        }
    }

    #[test]
    fn the_memory_of_a_buildkitd_elsewhere_is_not_the_pods() {
        let pod = |command: &str| {
            let resources = json!({"limits": {"memory": "4Gi"}});
            let compile = json!({"name": COMPILE, "command": [command], "resources": resources});
            serde_json::from_value::<Pod>(json!({"spec": {"initContainers": [compile], "containers": [{"name": ASSEMBLE}]}}))
                .expect("a pod")
        };
        let of = |pod: &Pod, container, engine| Memory::of(pod, container, engine);
        let own = Memory::Own(Some("4Gi".into()));
        assert_eq!(of(&pod("buildctl"), COMPILE, BuildEngine::BuildKit), Memory::OfBuildkitd);
        assert_eq!(of(&pod("buildctl-daemonless.sh"), COMPILE, BuildEngine::BuildKit), own);
        assert_eq!(of(&pod("go"), COMPILE, BuildEngine::Go), own);
        assert_eq!(of(&pod("buildctl"), ASSEMBLE, BuildEngine::BuildKit), Memory::Own(None));
    }

    #[test]
    fn an_eviction_because_of_memory_is_told_from_others() {
        let pod = |reason: &str, message: &str| {
            serde_json::from_value::<Pod>(json!({"status": {"reason": reason, "message": message}})).expect("a pod")
        };
        let said = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi.";
        assert!(
            of_node(Some(&pod("Evicted", said)))
                .ends_with("short of memory: The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi.")
        );
        for other in [pod("Evicted", "The node was low on resource: ephemeral-storage."), pod("NodeLost", said), Pod::default()] {
            assert_eq!(eviction(&other), None, "{other:?}");
        }
    }
}

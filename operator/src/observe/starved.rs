//! Did a build end because of its memory?
//!
//! | sign | whose memory |
//! |---|---|
//! | the runtime ended a container, or a program in it, at its limit (`OOMKilled`) | the container's |
//! | the go command says that the kernel killed the compiler, or that there is no memory | the container's; with BuildKit that of buildkitd |
//! | the kubelet evicted the pod because of memory | the node's: more was used than was set aside |

use crate::render::COMPILE;
use gowindows_crds::v1alpha1::BuildEngine;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};

/// Why a Job is ended whose pods are evicted.
pub const EVICTED: &str = "Evicted";

/// What the go command says where the kernel has killed a program that it ran.
const KILLED: [&str; 3] = ["/compile: signal: killed", "/link: signal: killed", "/asm: signal: killed"];
/// What a program of Go says that gets no memory: on Linux, and on Windows.
const REFUSED: [&str; 3] = ["fatal error: runtime: cannot allocate memory", "runtime: out of memory", "fatal error: out of memory"];

/// Why a stage ended, where that was its memory. `limit` is its own.
pub(super) fn of_stage(stage: &str, ended: &ContainerStateTerminated, engine: BuildEngine, limit: Option<String>) -> Option<String> {
    let limit = limit.map(|limit| format!(" of {limit}")).unwrap_or_default();
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
    Some(if engine == BuildEngine::BuildKit { elsewhere.to_owned() } else { used })
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

/// The limit of memory of a container.
pub(super) fn limit(pod: &Pod, container: &str) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let named = spec.init_containers.iter().flatten().chain(&spec.containers).find(|declared| declared.name == container)?;
    Some(named.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::{ASSEMBLE, TEST};
    use serde_json::json;

    fn ended(reason: &str, message: &str) -> ContainerStateTerminated {
        ContainerStateTerminated { exit_code: 1, reason: Some(reason.into()), message: Some(message.into()), ..Default::default() }
    }

    #[test]
    fn memory_is_told_from_a_mistake_in_the_program() {
        let killed = "net/http: /usr/local/go/pkg/tool/linux_amd64/compile: signal: killed\n";
        let table = [
            (COMPILE, "OOMKilled", "", BuildEngine::Go, Some("its limit of 4Gi.")),
            (TEST, "OOMKilled", "", BuildEngine::Go, Some("Stage test")),
            (ASSEMBLE, "OOMKilled", "", BuildEngine::Go, Some("Stage assemble")),
            (COMPILE, "Error", killed, BuildEngine::Go, Some("its limit of 4Gi.")),
            (COMPILE, "Error", killed, BuildEngine::Kaniko, Some("its limit of 4Gi.")),
            (
                COMPILE,
                "Error",
                "#9 1.2 net/http: /usr/local/go/pkg/tool/linux_amd64/link: signal: killed",
                BuildEngine::BuildKit,
                Some("in buildkitd"),
            ),
            (
                COMPILE,
                "Error",
                "runtime: VirtualAlloc of 8192 bytes failed with errno=1455\nfatal error: out of memory",
                BuildEngine::Go,
                Some("4Gi"),
            ),
            (COMPILE, "Error", "./main.go:7:2: undefined: killed", BuildEngine::Go, None),
            // A test may kill what it has started.
            (TEST, "Error", "/tmp/compile: signal: killed", BuildEngine::Go, None),
        ];
        for (stage, reason, message, engine, expected) in table {
            let told = of_stage(stage, &ended(reason, message), engine, Some("4Gi".into()));
            assert!(
                told.as_deref().map_or(expected.is_none(), |told| expected.is_some_and(|part| told.contains(part))),
                "{message}: {told:?}"
            );
        }
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

//! How does a build have a buildkitd of its own? In the compile container, which is one of BuildKit's rootless image: its own
//! `buildctl-daemonless.sh` starts the daemon, waits for it, and runs `buildctl` with the arguments of every other way.
//!
//! The daemon makes namespaces, mounts and users below its own, without being root. The profiles of seccomp and AppArmor that runtimes bring
//! forbid that, and the two programs that map users have more rights than who calls them: no Pod Security level but *privileged* allows it
//! (moby/buildkit `docs/rootless.md`, `examples/kubernetes/job.rootless.yaml`). Nothing of it is root on the node.

use super::builder::in_context;
use super::job::scratch;
use super::stages::{CACHE, TMP, mount, variable};
use gowindows_model::request::Request;
use gowindows_model::settings::{RegistrySettings, Settings};
use gowindows_model::wire::stages::{BUILDKITD_SETTINGS, DAEMONLESS};
use k8s_openapi::api::core::v1::{AppArmorProfile, Container, SeccompProfile, SecurityContext, Volume};

/// The user of BuildKit's rootless image, for whom it sets aside the users of builds (`/etc/subuid`).
const USER: i64 = 1000;
/// Where that user's programs have their sockets.
const RUNTIME: &str = "/run/user/1000";
/// How often it is asked whether the daemon is there, ever more slowly: some 25 s.
const TRIALS: &str = "45";

/// The same container with a buildkitd beside what it runs.
pub(super) fn with_a_buildkitd(container: Container, request: &Request) -> Container {
    // Kubernetes lets no container mount a `/proc` of its own, so steps of a build see the daemon's processes.
    let flags = format!("--config={BUILDKITD_SETTINGS} --root={CACHE}/buildkit --oci-worker-no-process-sandbox");
    let variables = [
        ("BUILDKITD_FLAGS", flags.as_str()),
        ("BUILDCTL_CONNECT_RETRIES_MAX", TRIALS),
        ("XDG_RUNTIME_DIR", RUNTIME),
        // The image's own is in its root, which is read-only here.
        ("TMPDIR", TMP),
    ];
    let variables = variables.map(|(name, value)| variable((name.to_owned(), value.to_owned())));
    let mounts = [in_context("buildkitd"), mount("cache", CACHE), mount("run", RUNTIME), mount("tmp", TMP)];
    Container {
        command: Some(vec![DAEMONLESS.into()]),
        env: Some(container.env.into_iter().flatten().chain(variables).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(unconfined()),
        volume_mounts: Some(container.volume_mounts.into_iter().flatten().chain(mounts).collect()),
        ..container
    }
}

/// The volume of the daemon's sockets.
pub(super) fn volume() -> Volume {
    scratch("run")
}

/// All of the operator's: a Dockerfile of one's own may begin with an image of any.
pub(super) fn registries(settings: &Settings) -> Vec<RegistrySettings> {
    let registries = settings.registries.iter().cloned();
    registries.map(|registry| RegistrySettings { ca_file: None, identity: None, ..registry }).collect()
}

fn unconfined() -> SecurityContext {
    let profile = || "Unconfined".to_owned();
    SecurityContext {
        allow_privilege_escalation: Some(true),
        app_armor_profile: Some(AppArmorProfile { localhost_profile: None, type_: profile() }),
        read_only_root_filesystem: Some(true),
        run_as_group: Some(USER),
        run_as_non_root: Some(true),
        run_as_user: Some(USER),
        seccomp_profile: Some(SeccompProfile { localhost_profile: None, type_: profile() }),
        ..SecurityContext::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::builder::CONTEXT;
    use super::*;

    #[test]
    fn the_settings_are_where_the_source_stage_writes_them() {
        assert_eq!(BUILDKITD_SETTINGS, format!("{CONTEXT}/buildkitd/buildkitd.toml"));
    }
}

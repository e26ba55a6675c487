//! How are the tests of a build run? In a Job of their own beside the build's, the same with every engine:
//!
//! ```text
//! init source   (our image)        fetches the commit        -> /build/src
//! init modules  (the toolchain's)  where they are private    -> /cache/mod
//! test          (the toolchain's)  go test, no shell, no cgo -> the end of its output
//! ```
//!
//! Tests are code of the source that runs: their pod passes Pod Security *restricted*, no Secret is mounted where they run, and no
//! compiler reads the cache that they write: private modules are there before a test runs. So they can do no more to the image than to hold it back.

use super::engine_go::FIXED;
use super::job::{BuildOrder, MODULES, TEST, cache, git_secret, job_spec, owned_job, pod_spec, scratch, test_cache_claim};
use super::modules::{self, Credentials};
use super::stages::{ForBuilder, TMP, literal, mount, part, read_only, restricted, source, variable};
use super::{job_name, test_job_name};
use crate::decide::{Inputs, Request};
use crate::settings::Settings;
use gowindows_crds::{GoWindowsImage, names};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Container;
use kube::ResourceExt;
use std::collections::BTreeMap;

/// The Job that tests what a build is of. It is created before the build's, which names it: a build that names none that is there has lost it.
pub fn test_job(object: &GoWindowsImage, request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Job {
    let uid = object.uid().unwrap_or_default();
    let fingerprint = order.inputs.fingerprint();
    let build = job_name(&object.name_any(), &uid, &fingerprint, order.attempt, order.rebuild_token);
    let labels = BTreeMap::from([
        (names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned()),
        (names::LABEL_IMAGE_UID.to_owned(), uid),
        (names::LABEL_FINGERPRINT.to_owned(), fingerprint.get(..32).unwrap_or(&fingerprint).to_owned()),
        (names::LABEL_ROLE.to_owned(), names::ROLE_TEST.to_owned()),
    ]);
    let mut annotations = BTreeMap::from([(names::ANNOTATION_IMAGE.to_owned(), object.name_any())]);
    let volumes = [scratch("workspace"), scratch("tmp"), cache(test_cache_claim(object, request))].into_iter();
    let volumes = volumes.chain(git_secret(request)).chain(order.secrets(request)).collect();
    let private = order.credentials.map(|credentials| private_modules(request, settings, order, credentials));
    let first = [source(request, settings, order, ForBuilder::default())].into_iter().chain(private).collect();
    let pod = pod_spec(request, settings, first, tests(request, settings, order), volumes);
    let limit = request.build.source + request.build.test;
    let spec = job_spec(request, limit, (labels.clone(), annotations.clone()), pod);
    annotations.insert(names::ANNOTATION_INPUTS.to_owned(), serde_json::to_string(order.inputs).unwrap_or_default());
    owned_job(object, test_job_name(&build), labels, annotations, spec)
}

/// Downloads what the tests need, for they themselves must not see the credentials.
fn private_modules(request: &Request, settings: &Settings, order: &BuildOrder<'_>, credentials: Credentials) -> Container {
    let Inputs { compile, tests, .. } = order.inputs;
    let sources = modules::environment(Some(credentials)).into_iter().chain(request.modules.sources(settings)).collect();
    let source = part("src", read_only("workspace", "/build/src"));
    Container {
        volume_mounts: Some(vec![source, mount("cache", "/cache"), mount("tmp", TMP), credentials.mount()]),
        ..go(MODULES, compile.modules_argv(tests), sources, request, order)
    }
}

fn tests(request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Container {
    let Inputs { compile, tests, .. } = order.inputs;
    let limit = request.build.test;
    let sources = match order.credentials {
        Some(_) => vec![("GOPROXY".to_owned(), "off".to_owned())],
        None => request.modules.sources(settings),
    };
    let sources = modules::environment(None).into_iter().chain(sources).collect();
    Container {
        // Tests write beside their sources; nothing reads these afterwards.
        volume_mounts: Some(vec![part("src", mount("workspace", "/build/src")), mount("cache", "/cache"), mount("tmp", TMP)]),
        // The whole limit is the operator's: it can only end the pod, and not say which test hangs.
        ..go(TEST, compile.test_argv(tests, limit - limit / 4), sources, request, order)
    }
}

/// The go command in the module's folder.
fn go(name: &str, argv: Vec<String>, sources: Vec<(String, String)>, request: &Request, order: &BuildOrder<'_>) -> Container {
    let Inputs { sub_path, compile, toolchain, .. } = order.inputs;
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Container {
        name: name.into(),
        image: Some(toolchain.clone()),
        command: Some(argv.iter().map(|word| literal(word)).collect()),
        env: Some(sources.into_iter().chain(fixed).chain(compile.test_environment()).map(variable).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        working_dir: Some(if sub_path == "." { "/build/src".into() } else { format!("/build/src/{sub_path}") }),
        ..Container::default()
    }
}

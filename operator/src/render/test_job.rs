//! How are the tests of a build run? In a Job of their own beside the build's, the same with every engine:
//!
//! ```text
//! init source   (our image)        fetches the commit        -> /build/src
//! test          (the toolchain's)  go test, no shell, no cgo -> the end of its output
//! ```
//!
//! Tests are code of the source that runs: their pod passes Pod Security *restricted*, no Secret is mounted where they run, and no
//! compiler reads the cache that they write. So they can do no more to the image than to hold it back.

use super::engine_go::FIXED;
use super::job::{BuildOrder, TEST, cache, git_secret, job_spec, owned_job, pod_spec, scratch, test_cache_claim};
use super::stages::{TMP, literal, mount, part, restricted, source, variable};
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
    let volumes = [scratch("workspace"), scratch("tmp"), cache(test_cache_claim(object, request))].into_iter().chain(git_secret(request));
    let first = vec![source(request, settings, order, None)];
    let pod = pod_spec(request, settings, first, tests(request, settings, order), volumes.collect());
    let limit = request.build.source + request.build.test;
    let spec = job_spec(request, limit, (labels.clone(), annotations.clone()), pod);
    annotations.insert(names::ANNOTATION_INPUTS.to_owned(), serde_json::to_string(order.inputs).unwrap_or_default());
    owned_job(object, test_job_name(&build), labels, annotations, spec)
}

fn tests(request: &Request, settings: &Settings, order: &BuildOrder<'_>) -> Container {
    let Inputs { sub_path, compile, toolchain, tests, .. } = order.inputs;
    let limit = request.build.test;
    let fixed = FIXED.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Container {
        name: TEST.into(),
        image: Some(toolchain.clone()),
        // The whole limit is the operator's: it can only end the pod, and not say which test hangs.
        command: Some(compile.test_argv(tests, limit - limit / 4).iter().map(|word| literal(word)).collect()),
        env: Some(fixed.chain(settings.module_sources()).chain(compile.test_environment()).map(variable).collect()),
        resources: Some(request.build.resources.clone()),
        security_context: Some(restricted()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        // Tests write beside their sources; nothing reads these afterwards.
        volume_mounts: Some(vec![part("src", mount("workspace", "/build/src")), mount("cache", "/cache"), mount("tmp", TMP)]),
        working_dir: Some(if sub_path == "." { "/build/src".into() } else { format!("/build/src/{sub_path}") }),
        ..Container::default()
    }
}

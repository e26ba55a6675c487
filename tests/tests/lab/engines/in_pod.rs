//! A buildkitd that the build's own pod starts, without root: refused where pods must be restricted, else the same image as engine Go's, and what it
//! has kept in the object's volume is found again.

use super::deployed::{DATE, STANDARD, program};
use super::{made, namespace, object, of_step};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::engines::names;
use gowindows_tests::thread::{LIMIT, Stage, is_for, message, until};
use serde_json::json;
use std::sync::Arc;

fn dockerfile(stage: &Stage) -> String {
    let (toolchain, base) = names(stage);
    format!(
        r#"FROM --platform=$BUILDPLATFORM {toolchain} AS build
ENV HOME=/tmp GOTOOLCHAIN=local CGO_ENABLED=0 GOOS=windows GOARCH=amd64
WORKDIR /src
COPY . .
RUN ["go", "build", "-trimpath", "-buildvcs=false", "-o", "/out/app/", "."]
FROM {base}
COPY --from=build /out/ /
ENTRYPOINT ["C:\\app\\hello.exe"]
"#
    )
}

pub async fn a_buildkitd_in_the_builds_own_pod(stage: Arc<Stage>) -> Result<()> {
    let tenant = namespace(&stage, "in-pod", BuildEngine::BuildKit).await?;
    let repository = stage.lab.git().create("in-pod/hello", Access::Public).await?;
    let first = [("go.mod", "module example.com/hello\n\ngo 1.22\n"), ("main.go", &program("hello"))];
    let commit = repository.commit_files(&first, "Say hello", DATE).await?;
    let mut object = object(&stage, &tenant, repository.url(), BuildEngine::BuildKit, "");
    object["spec"]["go"] = json!({"package": "."});
    object["spec"]["build"]["buildkit"] = json!({"inPod": true});
    tenant.kubectl.apply(&object.to_string()).await?;
    let so = |status: &GoWindowsImageStatus| {
        let said = message(status, ConditionType::Built);
        let parts = ["violates PodSecurity", "AppArmor profile", "build.buildkit.inPod"];
        is_for(status, ConditionType::Built, Reason::Pending) && parts.iter().all(|part| said.contains(part))
    };
    until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, so).await.context("refused")?;

    let label = ["label", "namespace", &tenant.namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"];
    tenant.kubectl.run(&label).await?;
    made(&stage, &tenant, &commit).await?;
    let said = of_step(&tenant, STANDARD).await?;
    ensure!(!said.iter().any(|line| line == "CACHED"), "a new buildkitd has nothing: {said:?}");

    let commit = repository.commit_files(&[("main.go", &program("hello again"))], "Say it again", DATE).await?;
    let image = made(&stage, &tenant, &commit).await?;
    let said = of_step(&tenant, STANDARD).await?;
    ensure!(said.iter().any(|line| line == "CACHED"), "what it had outlives its pod: {said:?}");

    object["spec"]["build"] = json!({"cache": {"volume": {"size": "2Gi"}}});
    tenant.kubectl.apply(&object.to_string()).await?;
    tenant.kubectl.run(&["annotate", "gwi", "program", "gowindows.dev/rebuild=by-go"]).await?;
    let by_go = |status: &GoWindowsImageStatus| status.history.first().is_some_and(|build| build.cause.as_deref() == Some("Manual: by-go"));
    let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, by_go).await?;
    let last = status.history.first().context("a build")?;
    let annotation = r"jsonpath={.metadata.annotations.gowindows\.dev/engine}";
    let engine = tenant.kubectl.run(&["get", "job", &last.job, "--output", annotation]).await?;
    ensure!(engine == "Go" && last.digest.as_ref() == Some(&image.digest), "{engine}: {last:?} {image:?}");

    // It pulls the base, and pushes, by itself.
    let commit = repository.commit_files(&[("Dockerfile", &dockerfile(&stage))], "Build it ourselves", DATE).await?;
    object["spec"]["go"] = json!({});
    object["spec"]["build"] =
        json!({"engine": "BuildKit", "buildkit": {"inPod": true, "dockerfile": "Dockerfile"}, "cache": {"volume": {"size": "2Gi"}}});
    tenant.kubectl.apply(&object.to_string()).await?;
    let image = made(&stage, &tenant, &commit).await?;
    let name = image.binary.as_ref().map(|binary| binary.name.as_str());
    ensure!(image.engine == Some(BuildEngine::BuildKit) && name == Some("hello.exe"), "{image:?}");
    Ok(())
}

//! A Dockerfile of the team's own: a real buildkitd makes and pushes the Windows image, which is verified and rolled as any other; and one with
//! all that cannot be in it, of which nothing is built.

use super::{object, tenant, windows};
use anyhow::{Context, Result, ensure};
use clap::Parser;
use gowindows_builder::verify::{VerifyArgs, verify};
use gowindows_clients::oci::{Credentials, Registry, Source};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, BuildPhase, GoWindowsImageStatus};
use gowindows_model::settings::RegistrySettings;
use gowindows_tests::lab::builders::Buildkitd;
use gowindows_tests::lab::git::Access;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::thread::engines::names;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, is_for, is_ready_on, is_true, message, until};
use serde_json::{Value, json};
use std::sync::Arc;
use windows_image::verify::Rule;
use windows_image::verify::Verdict;

const PATH: &str = "build/Dockerfile";
const DATE: &str = "2026-01-04T03:04:05Z";

/// A file of the program for Windows alone that does not compile, and what leaves it out.
const BROKEN: (&str, &str) = ("cmd/storefront/broken_windows.go", "package broken\n");
const IGNORES_IT: (&str, &str) = ("build/Dockerfile.dockerignore", "**/broken_*\n");
const TESTED: (&str, &str) = ("bread/bread_test.go", "package bread\n\nimport \"testing\"\n\nfunc TestBread(*testing.T) {}\n");

/// `toolchain` and `base` are named without a digest: both are pinned for each build. `warm` has what a compiler's cache begins with.
fn good(toolchain: &str, base: &str, warm: &str) -> String {
    format!(
        r#"# The storefront, as its team builds it.
FROM --platform=$BUILDPLATFORM {warm} AS warm
FROM --platform=$BUILDPLATFORM {toolchain} AS build
ARG REVISION
ENV HOME=/tmp GOCACHE=/cache GOTOOLCHAIN=local CGO_ENABLED=0 GOOS=windows GOARCH=amd64
ENV GOFLAGS="-trimpath -buildvcs=false -tags=timetzdata -ldflags=-X=main.version=${{REVISION}}"
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/cache,from=warm,source=/cache ["go", "build", "-o", "/out/app/", "./cmd/storefront"]

FROM {base}
COPY --from=build /out/ /
EXPOSE 8080
ENTRYPOINT ["C:\\app\\storefront.exe", \
  "-listen", ":8080"]
"#
    )
}

/// Hardly a line of it can be there.
fn bad(toolchain: &str, base: &str) -> String {
    format!(
        r#"# syntax=docker/dockerfile:1
FROM --platform=linux/amd64 {toolchain} AS build
RUN --security=insecure ["go", "version"]
ARG NPM_TOKEN
FROM golang:1.26 AS other
FROM {base}
WORKDIR /app
COPY --link --from=build /out/ /
ADD https://example.com/tool.exe /Windows/System32/
RUN dir
CMD ["-listen"]
ONBUILD COPY . /app
ENTRYPOINT storefront.exe
"#
    )
}

/// The object of a Dockerfile, with a gate of tests.
fn own(stage: &Stage, tenant: &Tenant, url: &str, buildkitd: &str) -> Value {
    let mut object = object(stage, tenant, url, BuildEngine::BuildKit, buildkitd);
    object["spec"]["build"]["buildkit"]["dockerfile"] = json!(PATH);
    object["spec"]["go"] = json!({"test": {"packages": ["./bread"]}});
    object["spec"]["image"]["pushSecretRef"] = json!({"name": "registry-auth"});
    object["spec"]["image"]["labels"] = json!({"org.opencontainers.image.vendor": "Example Ltd"});
    object["spec"]["rollout"] = json!({"targets": [{"name": "program"}]});
    object
}

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    arguments: VerifyArgs,
}

pub async fn a_dockerfile_of_ones_own_makes_the_image(stage: Arc<Stage>) -> Result<()> {
    let buildkitd = stage.lab.start_buildkitd("buildkitd-own", &Progress::stderr()).await?;
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    let storefront = Storefront::create(&stage.lab, "own/storefront", login).await?;
    let (toolchain, base) = names(&stage);
    let warm = stage.lab.warm_cache_image().await?;
    let commit = storefront
        .repository
        .commit_files(&[(PATH, &good(&toolchain, &base, &warm)), BROKEN, IGNORES_IT, TESTED], "Build it ourselves", DATE)
        .await?;
    let tenant = tenant(&stage, "own", BuildEngine::BuildKit, &buildkitd).await?;
    tenant.kubectl.apply(&tenant.sample("storefront-deployment.yaml", "program")?).await?;
    let object = own(&stage, &tenant, storefront.repository.url(), &buildkitd.address());
    tenant.kubectl.apply(&object.to_string()).await?;
    let client = stage.lab.client();
    let ready = |status: &GoWindowsImageStatus| is_ready_on(status, &commit);
    let status = until(&client, &tenant.namespace, "program", LIMIT, ready).await?;
    let image = status.image.context("an image")?;
    let binary = image.binary.clone().context("the program")?;
    eprintln!("by a Dockerfile: {} with {} of {} bytes, {:?}", image.reference, binary.name, binary.bytes, image.pull_bytes);
    ensure!(image.engine == Some(BuildEngine::BuildKit) && binary.name == "storefront.exe" && image.tests.is_some(), "{image:?}");
    ensure!(image.sbom.is_some() && image.provenance.is_some(), "{image:?}");
    ensure!(image.platforms.len() == 1 && image.platforms[0].app_bytes < binary.bytes, "{:?}", image.platforms);
    is_as_it_should_be(&stage, &image.reference, &commit).await?;
    from_a_windows_node(&stage, &buildkitd, storefront.repository.url(), &commit, &binary.sha256).await?;

    // The same once more, from nothing: BuildKit's digest is another one, and what is in it is not.
    buildkitd.prune().await?;
    tenant.kubectl.run(&["annotate", "gwi", "program", "gowindows.dev/rebuild=again"]).await?;
    let again = |status: &GoWindowsImageStatus| {
        let handled = status.handled.as_ref().and_then(|handled| handled.rebuild.as_deref()) == Some("again");
        let build = status.build.as_ref().filter(|build| build.attempt == 2 && build.phase == BuildPhase::Succeeded);
        handled && build.is_some() && is_ready_on(status, &commit)
    };
    let status = until(&client, &tenant.namespace, "program", LIMIT, again).await?;
    ensure!(status.image.is_some_and(|now| now.digest == image.digest), "nothing is rolled for the time of day");
    let second = format!("{}=2", gowindows_crds::names::LABEL_ATTEMPT);
    let log = tenant.kubectl.run(&["logs", "--selector", &second, "--container", "assemble", "--tail=-1"]).await?;
    ensure!(log.contains("nothing but times differs from"), "{log}");

    // What cannot be built is said with its lines, and what was published stays.
    storefront.repository.commit_files(&[(PATH, &bad(&toolchain, &base))], "Build it otherwise", DATE).await?;
    let refused = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::DockerfileInvalid);
    let status = until(&client, &tenant.namespace, "program", LIMIT, refused).await?;
    let told = message(&status, ConditionType::Built);
    eprintln!("{told}");
    for part in [
        "line 1: # syntax=docker/dockerfile:1",
        "line 3: RUN --security=insecure",
        "line 4: ARG NPM_TOKEN",
        "line 5: FROM golang:1.26",
        "line 7: WORKDIR",
        "line 8: COPY --link",
        "line 9: ADD to /Windows/System32/",
        "line 9: ADD: a second layer",
        "line 10: RUN: nothing of Windows can run",
        "line 11: CMD",
        "line 12: ONBUILD",
        "line 13: ENTRYPOINT",
    ] {
        ensure!(told.contains(part), "{part:?} is not in {told}");
    }
    let stages = status.build.map(|build| build.stages).unwrap_or_default();
    ensure!(stages.iter().all(|stage| stage.name == "source" || stage.started_at.is_none() || stage.name == "test"), "{stages:?}");
    ensure!(status.image.is_some_and(|now| now.digest == image.digest), "what was published stays");

    // What only BuildKit can know is told with its words.
    let lost = good(&toolchain, &base, &warm).replace("/out/ /", "/nowhere/ /");
    storefront.repository.commit_files(&[(PATH, &lost)], "Copy what is not there", DATE).await?;
    let unfound = |status: &GoWindowsImageStatus| {
        let told = message(status, ConditionType::Built);
        is_for(status, ConditionType::Built, Reason::DockerfileInvalid) && told.contains("BuildKit cannot carry out the Dockerfile")
    };
    let status = until(&client, &tenant.namespace, "program", LIMIT, unfound).await?;
    let told = message(&status, ConditionType::Built);
    eprintln!("{told}");
    ensure!(told.contains("/nowhere") && told.contains("not found"), "{told}");
    Ok(())
}

/// `buildctl.exe` asks for the same, and gets the same program.
async fn from_a_windows_node(stage: &Stage, buildkitd: &Buildkitd, url: &str, commit: &str, sha256: &str) -> Result<()> {
    let tenant = tenant(stage, "own-windows", BuildEngine::BuildKit, buildkitd).await?;
    windows::share(&tenant, "shared", "ReadWriteMany").await?;
    let mut object = own(stage, &tenant, url, &buildkitd.address());
    object["spec"]["rollout"] = Value::Null;
    windows::on_windows(&mut object);
    tenant.kubectl.apply(&object.to_string()).await?;
    let there = |status: &GoWindowsImageStatus| is_true(status, ConditionType::Published) && status.image.is_some();
    let image = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, there).await?.image.context("an image")?;
    is_as_it_should_be(stage, &image.reference, commit).await?;
    let binary = image.binary.context("the program")?;
    eprintln!("by a Dockerfile, from a Windows node: {} with {} of sha256 {}", image.reference, binary.name, binary.sha256);
    ensure!(binary.sha256 == sha256, "{binary:?}, and {sha256} from the Linux node");
    windows::ran_on_windows(&tenant, "compile").await?;
    tenant.kubectl.run(&["delete", "gwi", "program"]).await.map(drop)
}

/// Nothing but what BuildKit's permissions are said to be; the base's layers as they were; and all of it of the commit.
async fn is_as_it_should_be(stage: &Stage, reference: &str, commit: &str) -> Result<()> {
    let words = ["verify", reference, "--insecure-registry", stage.lab.registry()];
    let verified = verify(&Command::try_parse_from(words)?.arguments).await?;
    let findings = verified.platforms.iter().flat_map(|platform| &platform.findings);
    let odd: Vec<_> = findings.filter(|finding| finding.verdict != Verdict::Passed).collect();
    ensure!(verified.passed() && odd.iter().all(|finding| finding.rule == Rule::LayerAcl), "{odd:?}");
    let registries = [RegistrySettings { host: stage.lab.registry().to_owned(), plain_http: true, ..RegistrySettings::default() }];
    let registry = Registry::new(&registries, Credentials::none())?;
    let (_, images) = Source::parse(&registry, reference)?.image().await?;
    let [image] = images.as_slice() else { anyhow::bail!("{} images", images.len()) };
    let text = serde_json::to_value(&image.config)?;
    ensure!(text["created"] == "2026-01-04T03:04:05Z", "the commit's time: {}", text["created"]);
    let label = |key: &str| text["config"]["Labels"][format!("org.opencontainers.image.{key}")].as_str().unwrap_or_default().to_owned();
    ensure!(label("revision") == commit && label("vendor") == "Example Ltd" && label("base.digest").starts_with("sha256:"), "{text}");
    ensure!(label("base.name").ends_with("/windows/nanoserver:ltsc2022"), "{text}");
    ensure!(text["config"]["ExposedPorts"]["8080/tcp"].is_object(), "{text}");
    Ok(())
}

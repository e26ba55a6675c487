//! What compiles and tests on a Windows node: go.exe itself, in a Job between two on the Linux node. It makes the same program.

use super::{namespace, object, published};
use anyhow::{Result, ensure};
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, Tenant, compiles, is_for, message, until};
use serde_json::{Value, json};
use std::sync::Arc;

/// A claim that pods of both systems can mount.
pub async fn share(tenant: &Tenant, name: &str, mode: &str) -> Result<()> {
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {"accessModes": [mode], "resources": {"requests": {"storage": "1Gi"}}},
    });
    tenant.kubectl.apply(&claim.to_string()).await.map(drop)
}

/// Has an object compile on Windows nodes.
pub fn on_windows(object: &mut Value) {
    object["spec"]["build"]["nodes"] = json!({"os": "windows"});
    object["spec"]["build"]["workspace"] = json!({"claimName": "shared"});
}

/// A stage had a pod of its own, for Windows, on the Windows node: an image that is right does not say so.
pub async fn ran_on_windows(tenant: &Tenant, stage: &str) -> Result<()> {
    let of_each = "jsonpath={range .items[*]}{.spec.os.name} {.spec.nodeName} {.spec.containers[*].name}{'\\n'}{end}";
    let pods = tenant.kubectl.run(&["get", "pods", "--output", of_each]).await?;
    ensure!(pods.lines().any(|line| line == format!("windows windows-1 {stage}")), "{stage}: {pods}");
    Ok(())
}

async fn says(stage: &Stage, tenant: &Tenant, reason: Reason, words: &str) -> Result<()> {
    let so = |status: &GoWindowsImageStatus| {
        is_for(status, ConditionType::Built, reason) && message(status, ConditionType::Built).contains(words)
    };
    let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, so).await?;
    eprintln!("{}: {reason}: {}", tenant.namespace, message(&status, ConditionType::Built));
    Ok(())
}

/// A claim that cannot be shared, a test that only Windows can fail, one that passes there, and a program that does not compile.
pub async fn tests_and_mistakes_on_a_windows_node(stage: Arc<Stage>) -> Result<()> {
    let _alone = super::GO_ON_WINDOWS.lock().await;
    let tenant = namespace(&stage, "native", BuildEngine::Go).await?;
    let repository = stage.lab.git().create("native/pathless", Access::Public).await?;
    let test = |wanted: &str| {
        format!(
            "package main\n\nimport (\n\t\"path/filepath\"\n\t\"testing\"\n)\n\nfunc TestPath(t *testing.T) {{\n\tif got := filepath.Join(\"a\", \"b\"); got != `{wanted}` {{\n\t\tt.Fatalf(\"%s\", got)\n\t}}\n}}\n"
        )
    };
    let files = [
        ("go.mod", "module example.com/pathless\n\ngo 1.22\n"),
        ("main.go", "package main\n\nfunc main() { println(\"here\") }\n"),
        ("main_test.go", &test("a/b")),
    ];
    repository.commit_files(&files, "Take Windows for Linux", "2026-01-02T03:04:05Z").await?;
    let mut object = object(&stage, &tenant, repository.url(), BuildEngine::Go, "");
    object["spec"]["go"] = json!({"test": {"packages": ["./..."], "os": "windows"}});
    object["spec"]["build"]["workspace"] = json!({"claimName": "alone"});
    tenant.kubectl.apply(&object.to_string()).await?;
    says(&stage, &tenant, Reason::WorkspaceUnusable, "there is no claim alone").await?;
    share(&tenant, "alone", "ReadWriteOnce").await?;
    share(&tenant, "shared", "ReadWriteMany").await?;
    says(&stage, &tenant, Reason::WorkspaceUnusable, "claim alone has ReadWriteOnce").await?;

    object["spec"]["build"]["workspace"] = json!({"claimName": "shared"});
    tenant.kubectl.apply(&object.to_string()).await?;
    says(&stage, &tenant, Reason::TestsFailed, r"Test TestPath of example.com/pathless failed: main_test.go:10: a\b").await?;
    let commit = repository.commit_files(&[("main_test.go", &test(r"a\b"))], "Mind where it runs", "2026-01-03T03:04:05Z").await?;
    published(&stage, &tenant, &commit).await?;

    on_windows(&mut object);
    tenant.kubectl.apply(&object.to_string()).await?;
    let broken = "package main\n\nfunc main() { println(unknown) }\n";
    repository.commit_files(&[("main.go", broken)], "Break it", "2026-01-04T03:04:05Z").await?;
    says(&stage, &tenant, Reason::CompileError, "./main.go:3:23: undefined: unknown").await?;
    // The lab's toolchain has no C compiler, as the official images have none.
    object["spec"]["go"]["cgo"] = json!(true);
    tenant.kubectl.apply(&object.to_string()).await?;
    let with_c = "package main\n\n// int one(void) { return 1; }\nimport \"C\"\n\nfunc main() { println(C.one()) }\n";
    repository.commit_files(&[("main.go", with_c)], "Use C", "2026-01-05T03:04:05Z").await?;
    says(&stage, &tenant, Reason::CompileError, "go.cgo: the toolchain image has no C compiler").await?;
    ran_on_windows(&tenant, "test").await?;
    ran_on_windows(&tenant, "compile").await
}

/// What becomes of the pod of a node that is gone: somebody takes it away, and nobody knows how far it came.
pub async fn a_build_that_its_windows_node_loses_is_tried_again(stage: Arc<Stage>) -> Result<()> {
    let _alone = super::GO_ON_WINDOWS.lock().await;
    let tenant = namespace(&stage, "lost", BuildEngine::Go).await?;
    let storefront = Storefront::create(&stage.lab, "lost/storefront", Access::Public).await?;
    share(&tenant, "shared", "ReadWriteMany").await?;
    let mut object = object(&stage, &tenant, storefront.repository.url(), BuildEngine::Go, "");
    on_windows(&mut object);
    tenant.kubectl.apply(&object.to_string()).await?;
    until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, compiles).await?;
    let on_node = ["delete", "pods", "--field-selector", "spec.nodeName=windows-1", "--force", "--wait=false"];
    tenant.kubectl.run(&on_node).await?;
    says(&stage, &tenant, Reason::Lost, "is tried again").await?;
    let status = published(&stage, &tenant, "").await?;
    ensure!(status.build.as_ref().is_some_and(|build| build.attempt == 2), "{:?}", status.build);
    ran_on_windows(&tenant, "compile").await
}

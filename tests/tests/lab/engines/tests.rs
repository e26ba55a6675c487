//! The gate is the same whichever engine compiles.

use super::{builders, object, tenant};
use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use gowindows_crds::conditions::{ConditionType, Reason};
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, Stage, Storefront, is_for, message, until};
use serde_json::json;
use std::sync::Arc;

/// Engine Go has its turn in `lab_thread`, and the tests' Job is the same with every engine.
const OTHERS: [BuildEngine; 2] = [BuildEngine::BuildKit, BuildEngine::Kaniko];
/// Not of the program's own package, whose tests are those of `lab_thread`.
const TEST: &str = "bread/bread_test.go";
const DATE: &str = "2026-01-04T03:04:05Z";
const FAILS: &str = "package bread\n\nimport \"testing\"\n\nfunc TestBread(t *testing.T) { t.Fatal(\"it is stale\") }\n";
const PASSES: &str = "package bread\n\nimport \"testing\"\n\nfunc TestBread(*testing.T) {}\n";

pub async fn a_failing_test_blocks_every_other_engine(stage: Arc<Stage>) -> Result<()> {
    let builders = builders()?;
    let login = Access::Password { user: "git".into(), password: "sesame".into() };
    let storefront = Storefront::create(&stage.lab, "gated/storefront", login).await?;
    storefront.repository.commit_files(&[(TEST, FAILS)], "Test the bread", DATE).await?;
    let (stage, url) = (&*stage, storefront.repository.url());
    let block = |engine| async move {
        let tenant = tenant(stage, "gated", engine, &builders.buildkitd).await?;
        let mut object = object(stage, &tenant, url, engine, &builders.buildkitd.address());
        object["spec"]["go"]["test"] = json!({"packages": ["./bread"]});
        tenant.kubectl.apply(&object.to_string()).await?;
        let failed = |status: &GoWindowsImageStatus| is_for(status, ConditionType::Built, Reason::TestsFailed);
        let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, failed).await?;
        let told = message(&status, ConditionType::Built);
        eprintln!("{}: {told}", tenant.namespace);
        ensure!(told.contains("Test TestBread of ") && told.contains("bread_test.go:5: it is stale"), "{told}");
        ensure!(status.image.is_none(), "{:?}", status.image);
        Ok(tenant)
    };
    let tenants = try_join_all(OTHERS.map(block)).await?;
    storefront.repository.commit_files(&[(TEST, PASSES)], "Bake it anew", DATE).await?;
    let mut digests = Vec::new();
    for tenant in &tenants {
        let published = |status: &GoWindowsImageStatus| status.image.is_some();
        let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, published).await?;
        let image = status.image.context("an image")?;
        ensure!(image.tests.is_some(), "{}: passed tests are recorded: {image:?}", tenant.namespace);
        digests.push(image.digest);
    }
    ensure!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    Ok(())
}

//! A private module through every engine: the same program, and nowhere the password, nor in what builders keep.

use super::{ENGINES, builders, object, tenant};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::v1alpha1::GoWindowsImageStatus;
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::{LIMIT, PrivateModule, Stage, is_true, until};
use serde_json::json;
use std::sync::Arc;

const PASSWORD: &str = "canary2-of-tills";

pub async fn a_private_module_by_every_engine(stage: Arc<Stage>) -> Result<()> {
    let builders = builders()?;
    let module = PrivateModule::publish(&stage.lab, "modules-of-engines", PASSWORD).await?;
    let repository = module.program(stage.lab.git(), "engines/till", Access::Public).await?;
    let mut made = Vec::new();
    for engine in ENGINES {
        let tenant = tenant(&stage, "till", engine, &builders.buildkitd).await?;
        tenant.kubectl.apply(&module.right_secret()).await?;
        let mut object = object(&stage, &tenant, repository.url(), engine, &builders.buildkitd.address());
        object["spec"]["go"]["package"] = json!(".");
        object["spec"]["go"]["modules"] = json!({"private": [module.private()], "secretRef": {"name": "modules-auth"}});
        tenant.kubectl.apply(&object.to_string()).await?;
        let published = |status: &GoWindowsImageStatus| is_true(status, ConditionType::Published) && status.image.is_some();
        let status =
            until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, published).await.with_context(|| format!("{engine:?}"))?;
        let image = status.image.context("an image")?;
        module.canary.is_not_told(&stage, &tenant).await?;
        module.canary.is_not_in_image(&stage, &image.reference).await?;
        made.push((image.binary.context("the program")?.sha256, image.digest));
    }
    ensure!(made.iter().all(|one| *one == made[0]), "{made:?}");
    eprintln!("a private module by {ENGINES:?}: program sha256 {}, image {}", made[0].0, made[0].1);
    module.canary.is_not_below(&stage.lab.dir().join("buildkitd/root")).context("in what buildkitd keeps")
}

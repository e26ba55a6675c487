//! How does the operator get into a cluster? Its image is pushed, and `config/` is applied through an overlay, as a user's would.

use super::Kubectl;
use crate::clouds::{Provider, REGION};
use crate::lab::progress::Progress;
use crate::lab::{Lab, host};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The namespace of `config/default`.
const NAMESPACE: &str = "gowindows-system";

/// The installed operator.
#[derive(Clone, Debug)]
pub struct Operator {
    /// `kubectl` in its namespace.
    pub kubectl: Kubectl,
    /// The program on this machine, for `gowindows build` and the like.
    pub program: PathBuf,
    /// What it was configured with.
    pub settings: Settings,
}

/// What an installation configures.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The settings file of the operator, as `controller --config` and `build --config` read it.
    pub file: PathBuf,
    /// The toolchain image.
    pub toolchain: String,
}

impl Operator {
    /// Builds the operator, pushes its image, applies `config/default` and waits until it is ready.
    pub async fn install(lab: &Lab, progress: &Progress) -> Result<Self> {
        Self::install_for(lab, &[], progress).await
    }

    /// The same for an operator that watches these namespaces only; all where none is given.
    pub async fn install_for(lab: &Lab, namespaces: &[&str], progress: &Progress) -> Result<Self> {
        Self::install_with(lab, &json!({"watchNamespaces": namespaces}), progress).await
    }

    /// The same with further settings, an object whose fields are those of the settings file.
    pub async fn install_with(lab: &Lab, further: &Value, progress: &Progress) -> Result<Self> {
        let program = progress.step("the operator's program", build_operator()).await?;
        let (image, golang) = progress
            .step("the images of the operator and the toolchains", async {
                tokio::try_join!(lab.program_image(&program, "gowindows"), lab.golang_image())
            })
            .await?;
        let overlay = lab.dir().join("operator");
        std::fs::create_dir_all(&overlay).with_context(|| format!("make {}", overlay.display()))?;
        let mut content = settings_of(lab, &image, &golang);
        for (name, value) in further.as_object().into_iter().flatten() {
            content[name] = value.clone();
        }
        let toolchain = content["toolchains"].as_object().and_then(|all| all.values().next()?.as_str()).context("a toolchain")?.to_owned();
        let settings = Settings { file: overlay.join("settings.yaml"), toolchain };
        std::fs::write(&settings.file, serde_norway::to_string(&content)?)?;
        std::fs::write(overlay.join("kustomization.yaml"), serde_norway::to_string(&kustomization(&overlay, &image)?)?)?;
        let kubectl = Kubectl::new(lab, NAMESPACE)?;
        progress
            .step("the operator", async {
                kubectl.run(&["apply", "--server-side", "-k", &overlay.to_string_lossy()]).await?;
                kubectl.run(&["wait", "--for=condition=Established", "crd/gowindowsimages.gowindows.dev", "--timeout=30s"]).await?;
                kubectl.run(&["rollout", "status", "deployment/gowindows", "--timeout=120s"]).await
            })
            .await
            .context("install the operator from config/default")?;
        Ok(Self { kubectl, program, settings })
    }

    /// Waits until every replica is ready: one leads, the others stand by.
    pub async fn settled(&self) -> Result<()> {
        self.kubectl.run(&["rollout", "status", "deployment/gowindows", "--timeout=300s"]).await.map(drop)
    }

    /// The end of the log of each replica.
    pub async fn log(&self) -> String {
        let selected = ["logs", "--selector", "app.kubernetes.io/name=gowindows", "--prefix", "--tail=200"];
        self.kubectl.run(&selected).await.unwrap_or_else(|error| format!("no log: {error:#}"))
    }
}

fn settings_of(lab: &Lab, image: &str, golang: &str) -> Value {
    let registry = lab.registry();
    let registries = [registry.to_owned(), lab.private_registry(), lab.spare_registry(), lab.faulty_registry()];
    let mut registries: Vec<Value> = registries.into_iter().map(|host| json!({"host": host, "plainHTTP": true})).collect();
    // Registries of clouds do not have these addresses, nor are their servers here.
    for (provider, name, region) in
        [(Provider::Aws, "AWS", Some(REGION)), (Provider::Azure, "Azure", None), (Provider::Google, "Google", None)]
    {
        let host = lab.cloud_registry(provider);
        let mut identity = json!({"provider": name, "tokenServer": format!("http://{host}"), "passwordServer": format!("http://{host}")});
        if let Some(region) = region {
            identity["region"] = json!(region);
        }
        registries.push(json!({"host": host, "plainHTTP": true, "identity": identity}));
    }
    // A registry that nobody can reach, as a vendor's is behind a fence.
    registries.push(json!({"host": "vendor.invalid", "mirror": registry}));
    let release: Vec<&str> = lab.toolchain().version().split('.').take(2).collect();
    let mut settings = json!({
        "stepImage": image,
        "toolchains": {release.join("."): golang},
        "bases": {
            "NanoServer": format!("{registry}/windows/nanoserver"),
            "ServerCore": format!("{registry}/windows/servercore"),
        },
        "registries": registries,
    });
    for (name, value) in lab.toolchain().module_environment() {
        match name {
            "GOPROXY" => settings["goproxy"] = json!(value),
            "GOSUMDB" => settings["gosumdb"] = json!(value),
            _ => {}
        }
    }
    settings
}

/// An overlay on `config/default`: our image, our settings.
fn kustomization(overlay: &Path, image: &str) -> Result<Value> {
    let (name, digest) = image.split_once('@').context("the operator's image has no digest")?;
    Ok(json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [relative(overlay, &repository().join("config/default"))],
        "images": [{"name": "gowindows", "newName": name, "digest": digest}],
        "configMapGenerator": [{
            "name": "gowindows-settings",
            "namespace": NAMESPACE,
            "behavior": "replace",
            "files": ["settings.yaml"],
        }],
    }))
}

/// The root of this repository.
pub(super) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// kustomize refuses absolute paths.
pub(super) fn relative(from: &Path, to: &Path) -> String {
    let up = "../".repeat(from.components().count().saturating_sub(1));
    format!("{up}{}", to.strip_prefix("/").unwrap_or(to).display())
}

/// Builds the operator with the profile and into the folder of the program that runs now, so that nothing is compiled twice.
pub async fn build_operator() -> Result<PathBuf> {
    let mut cargo = cargo("build")?;
    // Both packages are named so that dependencies get the same features as in the program that runs now.
    cargo.args(["--package", "gowindows-tests", "--package", "gowindows", "--bin", "gowindows"]);
    cargo.args(["--message-format", "json-render-diagnostics"]);
    // What it compiles is seen at once, and what does not compile as well.
    cargo.stderr(Stdio::inherit());
    let messages = host::run_async(cargo).await.context("build the operator")?;
    let executable = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("executable")?.as_str().map(PathBuf::from);
    match messages.lines().filter_map(executable).next_back() {
        Some(program) => Ok(program),
        None => bail!("cargo built no executable"),
    }
}

/// A command of cargo with the profile and into the folder of the program that runs now. The rest of its arguments is still to come.
pub(crate) fn cargo(subcommand: &str) -> Result<Command> {
    let running = std::env::current_exe()?;
    // <target>/<profile>/sandbox, or <target>/<profile>/deps/lab-...
    let profile = running.ancestors().skip(1).find(|folder| !folder.ends_with("deps")).context("this program is in no folder")?;
    let target = profile.parent().context("this program is not in a cargo target folder")?;
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(repository()).arg(subcommand).arg("--target-dir").arg(target);
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    Ok(cargo)
}

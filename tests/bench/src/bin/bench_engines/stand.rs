//! On what is everything measured? One lab with a buildkitd, and an operator whose settings change between rounds.

use std::path::PathBuf;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_tests::lab::Lab;
use gowindows_tests::lab::builders::Builders;
use gowindows_tests::lab::git::{Access, Repository};
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{KO, Tools};
use gowindows_tests::lab::windows_base::{self, Sizes};
use gowindows_tests::thread::engines::{ENGINES, object, settings, tenant};
use gowindows_tests::thread::{Operator, Stage, Storefront, Tenant};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::watch::{Taken, build};

/// The node's version of Windows.
const WINDOWS: &str = "10.0.20348.5499";

/// What everything is measured on.
pub struct Stand {
    /// The cluster and the operator.
    pub stage: Stage,
    /// The buildkitd.
    pub builders: Builders,
    /// ko.
    pub tools: Tools,
    /// What is said meanwhile.
    pub progress: Progress,
    work: TempDir,
}

impl Stand {
    /// Boots the lab, and has the node pull what every build needs.
    pub async fn set_up(progress: &Progress) -> Result<Self> {
        let lab = Lab::start(progress).await?;
        let small = Sizes { nanoserver: 1 << 20, servercore: 1 << 20 };
        progress.step("the Windows bases", windows_base::publish(lab.registry(), small)).await?;
        let nodes = vec![lab.paper_node("windows-1", WINDOWS, &[]).await?];
        let builders = lab.builders(progress).await?;
        let tools = Tools::ensure(&[KO], progress).await?;
        let operator = Operator::install_with(&lab, &settings(&builders), progress).await?;
        let (stage, progress) = (Stage { lab, operator, nodes }, progress.clone());
        let stand = Self { stage, builders, tools, progress, work: tempfile::tempdir()? };
        stand.pull().await?;
        Ok(stand)
    }

    /// Takes everything away.
    pub async fn end(self) -> Result<()> {
        let Stage { lab, operator: _, nodes } = self.stage;
        for node in nodes {
            node.stop().await;
        }
        let away = tokio::task::spawn_blocking(move || drop(lab));
        self.progress.step("taking the lab away", away).await.context("the thread that takes the lab away broke")
    }

    /// Installs the operator anew: with so many slots on Linux nodes, or without a limit.
    pub async fn install(&mut self, slots: Option<u32>) -> Result<()> {
        let mut settings = settings(&self.builders);
        if let Some(slots) = slots {
            settings["slots"] = json!({"linux": slots});
        }
        self.stage.operator = Operator::install_with(&self.stage.lab, &settings, &self.progress).await?;
        Ok(())
    }

    /// A new folder, gone with the stand.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(tempfile::tempdir_in(self.work.path())?.keep())
    }

    /// A new repository with the storefront.
    pub async fn storefront(&self, name: &str) -> Result<Storefront> {
        let login = Access::Password { user: "git".into(), password: "sesame".into() };
        Storefront::create(&self.stage.lab, &format!("{name}/storefront"), login).await
    }

    /// A new namespace, and an object for it that nothing makes build but edits and orders.
    pub async fn tenant(&self, name: &str, engine: BuildEngine, url: &str) -> Result<(Tenant, Value)> {
        let tenant = tenant(&self.stage, name, engine, &self.builders.buildkitd).await?;
        let mut object = object(&self.stage, &tenant, url, engine, &self.builders.buildkitd.address());
        object["spec"]["interval"] = json!("0s");
        Ok((tenant, object))
    }

    /// Has an object built that was made, or edited.
    pub async fn declare(&self, what: &str, tenant: &Tenant, object: &Value) -> Result<Taken> {
        let text = object.to_string();
        let apply = async { tenant.kubectl.apply(&text).await.map(drop) };
        self.progress.step(what, build(&self.stage, tenant, apply)).await.with_context(|| what.to_owned())
    }

    /// Has a commit built that was pushed after the last build.
    pub async fn ask(&self, what: &str, tenant: &Tenant, commit: &str) -> Result<Taken> {
        let order = format!("gowindows.dev/requested-at={commit}");
        let ask = async { tenant.kubectl.run(&["annotate", "--overwrite", "gwi", "program", &order]).await.map(drop) };
        self.progress.step(what, build(&self.stage, tenant, ask)).await.with_context(|| what.to_owned())
    }

    /// The smallest program, once by each engine: what nodes pull once is not part of any figure.
    async fn pull(&self) -> Result<()> {
        let repository = self.smallest().await?;
        let make = |engine| {
            let url = repository.url();
            async move {
                let (tenant, mut object) = self.tenant("pull", engine, url).await?;
                object["spec"]["go"] = json!({"timezoneData": false});
                self.declare(&format!("pulling what {engine:?} needs"), &tenant, &object).await
            }
        };
        try_join_all(ENGINES.map(make)).await.map(drop)
    }

    async fn smallest(&self) -> Result<Repository> {
        let login = Access::Password { user: "git".into(), password: "sesame".into() };
        let repository = self.stage.lab.git().create("pull/smallest", login).await?;
        let files = [("go.mod", "module example.com/smallest\n\ngo 1.22\n"), ("main.go", "package main\n\nfunc main() {}\n")];
        repository.commit_files(&files, "Be small", "2026-01-02T03:04:05Z").await?;
        Ok(repository)
    }
}

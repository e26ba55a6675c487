//! Which Go service do the sandbox and the tests build? `tests/programs/storefront`, served from the lab's git, and changed by commits.

use super::install::repository;
use crate::lab::Lab;
use crate::lab::git::{Access, GitServer, Repository};
use anyhow::{Context, Result};

const GREETING: &str = "Fresh bread, every morning.";
const MAIN: &str = "cmd/storefront/main.go";

/// The storefront's repository.
pub struct Storefront {
    /// On the lab's git server.
    pub repository: Repository,
    source: String,
}

impl Storefront {
    /// A new repository with one commit.
    pub async fn create(lab: &Lab, name: &str, access: Access) -> Result<Self> {
        Self::create_on(lab.git(), name, access).await
    }

    /// The same on another git server.
    pub async fn create_on(git: &GitServer, name: &str, access: Access) -> Result<Self> {
        let folder = repository().join("tests/programs/storefront");
        let source = std::fs::read_to_string(folder.join(MAIN)).with_context(|| format!("read {MAIN}"))?;
        let repository = git.create(name, access).await?;
        repository.commit_folder(&folder, "Open the storefront", "2026-01-02T03:04:05Z").await?;
        Ok(Self { repository, source })
    }

    /// Commits another greeting. Returns the commit.
    pub async fn greet(&self, greeting: &str) -> Result<String> {
        self.write(&self.source.replace(GREETING, greeting), "Greet otherwise").await
    }

    /// Commits a program that does not compile.
    pub async fn break_build(&self) -> Result<String> {
        self.write(&self.source.replace("var version = ", "var version int = "), "Break the build").await
    }

    /// Commits a program that ends with exit code 3 as soon as it starts.
    pub async fn crash(&self) -> Result<String> {
        let crash = "flag.Parse()\n\tlog.Print(\"the till is empty\")\n\tos.Exit(3)";
        self.write(&self.source.replace("flag.Parse()", crash), "Forget the change").await
    }

    async fn write(&self, main: &str, message: &str) -> Result<String> {
        self.repository.commit_files(&[(MAIN, main)], message, "2026-01-03T03:04:05Z").await
    }
}

//! Does the `source` step bring exactly the commit, and refuse what must not be written?

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gowindows_builder::step::source::{SourceArgs, run};
use gowindows_model::wire::source::{CacheFacts, Reference, SourceFailure, SourceInfo, SourceReport};
use gowindows_tests::lab::git::{Access, Repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::server::{DATE, DATE_SECONDS, Git, Oracle, Say};

/// The folders of a build pod.
struct Pod {
    folder: TempDir,
}

impl Pod {
    fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Mounts a Secret.
    fn secret(&self, data: &[(&str, &[u8])]) -> Result<()> {
        fs::create_dir_all(self.path("auth"))?;
        data.iter().try_for_each(|(key, value)| fs::write(self.path("auth").join(key), value))?;
        Ok(())
    }

    /// Runs the step and reads its report.
    async fn run(&self, request: &Value) -> Result<SourceReport> {
        let auth_dir = Some(self.path("auth")).filter(|folder| folder.is_dir());
        let [dest, out, info, result] = ["src", "out", "info.json", "result.json"].map(|name| self.path(name));
        let code = run(SourceArgs {
            request: request.to_string(),
            auth_dir,
            dest,
            out,
            context: None,
            cache: Some(self.path("cache")).filter(|folder| folder.is_dir()),
            builds: Some(self.path("builds")).filter(|folder| folder.is_dir()),
            over: vec!["before".to_owned()],
            registry_config: None,
            info,
            result: result.clone(),
        })
        .await?;
        let text = fs::read_to_string(result)?;
        assert!(text.len() <= 4096, "a termination message has 4 KiB: {text}");
        let report: SourceReport = serde_json::from_str(&text)?;
        assert_eq!(format!("{code:?}").contains("(0)"), matches!(report, SourceReport::Done(_)), "{code:?}");
        Ok(report)
    }

    async fn done(&self, request: &Value) -> Result<SourceInfo> {
        match self.run(request).await? {
            SourceReport::Done(info) => Ok(info),
            SourceReport::Failed { failure } => anyhow::bail!("{}: {}", failure.reason, failure.message),
        }
    }

    async fn failure(&self, request: &Value) -> Result<SourceFailure> {
        match self.run(request).await? {
            SourceReport::Done(info) => anyhow::bail!("it should have failed: {info:?}"),
            SourceReport::Failed { failure } => Ok(failure),
        }
    }
}

/// A file, a link or a folder, as it can be compared.
fn entries(root: &Path, below: &Path, found: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let (path, kind) = (below.join(entry.file_name()), entry.file_type()?);
        let text = if kind.is_dir() {
            entries(root, &path, found)?;
            "folder".to_owned()
        } else if kind.is_symlink() {
            format!("link to {}", fs::read_link(entry.path())?.display())
        } else {
            format!("{:o} {}", entry.metadata()?.permissions().mode() & 0o111, hex::encode(fs::read(entry.path())?))
        };
        found.insert(path, text);
    }
    Ok(())
}

fn all_entries(root: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut found = BTreeMap::new();
    entries(root, Path::new(""), &mut found)?;
    Ok(found)
}

/// An entry of a tree: mode, path, content (the id, for a submodule).
type Entry<'a> = (&'a str, &'a str, &'a str);

/// A commit on top of nothing whose tree has these entries.
async fn commit_entries(repository: &Repository, entries: &[Entry<'_>]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    repository.git(&["read-tree", "--empty"]).await?;
    for (number, (mode, path, content)) in entries.iter().enumerate() {
        let file = folder.path().join(number.to_string());
        fs::write(&file, content)?;
        let id = match *mode {
            "160000" => (*content).to_owned(),
            _ => repository.git(&["hash-object", "-w", "--no-filters", &file.display().to_string()]).await?.trim().to_owned(),
        };
        repository.git(&["update-index", "--add", "--cacheinfo", &format!("{mode},{id},{path}")]).await?;
    }
    let tree = repository.git(&["write-tree"]).await?;
    let commit = repository.git(&["commit-tree", "-m", "made by hand", tree.trim()]).await?.trim().to_owned();
    repository.git(&["update-ref", "refs/heads/main", &commit]).await?;
    Ok(commit)
}

const GO_MOD: Entry = ("100644", "go.mod", "module example.com/storefront\n\ngo 1.26.1\n");
const MAIN_GO: Entry = ("100644", "main.go", "package main\n\nfunc main() {}\n");

#[tokio::test]
async fn the_work_tree_is_what_git_archive_says() -> Result<()> {
    let git = Git::start().await?;
    let repository = git.server.create("storefront", Access::Public).await?;
    let commit = commit_entries(
        &repository,
        &[
            GO_MOD,
            MAIN_GO,
            ("100644", ".gitattributes", "* text=auto eol=crlf\n*.bin filter=lfs\n"),
            ("100644", "web/unix.txt", "a\nb\n"),
            ("100644", "web/dos.txt", "a\r\nb\r\n"),
            ("100644", "web/data.bin", "\0\u{1}binary\r\n"),
            ("100644", "web/ümlaut and space.txt", ""),
            ("100755", "hack/build.sh", "#!/bin/sh\n"),
            ("120000", "web/link.txt", "../main.go"),
            ("120000", "dangling", "web/gone"),
        ],
    )
    .await?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    // What an earlier attempt has left.
    fs::create_dir_all(pod.path("src/web"))?;
    fs::write(pod.path("src/web/unix.txt"), "old")?;
    fs::create_dir_all(pod.path("out/.objects/pack"))?;
    let info = pod.done(&json!({"url": repository.url(), "reference": {"branch": "main"}, "commit": commit})).await?;

    let tree = repository.git(&["rev-parse", &format!("{commit}^{{tree}}")]).await?.trim().to_owned();
    let archive = pod.path("archive.tar");
    // Without attributes, which would change line endings and leave files out.
    let arguments = ["-c", "core.attributesFile=/dev/null", "archive", "--format=tar", "--output"];
    repository.git(&["rm", "--quiet", "--cached", ".gitattributes"]).await.context("the index is prepared")?;
    let plain = repository.git(&["write-tree"]).await?.trim().to_owned();
    repository.git(&[&arguments[..], &[&archive.display().to_string(), &plain]].concat()).await?;
    tar::Archive::new(fs::File::open(&archive)?).unpack(pod.path("expected"))?;
    fs::copy(pod.path("src/.gitattributes"), pod.path("expected/.gitattributes"))?;
    let expected = all_entries(&pod.path("expected"))?;
    assert_eq!(all_entries(&pod.path("src"))?, expected);
    assert!(all_entries(&pod.path("out"))?.is_empty(), "the compiler's folder is empty");

    let bytes = repository.git(&["ls-tree", "-r", "-l", &commit]).await?;
    let size = |line: &str| line.starts_with("100").then(|| line.split_whitespace().nth(3)?.parse::<u64>().ok()).flatten();
    let bytes = bytes.lines().filter_map(size).sum();
    let expected = SourceInfo {
        commit: commit.clone(),
        commit_time: info.commit_time,
        module: "example.com/storefront".into(),
        go_directive: Some("1.26.1".into()),
        tree_hash: tree,
        bytes,
        files: 10,
        context_bytes: bytes,
        cache: None,
    };
    assert_eq!(info, expected);
    let written: SourceInfo = serde_json::from_str(&fs::read_to_string(pod.path("info.json"))?)?;
    assert_eq!(written, info);
    Ok(())
}

#[tokio::test]
async fn a_private_repository_and_an_old_commit() -> Result<()> {
    let git = Git::start().await?;
    let password = Access::Password { user: "ci".into(), password: "hunter2222".into() };
    let (repository, [first, second]) = git.storefront("private", password).await?;
    let request = json!({"url": repository.url(), "reference": {"branch": "main"}, "commit": first});
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    let failure = pod.failure(&request).await?;
    assert_eq!((failure.reason.as_str(), failure.transient), ("SourceAuthFailed", false), "{}", failure.message);
    pod.secret(&[("username", b"ci\n"), ("password", b"hunter2222\n")])?;
    let info = pod.done(&request).await?;
    assert_eq!((info.commit.as_str(), info.commit_time, info.files), (first.as_str(), DATE_SECONDS, 2));
    assert_eq!(pod.done(&json!({"url": repository.url(), "commit": second})).await?.files, 3);
    Ok(())
}

#[tokio::test]
async fn what_ended_builds_have_left_goes() -> Result<()> {
    let git = Git::start().await?;
    let repository = git.server.create("storefront", Access::Public).await?;
    let commit = commit_entries(&repository, &[GO_MOD, MAIN_GO]).await?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    for build in ["before", "before-test", "now", "now-test", "next"] {
        fs::create_dir_all(pod.path("builds").join(build).join("src"))?;
        fs::write(pod.path("builds").join(build).join("src/old.go"), "package old\n")?;
    }
    pod.done(&json!({"url": repository.url(), "commit": commit})).await?;
    let mut left: Vec<_> = fs::read_dir(pod.path("builds"))?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
    left.sort();
    assert_eq!(left, ["next", "now", "now-test"]);
    Ok(())
}

#[tokio::test]
async fn what_builds_before_have_left_in_the_cache_is_told() -> Result<()> {
    let git = Git::start().await?;
    let repository = git.server.create("storefront", Access::Public).await?;
    let commit = commit_entries(&repository, &[GO_MOD, MAIN_GO]).await?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    let request = json!({"url": repository.url(), "commit": commit});
    assert_eq!(pod.done(&request).await?.cache, None, "there is no volume");
    fs::create_dir_all(pod.path("cache/build/0a"))?;
    assert_eq!(pod.done(&request).await?.cache, Some(CacheFacts::default()), "the first build of all");
    fs::write(pod.path("cache/build/0a/0abc-d"), "compiled")?;
    let cache = pod.done(&request).await?.cache.context("the cache")?;
    assert_eq!((cache.hit, cache.bytes, cache.since.is_some(), cache.at_least), (true, 8, true, false));
    Ok(())
}

#[tokio::test]
async fn a_server_that_serves_no_commits_by_id() -> Result<()> {
    let git = Git::start().await?;
    let (repository, [first, second]) = git.storefront("storefront", Access::Public).await?;
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "false"]).await?;
    let root = git.root.path().to_owned();
    let oracle = Oracle::start(move |_| Say::OldGit(root.clone())).await?;
    let url = format!("{}/storefront.git", oracle.url);
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", oracle.auth.ca_pem.as_deref().unwrap_or_default())])?;
    let table = [
        (Reference::Branch("main".into()), &second),
        (Reference::Branch("main".into()), &first),
        (Reference::Tag("v1.1.0".into()), &first),
        (Reference::Commit(first.clone()), &first),
        (Reference::Head, &first),
    ];
    for (reference, commit) in table {
        let info = pod.done(&json!({"url": url, "reference": reference, "commit": commit})).await?;
        assert_eq!(&info.commit, commit, "{reference}");
    }
    let gone = "3f786850e387550fdaab836ed7e6dc881de23001";
    for (url, authority) in [(url.as_str(), oracle.auth.ca_pem.clone()), (repository.url(), git.anonymous().ca_pem)] {
        pod.secret(&[("ca.crt", authority.as_deref().unwrap_or_default())])?;
        let failure = pod.failure(&json!({"url": url, "reference": {"branch": "main"}, "commit": gone})).await?;
        assert_eq!((failure.reason.as_str(), failure.transient), ("RefNotFound", false), "{}", failure.message);
    }
    Ok(())
}

#[tokio::test]
async fn what_must_not_be_written_is_refused_as_a_whole() -> Result<()> {
    let git = Git::start().await?;
    let repository = git.server.create("evil", Access::Public).await?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    let table: [(&[Entry], &str); 4] = [
        (&[("120000", "passwd", "/etc/passwd")], "outside of the repository"),
        (&[("120000", "a/up", "../../x")], "outside of the repository"),
        (&[("120000", "a/b/up", "../.."), ("120000", "out", "a/b/up/../x")], "outside of the repository"),
        (&[("100644", "big.bin", "0123456789")], "more than 64 bytes"),
    ];
    for (entries, words) in table {
        let commit = commit_entries(&repository, &[&[GO_MOD, MAIN_GO], entries].concat()).await?;
        let limit = if words.contains("64") { 64 } else { 1 << 20 };
        let failure = pod.failure(&json!({"url": repository.url(), "commit": commit, "maxBytes": limit})).await?;
        assert_eq!((failure.reason.as_str(), failure.transient), ("SourceInvalid", false), "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
        assert!(all_entries(&pod.path("src"))?.is_empty(), "nothing was written");
    }
    Ok(())
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_with_those_that_are() -> Result<()> {
    let git = Git::start().await?;
    let repository = git.server.create("monorepo", Access::Public).await?;
    let id = "3f786850e387550fdaab836ed7e6dc881de23001";
    let files = [
        ("100644", "shop/go.mod", GO_MOD.2),
        ("100644", "shop/cmd/shop/main.go", MAIN_GO.2),
        ("100644", "shop/cart/cart.go", "package cart\n"),
        ("100644", ".gitmodules", "[submodule \"theme\"]\n\tpath = shop/theme\n\turl = https://git.example.com/theme.git\n"),
        ("160000", "shop/theme", id),
    ];
    let commit = commit_entries(&repository, &files).await?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    let request =
        |sub_path: &str, package: &str| json!({"url": repository.url(), "commit": commit, "subPath": sub_path, "package": package});
    assert_eq!(pod.done(&request("shop", "./cmd/shop")).await?.module, "example.com/storefront");
    let table = [
        (".", ".", "go.mod is in shop"),
        ("shop", ".", "main packages are ./cmd/shop"),
        ("shop", "./cart", "is the package `cart`"),
        ("shop", "./theme", "in the submodule \"shop/theme\""),
        ("../shop", ".", "must be a relative path"),
    ];
    for (sub_path, package, words) in table {
        let failure = pod.failure(&request(sub_path, package)).await?;
        assert_eq!(failure.reason, "SourceInvalid", "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    Ok(())
}

#[tokio::test]
async fn a_damaged_repository_is_told_from_a_missing_commit() -> Result<()> {
    let git = Git::start().await?;
    let (repository, [_, second]) = git.storefront("storefront", Access::Public).await?;
    let blob = repository.git(&["rev-parse", "HEAD:main.go"]).await?;
    let (folder, file) = blob.trim().split_at(2);
    fs::remove_file(git.root.path().join("storefront.git/objects").join(folder).join(file))?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", git.server.authority().as_bytes())])?;
    let failure = pod.failure(&json!({"url": repository.url(), "commit": second})).await?;
    assert_eq!((failure.reason.as_str(), failure.transient), ("SourceUnreachable", true), "{}", failure.message);
    assert!(failure.message.contains("incomplete or damaged") && failure.message.contains("it said: "), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_server_that_stalls_ends_with_the_timeout() -> Result<()> {
    let oracle = Oracle::start(|_| Say::Nothing).await?;
    let pod = Pod::new()?;
    pod.secret(&[("ca.crt", oracle.auth.ca_pem.as_deref().unwrap_or_default())])?;
    let commit = "3f786850e387550fdaab836ed7e6dc881de23001";
    let failure = pod.failure(&json!({"url": format!("{}/a.git", oracle.url), "commit": commit, "timeoutSeconds": 1})).await?;
    assert_eq!((failure.reason.as_str(), failure.transient), ("Timeout", true), "{}", failure.message);
    Ok(())
}

#[test]
fn dates_agree() -> Result<()> {
    assert_eq!(DATE.parse::<k8s_openapi::jiff::Timestamp>()?.as_second(), DATE_SECONDS);
    Ok(())
}

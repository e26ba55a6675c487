//! What does the client make of the answers of servers, good and bad ones?

use std::time::{Duration, Instant};

use anyhow::Result;
use gowindows_clients::git::{Credentials, GitAuth, GitError, Resolved, resolve};
use gowindows_crds::conditions::Reason;
use gowindows_model::wire::source::Reference;
use gowindows_tests::lab::git::Access;
use tokio::net::TcpListener;

use super::server::{Git, Oracle, Say, basic, bearer, header, pkt_lines, response};

const DEADLINE: Duration = Duration::from_secs(20);
const COMMIT: &str = "3f786850e387550fdaab836ed7e6dc881de23001";

fn resolved(name: &str, commit: &str) -> Resolved {
    Resolved { reference_name: name.to_owned(), commit: commit.to_owned() }
}

/// The error's reason, after a look at its words.
async fn refused(url: &str, reference: &Reference, auth: &GitAuth, words: &[&str]) -> GitError {
    let error = resolve(url, reference, auth, DEADLINE).await.expect_err("it should be refused");
    let message = error.to_string();
    for word in words.iter().chain(&[url]) {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
    assert!(!message.contains("hunter2222"), "{message}");
    error
}

#[tokio::test]
async fn references_are_resolved() -> Result<()> {
    let git = Git::start().await?;
    let (repository, [first, second]) = git.storefront("shop/storefront", Access::Public).await?;
    let table = [
        (Reference::Head, resolved("main", &second)),
        (Reference::Branch("main".into()), resolved("main", &second)),
        (Reference::Branch("release/1".into()), resolved("release/1", &first)),
        (Reference::Tag("v1.0.0".into()), resolved("v1.0.0", &first)),
        (Reference::Tag("v1.1.0".into()), resolved("v1.1.0", &first)),
    ];
    for (reference, expected) in table {
        assert_eq!(resolve(repository.url(), &reference, &git.anonymous(), DEADLINE).await?, expected, "{reference}");
    }
    repository.git(&["update-ref", "--no-deref", "HEAD", &first]).await?;
    assert_eq!(resolve(repository.url(), &Reference::Head, &git.anonymous(), DEADLINE).await?, resolved("HEAD", &first));
    Ok(())
}

#[tokio::test]
async fn a_commit_needs_no_server() -> Result<()> {
    let found = resolve("https://gone.invalid/a.git", &Reference::Commit(COMMIT.into()), &GitAuth::default(), DEADLINE).await?;
    assert_eq!(found, resolved(COMMIT, COMMIT));
    Ok(())
}

#[tokio::test]
async fn what_is_missing_is_said_with_what_there_is() -> Result<()> {
    let git = Git::start().await?;
    let (repository, _) = git.storefront("storefront", Access::Public).await?;
    let empty = git.server.create("empty", Access::Public).await?;
    let table = [
        (&repository, Reference::Branch("mian".into()), "has no branch mian; it has branches such as main, release/1"),
        (&repository, Reference::Branch("v1.1.0".into()), "a tag of that name: set `ref.tag`"),
        (&repository, Reference::Tag("v1.2.0".into()), "has no tag v1.2.0; it has tags such as v1."),
        (&empty, Reference::Head, "the repository is empty"),
        (&empty, Reference::Branch("main".into()), "no branches at all"),
    ];
    for (repository, reference, words) in table {
        let error = refused(repository.url(), &reference, &git.anonymous(), &[words]).await;
        assert_eq!((error.reason(), error.is_transient()), (Reason::RefNotFound, false), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn credentials_are_needed_where_they_are() -> Result<()> {
    let git = Git::start().await?;
    let password = Access::Password { user: "ci".into(), password: "hunter2222".into() };
    let (private, [_, commit]) = git.storefront("private", password).await?;
    let (by_token, [_, same]) = git.storefront("by-token", Access::Token("token-hunter2222".into())).await?;
    let good = [(&private, basic("ci", "hunter2222"), &commit), (&by_token, bearer("token-hunter2222"), &same)];
    for (repository, credentials, commit) in good {
        let found = resolve(repository.url(), &Reference::Head, &git.auth(credentials), DEADLINE).await?;
        assert_eq!(found, resolved("main", commit));
    }
    let bad = [
        (&private, Credentials::Anonymous, "asks for credentials (401)"),
        (&private, basic("ci", "hunter22222"), "refuses the credentials (401)"),
        (&private, bearer("hunter2222"), "refuses the credentials (401)"),
        (&by_token, bearer("hunter2222"), "refuses the credentials (401)"),
    ];
    for (repository, credentials, words) in bad {
        let error = refused(repository.url(), &Reference::Head, &git.auth(credentials), &[words, "secretRef"]).await;
        assert_eq!((error.reason(), error.is_transient()), (Reason::SourceAuthFailed, false), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_private_authority_must_be_named() -> Result<()> {
    let git = Git::start().await?;
    let (repository, _) = git.storefront("storefront", Access::Public).await?;
    let error = refused(repository.url(), &Reference::Head, &GitAuth::default(), &["cannot trust", "`ca.crt`"]).await;
    assert!(matches!(error, GitError::Certificate { .. }), "{error:?}");
    let elsewhere = repository.url().replace("127.0.0.1", "localhost");
    let error = refused(&elsewhere, &Reference::Head, &git.anonymous(), &["the host name that the certificate was issued for"]).await;
    assert_eq!(error.reason(), Reason::SourceUnreachable);
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() -> Result<()> {
    let git = Git::start().await?;
    let (repository, _) = git.storefront("storefront", Access::Public).await?;
    git.server.set_reachable(false);
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    for url in [repository.url(), &format!("https://{closed}/a.git"), "https://gone.invalid/a.git"] {
        let error = refused(url, &Reference::Head, &git.anonymous(), &["cannot reach"]).await;
        assert_eq!((error.reason(), error.is_transient()), (Reason::SourceUnreachable, true), "{error}");
    }
    git.server.set_reachable(true);
    assert!(resolve(repository.url(), &Reference::Head, &git.anonymous(), DEADLINE).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn what_is_no_repository_is_told_from_one() -> Result<()> {
    let git = Git::start().await?;
    let (repository, _) = git.storefront("storefront", Access::Public).await?;
    let missing = repository.url().replace("storefront", "storefrnt");
    let error = refused(&missing, &Reference::Head, &git.anonymous(), &["does not exist, or is hidden"]).await;
    assert_eq!(error.reason(), Reason::SourceAuthFailed);
    let error = refused(&missing, &Reference::Head, &git.auth(basic("ci", "hunter2222")), &["404", "may read this repository"]).await;
    assert_eq!(error.reason(), Reason::SourceUnreachable);

    let oracle = Oracle::start(|head| match head {
        head if head.contains("/page/") => response("200 OK", &[("content-type", "text/html")], "<html>Hello</html>"),
        head if head.contains("/junk/") => response("200 OK", &[("content-type", "application/x-git-upload-pack-advertisement")], "0bad"),
        head if head.contains("/sha256/") => {
            let lines = pkt_lines(&["version 2\n", "ls-refs\n", "fetch\n", "object-format=sha256\n", ""]);
            response("200 OK", &[("content-type", "application/x-git-upload-pack-advertisement")], &lines)
        }
        head if head.contains("/echo/") => {
            let text = format!("rate limit exceeded for {}", header(head, "authorization"));
            response("403 Forbidden", &[("content-type", "text/plain")], &text)
        }
        _ => response("502 Bad Gateway", &[], ""),
    })
    .await?;
    let ask = |path: &str| format!("{}/{path}/a.git", oracle.url);
    let auth = oracle.auth(bearer("hunter2222"));
    let table = [
        ("page", "does not answer like a git server", Reason::SourceUnreachable, false),
        ("junk", "does not answer like a git server", Reason::SourceUnreachable, false),
        ("sha256", "only sha1 is supported", Reason::SourceUnreachable, false),
        ("echo", "it said: rate limit exceeded for Bearer ***", Reason::SourceAuthFailed, false),
        ("down", "answers 502 Bad Gateway", Reason::SourceUnreachable, true),
    ];
    for (path, words, reason, transient) in table {
        let error = refused(&ask(path), &Reference::Head, &auth, &[words]).await;
        assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_stalls_holds_nobody() -> Result<()> {
    let silent = Oracle::start(|_| Say::Nothing).await?;
    let mute = TcpListener::bind("127.0.0.1:0").await?;
    let halfway = Oracle::start(|_| {
        let text =
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ncontent-type: application/x-git-upload-pack-advertisement\r\n\r\n000eversion 2\n";
        Say::Response(text.as_bytes().to_vec())
    })
    .await?;
    let deadline = Duration::from_millis(700);
    for url in [format!("{}/a.git", silent.url), format!("https://{}/a.git", mute.local_addr()?)] {
        let started = Instant::now();
        let error = resolve(&url, &Reference::Head, &silent.auth, deadline).await.expect_err("nobody answers");
        assert!(matches!(error, GitError::Timeout { .. }), "{error}");
        assert!(started.elapsed() < deadline * 2, "it took {:?}", started.elapsed());
    }
    let error = resolve(&format!("{}/a.git", halfway.url), &Reference::Head, &halfway.auth, DEADLINE).await.expect_err("half an answer");
    assert!(matches!(error, GitError::Read { .. }), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn credentials_stay_with_their_host() -> Result<()> {
    let stranger = Oracle::start(|_| response("200 OK", &[], "")).await?;
    let target = format!("{}/a.git/info/refs?service=git-upload-pack", stranger.url);
    let host = Oracle::start(move |_| response("302 Found", &[("location", &target)], "")).await?;
    // Both are trusted, so that only our own rule stands between the stranger and the password.
    let mut auth = host.auth(basic("ci", "hunter2222"));
    auth.ca_pem = Some([host.auth.ca_pem.clone(), stranger.auth.ca_pem.clone()].into_iter().flatten().flatten().collect());
    let url = format!("{}/a.git", host.url);
    let error = refused(&url, &Reference::Head, &auth, &["redirects to", &stranger.url, "another host"]).await;
    assert_eq!((error.reason(), error.is_transient()), (Reason::SourceUnreachable, false));
    assert_eq!(host.asked().len(), 1);
    assert!(stranger.asked().is_empty(), "the stranger was asked: {:?}", stranger.asked());
    Ok(())
}

#[tokio::test]
async fn a_redirect_within_the_host_is_followed() -> Result<()> {
    let oracle = Oracle::start(|head| {
        let advertisement = [("content-type", "application/x-git-upload-pack-advertisement")];
        let result = [("content-type", "application/x-git-upload-pack-result")];
        match head.split(' ').nth(1) {
            Some("/old/info/refs?service=git-upload-pack") => {
                response("301 Moved Permanently", &[("location", "/new.git/info/refs?service=git-upload-pack")], "")
            }
            Some("/new.git/info/refs?service=git-upload-pack") => {
                response("200 OK", &advertisement, &pkt_lines(&["version 2\n", "ls-refs=unborn\n", "fetch=shallow\n", ""]))
            }
            Some("/new.git/git-upload-pack") => {
                let line = format!("{COMMIT} HEAD symref-target:refs/heads/trunk\n");
                response("200 OK", &result, &pkt_lines(&[&line, ""]))
            }
            _ => response("404 Not Found", &[], ""),
        }
    })
    .await?;
    let auth = oracle.auth(basic("ci", "hunter2222"));
    let found = resolve(&format!("{}/old", oracle.url), &Reference::Head, &auth, DEADLINE).await?;
    assert_eq!(found, resolved("trunk", COMMIT));
    let asked = oracle.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert!(asked.iter().all(|head| header(head, "authorization").starts_with("Basic ")), "{asked:?}");
    assert!(asked.iter().all(|head| header(head, "git-protocol") == "version=2"), "{asked:?}");
    Ok(())
}

//! Why could modules not be had? What the go command says of proxies, of hosts and of git, and what to do about it.
//!
//! Signs are from Go 1.26 and git 2.39 with each of these faults; the go command names a place in the source for most of them, as it does
//! for what does not compile.

use super::go_output::clip;
use gowindows_crds::conditions::Reason;

/// One of these stands in a line that speaks of a download; in no line of the compiler.
const SPEAKS: [&str; 10] = [
    "reading http",
    "read \"http",
    "Get \"http",
    "unrecognized import path",
    "exec: \"git\"",
    "git ls-remote",
    "fatal: ",
    "remote: ",
    "dial tcp",
    "no secure protocol found",
];

/// What stands in such a line, and what to do. The first row counts that fits any line.
const ROWS: [(&[&str], &str); 6] = [
    (
        &["exec: \"git\""],
        "Private modules come from their own hosts with git: set go.image to a toolchain image that has it (golang:1.26 has, golang:1.26-alpine has not), or go.modules.privateFrom to Proxy",
    ),
    (
        &["x509: certificate signed by unknown authority", "server certificate verification failed", "SSL certificate problem"],
        "Put the certificates of its authority as ca.crt into the Secret of go.modules.secretRef",
    ),
    (&["/lookup/"], "The sum database knows no private modules: list this one in go.modules.private"),
    (
        &[
            "401 Unauthorized",
            "403 Forbidden",
            "terminal prompts disabled",
            "could not read Username",
            "could not read Password",
            "Authentication failed",
            "Access denied",
        ],
        "It wants a login that it knows: put one for this host into the netrc of the Secret of go.modules.secretRef, and list the module in go.modules.private if it does not come from a proxy",
    ),
    (
        &["404 Not Found", "410 Gone", "ot found", "unknown revision", "no secure protocol found"],
        "See that go.mod names a version that exists. If the module is private, list it in go.modules.private and name a Secret with a login for its host in go.modules.secretRef",
    ),
    (
        &[
            "dial tcp",
            "i/o timeout",
            "TLS handshake",
            "connection refused",
            "connection reset",
            "no such host",
            "502 Bad Gateway",
            "503 Service",
            "unexpected EOF",
            "Could not resolve host",
            "Failed to connect",
        ],
        "Check the module proxy (go.modules.proxy, or goproxy in the operator's settings)",
    ),
];

/// The fault, where the end of the go command's output speaks of modules that it could not have.
pub(super) fn fault(output: &str) -> Option<(Reason, String)> {
    let lines = || output.lines().filter(|line| SPEAKS.iter().any(|sign| line.contains(sign)));
    let found = ROWS.iter().find_map(|(signs, remedy)| {
        let line = lines().find(|line| signs.iter().any(|sign| line.contains(sign)))?;
        Some((Reason::ModuleDownloadFailed, format!("Modules could not be downloaded: {}. {remedy}.", clip(line))))
    });
    found.or_else(|| of_sums(output))
}

/// What `go.sum` forbids is the source's fault, and no other try would mend it.
fn of_sums(output: &str) -> Option<(Reason, String)> {
    let line = |sign: &str| output.lines().find(|line| line.contains(sign)).map(clip);
    let mismatch = line("checksum mismatch").map(|line| {
        format!("A module is not what go.sum says: {line}. Its tag was moved, or its server cannot be trusted: see which, before go.sum is changed.")
    });
    let missing = || {
        let line = line("missing go.sum entry")?;
        Some(format!("go.sum lacks a module: {line}. Run `go mod tidy` and commit go.sum: nothing is built that it does not lock."))
    };
    Some((Reason::CompileError, mismatch.or_else(missing)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Go 1.26 and git 2.39 said it.
    const SAID: [(&str, &str); 14] = [
        (
            "go: downloading git.example/team/money v1.0.0\nmain.go:3:8: unrecognized import path \"git.example/team/money\": reading https://git.example/team/money?go-get=1: 401 Unauthorized",
            "netrc",
        ),
        ("go: git.example/team/money@v1.0.0: reading https://proxy.example/git.example/team/money/@v/v1.0.0.mod: 403 Forbidden", "netrc"),
        (
            "main.go:3:8: reading git.example/team/money/go.mod at revision v1.0.0: git ls-remote -q --end-of-options https://git.example/team/money.git in /cache/mod/cache/vcs/af: exit status 128:\n\tfatal: could not read Username for 'https://git.example': terminal prompts disabled\nConfirm the import path was entered correctly.",
            "netrc",
        ),
        ("\tfatal: Authentication failed for 'https://git.example/team/money.git/'", "netrc"),
        (
            "main.go:3:8: git.example/team/money@v1.0.0: reading https://proxy.example.com/git.example/team/money/@v/v1.0.0.zip: 404 Not Found\n\tserver response: not found",
            "go.modules.private",
        ),
        (
            "main.go:3:8: git.example/team/money@v1.0.0: reading https://proxy.example.com/git.example/team/money/@v/v1.0.0.zip: 410 Gone",
            "go.modules.private",
        ),
        ("main.go:3:8: 10.0.0.1/team/money.git: no secure protocol found for repository", "go.modules.private"),
        ("\tremote: Repository not found.\n\tfatal: repository 'https://git.example/team/money.git/' not found", "go.modules.private"),
        (
            "go: verifying module: git.example/team/money@v1.0.0: reading https://sums.example.com/lookup/git.example/team/money@v1.0.0: 404 Not Found",
            "sum database",
        ),
        (
            "main.go:3:8: unable to resolve git version: failed to execute git version: exec: \"git\": executable file not found in $PATH",
            "go.image",
        ),
        (
            "main.go:3:8: unrecognized import path \"git.example/team/money\": https fetch: Get \"https://git.example/team/money?go-get=1\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "ca.crt",
        ),
        (
            "\tfatal: unable to access 'https://git.example/team/money.git/': server certificate verification failed. CAfile: none CRLfile: none",
            "ca.crt",
        ),
        (
            "go: github.com/x/y@v1.0.0: Get \"https://proxy.example/github.com/x/y/@v/v1.0.0.mod\": dial tcp: lookup proxy.example: no such host",
            "goproxy",
        ),
        ("go: github.com/x/y@v1.0.0: read \"https://proxy.example/github.com/x/y/@v/v1.0.0.zip\": unexpected EOF", "goproxy"),
    ];

    #[test]
    fn what_keeps_modules_away_is_named_with_its_remedy() {
        for (said, remedy) in SAID {
            let (reason, message) = fault(said).expect(said);
            let told = message.rsplit_once(". ").map_or("", |(_, told)| told);
            assert_eq!(reason, Reason::ModuleDownloadFailed, "{said}");
            assert!(message.contains(remedy), "{remedy:?} is not in {told:?} for {said}");
        }
    }

    #[test]
    fn what_go_sum_forbids_is_not_tried_again() {
        for (said, remedy) in [
            (
                "verifying git.example/team/money@v1.0.0: checksum mismatch\n\tdownloaded: h1:XB=\n\tgo.sum:     h1:RH=\n\nSECURITY ERROR\n",
                "moved",
            ),
            (
                "main.go:3:8: missing go.sum entry for module providing package git.example/team/money (imported by x); to add:\n\tgo get x",
                "go mod tidy",
            ),
        ] {
            let (reason, message) = fault(said).expect(said);
            assert!(reason == Reason::CompileError && message.contains(remedy), "{reason}: {message}");
        }
    }

    #[test]
    fn what_the_compiler_says_is_no_download() {
        for said in [
            "./main.go:3:8: cannot use \"404 Not Found\" (untyped string constant) as int value in variable declaration",
            "./main.go:9:1: syntax error: unexpected EOF, expecting }",
            "./main.go:3:8: undefined: connection refused",
        ] {
            assert_eq!(fault(said), None, "{said}");
        }
    }
}

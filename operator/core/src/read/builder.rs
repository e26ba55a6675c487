//! What does the end of a container builder's output mean?
//!
//! A builder prints the compiler's words among its own. A program that does not compile is told with the words of the go command alone, so
//! that it reads the same with every engine; a builder that fails itself has reasons of its own, and its image or its certificates are not
//! the program's fault. Signs are from the sources of BuildKit 0.32 and Kaniko 1.24; `lab_engines` meets the usual ones in the output of both.

use gowindows_crds::conditions::Reason;
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_model::wire::stages::{COMPILE, DAEMONLESS};

/// Whose failure it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Of the go command: its own output.
    Compiler(String),
    /// Of the builder: for machines and for people.
    Builder(Reason, String),
}

/// Reads the end of an engine's output after it failed.
pub(super) fn fault(engine: BuildEngine, output: &str) -> Fault {
    match engine {
        BuildEngine::Go => Fault::Compiler(output.to_owned()),
        BuildEngine::BuildKit if output.contains(FAILED) => of_command(output),
        BuildEngine::BuildKit => buildkit(output),
        BuildEngine::Kaniko if output.contains("waiting for process to exit: exit status") => Fault::Compiler(words(output, of_kaniko)),
        BuildEngine::Kaniko => {
            let said = said(output);
            let message =
                format!("Kaniko failed, and not because of the program: {said}. Its log says more; engine Go compiles the same program.");
            Fault::Builder(Reason::BuilderFailed, message)
        }
    }
}

/// How BuildKit says that a command failed, after its name in quotes.
const FAILED: &str = "did not complete successfully: exit code";

/// A command of a Dockerfile failed: the go command, whose words are told as always, or another one of a Dockerfile of the user's own.
fn of_command(output: &str) -> Fault {
    let said = words(output, of_buildkit);
    let command =
        output.lines().rev().find_map(|line| line.split_once("process \"")?.1.split_once(&format!("\" {FAILED}"))).map(|(name, _)| name);
    let of_go = command.is_none_or(|command| command.starts_with("go ")) || said.lines().any(super::go_output::names_a_place);
    if of_go || super::go_output::toolchain_said(&said).is_some() {
        return Fault::Compiler(said);
    }
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    let message = format!(
        "A command of the Dockerfile failed ({}): {}. Push a commit that mends it; it is built at once.",
        super::go_output::clip(command.unwrap_or_default()),
        super::go_output::clip(last)
    );
    Fault::Builder(Reason::CompileError, message)
}

fn words(output: &str, of_builder: fn(&str) -> Option<&str>) -> String {
    output.lines().filter_map(of_builder).fold(String::new(), |text, line| text + line + "\n")
}

/// A line of the compiler in BuildKit's plain progress (`#9 1.234 main.go:3: ...`, and again `1.234 main.go:3: ...` at the end); none for
/// one of BuildKit's own.
fn of_buildkit(line: &str) -> Option<&str> {
    let line = line.strip_prefix('#').map_or(line, |numbered| numbered.split_once(' ').map_or("", |(_, rest)| rest));
    let (time, rest) = line.split_once(' ')?;
    let (seconds, fraction) = time.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(seconds) && is_number(fraction)).then_some(rest)
}

/// A line of the compiler in Kaniko's output: Kaniko's own begin with a level, and the last says that it failed.
fn of_kaniko(line: &str) -> Option<&str> {
    let own = ["error building image", "INFO", "WARN", "ERRO", "DEBU", "time=", "level="];
    (!own.iter().any(|start| line.starts_with(start))).then_some(line)
}

/// Signs that the certificates are at fault, and no other part of a connection.
const CERTIFICATES: [&str; 6] = [
    "authentication handshake failed",
    "remote error: tls",
    "failed to append ca certs",
    "could not read ca certificate",
    "could not read certificate/key",
    "directory did not contain one of the needed files",
];
/// Signs that the connection to buildkitd could not be made, or broke.
const CONNECTION: [&str; 6] = [
    "transport: Error while dialing",
    "code = Unavailable",
    "error reading from server",
    "error reading server preface",
    "failed to list workers",
    "no active session",
];

/// Signs that a Dockerfile of the user's own asks for what is not there, or for what BuildKit does not know.
const DOCKERFILE: [&str; 5] =
    ["failed to compute cache key", "failed to calculate checksum", "dockerfile parse error", "failed to process \"", "unknown flag"];

/// How `buildctl-daemonless.sh` says that the buildkitd which it started never answered, before that one's own output; and the end of that, of which
/// alone a long one is left.
const NOT_STARTED: [&str; 2] = ["could not connect to unix:", "[rootlesskit:parent] error:"];

/// Why a container never ran whose image has not what is to run in it.
pub(super) fn unfit_image(stage: &str, output: &str) -> Option<String> {
    let lacks = stage == COMPILE && output.contains(DAEMONLESS) && (output.contains("not found") || output.contains("no such file"));
    lacks.then(|| {
        let said = super::go_output::clip(output);
        format!("No buildkitd can be started in the build's pod: {said}. For build.buildkit.inPod the setting buildctlImage has to name BuildKit's own rootless image.")
    })
}

/// What the daemon says is followed by what those say that started it, down to the shell.
fn not_started(output: &str) -> String {
    let signs = ["buildkitd: ", "[rootlesskit:child ] error: ", "[rootlesskit:parent] error: "];
    let why = signs.iter().find_map(|sign| output.lines().find(|line| line.starts_with(sign)));
    let said = why.map_or_else(|| said(output), super::go_output::clip);
    let remedy = if said.contains("could not lock") {
        "The build before this one has not ended yet, and both have one build.cache.volume; it is tried again."
    } else {
        "The node must let users make user namespaces (docs/engines.md); engine Go compiles the same program without."
    };
    format!("The buildkitd in the build's pod did not start: {}. {remedy}", said.trim_end_matches('?'))
}

fn buildkit(output: &str) -> Fault {
    let has = |signs: &[&str]| signs.iter().any(|sign| output.contains(sign));
    if has(&NOT_STARTED) {
        return Fault::Builder(Reason::BuilderFailed, not_started(output));
    }
    let said = said(output);
    if said.contains("failed to push ") {
        let refused = ["401 Unauthorized", "403 Forbidden", "authorization failed", "insufficient_scope", "denied"];
        if has(&refused) {
            let message = format!("buildkitd may not push the image: {said}. Put a login that may into the Secret of image.pushSecretRef.");
            return Fault::Builder(Reason::RegistryAuthFailed, message);
        }
        let message = format!(
            "buildkitd could not push the image: {said}. It reaches registries as its own settings say (buildkitd.toml: http, ca); see image.repository, too."
        );
        return Fault::Builder(Reason::RegistryUnreachable, message);
    }
    if has(&DOCKERFILE) {
        let message = format!("BuildKit cannot carry out the Dockerfile: {said}. Push a commit that mends it; it is built at once.");
        return Fault::Builder(Reason::DockerfileInvalid, message);
    }
    if has(&CERTIFICATES) {
        let message = format!(
            "buildkitd and the build do not trust each other: {said}. Put the ca.crt of that buildkitd's certificate, and a tls.crt and tls.key that it accepts, into the Secret of build.buildkit.tlsSecretRef, and see that its certificate names the host of build.buildkit.address."
        );
        return Fault::Builder(Reason::BuilderAuthFailed, message);
    }
    if has(&CONNECTION) {
        let message = format!(
            "buildkitd could not be reached, or went away during the build: {said}. See that it runs, and that build.buildkit.address is its address."
        );
        return Fault::Builder(Reason::BuilderUnreachable, message);
    }
    let message = format!(
        "BuildKit failed, and not because of the program: {said}. buildkitd pulls the toolchain image itself: see its log and its registry settings, or use engine Go."
    );
    Fault::Builder(Reason::BuilderFailed, message)
}

/// The line that says what went wrong: the last one with `error`, else the last one.
fn said(output: &str) -> String {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let last = lines().rfind(|line| line.starts_with("error")).or_else(|| lines().next_back());
    super::go_output::clip(last.unwrap_or("it left no message"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILDKIT: &str = r#"#10 [compile 7/7] RUN ["go","build","-o","/build/out/","./cmd/shop"]
#10 0.412 # shop.example/shop/cmd/shop
#10 0.412 cmd/shop/main.go:21:20: cannot use "dev" (untyped string constant) as int value in variable declaration
#10 ERROR: process "go build -o /build/out/ ./cmd/shop" did not complete successfully: exit code: 1
------
 > [compile 7/7] RUN ["go","build","-o","/build/out/","./cmd/shop"]:
0.412 # shop.example/shop/cmd/shop
0.412 cmd/shop/main.go:21:20: cannot use "dev" (untyped string constant) as int value in variable declaration
------
Dockerfile:21
--------------------
  19 |     COPY ["src/","/build/src/"]
  21 | >>> RUN ["go","build","-o","/build/out/","./cmd/shop"]
--------------------
error: failed to solve: process "go build -o /build/out/ ./cmd/shop" did not complete successfully: exit code: 1
"#;
    const KANIKO: &str = r#"# shop.example/shop/cmd/shop
cmd/shop/main.go:21:20: cannot use "dev" (untyped string constant) as int value in variable declaration
error building image: error building stage: failed to execute command: waiting for process to exit: exit status 1
"#;

    #[test]
    fn the_compiler_says_the_same_through_every_builder() {
        let go = KANIKO.split("error building").next().expect("its words");
        assert_eq!(fault(BuildEngine::Go, go), Fault::Compiler(go.into()));
        assert_eq!(fault(BuildEngine::Kaniko, KANIKO), Fault::Compiler(go.into()));
        assert_eq!(fault(BuildEngine::BuildKit, BUILDKIT), Fault::Compiler(go.repeat(2)));
    }

    #[test]
    fn an_image_that_cannot_start_a_buildkitd_is_a_fault_of_the_setting() {
        let said = "exec: \"buildctl-daemonless.sh\": executable file not found in $PATH: unknown";
        let message = unfit_image(COMPILE, said).expect("a fault");
        assert!(message.contains("buildctlImage") && message.contains(said), "{message}");
        assert_eq!(unfit_image(COMPILE, "exec: \"go\": executable file not found in $PATH: unknown"), None);
    }

    #[test]
    fn failures_of_builders_have_reasons_of_their_own() {
        for (output, reason, says) in [
            (
                "error: failed to list workers: Unavailable: connection error: desc = \"transport: Error while dialing: dial tcp 10.0.0.1:1234: connect: connection refused\"",
                Reason::BuilderUnreachable,
                "connection refused",
            ),
            (
                "error: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF",
                Reason::BuilderUnreachable,
                "build.buildkit.address",
            ),
            (
                "error: failed to list workers: Unavailable: connection error: desc = \"transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority\"",
                Reason::BuilderAuthFailed,
                "tlsSecretRef",
            ),
            (
                "error: failed to list workers: Unavailable: connection error: desc = \"error reading server preface: remote error: tls: certificate required\"",
                Reason::BuilderAuthFailed,
                "certificate required",
            ),
            (
                "could not connect to unix:///run/user/1000/buildkit/buildkitd.sock after 45 trials\n========== log ==========\n[rootlesskit:parent] error: failed to start the child: fork/exec /proc/self/exe: operation not permitted\nsh: can't kill pid 8: No such process\n",
                Reason::BuilderFailed,
                "fork/exec /proc/self/exe: operation not permitted. The node must",
            ),
            (
                "buildkitd: could not lock /cache/buildkit/buildkitd.lock, another instance running?\n[rootlesskit:child ] error: command [buildkitd --root=/cache/buildkit] exited: exit status 1\n[rootlesskit:parent] error: child exited: exit status 1\nsh: can't kill pid 8: No such process\n",
                Reason::BuilderFailed,
                "another instance running. The build before",
            ),
            (
                "#3 ERROR: x\nerror: failed to solve: r.example.com/go@sha256:11: failed to resolve source metadata for r.example.com/go: not found",
                Reason::BuilderFailed,
                "not found",
            ),
        ] {
            let Fault::Builder(found, message) = fault(BuildEngine::BuildKit, output) else { panic!("{output}") };
            assert_eq!(found, reason, "{output}");
            assert!(message.contains(says), "{message}");
        }
        let dockerfile = |output: &str| match fault(BuildEngine::BuildKit, output) {
            Fault::Builder(reason, message) => (reason, message),
            Fault::Compiler(words) => panic!("{words}"),
        };
        let (reason, message) = dockerfile(
            "#9 [web 3/3] RUN npm run build\n#9 0.51 npm error Missing script: \"build\"\n#9 ERROR: process \"/bin/sh -c npm run build\" did not complete successfully: exit code: 1\nerror: failed to solve: process \"/bin/sh -c npm run build\" did not complete successfully: exit code: 1",
        );
        assert!(reason == Reason::CompileError && message.contains("(/bin/sh -c npm run build): npm error Missing script"), "{message}");
        let (reason, message) = dockerfile(
            "error: failed to solve: failed to compute cache key: failed to calculate checksum of ref x::y: \"/web\": not found",
        );
        assert!(reason == Reason::DockerfileInvalid && message.contains("\"/web\": not found"), "{message}");
        let (reason, message) = dockerfile(
            "error: failed to solve: failed to push r.example.com/a: failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
        );
        assert!(reason == Reason::RegistryAuthFailed && message.contains("image.pushSecretRef"), "{message}");
        let (reason, _) =
            dockerfile("error: failed to solve: failed to push r.example.com/a: http: server gave HTTP response to HTTPS client");
        assert_eq!(reason, Reason::RegistryUnreachable);
        let output = "error building image: error building stage: failed to execute command: copying dir: open /build/src/go.mod: no space left on device";
        let Fault::Builder(reason, message) = fault(BuildEngine::Kaniko, output) else { panic!("{output}") };
        assert!(
            reason == Reason::BuilderFailed && message.contains("no space left on device") && message.contains("engine Go"),
            "{message}"
        );
    }
}

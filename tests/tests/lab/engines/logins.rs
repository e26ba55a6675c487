//! Can code of a committer read a login? Each engine compiles a program that includes files into its assembly, where Go's assembler makes of a login
//! file what is in the program (security.md, H1): the file is not there. Nor can a step of a Dockerfile of one's own find the registry's login in
//! the daemon's processes.

use super::{builders, made, namespace, object, of_step, tenant};
use anyhow::{Context, Result, ensure};
use gowindows_crds::conditions::ConditionType;
use gowindows_crds::v1alpha1::{BuildEngine, GoWindowsImageStatus};
use gowindows_tests::lab::git::Access;
use gowindows_tests::thread::engines::{ENGINES, names};
use gowindows_tests::thread::{Canary, LIMIT, Stage, Tenant, message, until};
use serde_json::{Value, json};
use std::sync::Arc;

const DATE: &str = "2026-01-02T03:04:05Z";
const GO_MOD: &str = "module example.com/evil\n\ngo 1.22\n";
const MAIN: &str = "package main\n\nfunc leak()\n\nvar Keep = leak\n\nfunc main() { Keep() }\n";
/// Of the words of a netrc it makes legal assembly; the token becomes the name of a function, which is in the stripped program.
const LEAK: &str = "#define machine \\\n#define JUNK\n#include \"FILE\"\n#define git VADDPD\n#define example RN_SAE\n#define com Z\n#define login Z1, Z2, K1, Z3;\n#define password Z1, Z2, Z3; \\\n#define SECRET\nTEXT ·leak(SB),4,$0-0\n\tJUNK\n\tCALL SECRET(SB)\n\tRET\nTEXT SECRET(SB),4,$0-0\n\tRET\n";
const NETRC: &str = "/gowindows/modules/.netrc";
/// What is looked for: the last part of the token, which is what a compiler says of one with punctuation in it.
const TOKEN: &str = "CANARYofLogins0123456789";

/// Looks through all processes for what they can open, and puts it into the log and into the image.
const LOOK: &str = r#"package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	opened, found := 0, ""
	for _, process := range processes {
		if _, err := os.ReadDir(process + "/root/"); err == nil {
			opened++
		}
		for _, file := range []string{"root/var/run/gowindows/registry/config.json", "root/gowindows/modules/.netrc", "environ"} {
			if content, err := os.ReadFile(filepath.Join(process, file)); err == nil && (file != "environ" || strings.Contains(string(content), "auths")) {
				found += string(content)
			}
		}
	}
	fmt.Println(len(processes), "processes, of which", opened, "let look:", found)
	if err := os.MkdirAll("/out", 0o755); err != nil {
		panic(err)
	}
	if err := os.WriteFile("/out/found", []byte(found), 0o644); err != nil {
		panic(err)
	}
}
"#;

/// Where the login could be read from: the file itself; the same by way of another process's root; by way of one's own, under a relative path.
const WAYS: [&str; 3] = [NETRC, "/proc/1/root/gowindows/modules/.netrc", "../../../../../proc/self/root/gowindows/modules/.netrc"];

pub async fn a_login_is_nowhere_near_a_compiler(stage: Arc<Stage>) -> Result<()> {
    let builders = builders()?;
    let canary = Canary::new(TOKEN);
    for engine in ENGINES {
        let tenant = tenant(&stage, "evil", engine, &builders.buildkitd).await?;
        let object = object(&stage, &tenant, "", engine, &builders.buildkitd.address());
        tries(&stage, &tenant, object, &canary).await.with_context(|| format!("{engine:?}"))?;
    }
    let tenant = namespace(&stage, "evil-in-pod", BuildEngine::BuildKit).await?;
    let label = ["label", "namespace", &tenant.namespace, "pod-security.kubernetes.io/enforce=privileged", "--overwrite"];
    tenant.kubectl.run(&label).await?;
    let mut object = object(&stage, &tenant, "", BuildEngine::BuildKit, "");
    object["spec"]["build"]["buildkit"] = json!({"inPod": true});
    tries(&stage, &tenant, object.clone(), &canary).await.context("in the pod")?;
    looks_through_processes(&stage, &tenant, object).await.context("a step in the pod")?;
    canary.is_not_below(&stage.lab.dir().join("buildkitd/root")).context("in what buildkitd keeps")
}

/// Each way gives a build that fails because there is no such file, and a status and logs without the token.
async fn tries(stage: &Stage, tenant: &Tenant, mut object: Value, canary: &Canary) -> Result<()> {
    let netrc = format!("machine git.example.com login git password ghp_{TOKEN}\n");
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "modules-auth"}, "stringData": {"netrc": netrc}});
    tenant.kubectl.apply(&secret.to_string()).await?;
    let repository = stage.lab.git().create(&format!("{}/evil", tenant.namespace), Access::Public).await?;
    object["spec"]["source"]["git"]["url"] = json!(repository.url());
    object["spec"]["go"] = json!({"package": ".", "modules": {"private": ["git.example.com/none"], "secretRef": {"name": "modules-auth"}}});
    for way in WAYS {
        let leak = LEAK.replace("FILE", way);
        let commit = repository.commit_files(&[("go.mod", GO_MOD), ("main.go", MAIN), ("leak_amd64.s", &leak)], way, DATE).await?;
        tenant.kubectl.apply(&object.to_string()).await?;
        let failed = |status: &GoWindowsImageStatus| status.history.first().is_some_and(|build| build.revision.ends_with(&commit));
        let status = until(&stage.lab.client(), &tenant.namespace, "program", LIMIT, failed).await.context(way)?;
        let said = message(&status, ConditionType::Built);
        let is_closed = said.contains("no such file or directory") || said.contains("permission denied");
        ensure!(said.contains("modules/.netrc") && is_closed, "{way}: {said}");
        ensure!(status.image.is_none(), "{way}: {:?}", status.image);
    }
    canary.is_not_told(stage, tenant).await
}

/// A step of a Dockerfile sees the processes of the daemon that runs in its pod, and reads what it can of them: not the registry's login.
async fn looks_through_processes(stage: &Stage, tenant: &Tenant, mut object: Value) -> Result<()> {
    let (toolchain, base) = names(stage);
    let dockerfile = format!(
        r#"FROM --platform=$BUILDPLATFORM {toolchain} AS build
ENV HOME=/tmp GOTOOLCHAIN=local CGO_ENABLED=0 GOARCH=amd64
WORKDIR /src
COPY . .
RUN ["go", "run", "./look"]
ENV GOOS=windows
RUN ["go", "build", "-trimpath", "-buildvcs=false", "-o", "/out/app/", "."]
FROM {base}
COPY --from=build /out/ /
ENTRYPOINT ["C:\\app\\evil.exe"]
"#
    );
    let repository = stage.lab.git().create(&format!("{}/steps", tenant.namespace), Access::Public).await?;
    let main = "package main\n\nfunc main() { println(1) }\n";
    let files = [("go.mod", GO_MOD), ("main.go", main), ("look/main.go", LOOK), ("Dockerfile", &dockerfile)];
    let commit = repository.commit_files(&files, "Look around", DATE).await?;
    let canary = Canary::new("CANARYofRegistry0123456789");
    let login = json!({"auths": {stage.lab.registry(): {"username": "any", "password": canary.value()}}}).to_string();
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "registry-auth"}, "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": login},
    });
    tenant.kubectl.run(&["delete", "secret", "registry-auth", "--ignore-not-found"]).await?;
    tenant.kubectl.apply(&secret.to_string()).await?;
    object["spec"]["source"]["git"]["url"] = json!(repository.url());
    object["spec"]["go"] = json!({});
    object["spec"]["image"]["pushSecretRef"] = json!({"name": "registry-auth"});
    object["spec"]["build"]["buildkit"] = json!({"inPod": true, "dockerfile": "Dockerfile"});
    tenant.kubectl.apply(&object.to_string()).await?;
    let image = made(stage, tenant, &commit).await?;
    let seen = of_step(tenant, r#"RUN ["go", "run", "./look"]"#).await?;
    ensure!(seen.iter().any(|line| line.contains("processes, of which")), "it looked: {seen:?}");
    canary.is_not_told(stage, tenant).await?;
    canary.is_not_in_image(stage, &image.reference).await
}

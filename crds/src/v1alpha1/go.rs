//! How is the program compiled?

use super::{NodeSystem, SecretReference};
use crate::patterns;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the Go program is compiled. Always for `windows/amd64`, reproducibly; without cgo, unless `cgo` says otherwise.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.version) && has(self.image))").message("set version or image, not both"))]
#[serde(rename_all = "camelCase")]
pub struct GoSpec {
    /// Go release, one of those that the operator has a toolchain image for. Default: the newest of them. Example: `"1.26"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::GO_VERSION))]
    pub version: Option<String>,
    /// Toolchain image, in place of `version`: any image with the `go` command in its `PATH`, for the system of `build.nodes.os`
    /// (for Linux where a buildkitd over TCP compiles).
    /// A tag is resolved once per build. Example: `registry.example.com/mirror/golang:1.26.3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::IMAGE_REFERENCE))]
    pub image: Option<String>,
    /// The main package, relative to `source.subPath`. Default: `.`. Example: `./cmd/storefront`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = patterns::PACKAGE))]
    #[x_kube(validation = Rule::new("!self.contains('..')").message("must stay inside the module: no '..'"))]
    pub package: Option<String>,
    /// Build tags. Example: `[netgo, enterprise]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 64), regex(pattern = patterns::BUILD_TAG)))]
    pub tags: Vec<String>,
    /// Values for string variables of the program, each as `-X importpath.name=value`. `$(revision)` in a value becomes the
    /// full commit id. Example: `["-X main.version=$(revision)"]`. Other linker flags are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 1024), regex(pattern = patterns::LDFLAG)))]
    pub ldflags: Vec<String>,
    /// Variables for the compiler. Only GOEXPERIMENT, GOFIPS140, GODEBUG and GOAMD64 are allowed.
    /// Example: `[{name: GOAMD64, value: v2}]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub env: Vec<GoEnvVar>,
    /// Leave symbol table and debug information out of the program (`-s -w`): about half the download.
    /// Panic traces stay readable. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip: Option<bool>,
    /// Put the time zone database into the program (+0.4 MB): Windows images have none that Go can read, so
    /// `time.LoadLocation` fails without it. Default: `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone_data: Option<bool>,
    /// Compile with cgo, by the C compiler of the toolchain image: with engine Go on Windows nodes alone (`build.nodes.os`). The program's bytes
    /// depend on that compiler, and its DLLs must be in the image or in the base. Tests on Linux are without it. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgo: Option<bool>,
    /// Tests that must pass before the image is published. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestSpec>,
    /// Where modules come from, and which of them are private. Default: as the operator is configured, and all of them public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modules: Option<ModulesSpec>,
}

/// Tests that run beside the compiler, in a Job of their own: `go test` (hence `go vet`) with the toolchain and the build tags of the
/// program, on Linux without cgo. No tag leads to an image and nothing is rolled before they have passed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestSpec {
    /// The packages to test, relative to `source.subPath`. Example: `["./..."]`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256), regex(pattern = patterns::TEST_PACKAGES)))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other == one))").message("go.test.packages: list each once"))]
    pub packages: Vec<String>,
    /// The system of the nodes on which they run, whichever compiles. `windows` is for tests of what only Windows has; it needs
    /// `build.workspace`, and the tests cannot write beside their sources there. Default: `linux`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<NodeSystem>,
}

/// Where modules come from. What is in them is said by `go.sum` alone, so nothing here is an input of the image: an edit builds nothing
/// by itself and counts from the next build on.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.privateFrom) || (has(self.private) && self.private.size() > 0)")
    .message("go.modules.privateFrom says where the modules of go.modules.private come from; set private too"))]
#[serde(rename_all = "camelCase")]
pub struct ModulesSpec {
    /// Private modules, as `GOPRIVATE` takes them: prefixes of module paths in which `*` and `?` stand for anything but a slash. No public
    /// proxy and no sum database hears of them. Example: `[git.example.com/team, "*.corp.example.com"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256), regex(pattern = patterns::MODULE_PATTERN)))]
    pub private: Vec<String>,
    /// Where private modules come from. Default: `Direct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_from: Option<PrivateFrom>,
    /// Module proxies as `GOPROXY` takes them, in place of the operator's: URLs, `direct` or `off`, with a comma (go on after 404 and
    /// 410) or a bar (go on after any failure) between them. No user and no password (use `secretRef`).
    /// Example: `https://modules.example.com,direct`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = patterns::GOPROXY))]
    pub proxy: Option<String>,
    /// A Secret in the same namespace with a netrc file as `netrc` (`machine git.example.com login NAME password TOKEN`), for hosts of
    /// modules and for proxies, over HTTPS; and, where their certificates come from a private authority, its certificates as `ca.crt`.
    /// Only the stage that downloads modules has it. The operator needs a Role and RoleBinding in this namespace to read it
    /// (`config/samples/secret-access.yaml`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,
}

/// Where private modules come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
pub enum PrivateFrom {
    /// From their own hosts, with git, which the toolchain image must have.
    #[default]
    Direct,
    /// From the proxies that all other modules come from.
    Proxy,
}

/// A variable for the compiler.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GoEnvVar {
    /// One of GOEXPERIMENT, GOFIPS140, GODEBUG, GOAMD64.
    #[schemars(regex(pattern = patterns::GO_ENV_NAME))]
    pub name: String,
    /// Its value.
    #[schemars(length(max = 256), regex(pattern = patterns::GO_ENV_VALUE))]
    pub value: String,
}

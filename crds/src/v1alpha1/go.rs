//! How is the program compiled?

use crate::patterns;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the Go program is compiled. Always for `windows/amd64`, without cgo, reproducibly.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, KubeSchema)]
#[x_kube(validation = Rule::new("!(has(self.version) && has(self.image))").message("set version or image, not both"))]
#[serde(rename_all = "camelCase")]
pub struct GoSpec {
    /// Go release, one of those that the operator has a toolchain image for. Default: the newest of them. Example: `"1.26"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = patterns::GO_VERSION))]
    pub version: Option<String>,
    /// Toolchain image, in place of `version`: any Linux image with the `go` command in its `PATH`.
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
    /// Tests that must pass before the image is published. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<TestSpec>,
}

/// Tests that run beside the compiler, in a Job of their own: `go test` (hence `go vet`) with the toolchain and the build tags of the
/// program, on Linux, without cgo. No tag leads to an image and nothing is rolled before they have passed.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestSpec {
    /// The packages to test, relative to `source.subPath`. Example: `["./..."]`.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 256), regex(pattern = patterns::TEST_PACKAGES)))]
    #[x_kube(validation = Rule::new("self.all(one, self.exists_one(other, other == one))").message("go.test.packages: list each once"))]
    pub packages: Vec<String>,
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

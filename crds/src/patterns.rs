//! Which forms do strings of the specification have?
//!
//! One constant per form, used by the schema (so the API server refuses) and by the operator (so an object that bypassed the
//! schema is refused too). The syntax is what Go's RE2 and Rust's `regex` have in common.

/// Go duration such as `90s`, `30m`, `1h30m`.
pub const DURATION: &str = r"^([0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}$";
/// https URL without user, password, query or fragment.
pub const GIT_URL: &str = r"^https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/[A-Za-z0-9._~/%+-]+$";
/// Branch or tag, the part of git-check-ref-format that a pattern can say.
pub const GIT_REF: &str = r"^[A-Za-z0-9_][A-Za-z0-9_.+@-]*(/[A-Za-z0-9_][A-Za-z0-9_.+@-]*)*$";
/// Full commit id.
pub const COMMIT: &str = "^[0-9a-f]{40}$";
/// Relative folder with forward slashes; `..` is refused by a rule of its own.
pub const SUB_PATH: &str = r"^[A-Za-z0-9._@+-]+(/[A-Za-z0-9._@+-]+)*$";
/// Go release.
pub const GO_VERSION: &str = r"^1\.[0-9]{1,3}(\.[0-9]{1,3})?$";
/// Image reference with tag or digest (the characters; its grammar is checked when it is parsed).
pub const IMAGE_REFERENCE: &str = r"^[a-z0-9][A-Za-z0-9._/:@-]*$";
/// Main package: `.` or `./cmd/x`.
pub const PACKAGE: &str = r"^\.(/[A-Za-z0-9_][A-Za-z0-9._-]*)*$";
/// Packages to test: `.`, `./internal/till`, or all below a folder, `./...`.
pub const TEST_PACKAGES: &str = r"^\.(/[A-Za-z0-9_][A-Za-z0-9._-]*)*(/\.\.\.)?$";
/// Build tag.
pub const BUILD_TAG: &str = r"^[A-Za-z0-9_][A-Za-z0-9_.]*$";
/// `-X importpath.name=value`; no control characters and no single quote in the value.
pub const LDFLAG: &str = r"^-X [A-Za-z0-9_./~-]+\.[A-Za-z0-9_]+=[^'\x00-\x1f]*$";
/// Compiler variables that cannot run code or change where code comes from.
pub const GO_ENV_NAME: &str = "^(GOEXPERIMENT|GOFIPS140|GODEBUG|GOAMD64)$";
/// Value of a compiler variable.
pub const GO_ENV_VALUE: &str = r"^[A-Za-z0-9_.,=:+-]*$";
/// Prefix of module paths in which `*` and `?` are wildcards. No brackets: Go passes over a pattern whose bracket is not closed, and would
/// ask the public proxy for a private module.
pub const MODULE_PATTERN: &str = r"^[A-Za-z0-9*?][A-Za-z0-9._~*?+-]*(/[A-Za-z0-9._~*?+-]+)*$";
/// List of module proxies as `GOPROXY` takes it, without user, password, query or fragment.
pub const GOPROXY: &str = r"^(https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~/%+-]*)?|direct|off)([,|](https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[A-Za-z0-9._~/%+-]*)?|direct|off))*$";
/// `host[:port]/path`, without tag or digest.
pub const REPOSITORY: &str = r"^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+$";
/// Image tag in which `$(revision)` may stand.
pub const IMAGE_TAG: &str = r"^([A-Za-z0-9_]|\$\(revision\))([A-Za-z0-9_.-]|\$\(revision\)){0,127}$";
/// Tag of a base repository that names a Windows release.
pub const RELEASE: &str = r"^[a-z0-9][a-z0-9.]{0,31}$";
/// Name of a variable in an image.
pub const ENV_NAME: &str = "^[A-Za-z_][A-Za-z0-9_.-]*$";
/// Key of a label or annotation in an image.
pub const IMAGE_KEY: &str = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,254}$";
/// Full path on drive C, below its root, of harmless names.
pub const WINDOWS_PATH: &str = r"^[Cc]:(\\[A-Za-z0-9_-]([A-Za-z0-9._-]*[A-Za-z0-9_-])?)+$";
/// ARN of an IAM role.
pub const ROLE_ARN: &str = r"^arn:aws(-[a-z]{2,10}){0,3}:iam::[0-9]{12}:role/[A-Za-z0-9+=,.@_/-]{1,512}$";
/// Tenant or client id of Azure.
pub const UUID: &str = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
/// Provider of a workload identity pool of Google.
pub const WORKLOAD_IDENTITY_PROVIDER: &str =
    r"^projects/[0-9]{1,30}/locations/global/workloadIdentityPools/[a-z0-9-]{1,100}/providers/[a-z0-9-]{1,100}$";
/// GKE cluster.
pub const GKE_CLUSTER: &str = r"^projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/locations/[a-z0-9-]{1,40}/clusters/[a-z0-9-]{1,40}$";
/// Google service account.
pub const GOOGLE_ACCOUNT: &str = r"^[a-z0-9-]{1,100}@([a-z0-9.-]{1,100}\.iam|developer)\.gserviceaccount\.com$";
/// Address of a buildkitd: over TCP, or through a named pipe of a Windows node.
pub const BUILDKIT_ADDRESS: &str =
    concat!(r"^(tcp://[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?:[0-9]{1,5}", r"|npipe:////\./pipe/[A-Za-z0-9_][A-Za-z0-9._-]{0,99})$");
/// Size of a claim.
pub const CLAIM_SIZE: &str = r"^[1-9][0-9]{0,8}(Mi|Gi|Ti)$";
/// A number of bytes.
pub const BYTES: &str = "^[1-9][0-9]{0,11}(k|M|G|Ki|Mi|Gi)?$";
/// Name of an object (RFC 1123 subdomain).
pub const OBJECT_NAME: &str = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$";
/// Name of a container (RFC 1123 label).
pub const CONTAINER_NAME: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";

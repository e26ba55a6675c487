//! Which cause does a message of a Windows node, or of a tool, have?
//!
//! Such messages name a number or a place in a library, seldom what to do. Each row stands for one that was met: its signs, the
//! cause, the remedy and where it is known from. The first row that fits is taken. Pure data and one search over it.

/// Whose pod failed: a sign may mean something else elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pod {
    /// A pod of a target, on a Windows node.
    Target,
    /// A pod of a build.
    Build,
}

/// A known message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownError {
    /// All of these stand in the message.
    signs: &'static [&'static str],
    /// Where it can come from.
    pods: &'static [Pod],
    /// What is wrong.
    pub cause: &'static str,
    /// What to do.
    pub remedy: &'static str,
    /// Where it is known from.
    pub source: &'static str,
}

const ANYWHERE: &[Pod] = &[Pod::Target, Pod::Build];
const TARGET: &[Pod] = &[Pod::Target];
const BUILD: &[Pod] = &[Pod::Build];

const IMPORT_CAUSE: &str = "Windows could not import a layer: it has no Files folder, lacks the entry of a parent folder, writes into folders of Windows, or the node's disk is full";
const IMPORT_REMEDY: &str = "run `gowindows verify` on the image, and look at the node's free space";
const FRESH_LAYER_CAUSE: &str = "BuildKit cannot compress a new Windows layer that way";
const FRESH_LAYER_REMEDY: &str = "use gzip";

/// The table.
pub const KNOWN_ERRORS: [KnownError; 16] = [
    KnownError {
        signs: &["no match for platform in manifest"],
        pods: ANYWHERE,
        cause: "the image has nothing for the Windows build of this node",
        remedy: "add the node's release to image.base.releases, or keep the pod to nodes of the image's releases (label node.kubernetes.io/windows-build)",
        source: "containerd/platforms",
    },
    KnownError {
        signs: &["0xc0370101"],
        pods: ANYWHERE,
        cause: "the image is for another Windows build than the node's",
        remedy: "add the node's release to image.base.releases, or keep the pod to nodes of the image's releases (label node.kubernetes.io/windows-build)",
        source: "microsoft/Windows-Containers 591",
    },
    KnownError {
        signs: &["0xc0370106"],
        pods: ANYWHERE,
        cause: "the base is newer than the node's patches",
        remedy: "install the node's cumulative update, or name an older base by digest (image.base.image)",
        source: "microsoft/Windows-Containers 591",
    },
    KnownError {
        signs: &["0xc0370112"],
        pods: ANYWHERE,
        cause: "this Windows cannot read the base's layers (known of ltsc2025 on Windows 11 25H2)",
        remedy: "build on ltsc2022, or use a node of Windows Server",
        source: "microsoft/hcsshim 2566",
    },
    KnownError {
        signs: &["hcsshim::ImportLayer", "(0x3)"],
        pods: ANYWHERE,
        cause: IMPORT_CAUSE,
        remedy: IMPORT_REMEDY,
        source: "microsoft/hcsshim 835",
    },
    KnownError { signs: &[r"mkdir \\?\", r"\hcs"], pods: ANYWHERE, cause: IMPORT_CAUSE, remedy: IMPORT_REMEDY, source: "ko-build/ko 361" },
    KnownError {
        signs: &["failed to create scratch layer: no parent layers present"],
        pods: BUILD,
        cause: "BuildKit on Windows does not work with containerd 1.6",
        remedy: "update the node's containerd to 1.7.7 or later",
        source: "moby/buildkit 4826",
    },
    KnownError {
        signs: &["unable to find user ContainerUser: no matching entries in passwd file"],
        pods: BUILD,
        cause: "a RUN stands in the Windows stage, and BuildKit on Linux cannot run Windows programs",
        remedy: "move it to the build stage",
        source: "moby/buildkit, measured with 0.32.2",
    },
    KnownError {
        signs: &["user ContainerUser", "does not exist on the system"],
        pods: BUILD,
        cause: "Kaniko cannot build on a Windows base",
        remedy: "end the Dockerfile with a scratch stage that holds the program alone",
        source: "osscontainertools/kaniko, measured with 1.28.3",
    },
    KnownError {
        signs: &["unsupported diff media type", "tar+zstd"],
        pods: BUILD,
        cause: FRESH_LAYER_CAUSE,
        remedy: FRESH_LAYER_REMEDY,
        source: "moby/buildkit, measured with 0.32.2",
    },
    KnownError {
        signs: &["cannot finalize (reason unknown)"],
        pods: BUILD,
        cause: FRESH_LAYER_CAUSE,
        remedy: FRESH_LAYER_REMEDY,
        source: "moby/buildkit, measured with 0.32.2",
    },
    KnownError {
        signs: &["invalid windows mount type: 'tmpfs'"],
        pods: BUILD,
        cause: "BuildKit on Windows cannot mount secrets up to version 0.32.2",
        remedy: "update buildkitd, or do without RUN --mount=type=secret",
        source: "moby/buildkit pull 6944",
    },
    KnownError {
        signs: &["Error while dialing: open ", "Access is denied"],
        pods: BUILD,
        cause: "the pod's user may not open buildkitd's pipe",
        remedy: "start buildkitd with --group and a group of that user",
        source: "moby/buildkit docs/windows.md",
    },
    KnownError {
        signs: &["Failed to load netapi32.dll"],
        pods: TARGET,
        cause: "the program looks up users or groups (os/user), and Nano Server has no netapi32.dll",
        remedy: "build on ServerCore (image.base.flavor), or look up no users",
        source: "golang/go 21867",
    },
    KnownError {
        signs: &["Failed to load ", ".dll: The specified module could not be found"],
        pods: TARGET,
        cause: "the program needs a DLL that is neither in the image nor in its base",
        remedy: "put it beside the program (image.files), or build on ServerCore (image.base.flavor)",
        source: "golang/go 21867",
    },
    KnownError {
        signs: &["x509: certificate signed by unknown authority"],
        pods: TARGET,
        cause: "the program does not know the authority: Windows containers hold few, and fetch others from Windows Update, which fails behind proxies",
        remedy: "import golang.org/x/crypto/x509roots/fallback in the main package; a private authority has to be loaded by the program",
        source: "microsoft/Windows-Containers 169",
    },
];

impl KnownError {
    /// The first row whose signs stand in a message of such a pod.
    pub fn find(message: &str, pod: Pod) -> Option<&'static Self> {
        KNOWN_ERRORS.iter().find(|row| row.pods.contains(&pod) && row.signs.iter().all(|sign| message.contains(sign)))
    }
}

/// What is shown of a failure, with cause and remedy where they are known. `whole` is the message before it was shortened.
pub fn explained(shown: String, whole: &str, pod: Pod) -> String {
    match KnownError::find(whole, pod) {
        Some(KnownError { cause, remedy, .. }) => format!("{}. The cause: {cause}; {remedy}", shown.trim_end().trim_end_matches('.')),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages as they were met, and a word of the remedy.
    const MET: [(&str, Pod, &str); 16] = [
        (
            "failed to pull and unpack image \"r/a@sha256:0\": no match for platform in manifest: not found",
            Pod::Target,
            "image.base.releases",
        ),
        (
            "hcs::CreateComputeSystem c1: The container operating system does not match the host operating system. (0xc0370101)",
            Pod::Target,
            "windows-build",
        ),
        ("hcs::System::Start: (0xc0370106)", Pod::Target, "cumulative update"),
        ("hcsshim: unrecognized layer format (0xc0370112)", Pod::Target, "ltsc2022"),
        (
            r"failed to extract layer sha256:1: hcsshim::ImportLayer failed in Win32: The system cannot find the path specified. (0x3)",
            Pod::Target,
            "gowindows verify",
        ),
        (r"failed to register layer: mkdir \\?\C:\ProgramData\docker\windowsfilter\hcs123\var\run\ko: x", Pod::Target, "free space"),
        ("failed to create scratch layer: no parent layers present", Pod::Build, "1.7.7"),
        ("unable to find user ContainerUser: no matching entries in passwd file", Pod::Build, "build stage"),
        ("identifying uid and gid for user ContainerUser: user ContainerUser does not exist on the system", Pod::Build, "scratch stage"),
        ("unsupported diff media type: application/vnd.oci.image.layer.v1.tar+zstd: not implemented", Pod::Build, "gzip"),
        ("cannot finalize (reason unknown)", Pod::Build, "gzip"),
        ("invalid windows mount type: 'tmpfs'", Pod::Build, "update buildkitd"),
        (
            r#"connection error: desc = "transport: Error while dialing: open \\\\.\\pipe\\buildkitd: Access is denied.""#,
            Pod::Build,
            "--group",
        ),
        ("panic: Failed to load netapi32.dll: The specified module could not be found.", Pod::Target, "look up no users"),
        ("panic: Failed to load foo.dll: The specified module could not be found.", Pod::Target, "image.files"),
        (
            "Get \"https://x\": tls: failed to verify certificate: x509: certificate signed by unknown authority",
            Pod::Target,
            "x509roots/fallback",
        ),
    ];

    #[test]
    fn each_message_that_was_met_gets_its_own_row() {
        let mut rows = Vec::new();
        for (message, pod, remedy) in MET {
            let row = KnownError::find(message, pod).unwrap_or_else(|| panic!("{message}"));
            assert!(row.remedy.contains(remedy), "{message}: {}", row.remedy);
            assert!(!row.source.is_empty() && !rows.contains(&row.signs), "{message}");
            rows.push(row.signs);
        }
        assert_eq!(rows.len(), KNOWN_ERRORS.len(), "each row is shown by a message");
    }

    #[test]
    fn what_means_something_else_elsewhere_is_left_alone() {
        // A module proxy of a private authority, seen by the compiler on Linux.
        assert_eq!(KnownError::find("x509: certificate signed by unknown authority", Pod::Build), None);
        assert_eq!(explained("exit code 3".into(), "exit code 3", Pod::Target), "exit code 3");
        assert_eq!(KnownError::find("", Pod::Target), None);
    }

    #[test]
    fn cause_and_remedy_follow_what_is_shown() {
        let whole =
            format!("panic: Failed to load netapi32.dll: The specified module could not be found.\n{}", "goroutine 1\n".repeat(500));
        let text = explained("container app keeps ending.".into(), &whole, Pod::Target);
        assert!(
            text.starts_with("container app keeps ending. The cause: the program looks up users") && text.contains("ServerCore"),
            "{text}"
        );
    }
}

//! What is asked of an image, and where does each question come from?

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Operating system and processor.
    Platform,
    /// The full version of the base, in configuration and index.
    OsVersion,
    /// The base's layers, unchanged, come first.
    BaseLayers,
    /// Exactly one layer of ours.
    OneAppLayer,
    /// Media types of one family.
    MediaTypes,
    /// An ordinary user.
    User,
    /// A full path to a program.
    Entrypoint,
    /// Arguments stay arguments.
    ArgsEscaped,
    /// `PATH` is the base's, or a Windows one.
    Path,
    /// The program's folder.
    WorkingDir,
    /// Everything under `Files/`, parents first.
    LayerTree,
    /// Windows attributes and descriptors on the program.
    LayerRecords,
    /// The program is there and can run.
    LayerProgram,
    /// The layer is the one that the configuration names.
    LayerContent,
    /// Names that Windows can have, each once.
    LayerNames,
    /// Links stay in the image.
    LayerLinks,
    /// The folder without which the import fails.
    LayerHives,
    /// Windows' own folders keep their permissions.
    SystemFolders,
    /// Ordinary users cannot change the program.
    LayerAcl,
    /// What the program needs is in the image.
    ProgramNeeds,
}

impl Rule {
    /// Every rule, in the order of reports.
    pub const ALL: [Self; 20] = [
        Self::Platform,
        Self::OsVersion,
        Self::BaseLayers,
        Self::OneAppLayer,
        Self::MediaTypes,
        Self::User,
        Self::Entrypoint,
        Self::ArgsEscaped,
        Self::Path,
        Self::WorkingDir,
        Self::LayerTree,
        Self::LayerRecords,
        Self::LayerProgram,
        Self::LayerContent,
        Self::LayerNames,
        Self::LayerLinks,
        Self::LayerHives,
        Self::SystemFolders,
        Self::LayerAcl,
        Self::ProgramNeeds,
    ];

    /// A stable name.
    pub fn id(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::OsVersion => "os-version",
            Self::BaseLayers => "base-layers",
            Self::OneAppLayer => "one-app-layer",
            Self::MediaTypes => "media-types",
            Self::User => "user",
            Self::Entrypoint => "entrypoint",
            Self::ArgsEscaped => "args-escaped",
            Self::Path => "path",
            Self::WorkingDir => "working-dir",
            Self::LayerTree => "layer-tree",
            Self::LayerRecords => "layer-records",
            Self::LayerProgram => "layer-program",
            Self::LayerContent => "layer-content",
            Self::LayerNames => "layer-names",
            Self::LayerLinks => "layer-links",
            Self::LayerHives => "layer-hives",
            Self::SystemFolders => "system-folders",
            Self::LayerAcl => "layer-acl",
            Self::ProgramNeeds => "program-needs",
        }
    }

    /// Where the rule comes from.
    pub fn source(self) -> &'static str {
        match self {
            Self::Platform | Self::OsVersion => "containerd/platforms: nodes match os.version against their own build",
            Self::BaseLayers => "hcsshim ImportLayer: a Windows layer is only valid on the layers that it was made for",
            Self::OneAppLayer => "containerd on Windows imports layers one after the other; each costs seconds",
            Self::MediaTypes => "OCI image-spec: a manifest does not mix media type families",
            Self::User => "kubelet security_context_windows.go: an empty user is ContainerAdministrator and passes runAsNonRoot",
            Self::Entrypoint => "hcsshim CreateProcess: no extension or folder is searched for",
            Self::ArgsEscaped => "containerd internal/cri/opts/spec_windows.go: the first element would not be escaped",
            Self::Path => "moby/buildkit 5445: PATH in the image replaces the one in the base's registry hive",
            Self::WorkingDir => "the folder that the descriptors of the layer make read-only",
            Self::LayerTree => "hcsshim pkg/ociwclayer import.go: entries are opened relative to Files, parents first (ko 361)",
            Self::LayerRecords => "go-winio backuptar: attributes and descriptors travel as PAX records",
            Self::LayerProgram => "the program must be a console program for amd64",
            Self::LayerContent => "OCI image-spec: diff_ids are the digests of the uncompressed layers",
            Self::LayerNames => "Windows, Naming Files, Paths, and Namespaces: devices, streams and case (import uses unchecked paths)",
            Self::LayerLinks => "hcsshim pkg/ociwclayer import.go: links are made within Files; OCI image-spec layer.md: whiteouts",
            Self::LayerHives => "ko 374: a layer without Hives is not imported",
            Self::SystemFolders => {
                "MS-DTYP 2.4.6: a descriptor on a folder of Windows replaces the base's (BuildKit differ.go, Buildah image.go)"
            }
            Self::LayerAcl => "readOnlyRootFilesystem does not exist on Windows: the layer's descriptors are all that protects the program",
            Self::ProgramNeeds => "golang/go 21867 and others: see docs/verify.md",
        }
    }
}

//! What is to be built, from flags, declaration and settings? Pure but for looking whether folders exist.

use super::arguments::BuildArgs;
use anyhow::{Context as _, bail};
use gowindows_clients::oci::{Reference, parse_reference};
use gowindows_crds::v1alpha1::{BaseSpec, GoWindowsImageSpec};
use gowindows_model::conversions;
use gowindows_model::go::compile::Compile;
use gowindows_model::settings::Settings;
use std::path::{Path, PathBuf};
use windows_image::warnings::Learned;
use windows_image::{Assembly, Compression, EnvVar, base};

/// What `$(revision)` becomes outside a clean git tree.
const UNKNOWN_REVISION: &str = "unknown";

/// Everything that is decided before anything is done.
#[derive(Debug)]
pub struct Plan {
    /// How the program is compiled.
    pub compile: Compile,
    /// How the image is assembled; the epoch is still to be filled in.
    pub assembly: Assembly,
    /// Where the image goes.
    pub destination: Destination,
    /// Tags to set.
    pub tags: Vec<String>,
    /// What the person should know.
    pub notes: Vec<String>,
}

/// Where the image goes.
#[derive(Debug)]
pub enum Destination {
    /// Into this repository.
    Repository(Reference),
    /// Into this folder, as an OCI layout.
    Folder(PathBuf),
}

/// The folder to compile in: `source.subPath` applies below DIR.
///
/// # Errors
/// It does not exist.
pub fn module_folder(dir: &Path, declared: Option<&GoWindowsImageSpec>) -> anyhow::Result<PathBuf> {
    let sub_path = declared.and_then(|spec| spec.source.sub_path.as_deref()).unwrap_or_default();
    if sub_path.starts_with('/') || sub_path.split('/').any(|part| part == "..") {
        bail!("source.subPath {sub_path:?} leads out of the repository");
    }
    let folder = if sub_path.is_empty() { dir.to_path_buf() } else { dir.join(sub_path) };
    let folder = folder.canonicalize().with_context(|| format!("cannot open the folder {}", folder.display()))?;
    if !folder.is_dir() {
        bail!("{} is not a folder; name the folder of the Go module", folder.display());
    }
    Ok(folder)
}

/// Puts flags over declaration over settings.
///
/// # Errors
/// What is wrong with which of them.
pub fn plan(args: &BuildArgs, declared: Option<&GoWindowsImageSpec>, settings: &Settings, commit: Option<&str>) -> anyhow::Result<Plan> {
    let mut notes = Vec::new();
    if declared.and_then(|spec| spec.go.as_ref()).is_some_and(|go| go.version.is_some() || go.image.is_some()) {
        notes.push("go.version and go.image choose the cluster's toolchain; here the local `go` compiles".into());
    }
    if declared.and_then(|spec| spec.go.as_ref()).is_some_and(|go| go.test.is_some()) {
        notes.push("go.test is tested in the cluster; here nothing is, run `go test` yourself".into());
    }
    let compile = compile(args, declared, commit.unwrap_or(UNKNOWN_REVISION))?;
    let assembly = assembly(args, declared, settings, commit)?;
    let (destination, named_tag) = destination(args)?;
    let mut tags: Vec<String> = named_tag.into_iter().chain(args.tags.iter().cloned()).collect();
    if let (true, Some(spec)) = (tags.is_empty(), declared) {
        let default = || vec!["$(revision)".to_string(), "latest".to_string()];
        let wanted = spec.image.tags.clone().unwrap_or_else(default);
        tags = wanted
            .iter()
            .filter(|tag| commit.is_some() || !tag.contains("$(revision)"))
            .map(|tag| expand(tag, commit.unwrap_or_default()))
            .collect();
        if tags.len() < wanted.len() {
            notes.push("tags with $(revision) are left out: this is not a clean git tree".into());
        }
    }
    if let Some(bad) = tags.iter().find(|tag| !is_tag(tag)) {
        bail!("{bad:?} is not a tag: at most 128 of A-Z a-z 0-9 _ . - are allowed, and no . or - at the start");
    }
    if tags.len() > 1 && args.output.is_some() {
        notes.push(format!("a layout has one name; it gets {:?}", tags[0]));
        tags.truncate(1);
    }
    Ok(Plan { compile, assembly, destination, tags, notes })
}

fn compile(args: &BuildArgs, declared: Option<&GoWindowsImageSpec>, revision: &str) -> anyhow::Result<Compile> {
    let go = declared.and_then(|spec| spec.go.clone()).unwrap_or_default();
    let compile = Compile {
        package: args.package.clone().or(go.package).unwrap_or_else(|| ".".into()),
        tags: go.tags,
        ldflags: go.ldflags.iter().map(|flag| expand(flag, revision)).collect(),
        env: go.env.into_iter().map(|variable| (variable.name, variable.value)).collect(),
        strip: go.strip.unwrap_or(true),
        timezone_data: go.timezone_data.unwrap_or(true),
        cgo: go.cgo.unwrap_or(false),
    };
    compile.check()?;
    if compile.package.starts_with('-') || compile.package.is_empty() {
        bail!("{:?} is not a package; name one as `go build` does, such as ./cmd/storefront", compile.package);
    }
    Ok(compile)
}

fn assembly(
    args: &BuildArgs,
    declared: Option<&GoWindowsImageSpec>,
    settings: &Settings,
    commit: Option<&str>,
) -> anyhow::Result<Assembly> {
    let base = declared.and_then(|spec| spec.image.base.clone()).unwrap_or_default();
    let (bases, releases) = bases(args, base, settings);
    let (compression, revision) = (compression(args, declared)?, commit.map(str::to_owned));
    let Some(image) = declared.map(|spec| &spec.image) else {
        return Ok(Assembly { bases, releases, compression, revision, ..Assembly::default() });
    };
    if let Some(path) = image.env.iter().find(|variable| variable.name.eq_ignore_ascii_case("PATH")) {
        bail!("image.env sets {}: on Windows it would replace the base's PATH; leave it out", path.name);
    }
    let port = |port: &i32| {
        u16::try_from(*port).ok().filter(|port| *port > 0).with_context(|| format!("image.ports has {port}, which is no TCP port"))
    };
    let expanded = |text: &String| expand(text, commit.unwrap_or(UNKNOWN_REVISION));
    let mut assembly = Assembly {
        bases,
        releases,
        args: image.args.iter().map(expanded).collect(),
        env: image.env.iter().map(|var| EnvVar { name: var.name.clone(), value: expanded(&var.value) }).collect(),
        ports: image.ports.iter().map(port).collect::<anyhow::Result<_>>()?,
        labels: image.labels.iter().map(|(key, value)| (key.clone(), expanded(value))).collect(),
        annotations: image.annotations.iter().map(|(key, value)| (key.clone(), expanded(value))).collect(),
        revision,
        source: declared.map(|spec| spec.source.git.url.clone()),
        files: image.files.iter().cloned().map(conversions::mapping).collect(),
        compression,
        epoch: 0,
        learned: Learned::default(),
    };
    assembly.drop_what_is_not_used();
    Ok(assembly)
}

/// Bases and the releases to choose from them. Where a release is a tag of its own, there is nothing to choose.
fn bases(args: &BuildArgs, declared: BaseSpec, settings: &Settings) -> (Vec<String>, Vec<String>) {
    let BaseSpec { flavor, releases, image, pull_secret_ref: _ } = declared;
    match args.base.clone().or(image) {
        Some(base) => (vec![base], args.releases.clone()),
        None => {
            let wanted = if args.releases.is_empty() { releases.unwrap_or_default() } else { args.releases.clone() };
            (base::references(&settings.bases, conversions::flavor(flavor.unwrap_or_default()), &wanted), vec![])
        }
    }
}

fn compression(args: &BuildArgs, declared: Option<&GoWindowsImageSpec>) -> anyhow::Result<Compression> {
    match &args.compression {
        Some(wanted) => Ok(wanted.parse()?),
        None => conversions::compression(declared.and_then(|spec| spec.image.compression.as_ref())).context("image.compression"),
    }
}

fn destination(args: &BuildArgs) -> anyhow::Result<(Destination, Option<String>)> {
    let Some(text) = &args.push else {
        let folder = args.output.clone().context("say where the image goes: --push REF or --output DIR")?;
        return Ok((Destination::Folder(folder), None));
    };
    let reference = parse_reference(text)?;
    if reference.digest().is_some() {
        bail!("--push {text} names a digest; the digest comes out of the build, name a repository or a tag");
    }
    // A reference without a tag parses as `latest`, which nobody asked for.
    let tag = reference.tag().filter(|tag| text.ends_with(&format!(":{tag}"))).map(String::from);
    let repository = parse_reference(tag.as_ref().and_then(|tag| text.strip_suffix(&format!(":{tag}"))).unwrap_or(text))?;
    Ok((Destination::Repository(repository), tag))
}

fn expand(text: &str, revision: &str) -> String {
    text.replace("$(revision)", revision)
}

fn is_tag(tag: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !tag.is_empty() && tag.len() <= 128 && !tag.starts_with(['.', '-']) && tag.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        build: BuildArgs,
    }

    fn args(words: &[&str]) -> BuildArgs {
        Cli::try_parse_from([&["build"], words].concat()).map(|cli| cli.build).expect("arguments")
    }

    fn planned(words: &[&str], declared: Option<&GoWindowsImageSpec>) -> anyhow::Result<Plan> {
        plan(&args(words), declared, &Settings::default(), Some("c0ffee"))
    }

    fn spec(go: &str, image: &str) -> GoWindowsImageSpec {
        let yaml = format!("{{source: {{git: {{url: 'https://x'}}}}, go: {go}, image: {image}}}");
        serde_norway::from_str(&yaml).expect("a specification")
    }

    #[test]
    fn without_anything_the_defaults_are_used() {
        let plan = planned(&["--push", "r.example/a"], None).expect("a plan");
        assert_eq!(
            (plan.assembly.bases, plan.assembly.releases),
            (vec!["mcr.microsoft.com/windows/nanoserver:ltsc2022".to_string()], vec![])
        );
        assert_eq!((plan.compile.package.as_str(), plan.assembly.compression, plan.tags.len()), (".", Compression::Gzip(4), 0));
    }

    #[test]
    fn releases_are_tags_of_the_default_base_and_a_choice_among_a_given_one() {
        let plan = planned(&["--push", "r.example/a", "--release", "ltsc2022", "--release", "ltsc2025"], None).expect("a plan");
        assert_eq!((plan.assembly.bases.len(), plan.assembly.releases.len()), (2, 0));
        let plan = planned(&["--push", "r.example/a", "--base", "r.example/base:1", "--release", "ltsc2025"], None).expect("a plan");
        assert_eq!((plan.assembly.bases, plan.assembly.releases), (vec!["r.example/base:1".to_string()], vec!["ltsc2025".to_string()]));
    }

    #[test]
    fn flags_win_over_the_declaration() {
        let spec = spec(
            "{package: ./a, ldflags: ['-X main.v=$(revision)'], strip: false}",
            "{repository: r.example/a, base: {image: b.example/c}, args: [x], ports: [80], tags: [t]}",
        );
        let plan =
            planned(&["--push", "r.example/b:v1", "--package", "./b", "--base", "oci:d", "--tag", "v2"], Some(&spec)).expect("a plan");
        assert_eq!((plan.compile.package.as_str(), plan.compile.strip), ("./b", false));
        assert_eq!(plan.compile.ldflags, ["-X main.v=c0ffee"]);
        assert_eq!(
            (plan.assembly.bases, plan.assembly.args, plan.assembly.ports),
            (vec!["oci:d".to_string()], vec!["x".to_string()], vec![80])
        );
        assert_eq!(plan.tags, ["v1", "v2"]);
    }

    #[test]
    fn declared_tags_are_used_where_no_flag_names_one() {
        let spec = spec("{}", "{repository: r.example/a, args: ['-v=$(revision)'], labels: {of: $(revision)}}");
        let assembly = planned(&["--push", "r.example/b"], Some(&spec)).expect("a plan").assembly;
        assert_eq!((assembly.args, assembly.labels["of"].as_str()), (vec!["-v=c0ffee".to_string()], "c0ffee"), "as the cluster expands it");
        assert_eq!((assembly.revision.as_deref(), assembly.source.as_deref()), (Some("c0ffee"), Some("https://x")));
        assert_eq!(planned(&["--push", "r.example:5000/b"], Some(&spec)).expect("a plan").tags, ["c0ffee", "latest"]);
        let outside = plan(&args(&["--push", "r.example/b"]), Some(&spec), &Settings::default(), None).expect("a plan");
        assert_eq!((outside.tags, outside.notes.len()), (vec!["latest".to_string()], 1));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_a_remedy() {
        let digest = format!("r.example/a@sha256:{}", "a".repeat(64));
        for (words, remedy) in [
            (&["--push", "r.example/a", "--compression", "zstd:20"][..], "1 to 19"),
            (&["--push", "r.example/a", "--compression", "gzip:11"], "0 to 9"),
            (&["--push", "r.example/a", "--compression", "xz"], "gzip"),
            (&["--push", "r.example/a", "--tag", "a b"], "128"),
            (&["--push", "r.example/a", "--package=-toolexec=x"], "./cmd"),
            (&["--push", &digest], "repository or a tag"),
            (&["--push", "R/UPPER"], "R/UPPER"),
        ] {
            let error = planned(words, None).expect_err("refused");
            assert!(format!("{error:#}").contains(remedy), "{words:?}: {error:#}");
        }
        let path = spec("{}", "{repository: r.example/a, env: [{name: Path, value: x}]}");
        assert!(planned(&["--push", "r.example/a"], Some(&path)).is_err());
    }

    #[test]
    fn a_destination_is_needed_and_only_one() {
        for words in [&[][..], &["--push", "a/b", "--output", "d"]] {
            assert!(Cli::try_parse_from([&["build"], words].concat()).is_err());
        }
    }
}

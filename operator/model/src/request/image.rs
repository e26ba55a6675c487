//! What does the specification say of the image's own content: arguments, environment, ports, labels, annotations, files?

use super::Flavored;
use super::Refusal;
use super::checks::{self, Check, invalid};
use crate::conversions;
use crate::settings::Settings;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{BaseSpec, FileMapping, ImageEnvVar};
use std::collections::{BTreeMap, BTreeSet};
use windows_image;
use windows_image::warnings::Learned;
use windows_image::{Assembly, Compression, EnvVar, base, windows_path};

/// The base references as they are asked for, and what is known of them where a flavor is meant.
///
/// # Errors
/// What is wrong with which field.
pub(super) fn bases(base: BaseSpec, settings: &Settings) -> Result<(Vec<String>, Option<Flavored>), Refusal> {
    let BaseSpec { flavor, releases, image, pull_secret_ref: _ } = base;
    match (image, flavor, releases) {
        (Some(image), None, None) => Ok((vec![checks::image_reference("image.base.image", &image)?], None)),
        (Some(image), ..) => Err(invalid("image.base", &image, "set image, or flavor and releases, not both")),
        (None, flavor, releases) => {
            let named = releases.is_some();
            let releases = releases.unwrap_or_else(|| vec![base::DEFAULT_RELEASE.into()]);
            if releases.is_empty() {
                return Err(invalid("image.base.releases", "[]", "name at least one release, or leave it out for ltsc2022"));
            }
            at_most("image.base.releases", releases.len(), 8)?;
            let releases = checks::each("image.base.releases", releases, patterns::RELEASE)?;
            if let Some(twice) = releases.iter().enumerate().find_map(|(at, release)| releases[..at].contains(release).then_some(release)) {
                return Err(invalid("image.base.releases", twice, "it is named twice; keep one"));
            }
            let repository = base::repository(&settings.bases, conversions::flavor(flavor.unwrap_or_default())).to_owned();
            let references = releases.iter().map(|release| format!("{repository}:{release}")).collect();
            Ok((references, Some(Flavored { repository, releases, named })))
        }
    }
}

/// What determines an image travels as one argument of the build's last step (Linux: 128 KiB at most, `MAX_ARG_STRLEN`) and as an
/// annotation of its Job (Kubernetes: 256 KiB in all).
const MOST_BYTES: usize = 64 * 1024;
/// Windows takes command lines of at most 32 767 characters; program, blanks and quotes are in it too.
const MOST_ARGUMENT_BYTES: usize = 30_000;
/// A block of environment variables has 32 767 characters each.
const MOST_VALUE_BYTES: usize = 32_000;
/// A longer label or annotation belongs somewhere else.
const MOST_LABEL_BYTES: usize = 4096;
/// Keys that the operator writes itself.
const OWN_KEYS: &str = "dev.gowindows.";

/// The valid content, with nothing expanded yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) args: Vec<String>,
    pub(super) env: Vec<EnvVar>,
    pub(super) ports: Vec<u16>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) files: Vec<windows_image::FileMapping>,
    pub(super) compression: Compression,
}

impl Content {
    /// # Errors
    /// The first value that is wrong, or that all of them together are too large.
    pub(super) fn checked(
        args: Vec<String>,
        env: Vec<ImageEnvVar>,
        ports: Vec<i32>,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        files: Vec<FileMapping>,
    ) -> Result<Self, Refusal> {
        let content = Self {
            args: arguments(args)?,
            env: variables(env)?,
            ports: ports.into_iter().map(checks::port).collect::<Result<_, _>>()?,
            labels: keys("image.labels", labels)?,
            annotations: keys("image.annotations", annotations)?,
            files: mappings(files)?,
            compression: Compression::default(),
        };
        let bytes = serde_json::to_vec(&content.assembly("", Vec::new(), "")).map_or(0, |json| json.len());
        if bytes > MOST_BYTES {
            let remedy = format!(
                "image.args, env, labels, annotations and files may have {MOST_BYTES} bytes together; put large values into a file of the repository and that into image.files"
            );
            return Err(invalid("image", &format!("{bytes} bytes"), &remedy));
        }
        Ok(content)
    }

    /// How the image is assembled at a commit on pinned bases. The epoch is the commit's, which only the source stage knows: 0 here.
    pub(super) fn assembly(&self, commit: &str, bases: Vec<String>, source: &str) -> Assembly {
        let expand = |text: &String| super::expand(text, commit);
        let expanded = |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| (key.clone(), expand(value))).collect();
        let Self { args, env, ports, labels, annotations, files, compression } = self;
        let mut assembly = Assembly {
            bases,
            releases: Vec::new(),
            args: args.iter().map(expand).collect(),
            env: env.iter().map(|var| EnvVar { name: var.name.clone(), value: expand(&var.value) }).collect(),
            ports: ports.clone(),
            labels: expanded(labels),
            annotations: expanded(annotations),
            revision: Some(commit.to_owned()),
            source: Some(source.to_owned()),
            files: files.clone(),
            compression: *compression,
            epoch: 0,
            learned: Learned::default(),
        };
        assembly.drop_what_is_not_used();
        assembly
    }
}

fn arguments(args: Vec<String>) -> Result<Vec<String>, Refusal> {
    at_most("image.args", args.len(), 64)?;
    let args: Vec<String> = args.into_iter().map(|arg| checks::no_nul("image.args", arg)).collect::<Result<_, _>>()?;
    if let Some(long) = args.iter().find(|arg| arg.len() > 4096) {
        return Err(invalid("image.args", long, "an argument has at most 4096 bytes; put it into a file (image.files)"));
    }
    let together: usize = args.iter().map(|arg| arg.len() + 3).sum();
    if together > MOST_ARGUMENT_BYTES {
        let remedy = format!("all arguments may have {MOST_ARGUMENT_BYTES} bytes together: Windows takes no longer command line");
        return Err(invalid("image.args", &format!("{together} bytes"), &remedy));
    }
    Ok(args)
}

fn variables(env: Vec<ImageEnvVar>) -> Result<Vec<EnvVar>, Refusal> {
    at_most("image.env", env.len(), 64)?;
    let env: Vec<ImageEnvVar> = env.into_iter().map(checks::image_env).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for variable in &env {
        if variable.value.len() > MOST_VALUE_BYTES {
            let remedy = format!("a value has at most {MOST_VALUE_BYTES} bytes on Windows");
            return Err(invalid("image.env[].value", &variable.value, &remedy));
        }
        if !names.insert(variable.name.to_ascii_uppercase()) {
            let remedy = "it is given twice (Windows does not tell upper and lower case apart); keep one";
            return Err(invalid("image.env[].name", &variable.name, remedy));
        }
    }
    Ok(env.into_iter().map(conversions::variable).collect())
}

fn keys(field: &str, map: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refusal> {
    at_most(field, map.len(), 64)?;
    for (key, value) in &map {
        let remedy = "a key has 1 to 255 letters, digits, dots, slashes, underscores and dashes";
        Check::new(field, key, remedy).form(patterns::IMAGE_KEY)?;
        if key.starts_with(OWN_KEYS) {
            return Err(invalid(field, key, "keys under dev.gowindows. are the operator's own; use another prefix"));
        }
        if value.len() > MOST_LABEL_BYTES || value.contains('\0') {
            return Err(invalid(&format!("{field}[{key}]"), value, "a value has at most 4096 bytes and no NUL character"));
        }
    }
    Ok(map)
}

fn mappings(files: Vec<FileMapping>) -> Result<Vec<windows_image::FileMapping>, Refusal> {
    at_most("image.files", files.len(), 16)?;
    for FileMapping { from, to, ignore } in &files {
        checks::inside("image.files[].from", from)?;
        Check::new("image.files[].to", to, windows_path::FORM).at_most(200).form(patterns::WINDOWS_PATH)?;
        windows_path::components(to).map_err(|why| invalid("image.files[].to", to, &why.to_string()))?;
        at_most("image.files[].ignore", ignore.len(), 64)?;
        if let Some(bad) = ignore.iter().find(|pattern| pattern.is_empty() || pattern.len() > 256 || pattern.contains(char::is_control)) {
            return Err(invalid("image.files[].ignore", bad, "a pattern has 1 to 256 bytes and no control character"));
        }
    }
    Ok(files.into_iter().map(conversions::mapping).collect())
}

fn at_most(field: &str, number: usize, most: usize) -> Result<(), Refusal> {
    if number <= most { Ok(()) } else { Err(invalid(field, &format!("{number} entries"), &format!("at most {most} are allowed"))) }
}

//! What is in the layers of an image whose base is not known? Reads them from the top, each once for all releases, as far as
//! they are small enough; unpacks nothing to disk but the program, for a moment.

use crate::progress::megabytes;
use gowindows_clients::oci::{OciError, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Seek, Write};
use windows_image::Digest;
use windows_image::Flavor;
use windows_image::config::ImageConfig;
use windows_image::manifest::{Descriptor, media_type};
use windows_image::read_back::ReadBack;
use windows_image::verify::Rule;
use windows_image::verify::program_path;
use windows_image::verify::{Finding, Verdict};
use windows_image::verify_layer::Unpacked;
use windows_image::verify_layer::{self, Tree};
use windows_image::warnings::Learned;
use windows_image::windows_apis::{AbsentApi, WindowsApis, flavor_of};

/// No layer is unpacked further (HR5).
const MOST_UNPACKED: u64 = 4 << 30;
/// Windows cannot stack as many.
const MOST_LAYERS: usize = 127;
/// Where images tell their base (OCI image-spec, annotations.md).
const BASE_NAME: &str = "org.opencontainers.image.base.name";

/// The layers of an image, read as they are needed.
pub(super) struct Layers<'a> {
    source: &'a Source<'a>,
    most_bytes: u64,
    apis: WindowsApis,
    read: BTreeMap<(Digest, Option<String>), Fate>,
}

/// What became of one layer.
#[derive(Clone)]
enum Fate {
    /// It was read.
    Whole(Box<Whole>),
    /// It was not, because ...
    Not(String),
    /// It cannot be what its descriptor says.
    Broken(String),
}

/// A layer that was read to its end.
#[derive(Clone)]
struct Whole {
    tree: Tree,
    diff_id: Digest,
    needs: Option<Needs>,
}

/// What the program in it was found to need, on each flavor; the last for a base whose flavor is not known.
type Needs = BTreeMap<Option<Flavor>, Learned>;

impl<'a> Layers<'a> {
    pub fn new(source: &'a Source<'a>, most_bytes: u64, absent_apis: &[AbsentApi]) -> Self {
        let apis = WindowsApis::shipped().with(absent_apis);
        Self { source, most_bytes, apis, read: BTreeMap::new() }
    }

    /// The rules about layers, for one release's image.
    pub async fn findings(&mut self, image: &ReadBack) -> Result<Vec<Finding>, OciError> {
        let ReadBack { manifest, config, .. } = image;
        if manifest.layers.len() > MOST_LAYERS {
            let message = format!("{} layers; Windows can stack {MOST_LAYERS}", manifest.layers.len());
            return Ok(vec![Finding::of(Rule::LayerContent, false, message)]);
        }
        let program = program_path(config);
        let (mut findings, mut found, mut unread) = (Vec::new(), false, Vec::new());
        for (index, layer) in manifest.layers.iter().enumerate().rev() {
            // The topmost layer that has the program is the one that counts.
            let wanted = program.clone().filter(|_| !found);
            match self.layer(layer, wanted.as_deref()).await? {
                Fate::Whole(whole) => {
                    let Whole { tree, diff_id, needs } = *whole;
                    findings.extend(content(index, &diff_id, config));
                    findings.extend(tree.findings());
                    if let (Some(path), true) = (&wanted, tree.program.is_some()) {
                        findings.push(tree.program_finding(path));
                        findings.extend(self.needs(config, needs));
                        found = true;
                    }
                }
                Fate::Not(why) => unread.push(format!("layer {} ({}) {why}", index + 1, layer.digest)),
                Fate::Broken(why) => findings.push(Finding::of(Rule::LayerContent, false, format!("layer {}: {why}", index + 1))),
            }
        }
        if let (Some(path), false) = (&program, found) {
            let verdict = if unread.is_empty() { Verdict::Failed } else { Verdict::NotChecked };
            findings.push(Finding::new(Rule::LayerProgram, verdict, format!("no layer that was read has {path}")));
        }
        if !unread.is_empty() {
            findings.push(Finding::new(Rule::LayerContent, Verdict::NotChecked, unread.join("; ")));
        }
        Ok(findings)
    }

    fn needs(&self, config: &ImageConfig, needs: Option<Needs>) -> Vec<Finding> {
        let base = config.config.labels.get(BASE_NAME).and_then(|name| flavor_of(name));
        let Some(learned) = needs.and_then(|mut needs| needs.remove(&base)) else { return Vec::new() };
        if learned.warnings.is_empty() {
            return vec![Finding::of(Rule::ProgramNeeds, true, "nothing is known to be missing")];
        }
        learned.warnings.iter().map(|warning| Finding::new(Rule::ProgramNeeds, Verdict::Warning, warning.text(&self.apis))).collect()
    }

    async fn layer(&mut self, layer: &Descriptor, program: Option<&str>) -> Result<Fate, OciError> {
        let key = (layer.digest.clone(), program.map(str::to_owned));
        if let Some(read) = self.read.get(&key) {
            return Ok(read.clone());
        }
        let read = self.read_layer(layer, program).await?;
        self.read.insert(key, read.clone());
        Ok(read)
    }

    async fn read_layer(&self, layer: &Descriptor, program: Option<&str>) -> Result<Fate, OciError> {
        let Some(form) = media_type::oci_layer(&layer.media_type) else {
            return Ok(Fate::Not(format!("is of type {}, which this version cannot unpack", layer.media_type)));
        };
        if layer.size > self.most_bytes {
            let limit = megabytes(self.most_bytes);
            return Ok(Fate::Not(format!("of {} was not read: more than {limit} (--max-layer-mb)", megabytes(layer.size))));
        }
        let file = match self.source.layer(layer).await {
            Ok(file) => file,
            Err(OciError::NotFound { .. }) => return Ok(Fate::Broken(format!("{} is not there", layer.digest))),
            Err(error) => return Err(error),
        };
        let (layer, program, apis) = (layer.clone(), program.map(str::to_owned), self.apis.clone());
        let read = tokio::task::spawn_blocking(move || unpack(file, &layer, form, program.as_deref(), &apis));
        let read = read.await.map_err(|error| OciError::local("read a layer", error))?;
        Ok(read.unwrap_or_else(|error| Fate::Broken(format!("it cannot be unpacked: {error}"))))
    }
}

fn unpack(file: File, layer: &Descriptor, form: &str, program: Option<&str>, apis: &WindowsApis) -> io::Result<Fate> {
    let mut spool = Spool::default();
    Ok(match whole(file, layer, form, program, &mut spool)? {
        Ok((tree, diff_id)) => Fate::Whole(Box::new(Whole { tree, diff_id, needs: spool.needs(apis)? })),
        Err(why) => Fate::Broken(why),
    })
}

/// What is in a layer that is read to its end, and the digest of its content; or why it cannot be what its descriptor says. The bytes of
/// `program` also go to `sink`.
///
/// # Errors
/// Reading or writing failed, or it is no layer.
pub(crate) fn whole(
    file: File,
    layer: &Descriptor,
    form: &str,
    program: Option<&str>,
    sink: &mut impl Write,
) -> io::Result<Result<(Tree, Digest), String>> {
    let file = io::BufReader::with_capacity(64 * 1024, file);
    let Unpacked { digest, size, diff_id, tree } = verify_layer::unpacked(form, file, MOST_UNPACKED, program, sink)?;
    if digest != layer.digest || size != layer.size {
        return Ok(Err(format!("its content has digest {digest} and {size} bytes, not {} and {} bytes", layer.digest, layer.size)));
    }
    Ok(Ok((tree, diff_id)))
}

fn content(index: usize, diff_id: &Digest, config: &ImageConfig) -> Option<Finding> {
    let named = config.rootfs.diff_ids.get(index)?;
    let message = format!("layer {} unpacks to {diff_id}, and the configuration names {named}", index + 1);
    Some(if named == diff_id {
        Finding::of(Rule::LayerContent, true, "every layer that was read is the one that the configuration names")
    } else {
        Finding::of(Rule::LayerContent, false, message)
    })
}

/// Keeps the program in a file that has no name, from when its first byte comes.
#[derive(Default)]
struct Spool(Option<File>);

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.is_none() {
            self.0 = Some(tempfile::tempfile()?);
        }
        self.0.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Spool {
    fn needs(self, apis: &WindowsApis) -> io::Result<Option<Needs>> {
        let Some(mut file) = self.0 else { return Ok(None) };
        let mut needs = Needs::new();
        for flavor in [None, Some(Flavor::NanoServer), Some(Flavor::ServerCore)] {
            file.rewind()?;
            needs.insert(flavor, Learned::read(&mut file, apis, &flavor.into_iter().collect::<BTreeSet<_>>())?);
        }
        Ok(Some(needs))
    }
}

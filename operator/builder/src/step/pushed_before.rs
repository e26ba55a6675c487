//! Is there an image already that holds what BuildKit has just made once more? Then it stays what the tag leads to: nobody should be rolled for
//! the time of day in a layer.

use super::pushed::Image;
use crate::layers::whole;
use gowindows_clients::oci::{OciError, Published, Reference, Source, at_digest, at_tag};
use serde_json::Value;
use std::io::{self, BufReader, Seek};
use windows_image::content;
use windows_image::manifest::media_type;
use windows_image::read_back::ReadBack;
use windows_image::verify::Author;
use windows_image::{Digest, compression};

/// The largest configuration that is read.
const LARGEST_CONFIG: usize = 4 * 1024 * 1024;

/// What an image holds beside its base.
#[derive(PartialEq)]
struct Held {
    config: Value,
    layer: Digest,
}

impl Image<'_> {
    /// The image that the tag leads to, if it is sound and holds what `new` holds. Whatever keeps it from being read is a reason to take the new
    /// one, which was read.
    pub(super) async fn before(&self, tag: &str, new: &ReadBack) -> Option<Published> {
        let Self { registry, repository, author, bases, epoch: _ } = self;
        if *author == Author::BuildKitOnWindows {
            // What a command leaves there is never the same twice.
            return None;
        }
        let before = registry.published(&at_tag(repository, tag), *author, bases).await.ok().flatten()?;
        let [image] = before.platforms.as_slice() else { return None };
        if before.complaint().is_some() || before.digest == new.digest || image.entry.is_some() {
            return None;
        }
        let (old, new) = (self.held(image).await.ok()?, self.held(new).await.ok()?);
        (old == new).then_some(before)
    }

    async fn held(&self, image: &ReadBack) -> Result<Held, OciError> {
        let reference = at_digest(self.repository, &image.digest);
        let config = self.registry.blob(&reference, &image.manifest.config, LARGEST_CONFIG).await?;
        let config = content::of_config(&config).map_err(|error| OciError::local("compare configurations", error))?;
        Ok(Held { config, layer: self.held_layer(&reference, image).await? })
    }

    async fn held_layer(&self, reference: &Reference, image: &ReadBack) -> Result<Digest, OciError> {
        let failed = |error: io::Error| OciError::local("compare layers", error);
        let unfit = || failed(io::Error::other("the image has no layer that can be read"));
        let layer = image.manifest.layers.last().cloned().ok_or_else(unfit)?;
        let form = media_type::oci_layer(&layer.media_type).ok_or_else(unfit)?;
        let file = Source::Registry(self.registry, reference.clone()).layer(&layer).await?;
        let named = image.config.rootfs.diff_ids.last().cloned();
        let read = tokio::task::spawn_blocking(move || {
            let mut again = file.try_clone()?;
            let (_, diff_id) = whole(file, &layer, form, None, &mut io::sink())?.map_err(io::Error::other)?;
            if named != Some(diff_id) {
                return Err(io::Error::other("the layer is not the one that the configuration names"));
            }
            again.rewind()?;
            content::of_layer(compression::reader(form, BufReader::new(again))?)
        });
        read.await.map_err(|error| OciError::local("compare layers", error))?.map_err(failed)
    }
}

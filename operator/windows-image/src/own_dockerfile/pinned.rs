//! Which text is handed to BuildKit? The user's, with the base and the toolchain by digest, and with the time of the commit.
//!
//! Its first instruction is ours. BuildKit looks for directives in comments at the very top alone, so there are none but the escape
//! character that the linter read it with: whatever else a directive could say plays no part. Where there are comments or blank lines at the
//! top, ours take their place, so that BuildKit counts lines as the user does.

use super::images::{Images, Kind};
use super::parse::{Dockerfile, From, Unreadable};
use super::stages::names_a_stage;

/// The text for BuildKit. `epoch` is the commit's time, in seconds since 1970.
///
/// # Errors
/// The line that cannot be read, and why.
pub fn pinned(text: &str, images: &Images, epoch: i64) -> Result<String, Unreadable> {
    let file = Dockerfile::read(text)?;
    let mut lines: Vec<String> = text.trim_start_matches('\u{feff}').split_inclusive('\n').map(str::to_owned).collect();
    for (index, stage) in file.stages.iter().enumerate() {
        let image = match images.kind(&stage.from.image) {
            Kind::Base => images.base(),
            Kind::Toolchain => images.toolchain.clone(),
            Kind::Pinned | Kind::Loose => continue,
        };
        if !names_a_stage(&stage.from.image, &file.stages[..index]) {
            let (first, last) = stage.from.lines;
            lines[first - 1..last].fill("\n".to_owned());
            lines[first - 1] = from(&stage.from, &image, index + 1 == file.stages.len());
        }
    }
    let mut header: Vec<String> = file.escape.map(|mark| format!("# escape={mark}\n")).into_iter().collect();
    header.push(format!("ARG SOURCE_DATE_EPOCH={epoch}\n"));
    // All that is above the first instruction is comments and blank lines.
    lines.drain(..header.len().min(file.first_line() - 1));
    Ok(header.into_iter().chain(lines).collect())
}

/// The last stage is for the platform that is built for, which `buildctl` is told.
fn from(from: &From, image: &str, is_last: bool) -> String {
    let platform = from.platform.as_ref().filter(|_| !is_last).map(|platform| format!("--platform={platform} ")).unwrap_or_default();
    let name = from.name.as_ref().map(|name| format!(" AS {name}")).unwrap_or_default();
    format!("FROM {platform}{image}{name}\n")
}

//! How are layers compressed, and what do compressed layers unpack to?
//!
//! The compressed bytes are part of an image's digest, so they depend on algorithm, level and content alone: not on the
//! number of threads, nor on how the content arrives in pieces. gzip is what every node reads; zstd is a tenth to a fifth
//! smaller at high levels and unpacks more than twice as fast, and containerd on Windows reads it since 1.6 under its OCI
//! media type.

use crate::gzip::ParallelGzip;
use crate::manifest::media_type;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;
use thiserror::Error;
use zstd::stream::raw::CParameter;

/// As small as zlib's level 6, which other builders have, in two thirds of the time that libdeflate's own level 6 takes.
const GZIP_LEVEL: u32 = 4;
/// zstd's own level.
const ZSTD_LEVEL: u32 = 3;
/// Up to this level a job of zstd's is small, so that programs of a few megabytes keep several threads busy. Above, a job
/// must be many times as large as the window that it shares with the one before, or each is compressed several times.
const SMALL_JOBS: u32 = 15;
const SMALL_JOB: u32 = 4 * 1024 * 1024;
/// The largest window that is unpacked, as a power of two: what zstd's own tools accept unasked.
const LARGEST_WINDOW: u32 = 27;

/// An algorithm with its level. As text: `gzip:4`, `zstd:19`; the level may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Compression {
    /// Levels 0 (none) to 9.
    Gzip(u32),
    /// Levels 1 to 19. Those above need more memory to unpack than a node should spend.
    Zstd(u32),
}

/// The text names no compression.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum InvalidCompression {
    /// An algorithm that is not there.
    #[error("the compression {0:?} is unknown; use gzip or zstd, with a level as in gzip:4 or zstd:19")]
    Algorithm(String),
    /// A level that is not there.
    #[error("{algorithm} has levels from {least} to {most}, not {level:?}")]
    Level {
        /// The algorithm.
        algorithm: &'static str,
        /// The lowest level.
        least: u32,
        /// The highest level.
        most: u32,
        /// What was asked for.
        level: String,
    },
}

impl Compression {
    /// The media type of a layer that is compressed so.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip(_) => media_type::LAYER_GZIP,
            Self::Zstd(_) => media_type::LAYER_ZSTD,
        }
    }

    /// Compresses `size` bytes on so many threads (at least one).
    ///
    /// # Errors
    /// zstd refuses to begin.
    pub fn writer<W: Write>(self, size: u64, threads: usize, out: W) -> io::Result<Compressor<W>> {
        let level = match self {
            Self::Gzip(level) => return Ok(Compressor::Gzip(ParallelGzip::new(level, threads, out))),
            Self::Zstd(level) => level,
        };
        let mut encoder = zstd::Encoder::new(out, i32::try_from(level).unwrap_or(i32::MAX))?;
        encoder.set_pledged_src_size(Some(size))?;
        // Without a worker zstd takes another way, to other bytes; with one or more the bytes are the same.
        encoder.multithread(u32::try_from(threads.max(1)).unwrap_or(1))?;
        if level <= SMALL_JOBS {
            encoder.set_parameter(CParameter::JobSize(SMALL_JOB))?;
        }
        Ok(Compressor::Zstd(encoder))
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::Gzip(GZIP_LEVEL)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Compression {
    type Err = InvalidCompression;

    fn from_str(text: &str) -> Result<Self, InvalidCompression> {
        let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
        let in_range = |algorithm, least: u32, most: u32, default: u32| {
            let Some(level) = level else { return Ok(default) };
            let number = level.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| InvalidCompression::Level { algorithm, least, most, level: level.chars().take(40).collect() })
        };
        match name {
            "gzip" => in_range("gzip", 0, 9, GZIP_LEVEL).map(Self::Gzip),
            "zstd" => in_range("zstd", 1, 19, ZSTD_LEVEL).map(Self::Zstd),
            _ => Err(InvalidCompression::Algorithm(text.chars().take(80).collect())),
        }
    }
}

impl TryFrom<String> for Compression {
    type Error = InvalidCompression;

    fn try_from(text: String) -> Result<Self, InvalidCompression> {
        text.parse()
    }
}

impl From<Compression> for String {
    fn from(compression: Compression) -> Self {
        compression.to_string()
    }
}

/// Takes what is to be compressed.
pub enum Compressor<W: Write> {
    /// As gzip members in a row.
    Gzip(ParallelGzip<W>),
    /// As one zstd frame.
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Compressor<W> {
    /// Writes the end. Gives the writer back.
    ///
    /// # Errors
    /// The writer below fails, or less was compressed than announced.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Gzip(gzip) => gzip.finish(),
            Self::Zstd(zstd) => zstd.finish(),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(gzip) => gzip.write(buffer),
            Self::Zstd(zstd) => zstd.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(gzip) => gzip.flush(),
            Self::Zstd(zstd) => zstd.flush(),
        }
    }
}

/// Unpacks a layer.
///
/// # Errors
/// The media type is none of a layer, or zstd refuses to begin.
pub fn reader<'a>(media_type: &str, layer: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    match media_type::oci_layer(media_type) {
        Some(media_type::LAYER_GZIP) => Ok(Box::new(flate2::read::MultiGzDecoder::new(layer))),
        Some(media_type::LAYER_ZSTD) => {
            let mut decoder = zstd::Decoder::new(layer)?;
            decoder.window_log_max(LARGEST_WINDOW)?;
            Ok(Box::new(decoder))
        }
        Some(_) => Ok(Box::new(layer)),
        None => Err(io::Error::other(format!("{media_type:?} is not the media type of a layer"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 4] = [Compression::Gzip(1), Compression::Gzip(6), Compression::Zstd(3), Compression::Zstd(19)];

    fn content() -> Vec<u8> {
        (0..1_200_000_u32).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> (i % 23)).to_le_bytes()).collect()
    }

    fn compressed(compression: Compression, threads: usize, content: &[u8], piece: usize) -> Vec<u8> {
        let mut writer = compression.writer(content.len() as u64, threads, Vec::new()).expect("a writer");
        for piece in content.chunks(piece) {
            writer.write_all(piece).expect("a vector takes all");
        }
        writer.finish().expect("a vector takes all")
    }

    #[test]
    fn the_bytes_depend_on_content_and_level_alone() {
        let content = content();
        for compression in ALL {
            let one = compressed(compression, 1, &content, 65_536);
            for (threads, piece) in [(2, 7_919), (4, content.len())] {
                assert!(one == compressed(compression, threads, &content, piece), "{compression} {threads} {piece}");
            }
            let mut unpacked = Vec::new();
            reader(compression.media_type(), one.as_slice()).and_then(|mut reader| reader.read_to_end(&mut unpacked)).expect("unpacked");
            assert!(unpacked == content, "{compression}");
        }
    }

    #[test]
    fn nothing_and_a_single_byte_are_content_too() {
        for compression in ALL {
            for content in [&b""[..], b"x"] {
                let mut unpacked = Vec::new();
                let packed = compressed(compression, 2, content, 1);
                reader(compression.media_type(), packed.as_slice())
                    .and_then(|mut reader| reader.read_to_end(&mut unpacked))
                    .expect("unpacked");
                assert_eq!(unpacked, content);
            }
        }
    }

    #[test]
    fn texts_name_compressions() {
        for (text, compression) in [
            ("gzip", Compression::Gzip(4)),
            ("gzip:0", Compression::Gzip(0)),
            ("zstd", Compression::Zstd(3)),
            ("zstd:19", Compression::Zstd(19)),
        ] {
            assert_eq!(text.parse(), Ok(compression));
            assert_eq!(compression.to_string().parse(), Ok(compression));
        }
        for (text, remedy) in [
            ("xz", "gzip:4"),
            ("", "gzip:4"),
            ("gzip:10", "0 to 9"),
            ("gzip:-1", "0 to 9"),
            ("zstd:0", "1 to 19"),
            ("zstd:22", "1 to 19"),
            ("zstd:", "1 to 19"),
        ] {
            let error = text.parse::<Compression>().expect_err("no compression").to_string();
            assert!(error.contains(remedy), "{text}: {error}");
        }
    }

    #[test]
    fn damaged_layers_are_errors() {
        for compression in ALL {
            let mut packed = compressed(compression, 1, &content(), 65_536);
            packed.truncate(packed.len() / 2);
            let read = reader(compression.media_type(), packed.as_slice()).and_then(|mut reader| io::copy(&mut reader, &mut io::sink()));
            assert!(read.is_err(), "{compression}");
        }
        assert!(reader("text/plain", &b""[..]).is_err());
    }
}

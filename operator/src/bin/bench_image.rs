//! How long does assembling take, and how much memory? Prints one line per program size.
//!
//! The program is synthetic but compresses about as a Go program does. The peak is this process's `VmHWM`, so the sizes
//! run from small to large and a growing peak would show.

use anyhow::Context as _;
use gowindows_operator::image::Compression;
use gowindows_operator::image::layer::{self, Packing};
use gowindows_operator::image::verify_layer;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::time::Instant;

const OWN_BYTES: u64 = 2_000_000;

fn main() -> anyhow::Result<()> {
    println!("{:>10}{:>12}{:>10}{:>10}{:>12}", "PROGRAM", "LAYER", "WRITE", "VERIFY", "PEAK RSS");
    for megabytes in [5, 25, 100] {
        let program = synthetic_program(megabytes * 1_000_000)?;
        let name = "bench.exe".parse()?;
        let packing = Packing { epoch: 0, compression: Compression::default(), threads: 2 };
        let size = program.as_file().metadata()?.len();
        let blob = tempfile::NamedTempFile::new()?;
        let start = Instant::now();
        let layer = layer::write(&name, program.reopen()?, size, packing, BufWriter::new(blob.as_file()))?;
        let written = start.elapsed();
        let start = Instant::now();
        verify_layer::read(layer.media_type, BufReader::new(blob.reopen()?), &name, size + (1 << 20))?;
        let verified = start.elapsed();
        let (program_mb, layer_mb) = (size as f64 / 1e6, layer.size as f64 / 1e6);
        println!(
            "{program_mb:>7.1} MB{layer_mb:>9.1} MB{:>8.2} s{:>8.2} s{:>9.1} MB",
            written.as_secs_f64(),
            verified.as_secs_f64(),
            peak_megabytes()?
        );
    }
    Ok(())
}

/// Pieces of a real program (this one) interleaved with noise.
fn synthetic_program(bytes: usize) -> anyhow::Result<tempfile::NamedTempFile> {
    // Only the start: the measured peak is to be the writer's, not ours.
    let mut own = Vec::with_capacity(OWN_BYTES as usize);
    File::open(std::env::current_exe()?)?.take(OWN_BYTES).read_to_end(&mut own)?;
    let file = tempfile::NamedTempFile::new()?;
    let mut out = BufWriter::new(file.as_file());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut written = 0;
    while written < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let from = (state >> 33) as usize % own.len().saturating_sub(4096).max(1);
        let piece = &own[from..(from + 3000).min(own.len())];
        out.write_all(piece)?;
        out.write_all(&state.to_le_bytes())?;
        written += piece.len() + 8;
    }
    out.flush()?;
    drop(out);
    Ok(file)
}

fn peak_megabytes() -> anyhow::Result<f64> {
    let status = std::io::read_to_string(File::open("/proc/self/status")?)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM in /proc/self/status")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kibibytes * 1024.0 / 1e6)
}

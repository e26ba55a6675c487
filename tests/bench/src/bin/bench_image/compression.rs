//! How small, and how fast, is each compression of a layer?

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use windows_image::{Compression, compression};

use gowindows_bench::{Results, Table, megabytes};

use crate::stand::{OURS, Stand};

const WAYS: [Compression; 4] = [Compression::Gzip(4), Compression::Gzip(6), Compression::Zstd(3), Compression::Zstd(19)];
const THREADS: usize = 2;

/// Compresses programs as the image writer does, and unpacks them as `verify` does.
pub async fn measure(stand: &Stand, repeats: usize, results: &mut Results) -> Result<()> {
    results.heading("Compressions");
    results.text(
        "Programs, compiled with our flags, through the image writer's own code; MB/s of what is uncompressed, the best of all runs.",
    );
    let columns = ["program", "compression", "bytes", "ratio", "compress, 1 thread", "compress, 2 threads", "decompress"];
    let mut table = Table::new(columns);
    for program in [stand.storefront(), Stand::compiler()?] {
        let exe = stand.compiled(&program, &OURS).await?;
        for way in WAYS {
            let name = format!("{} ({})", program.name, megabytes(fs::metadata(&exe)?.len()));
            let figures = figures(&exe, way, repeats);
            let Figures { bytes, ratio, one, two, back } = stand.progress.step(&format!("{way} of {name}"), async { figures }).await?;
            let speed = |speed: f64| format!("{speed:.1} MB/s");
            table.row([name, way.to_string(), megabytes(bytes), format!("{ratio:.3}"), speed(one), speed(two), speed(back)]);
        }
    }
    results.table(&table);
    Ok(())
}

struct Figures {
    bytes: u64,
    ratio: f64,
    one: f64,
    two: f64,
    back: f64,
}

fn figures(exe: &Path, way: Compression, repeats: usize) -> Result<Figures> {
    let content = fs::read(exe)?;
    let megabytes = content.len() as f64 / 1e6;
    let compress = |threads: usize| -> Result<(Vec<u8>, f64)> {
        let began = Instant::now();
        let mut writer = way.writer(content.len() as u64, threads, Vec::new())?;
        writer.write_all(&content)?;
        Ok((writer.finish()?, megabytes / began.elapsed().as_secs_f64()))
    };
    let (mut one, mut two, mut back, mut packed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..repeats {
        let (bytes, speed) = compress(1)?;
        one.push(speed);
        two.push(compress(THREADS)?.1);
        let began = Instant::now();
        io::copy(&mut compression::reader(way.media_type(), bytes.as_slice())?, &mut io::sink())?;
        back.push(megabytes / began.elapsed().as_secs_f64());
        packed = bytes;
    }
    let (bytes, ratio) = (packed.len() as u64, packed.len() as f64 / content.len() as f64);
    Ok(Figures { bytes, ratio, one: best(&one), two: best(&two), back: best(&back) })
}

fn best(speeds: &[f64]) -> f64 {
    speeds.iter().copied().fold(0.0, f64::max)
}

//! What does each compile flag save?

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use gowindows_bench::{Results, Table};
use gowindows_model::go::savings::{self, Savings, Variant};
use gowindows_tests::lab::go::Toolchain;
use windows_image::Compression;

use crate::stand::{OURS, Stand};

/// None at first, the operator's at last.
const VARIANTS: [(&str, &[&str]); 7] = [
    ("", &[]),
    ("-trimpath", &["-trimpath"]),
    ("-trimpath -tags timetzdata -ldflags=-buildid=", &["-trimpath", "-tags", "timetzdata", "-ldflags", "-buildid="]),
    ("-trimpath -ldflags=-w", &["-trimpath", "-ldflags", "-w"]),
    ("-trimpath -ldflags='-s -w'", &["-trimpath", "-ldflags", "-s -w"]),
    ("-trimpath -ldflags='-s -w -buildid='", &["-trimpath", "-ldflags", "-s -w -buildid="]),
    ("-trimpath -tags timetzdata -ldflags='-s -w -buildid='", &OURS),
];

/// Compiles the small program with each set of flags. Returns what the operator ships as data, for this Go release.
pub async fn measure(stand: &Stand, results: &mut Results) -> Result<Savings> {
    let program = stand.storefront();
    let mut variants: Vec<Variant> = Vec::new();
    for (flags, words) in VARIANTS {
        let (bytes, gzip) = sizes(&stand.compiled(&program, words).await?)?;
        variants.push(Variant { flags: flags.into(), bytes, gzip });
    }
    results.heading("Compile flags (storefront, windows/amd64)");
    results.text("The third line is the operator's with `go.strip: false`, the last its default.");
    let mut table = Table::new(["flags", "program, bytes", "gzip:4, bytes", "program, beside no flags", "gzip:4, beside no flags"]);
    let first = variants[0].clone();
    for Variant { flags, bytes, gzip } in &variants {
        let change = |now: u64, before: u64| format!("{:+.1} %", (now as f64 / before as f64 - 1.0) * 100.0);
        let flags = if flags.is_empty() { "none".to_owned() } else { format!("`{flags}`") };
        table.row([flags, bytes.to_string(), gzip.to_string(), change(*bytes, first.bytes), change(*gzip, first.gzip)]);
    }
    results.table(&table);
    let release = savings::release(Toolchain::find()?.version()).context("the Go release")?;
    Ok(Savings::from([(release, variants)]))
}

/// Adds what was measured to what the operator ships.
pub fn record(measured: Savings) -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../operator/model/src/go/savings.json");
    let mut known: Savings = serde_json::from_slice(&fs::read(path)?)?;
    known.extend(measured);
    Ok(fs::write(path, serde_json::to_string_pretty(&known)? + "\n")?)
}

/// Bytes of a program, and of it compressed.
fn sizes(exe: &Path) -> Result<(u64, u64)> {
    let content = fs::read(exe)?;
    let mut writer = Compression::default().writer(content.len() as u64, 2, Vec::new())?;
    writer.write_all(&content)?;
    Ok((content.len() as u64, writer.finish()?.len() as u64))
}

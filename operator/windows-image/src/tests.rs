//! Does anything that a stranger writes make a parser panic, or take more memory than it should? Changed bytes from fixed seeds.
//!
//! `cargo test` changes each input a few thousand times; `FUZZ=1000000 cargo test --release -- --nocapture fuzz` does it so often.
//! A failure names the target and the round, from which the same bytes come again.

use crate::build_info::{self, BuildInfo};
use crate::compression::Compression;
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::imports::tests::importing;
use crate::layer::{self, Packing};
use crate::manifest::{Document, Manifest};
use crate::pe_file::tests::{DATA, READ_ONLY, program};
use crate::pe_file::{PeError, PeFile};
use crate::read_back::ReadBack;
use crate::security::SecurityDescriptor;
use crate::verify::tests::{image_on, read_back};
use crate::verify::{any_image, program_path};
use crate::verify::{complaint, image};
use crate::warnings::{Learned, Warning};
use crate::windows_apis::WindowsApis;
use crate::{content, descriptor, pclntab, pe, sizes, verify_layer};
use std::collections::BTreeSet;
use std::io::{self, Cursor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

const ROUNDS: u64 = 3000;

/// xorshift64*: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end.max(1)
    }
}

/// Numbers at which counting goes wrong.
const EDGES: [u64; 12] = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x1_0000_0000, i64::MAX as u64, u64::MAX];

fn changed(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(6) {
        let (at, length) = (random.below(bytes.len() + 1), random.below(40));
        let end = (at + length).min(bytes.len());
        match random.below(7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            4 => bytes.truncate(at),
            5 => {
                let number = EDGES[random.below(EDGES.len())].to_le_bytes();
                let width = [1, 2, 4, 8][random.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            _ => {
                let digits = EDGES[random.below(EDGES.len())].to_string();
                bytes.splice(at..at, digits.into_bytes());
            }
        }
    }
    bytes
}

/// Feeds changed inputs to a target.
pub(crate) fn fuzz(target: &str, seeds: &[Vec<u8>], read: impl Fn(&[u8])) {
    let rounds = std::env::var("FUZZ").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let began = Instant::now();
    for seed in seeds {
        read(seed);
    }
    for round in 0..rounds {
        let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round + 1));
        let seed = &seeds[random.below(seeds.len())];
        let bytes = changed(seed, &mut random);
        let result = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
        assert!(result.is_ok(), "{target} panicked in round {round}: {}", hex::encode(&bytes[..bytes.len().min(2000)]));
    }
    println!("fuzz: {target}: {rounds} inputs in {:.1} s", began.elapsed().as_secs_f64());
}

fn go_program() -> Vec<u8> {
    let names = pclntab::tests::table(&["main.main", "syscall.NetUserGetInfo", "net/http.(*Transport).RoundTrip"]);
    let info = build_info::tests::blob("go1.26.8", build_info::tests::TEXT);
    program(&[(".rdata", READ_ONLY, 0x1000, &names), (".data", DATA, 0x2000, &info)], &[])
}

#[test]
fn fuzz_pe_and_what_is_linked() {
    let apis = WindowsApis::shipped();
    let seeds = [go_program(), importing(&["kernel32.dll", "user32.dll"], &["winmm.dll"]), pe::tests::program()];
    fuzz("PE", &seeds, |bytes| {
        let _ = pe::check(bytes);
        if let Ok(learned) = Learned::read(Cursor::new(bytes), apis, &BTreeSet::new()) {
            learned.warnings.iter().for_each(|warning| drop(warning.text(apis)));
        }
    });
}

#[test]
fn fuzz_build_info() {
    fuzz("build info in a program", &[go_program()], |bytes| {
        let _ =
            PeFile::open(Cursor::new(bytes)).map_err(|error: PeError| error.to_string()).map(|mut file| BuildInfo::read(&mut file).is_ok());
    });
    fuzz("build info text", &[build_info::tests::TEXT.as_bytes().to_vec()], |bytes| {
        let _ = BuildInfo::parse("go1.26.8".into(), &String::from_utf8_lossy(bytes));
    });
}

#[test]
fn fuzz_manifests_and_configurations() {
    let ours = image_on(&["10.0.26100.1", "10.0.20348.5499"]);
    let (index, one) = (ours.index.as_ref().expect("an index"), &ours.platforms[0]);
    let good = read_back(&ours).remove(0);
    fuzz("manifest", &[index.bytes.clone(), one.manifest.bytes.clone()], |bytes| {
        let _ = Document::parse(bytes);
        if let Ok(manifest) = serde_json::from_slice::<Manifest>(bytes) {
            judged(&ReadBack { manifest, ..good.clone() });
        }
    });
    fuzz("configuration", std::slice::from_ref(&one.config.bytes), |bytes| {
        if let Ok(config) = serde_json::from_slice::<ImageConfig>(bytes) {
            judged(&ReadBack { config, ..good.clone() });
        }
    });
}

fn judged(read: &ReadBack) {
    let _ = (complaint(&any_image(read)), complaint(&image(read, &[])), program_path(&read.config));
    let _ = sizes::Sizes::of(std::slice::from_ref(read));
}

#[test]
fn fuzz_layers() {
    let (name, mut tar) = ("hello.exe".parse::<layer::ProgramName>().expect("a name"), Vec::new());
    let packing = Packing { epoch: 0, compression: Compression::Gzip(0), threads: 1 };
    let pe = pe::tests::program();
    layer::write(&name, pe.as_slice(), pe.len() as u64, packing, &mut tar).expect("a layer");
    let unpacked = |blob: &[u8]| {
        let mut tar = Vec::new();
        io::copy(&mut flate2::read::GzDecoder::new(blob), &mut tar).map(|_| tar).unwrap_or_default()
    };
    fuzz("layer", &[unpacked(&tar)], |bytes| {
        let _ = content::of_layer(bytes);
        if let Ok(tree) = verify_layer::tree(bytes, Some("Files/app/hello.exe"), &mut io::sink()) {
            let _ = (tree.findings(), tree.program_finding("Files/app/hello.exe"));
        }
    });
    fuzz("compressed layer", &[tar], |bytes| {
        let media_type = crate::manifest::media_type::LAYER_GZIP;
        let _ = verify_layer::unpacked(media_type, bytes, 1 << 20, Some(&name.layer_path()), &mut io::sink());
    });
}

#[test]
fn fuzz_descriptors_codes_and_digests() {
    let raw = [descriptor::STRICT_FILE, descriptor::STRICT_DIRECTORY].map(|text| text.as_bytes().to_vec());
    fuzz("security descriptor", &raw, |bytes| {
        let _ = SecurityDescriptor::from_base64(bytes).map(|descriptor| descriptor.looseness(true));
        let _ = SecurityDescriptor::parse(bytes).map(|descriptor| descriptor.looseness(false));
    });
    fuzz("codes", &[b"AbsentApi|netapi32.dll|os/user".to_vec(), Digest::of(b"").as_str().as_bytes().to_vec()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = (text.parse::<Warning>().is_ok(), text.parse::<Digest>().is_ok());
    });
}

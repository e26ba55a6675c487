//! The bill of a real program with real modules, as it comes back from a registry, read by a program that is not ours; and the program
//! itself, held against a source that says otherwise.

use crate::server::{BASE, RealRegistry};
use anyhow::{Context, Result, ensure};
use gowindows_builder::step::assemble_pipeline::Program;
use gowindows_builder::step::assemble_pipeline::{find_bases, prepare};
use gowindows_builder::step::program_check;
use gowindows_clients::oci::{Credentials, Registry, parse_reference};
use gowindows_crds::conditions::Reason;
use gowindows_model::go::compile::Compile;
use gowindows_model::wire::assemble::Expected;
use gowindows_tests::lab::progress::Progress;
use gowindows_tests::lab::tools::{SPDX, Tools};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use windows_image::Assembly;
use windows_image::sbom::MEDIA_TYPE;

fn compile() -> Compile {
    Compile { package: ".".into(), tags: vec![], ldflags: vec![], env: vec![], strip: true, timezone_data: false, cgo: false }
}

fn expected() -> Expected {
    Expected { compile: compile(), go_version: None, sub_path: ".".into() }
}

/// A copy of a module of ours that has dependencies, and its program for Windows.
async fn compiled() -> Result<(TempDir, TempDir)> {
    let (source, out) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let module = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/spdx");
    for file in ["go.mod", "go.sum", "main.go", "spdx-2.3.schema.json"] {
        std::fs::copy(module.join(file), source.path().join(file))?;
    }
    let argv = compile().argv(out.path().to_str().context("UTF-8")?);
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).current_dir(source.path()).envs(compile().environment()).kill_on_drop(true);
    let compiled = command.output().await?;
    ensure!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    Ok((source, out))
}

/// What another program, which holds it against the schema too, reads in a bill.
async fn read_by_others(bill: &[u8]) -> Result<String> {
    let tools = Tools::ensure(&[SPDX], &Progress::stderr()).await?;
    let mut reader = Command::new(tools.path("spdx")?);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    reader.stdin.take().context("its input")?.write_all(bill).await?;
    let read = reader.wait_with_output().await?;
    ensure!(read.status.success(), "another program refuses the bill: {}", String::from_utf8_lossy(&read.stderr));
    Ok(String::from_utf8(read.stdout)?)
}

/// That its schema, the SPDX project's own, is one which finds something: each of these is one mistake.
async fn mistakes_are_found(bill: &Value) -> Result<()> {
    let mistakes: [fn(&mut Value); 5] = [
        |bill| bill["packages"][0]["checksum"] = json!("sha256:00"),
        |bill| bill["packages"][0]["checksums"] = json!([{"algorithm": "SHA-256", "checksumValue": "00"}]),
        |bill| bill["relationships"][0]["relationshipType"] = json!("HAS"),
        |bill| bill["packages"][0]["filesAnalyzed"] = json!("no"),
        |bill| drop(bill.as_object_mut().map(|bill| bill.remove("dataLicense"))),
    ];
    for (number, mistake) in mistakes.iter().enumerate() {
        let mut wrong = bill.clone();
        mistake(&mut wrong);
        let refusal = read_by_others(wrong.to_string().as_bytes()).await.err().with_context(|| format!("mistake {number} is not found"))?;
        ensure!(refusal.to_string().contains("jsonschema validation failed"), "mistake {number}: {refusal}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bill_of_a_pushed_image_is_read_by_others_and_is_the_same_again() -> Result<()> {
    let (source, out) = compiled().await?;
    let program = Program::in_folder(out.path())?;
    program_check::check(&program.build_info, &expected(), source.path())?;

    let real = RealRegistry::start().await?;
    let door = real.door().await?;
    let registry = Registry::new(&door.settings(), Credentials::none())?;
    let assembly: Assembly = serde_json::from_value(json!({"bases": [format!("{}/{BASE}", door.host)], "epoch": 1_767_323_045}))?;
    let mut seen = Vec::new();
    for name in ["shop/one", "shop/two"] {
        let bases = find_bases(&registry, &assembly, &|_| ()).await?;
        let prepared = prepare(bases, &assembly, &program, None, &[], &|_| ()).await?;
        let repository = parse_reference(&format!("{}/{name}", door.host))?;
        let published = prepared.push(&registry, &repository, &["v1".into()], &|_| ()).await?;
        let bills = registry.referrers(&repository, &published.digest, MEDIA_TYPE).await?;
        ensure!(bills.len() == 1 && Some(bills[0].digest.to_string()) == published.status.sbom, "{bills:?}");
        seen.push(registry.attached(&repository, &bills[0], &published.digest, 1 << 20).await?);
    }
    ensure!(seen[0] == seen[1], "the same image has the same bill");

    let bill: Value = serde_json::from_slice(&seen[0])?;
    ensure!(bill["creationInfo"]["created"] == "2026-01-02T03:04:05Z");
    mistakes_are_found(&bill).await?;
    let read = read_by_others(&seen[0]).await?;
    eprintln!("{read}");
    let name = program.name.as_str();
    for line in ["SPDX-2.3 spdx [Image]", name, "stdlib ", "gowindows.dev/lab/spdx", "github.com/spdx/tools-golang v0.", "10.0.20348.5499"]
    {
        ensure!(read.contains(line), "{line:?} is not in:\n{read}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_of_another_source_is_refused() -> Result<()> {
    let (source, out) = compiled().await?;
    let program = Program::in_folder(out.path())?;
    let refused = |expected: &Expected| {
        let error = program_check::check(&program.build_info, expected, source.path()).err().context("it is another program")?;
        ensure!(error.reason() == Reason::ProgramMismatch && !error.transient(), "{error:?}");
        Ok(error.to_string())
    };
    let timezones = Expected { compile: Compile { timezone_data: true, ..compile() }, ..expected() };
    ensure!(refused(&timezones)?.contains("build tags"));
    let package = Expected { compile: Compile { package: "./cmd/other".into(), ..compile() }, ..expected() };
    ensure!(refused(&package)?.contains("main package"));
    let release = Expected { go_version: Some("1.2".into()), ..expected() };
    ensure!(refused(&release)?.contains("Go release"));
    program_check::check(&program.build_info, &expected(), source.path())?;

    let sums = std::fs::read_to_string(source.path().join("go.sum"))?;
    let line = sums.lines().find(|line| line.contains("tools-golang") && !line.contains("/go.mod")).context("a sum")?;
    let (start, sum) = line.rsplit_once("h1:").context("a sum")?;
    let other = format!("{start}h1:{}", sum.chars().rev().collect::<String>());
    std::fs::write(source.path().join("go.sum"), sums.replace(line, &other))?;
    ensure!(refused(&expected())?.contains("go.sum says"), "another checksum");
    std::fs::write(source.path().join("go.sum"), "")?;
    ensure!(refused(&expected())?.contains("is not in the source's go.sum"), "no checksum");
    Ok(())
}

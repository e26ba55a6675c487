//! Does `gowindows verify` pass images of ours, and name the true defect in images that other tools make? Each image is made here by the
//! real tool, of the same program, on the same base, in the same registry.
//!
//! ko and our own build need Go alone. BuildKit and Kaniko need root (Kaniko unpacks images into its own root folder, which is a folder of
//! its own here): without it their tests say so and count as ignored.

mod images;
mod registry;

use anyhow::{Context, Result, ensure};
use gowindows_operator::image::verify::{Rule, Verdict};
use gowindows_operator::verify::{Verified, VerifyArgs, verify};
use images::{Workshop, buildkit, kaniko, ko, ours};
use libtest_mimic::{Arguments, Failed, Trial};
use std::future::Future;
use std::pin::Pin;
use tokio::runtime::Runtime;

type Case = fn(&Workshop) -> Pin<Box<dyn Future<Output = Result<()>> + '_>>;

const ANYWHERE: &[(&str, Case)] =
    &[("ours_passes", |workshop| Box::pin(ours_passes(workshop))), ("ko", |workshop| Box::pin(of_ko(workshop)))];
const AS_ROOT: &[(&str, Case)] =
    &[("buildkit_copy_link", |workshop| Box::pin(of_buildkit(workshop))), ("kaniko", |workshop| Box::pin(of_kaniko(workshop)))];

fn main() {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("ignored: BuildKit and Kaniko need root");
    }
    // One TLS provider, as in the program itself.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let trial = |(name, case): &(&'static str, Case), ignored: bool| {
        let case = *case;
        let run = move || {
            let work = async {
                let workshop = Workshop::open().await?;
                case(&workshop).await
            };
            Runtime::new()
                .map_err(anyhow::Error::from)
                .and_then(|runtime| runtime.block_on(work))
                .map_err(|error| Failed::from(format!("{error:#}")))
        };
        Trial::test(*name, run).with_ignored_flag(ignored)
    };
    let trials = ANYWHERE.iter().map(|case| trial(case, false)).chain(AS_ROOT.iter().map(|case| trial(case, !root)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    arguments: VerifyArgs,
}

async fn verified(workshop: &Workshop, image: &str) -> Result<Verified> {
    let words = ["verify", image, "--insecure-registry", &workshop.registry.host];
    verify(&<Command as clap::Parser>::try_parse_from(words)?.arguments).await
}

/// The rules that have this answer, each with what was found.
fn answers(verified: &Verified, verdict: Verdict) -> Vec<(Rule, String)> {
    let all = verified.platforms.iter().flat_map(|platform| &platform.findings);
    all.filter(|finding| finding.verdict == verdict).map(|finding| (finding.rule, finding.message.clone())).collect()
}

fn rules(answers: &[(Rule, String)]) -> Vec<Rule> {
    answers.iter().map(|(rule, _)| *rule).collect()
}

fn says(answers: &[(Rule, String)], rule: Rule) -> Result<&str> {
    answers
        .iter()
        .find(|(found, _)| *found == rule)
        .map(|(_, message)| message.as_str())
        .with_context(|| format!("{rule:?} is not in {answers:?}"))
}

async fn ours_passes(workshop: &Workshop) -> Result<()> {
    let verified = verified(workshop, &ours(workshop).await?).await?;
    let bad = [Verdict::Failed, Verdict::Warning, Verdict::NotChecked].map(|verdict| answers(&verified, verdict));
    ensure!(verified.passed() && bad.iter().all(Vec::is_empty), "{bad:?}");
    let passed = rules(&answers(&verified, Verdict::Passed));
    for rule in [Rule::OsVersion, Rule::LayerTree, Rule::LayerAcl, Rule::LayerProgram, Rule::LayerContent, Rule::ProgramNeeds] {
        ensure!(passed.contains(&rule), "{rule:?} was not asked: {passed:?}");
    }
    Ok(())
}

async fn of_ko(workshop: &Workshop) -> Result<()> {
    let verified = verified(workshop, &ko(workshop).await?).await?;
    let (failed, warned) = (answers(&verified, Verdict::Failed), answers(&verified, Verdict::Warning));
    eprintln!("ko: failed {failed:#?}\nwarned {warned:#?}");
    ensure!(rules(&failed) == [Rule::Path], "{failed:?}");
    ensure!(says(&failed, Rule::Path)?.contains(r"lacks C:\Windows\System32"), "{failed:?}");
    ensure!(says(&warned, Rule::Entrypoint)?.contains("no .exe"), "{warned:?}");
    ensure!(says(&warned, Rule::LayerAcl)?.contains("no DACL at all"), "{warned:?}");
    Ok(())
}

async fn of_buildkit(workshop: &Workshop) -> Result<()> {
    let verified = verified(workshop, &buildkit(workshop).await?).await?;
    let failed = answers(&verified, Verdict::Failed);
    eprintln!("BuildKit, COPY --link: failed {failed:#?}\nwarned {:#?}", answers(&verified, Verdict::Warning));
    ensure!(says(&failed, Rule::LayerTree)?.contains("plain Linux layer"), "{failed:?}");
    ensure!(rules(&failed) == [Rule::LayerTree, Rule::LayerProgram], "{failed:?}");
    Ok(())
}

async fn of_kaniko(workshop: &Workshop) -> Result<()> {
    let verified = verified(workshop, &kaniko(workshop).await?).await?;
    let failed = answers(&verified, Verdict::Failed);
    eprintln!("Kaniko: failed {failed:#?}\nwarned {:#?}", answers(&verified, Verdict::Warning));
    ensure!(says(&failed, Rule::OsVersion)?.contains("wanted are the four numbers"), "{failed:?}");
    ensure!(says(&failed, Rule::Path)?.contains("/usr/local/sbin"), "{failed:?}");
    ensure!(says(&failed, Rule::LayerTree)?.contains("plain Linux layer"), "{failed:?}");
    Ok(())
}

//! Does `gowindows verify` pass images of ours, and name the true defect in images that other tools make? Each image is made here by the
//! real tool, of the same program, on the same base, in the same registry.

use anyhow::{Context, Result, ensure};
use futures::FutureExt;
use futures::future::BoxFuture;
use gowindows_builder::verify::{Verified, VerifyArgs, verify};
use gowindows_tests::lab::available;
use gowindows_tests::peers::workshop::{Workshop, buildkit, kaniko, ko, ours};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use windows_image::verify::Rule;
use windows_image::verify::Verdict;

type Test = fn() -> BoxFuture<'static, Result<()>>;

/// Whether a test needs root, as the lab does.
const TESTS: [(&str, bool, Test); 5] = [
    ("ours_passes", false, || ours_passes().boxed()),
    ("the_defect_of_an_image_by_ko_is_named", false, || the_defect_of_an_image_by_ko_is_named().boxed()),
    ("the_defect_of_a_copy_with_link_by_buildkit_is_named", true, || the_defect_of_a_copy_with_link_by_buildkit_is_named().boxed()),
    ("a_plain_copy_by_buildkit_works_and_is_writable", true, || a_plain_copy_by_buildkit_works_and_is_writable().boxed()),
    ("the_defects_of_an_image_by_kaniko_are_named", true, || the_defects_of_an_image_by_kaniko_are_named().boxed()),
];

fn main() {
    let reason = available().err();
    if let Some(reason) = &reason {
        eprintln!("BuildKit and Kaniko are ignored: {reason}");
    }
    let trials = TESTS.iter().map(|(name, needs_root, test)| {
        let run = || Runtime::new()?.block_on(test()).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(*name, run).with_ignored_flag(*needs_root && reason.is_some())
    });
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

async fn ours_passes() -> Result<()> {
    let workshop = &Workshop::open().await?;
    let verified = verified(workshop, &ours(workshop, &[]).await?).await?;
    let bad = [Verdict::Failed, Verdict::Warning, Verdict::NotChecked].map(|verdict| answers(&verified, verdict));
    ensure!(verified.passed() && bad.iter().all(Vec::is_empty), "{bad:?}");
    let passed = rules(&answers(&verified, Verdict::Passed));
    for rule in [Rule::OsVersion, Rule::LayerTree, Rule::LayerAcl, Rule::LayerProgram, Rule::LayerContent, Rule::ProgramNeeds] {
        ensure!(passed.contains(&rule), "{rule:?} was not asked: {passed:?}");
    }
    Ok(())
}

async fn the_defect_of_an_image_by_ko_is_named() -> Result<()> {
    let workshop = &Workshop::open().await?;
    let verified = verified(workshop, &ko(workshop).await?).await?;
    let (failed, warned) = (answers(&verified, Verdict::Failed), answers(&verified, Verdict::Warning));
    ensure!(rules(&failed) == [Rule::Path], "{failed:?}");
    ensure!(says(&failed, Rule::Path)?.contains(r"lacks C:\Windows\System32"), "{failed:?}");
    ensure!(says(&warned, Rule::Entrypoint)?.contains("no .exe"), "{warned:?}");
    ensure!(says(&warned, Rule::LayerAcl)?.contains("no DACL at all"), "{warned:?}");
    Ok(())
}

async fn the_defect_of_a_copy_with_link_by_buildkit_is_named() -> Result<()> {
    let workshop = &Workshop::open().await?;
    let verified = verified(workshop, &buildkit(workshop, "COPY --link").await?).await?;
    let failed = answers(&verified, Verdict::Failed);
    ensure!(says(&failed, Rule::LayerTree)?.contains("plain Linux layer"), "{failed:?}");
    Ok(())
}

/// So the defect above is that of `--link` alone.
async fn a_plain_copy_by_buildkit_works_and_is_writable() -> Result<()> {
    let workshop = &Workshop::open().await?;
    let verified = verified(workshop, &buildkit(workshop, "COPY").await?).await?;
    let (failed, warned) = (answers(&verified, Verdict::Failed), answers(&verified, Verdict::Warning));
    ensure!(verified.passed(), "{failed:?}");
    ensure!(says(&warned, Rule::LayerAcl)?.contains("members of Users may create files"), "{warned:?}");
    Ok(())
}

async fn the_defects_of_an_image_by_kaniko_are_named() -> Result<()> {
    let workshop = &Workshop::open().await?;
    let verified = verified(workshop, &kaniko(workshop).await?).await?;
    let failed = answers(&verified, Verdict::Failed);
    ensure!(says(&failed, Rule::LayerTree)?.contains("plain Linux layer"), "{failed:?}");
    ensure!(says(&failed, Rule::Path)?.contains("folders of Linux"), "{failed:?}");
    Ok(())
}

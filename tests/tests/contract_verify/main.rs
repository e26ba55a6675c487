//! Does `gowindows verify` pass images of ours, and name the true defect in images that other tools make? Each image is made here by the
//! real tool, of the same program, on the same base, in the same registry.

mod images;
mod registry;

use anyhow::{Context, Result, ensure};
use gowindows_operator::image::verify::{Rule, Verdict};
use gowindows_operator::verify::{Verified, VerifyArgs, verify};
use images::{Workshop, ko, ours};

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

#[tokio::test(flavor = "multi_thread")]
async fn ours_passes() -> Result<()> {
    let workshop = &Workshop::open().await?;
    let verified = verified(workshop, &ours(workshop).await?).await?;
    let bad = [Verdict::Failed, Verdict::Warning, Verdict::NotChecked].map(|verdict| answers(&verified, verdict));
    ensure!(verified.passed() && bad.iter().all(Vec::is_empty), "{bad:?}");
    let passed = rules(&answers(&verified, Verdict::Passed));
    for rule in [Rule::OsVersion, Rule::LayerTree, Rule::LayerAcl, Rule::LayerProgram, Rule::LayerContent, Rule::ProgramNeeds] {
        ensure!(passed.contains(&rule), "{rule:?} was not asked: {passed:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
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

//! What is gained by running tests beside the build, and not before it? With one slot the operator's Jobs run one after the other, without
//! a limit at the same time.

use anyhow::{Context, Result, ensure};
use gowindows_crds::v1alpha1::BuildEngine;
use gowindows_tests::bench::Results;
use serde_json::json;

use crate::rounds::{Rounds, table};
use crate::stand::Stand;
use crate::watch::Taken;

const TEST: &str = "cmd/storefront/main_test.go";
const DATE: &str = "2026-01-04T03:04:05Z";
/// As tests of services do, it asks for a page, and waits for something.
const WAITS: &str = r#"package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestPage(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil || answer.StatusCode != http.StatusNotFound {
		t.Fatal(answer, err)
	}
	time.Sleep(5 * time.Second)
}
"#;

/// Tests before the build, tests beside it, and so on.
pub async fn measure(stand: &mut Stand, repeats: usize, results: &mut Results) -> Result<()> {
    let (mut cold, mut warm) = (Rounds::default(), Rounds::default());
    for round in 1..=repeats {
        for serial in [true, false] {
            stand.install(serial.then_some(1)).await?;
            let [first, next] = two_builds(stand, serial, round).await?;
            cold.add(serial, &first)?;
            warm.add(serial, &next)?;
        }
    }
    stand.install(None).await?;
    results.heading("Tests before the build, and beside it");
    results.text(
        "Engine Go, with a package whose test asks a server of its own for a page and waits for 5 s. Before: `slots: {linux: 1}`, the tests' \
         Job is the first. Beside: without `slots`. From the creation of the first Job until the digest is in the status. New namespaces and \
         volumes for each round, so *nothing cached* has none and *one line* what the build before it has left. The bound is the longer Job \
         of the two alone, as it was in the serial build of the round: compilers share the processors, waiting does not.",
    );
    let mut table = table("build", ["tests first", "tests beside it", "the longer Job alone"]);
    cold.rows("nothing cached", &mut table);
    warm.rows("one line", &mut table);
    results.table(&table);
    Ok(())
}

/// One with nothing cached, and one of a change.
async fn two_builds(stand: &Stand, serial: bool, round: usize) -> Result<[Taken; 2]> {
    let way = if serial { "first" } else { "beside" };
    let what = |build: &str| format!("round {round}, tests {way}, {build}");
    let storefront = stand.storefront(&format!("tests-{round}/{way}")).await?;
    storefront.repository.commit_files(&[(TEST, WAITS)], "Test the page", DATE).await?;
    let (tenant, mut object) = stand.tenant(&format!("tests-{way}-{round}"), BuildEngine::Go, storefront.repository.url()).await?;
    object["spec"]["go"]["test"] = json!({"packages": ["./..."]});
    let first = stand.declare(&what("nothing cached"), &tenant, &object).await?;
    let commit = storefront.greet("Well tested.").await?;
    let next = stand.ask(&what("one line changed"), &tenant, &commit).await?;
    Ok([first, next])
}

impl Rounds {
    fn add(&mut self, serial: bool, taken: &Taken) -> Result<()> {
        let (tests, build) = (taken.tests().context("no tests ran")?, taken.build().context("nothing was built")?);
        ensure!(tests.met(build) != serial, "tests and build ran {}", if serial { "at the same time" } else { "one after the other" });
        if serial {
            self.serial.push(taken.whole);
            self.bound.push(tests.took().max(build.took()).context("a Job did not end")?);
        } else {
            self.parallel.push(taken.whole);
        }
        Ok(())
    }
}

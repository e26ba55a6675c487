//! What is gained by running tests beside the build, and not before or after it? With one slot the operator's Jobs run one after the other, without
//! a limit at the same time.

use anyhow::{Context, Result, ensure};
use gowindows_bench::Results;
use gowindows_crds::v1alpha1::BuildEngine;
use serde_json::json;

use crate::rounds::{Rounds, table};
use crate::stand::Stand;
use crate::watch::Taken;

const TEST: &str = "cmd/storefront/main_test.go";
const DATE: &str = "2026-01-04T03:04:05Z";
/// As tests of services do, it asks for a page, and waits for something. It holds what a change changes: of the same test Go has kept the result.
const WAITS: &str = r#"package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestPage(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, greeting) }))
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if page, err := io.ReadAll(answer.Body); err != nil || string(page) != greeting {
		t.Fatal(string(page), err)
	}
	time.Sleep(WAIT * time.Second)
}
"#;
/// What it waits for, in seconds.
const WAIT: u64 = 5;

/// One after the other, at the same time, and so on.
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
    results.heading("Tests beside the build, and one after the other");
    results.text(
        "Engine Go, with a package whose test asks a server of its own for a page and waits for 5 s. One after the other: `slots: {linux: 1}`. At \
         the same time: without `slots`. From the creation of the first Job until the digest is in the status. New namespaces and volumes for \
         each round, so *nothing cached* has none and *one line* what the build before it has left. The bound is the longer Job of the two \
         alone, as it was in the serial build of the round: compilers share the processors, waiting does not.",
    );
    let mut table = table("build", ["one after the other", "at the same time", "the longer Job alone"]);
    cold.rows("nothing cached", &mut table);
    warm.rows("one line", &mut table);
    results.table(&table);
    Ok(())
}

/// One with nothing cached, and one of a change.
async fn two_builds(stand: &Stand, serial: bool, round: usize) -> Result<[Taken; 2]> {
    let way = if serial { "serial" } else { "parallel" };
    let what = |build: &str| format!("round {round}, {way} tests, {build}");
    let storefront = stand.storefront(&format!("tests-{round}/{way}")).await?;
    storefront.repository.commit_files(&[(TEST, &WAITS.replace("WAIT", &WAIT.to_string()))], "Test the page", DATE).await?;
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
        let waited = taken.stage("test").unwrap_or_default();
        ensure!(waited.as_secs() + 1 >= WAIT, "the test waits for {WAIT} s and took {waited:?}: it did not run");
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

//! Where does the operator stop? At namespaces that it does not watch, and at an object that was stored before today's rules.

use crate::admission::OLD_SCHEMA;
use crate::cluster::writer;
use crate::outside::Program;
use crate::run::{on_stage, on_stage_watching};
use crate::stage::{NAMESPACE, USER};
use crate::user::{Shop, condition, runs};
use gowindows_tests::fake_apiserver::kinds::by_name;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(600);

type Checked = Result<(), String>;

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(what()) }
}

/// An object elsewhere, with all that it needs, is not looked at, and nothing is written there (AZ6). A cluster's own
/// namespaces are no exception.
pub fn namespaces_that_are_not_watched_are_left_alone() -> Checked {
    for namespace in ["elsewhere", "kube-system"] {
        on_stage_watching(NAMESPACE, |stage| async move {
            let (shop, other) = (Shop::new(&stage, 0), Shop::new(&stage, 1));
            let commit = shop.commit(Program::Good).await;
            other.commit(Program::Good).await;
            for (kind, object) in [("Deployment", other.deployment()), ("GoWindowsImage", other.object())] {
                let made = stage.server.within(|store| store.create(&writer("user"), by_name(kind), namespace, object));
                made.map_err(|refusal| format!("{kind} was refused: {}", refusal.reason))?;
            }
            shop.create().await;
            ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it never ran: {}", shop.status()))?;
            stage.wait(USER, SOON).await;
            let writers = stage.server.within(|store| {
                let there = store.changes_after(0).iter().filter(|change| change.key.1 == namespace);
                there.map(|change| change.writer.clone()).collect::<BTreeSet<_>>()
            });
            let operator = writers.iter().find(|writer| writer.starts_with("operator"));
            ensure(writers.contains("user") && operator.is_none(), || format!("who wrote in {namespace}: {writers:?}"))
        })?;
    }
    Ok(())
}

/// What the API server would refuse today is refused by the operator, with its field; its neighbour is built meanwhile (SP21).
pub fn a_duration_that_was_stored_stops_nobody_else() -> Checked {
    for (field, value) in [("interval", "-5m"), ("interval", "99999999999h"), ("interval", "5 minutes"), ("progressDeadline", "-1s")] {
        on_stage(|stage| async move {
            let (shop, stored) = (Shop::new(&stage, 0), Shop::new(&stage, 1));
            stored.commit(Program::Good).await;
            let mut object = stored.object();
            object["metadata"]["annotations"] = json!({OLD_SCHEMA: "yes"});
            let place = if field == "interval" { &mut object["spec"] } else { &mut object["spec"]["rollout"] };
            place[field] = json!(value);
            stored.make_secrets().await;
            stored.make("GoWindowsImage", object).await;
            let commit = shop.commit(Program::Good).await;
            shop.create().await;
            ensure(shop.until(SOON, |status| runs(status, &commit)).await, || format!("it never ran: {}", shop.status()))?;
            let refused = |status: &Value| condition(status, "Ready") == ("False".into(), "InvalidSpec".into());
            ensure(stored.until(SOON, refused).await, || format!("{value} was not refused: {}", stored.status()))?;
            let said = stored.status()["conditions"].to_string();
            ensure(said.contains(field) && said.contains("use a duration such as"), || said.clone())?;
            ensure(stored.jobs().is_empty(), || format!("{value}: a Job was made"))
        })?;
    }
    Ok(())
}

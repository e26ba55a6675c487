//! What does the API server refuse? The Rust twin of the definition's rules, and the quota.

use gowindows_crds::GoWindowsImage;
use gowindows_model::request::Request;
use gowindows_model::settings::Settings;
use gowindows_tests::fake_apiserver::Refusal;
use gowindows_tests::fake_apiserver::kinds::Kind;
use serde_json::Value;

/// Marks an object that was stored before today's schema: it is let in whatever it holds.
pub const OLD_SCHEMA: &str = "sim/old-schema";

/// As the real server answers (`contract_apiserver` compares), but for the words.
pub fn admit(kind: &Kind, object: &Value, settings: &Settings) -> Result<(), Refusal> {
    if kind.kind != "GoWindowsImage" || object["metadata"]["annotations"][OLD_SCHEMA].is_string() {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let invalid = |why: String| Refusal::invalid(kind, name, &why);
    let parsed: GoWindowsImage = serde_json::from_value(object.clone()).map_err(|error| invalid(error.to_string()))?;
    match Request::new(&parsed, settings) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(invalid(refusal.message)),
    }
}

//! What is tested before an image is published, and on which system?

use super::checks::{Check, invalid};
use super::{Refusal, choose_toolchain};
use crate::settings::Settings;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{GoSpec, NodeSystem};

/// Most lists of packages.
const MOST: usize = 16;

/// The tests of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestRequest {
    /// The packages; none where nothing is tested.
    pub packages: Vec<String>,
    /// The system of the nodes on which they run.
    pub system: NodeSystem,
    /// The toolchain image, by tag or digest, where they run on another system than the compiler.
    pub toolchain: Option<String>,
}

impl TestRequest {
    /// `compiles_on` is the system of the compiler.
    pub(super) fn new(go: &GoSpec, compiles_on: NodeSystem, settings: &Settings) -> Result<Self, Refusal> {
        let Some(test) = &go.test else { return Ok(Self::default()) };
        let (packages, system) = (packages(&test.packages)?, test.os.unwrap_or_default());
        let toolchain = match (&go.image, system == compiles_on) {
            (_, true) => None,
            (None, false) => Some(choose_toolchain(go.version.as_deref(), None, system, settings)?.0),
            (Some(image), false) => {
                let remedy =
                    "tests run on another system than the compiler, and one image is not for both; set go.version in place of go.image";
                return Err(invalid("go.image", image, remedy));
            }
        };
        Ok(Self { packages, system, toolchain })
    }
}

fn packages(packages: &[String]) -> Result<Vec<String>, Refusal> {
    let field = "go.test.packages";
    if packages.is_empty() || packages.len() > MOST {
        return Err(invalid(field, "", "name 1 to 16, such as ./...; or leave go.test out"));
    }
    for (index, package) in packages.iter().enumerate() {
        Check::new(field, package, "use `.`, a folder such as ./internal/till, or all below one, such as ./...")
            .at_most(256)
            .form(patterns::TEST_PACKAGES)?;
        if packages[..index].contains(package) {
            return Err(invalid(field, package, "list each once"));
        }
    }
    Ok(packages.to_vec())
}

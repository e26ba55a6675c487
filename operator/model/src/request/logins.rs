//! Is a login where code of the source is compiled? Whatever a committer or a dependency wrote reads there what it can open.

use super::checks::invalid;
use super::{Engine, Refusal, Request};

/// # Errors
/// The field that would bring one there.
pub(super) fn check(request: &Request) -> Result<(), Refusal> {
    match &request.build.engine {
        Engine::Kaniko { cache: Some(cache), .. } if request.push_secret().is_some() => {
            let remedy = "Kaniko compiles beside the login of that registry (image.pushSecretRef), where code of the source could read it; use build.cache.volume, or engine BuildKit";
            Err(invalid("build.cache.registry.repository", &cache.repository, remedy))
        }
        Engine::Go | Engine::BuildKit(_) | Engine::Kaniko { .. } => Ok(()),
    }
}

//! Where do modules come from, and what opens the doors of the private ones?
//!
//! Nothing here is an input of the image: `go.sum` says what is in each module, wherever it comes from.

use super::checks::{self, Check, invalid};
use super::{Refusal, object_name};
use crate::settings::Settings;
use gowindows_crds::conditions::Reason;
use gowindows_crds::patterns;
use gowindows_crds::v1alpha1::{ModulesSpec, PrivateFrom};

/// Where modules come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModulesRequest {
    /// Name of the Secret with `netrc`.
    pub secret: Option<String>,
    private: Vec<String>,
    private_from: PrivateFrom,
    proxy: Option<String>,
}

impl ModulesRequest {
    pub(super) fn new(spec: ModulesSpec, settings: &Settings) -> Result<Self, Refusal> {
        let ModulesSpec { private, private_from, proxy, secret_ref } = spec;
        let private = checks::each("go.modules.private", private, patterns::MODULE_PATTERN)?;
        let remedy = "use what GOPROXY takes: URLs without user or password, `direct` or `off`, with `,` or `|` between them";
        let checked = |proxy: String| Check::new("go.modules.proxy", &proxy, remedy).form(patterns::GOPROXY);
        let proxy = proxy.map(checked).transpose()?;
        if private_from.is_some() && private.is_empty() {
            return Err(invalid(
                "go.modules.privateFrom",
                "",
                "it says where the modules of go.modules.private come from; set private too",
            ));
        }
        let private_from = private_from.unwrap_or_default();
        if private_from == PrivateFrom::Proxy && proxy.is_none() && settings.goproxy.is_none() {
            let message = "go.modules.privateFrom \"Proxy\": there is no proxy but Go's public one, which must not hear of private modules. Set go.modules.proxy, or ask the operator's owner to set goproxy.";
            return Err(Refusal { reason: Reason::NotConfigured, message: message.into() });
        }
        let secret = secret_ref.map(|secret| object_name("go.modules.secretRef.name", &secret.name)).transpose()?;
        Ok(Self { secret, private, private_from, proxy })
    }

    /// What the go command is told of it: `GOPROXY` and its relatives.
    pub fn sources(&self, settings: &Settings) -> Vec<(String, String)> {
        let private = (!self.private.is_empty()).then(|| self.private.join(","));
        let from_proxy = self.private_from == PrivateFrom::Proxy;
        let sources = [
            ("GOPROXY", self.proxy.clone().or_else(|| settings.goproxy.clone())),
            ("GOSUMDB", settings.gosumdb.clone()),
            // It is what GONOPROXY and GONOSUMDB are where they are not set.
            ("GOPRIVATE", private),
            ("GONOPROXY", from_proxy.then(|| "none".to_owned())),
        ];
        sources.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

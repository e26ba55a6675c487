//! How many Jobs of builds may run at a time?

use super::SettingsError;
use gowindows_crds::v1alpha1::NodeSystem;
use serde::{Deserialize, Serialize};

/// So many Jobs at a time on the nodes of each system. Default: as many as there are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SlotSettings {
    /// On Linux nodes.
    pub linux: Option<u32>,
    /// On Windows nodes.
    pub windows: Option<u32>,
}

impl SlotSettings {
    /// Those of a system; none where their number is not limited.
    pub fn of(self, system: NodeSystem) -> Option<usize> {
        let slots = match system {
            NodeSystem::Linux => self.linux,
            NodeSystem::Windows => self.windows,
        };
        slots.and_then(|slots| usize::try_from(slots).ok())
    }

    pub(super) fn check(self) -> Result<(), SettingsError> {
        let named = [("linux", self.linux), ("windows", self.windows)];
        // An absent number that became 0 has stopped whole clusters elsewhere (Camel K issue 4290).
        match named.into_iter().find(|(_, slots)| *slots == Some(0)) {
            Some((system, _)) => Err(SettingsError::NoSlots { system }),
            None => Ok(()),
        }
    }
}

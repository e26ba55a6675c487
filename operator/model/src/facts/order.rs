//! What have people ordered by annotations, and was it carried out?

use super::World;
use gowindows_crds::names;
use gowindows_crds::v1alpha1::Handled;
use kube_core::ResourceExt;

/// An order, with the token that tells it from the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Poll the source now.
    Refresh(String),
    /// Build although nothing changed.
    Rebuild(String),
    /// Stop what is being built.
    Cancel(String),
}

impl Order {
    /// Notes that it was carried out. Each token acts once.
    pub fn acknowledge(&self, handled: &mut Handled) {
        let (field, token) = match self {
            Self::Refresh(token) => (&mut handled.requested_at, token),
            Self::Rebuild(token) => (&mut handled.rebuild, token),
            Self::Cancel(token) => (&mut handled.cancel, token),
        };
        *field = Some(token.clone());
    }
}

impl World {
    /// The order to poll the source now, if there is a new one: ours before Flux's.
    pub fn refresh_order(&self) -> Option<Order> {
        let annotations = self.object.annotations();
        let token = annotations.get(names::ORDER_REQUESTED_AT).or_else(|| annotations.get(names::ORDER_FLUX_REQUESTED_AT));
        self.new_token(token, |handled| handled.requested_at.as_ref()).map(Order::Refresh)
    }

    /// The token of an order to build again, if there is a new one.
    pub fn rebuild_token(&self) -> Option<String> {
        self.new_token(self.object.annotations().get(names::ORDER_REBUILD), |handled| handled.rebuild.as_ref())
    }

    /// The order to stop what is being built, if there is a new one.
    pub fn cancel_order(&self) -> Option<Order> {
        self.new_token(self.object.annotations().get(names::ORDER_CANCEL), |handled| handled.cancel.as_ref()).map(Order::Cancel)
    }

    fn new_token(&self, token: Option<&String>, handled: impl Fn(&Handled) -> Option<&String>) -> Option<String> {
        let known = self.status().handled.as_ref().and_then(handled);
        token.filter(|token| Some(*token) != known && !token.is_empty()).cloned()
    }
}

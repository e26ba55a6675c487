//! What do the objects that the operator creates look like? Pure: no client, no clock.

pub mod compile;

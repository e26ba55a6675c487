//! Do the build pod's last step and the controller's reads hold against a registry that misbehaves? A real registry on loopback, behind a
//! door that breaks one kind of request on demand: so each fault has its twin, the same run through the same door once it is mended.

mod bases;
mod cosign;
mod identity;
mod laptop;
mod made_on_windows;
mod push;
mod reads;
mod referrers;
mod reproducible;
mod sbom;
mod server;
mod shared;
mod upload;

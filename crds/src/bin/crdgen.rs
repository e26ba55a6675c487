//! Writes `crds/gowindowsimages.yaml`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/gowindowsimages.yaml");
    std::fs::write(path, gowindows_crds::v1alpha1::crd_yaml()?)?;
    println!("wrote {path}");
    Ok(())
}

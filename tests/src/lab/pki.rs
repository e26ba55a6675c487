//! Who signs the certificates of a lab?
//!
//! Two authorities made for this lab alone and thrown away with it: one for the cluster, one for what stands for the outside
//! world (git). They differ so that a client which wrongly trusts the cluster's authority outside of it fails.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate chain of one and its private key, both PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key, PKCS#8.
    pub key: String,
}

impl Authority {
    /// A new authority with this common name.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name, None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = params.self_signed(&key).context("cannot sign an authority's certificate")?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// The authority's own certificate, PEM: what clients trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A client's identity: the API server takes `user` and `group` for its name and group.
    pub fn client(&self, user: &str, group: Option<&str>) -> Result<Identity> {
        self.sign(user, group, &[], &[], ExtendedKeyUsagePurpose::ClientAuth)
    }

    /// A server's identity for these names and addresses.
    pub fn server(&self, name: &str, dns: &[&str], addresses: &[IpAddr]) -> Result<Identity> {
        self.sign(name, None, dns, addresses, ExtendedKeyUsagePurpose::ServerAuth)
    }

    fn sign(&self, name: &str, group: Option<&str>, dns: &[&str], ips: &[IpAddr], usage: ExtendedKeyUsagePurpose) -> Result<Identity> {
        let mut params = CertificateParams::new(dns.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        params.subject_alt_names.extend(ips.iter().copied().map(SanType::IpAddress));
        params.distinguished_name = subject(name, group);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().context("cannot make a key")?;
        let certificate = params.signed_by(&key, &self.issuer).with_context(|| format!("cannot sign the certificate of {name}"))?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// Writes a file that only its owner may read, and returns its path.
pub fn write_private(path: PathBuf, content: &str) -> Result<PathBuf> {
    let file = fs::File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(content.as_bytes())).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

impl Identity {
    /// Writes `<folder>/<name>.crt` and `<folder>/<name>.key` and returns their paths.
    pub fn write(&self, folder: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let certificate = write_private(folder.join(format!("{name}.crt")), &self.certificate)?;
        Ok((certificate, write_private(folder.join(format!("{name}.key")), &self.key)?))
    }
}

/// A key pair for signing service account tokens: the private and the public key, PEM.
pub fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate().context("cannot make a key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

fn subject(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    subject
}

//! Certificates for servers and clients on loopback.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// An authority that signs certificates.
pub struct Authority {
    /// Its own certificate.
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// Makes an authority with a key of its own.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for loopback, and its key.
    pub fn issue(&self) -> (String, String) {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names).unwrap();
        // Who has the name of its authority counts as one that vouches for itself.
        params.distinguished_name.push(DnType::CommonName, "somebody on loopback");
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// Writes `NAME.pem` with the authority's own certificate, and `NAME-shown.pem` and
    /// `NAME-key.pem` with one that it vouches for.
    pub fn write(&self, folder: &Path, name: &str) -> [PathBuf; 3] {
        let (certificate, key) = self.issue();
        let files = [("", &self.pem), ("-shown", &certificate), ("-key", &key)];
        files.map(|(kind, text)| {
            let path = folder.join(format!("{name}{kind}.pem"));
            fs::write(&path, text).unwrap();
            path
        })
    }
}

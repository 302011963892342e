//! The client certificate: read from PEM or PKCS#12, checked before it is used, taken up anew when its files change.
//!
//! Swish knows us by it alone. What is wrong with one shows as a bare TLS alert or a `403`; what is found here is said
//! in words.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::X509Certificate;

/// Where the certificate is.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// PEM with the whole chain, the leaf first; or PKCS#12 (`.p12`, `.pfx`), which holds the key too.
    pub certificate: PathBuf,
    /// PEM with the key. None: it is in the first file.
    pub key: Option<PathBuf>,
    /// Of the PKCS#12 file.
    pub password: Option<SecretString>,
    /// PEM with the authorities that Swish's own certificate is trusted by. None: those of the system.
    pub ca: Option<PathBuf>,
}

/// What is known of the certificate in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The Swish number that it is for.
    pub common_name: String,
    pub not_after: DateTime<Utc>,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("cannot read {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    #[error("{} holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    #[error("{} holds no private key in PEM; give the file of the key too", .0.display())]
    NoKey(PathBuf),
    #[error("{} cannot be opened as PKCS#12: is the password right?", .0.display())]
    Pkcs12(PathBuf, #[source] p12_keystore::error::Error),
    #[error("a certificate in the file cannot be read")]
    Unreadable,
    #[error("the key is not the certificate's")]
    OtherKey,
    #[error("the certificate of {common_name} expired on {}; get a new one in the Swish certificate portal", not_after.date_naive())]
    Expired { common_name: String, not_after: DateTime<Utc> },
    #[error("the certificate of {common_name} is only valid from {}", not_before.date_naive())]
    NotYetValid { common_name: String, not_before: DateTime<Utc> },
    #[error("the certificate is for the Swish number {common_name}, and payments are to go to {payee_alias}")]
    OtherNumber { common_name: String, payee_alias: String },
    #[error("the chain is broken: {subject} was issued by {issuer}, and the next certificate in the file is {next}")]
    BrokenChain { subject: String, issuer: String, next: String },
}

/// What is in the files. Two are equal if the files are.
pub struct Contents {
    digest: [u8; 32],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pub(super) ca: Option<Vec<u8>>,
}

impl PartialEq for Contents {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

/// By hand, because of the key.
impl fmt::Debug for Contents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contents").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

impl CertificateFiles {
    /// # Errors
    /// A file that is not there, or is not what it should be.
    pub fn read(&self) -> Result<Contents, CertificateError> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| CertificateError::File(path.to_owned(), error));
        let certificate = read(&self.certificate)?;
        let key = self.key.as_deref().map(read).transpose()?;
        let ca = self.ca.as_deref().map(read).transpose()?;
        let mut digest = Sha256::new();
        for part in [Some(&certificate), key.as_ref(), ca.as_ref()].into_iter().flatten() {
            digest.update(Sha256::digest(part));
        }
        let is_pkcs12 = self.certificate.extension().is_some_and(|extension| extension == "p12" || extension == "pfx");
        let (chain, key) = if is_pkcs12 { self.pkcs12(&certificate)? } else { self.pem(&certificate, key.as_deref())? };
        Ok(Contents { digest: digest.finalize().into(), chain, key, ca })
    }

    fn pem(&self, certificate: &[u8], key: Option<&[u8]>) -> Result<Identity, CertificateError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::NoCertificate(self.certificate.clone()))?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate(self.certificate.clone()));
        }
        let file = self.key.as_ref().unwrap_or(&self.certificate);
        let key = PrivateKeyDer::from_pem_slice(key.unwrap_or(certificate));
        Ok((chain, key.map_err(|_| CertificateError::NoKey(file.clone()))?))
    }

    fn pkcs12(&self, bytes: &[u8]) -> Result<Identity, CertificateError> {
        let password = self.password.as_ref().map(|password| password.expose_secret()).unwrap_or_default();
        let store = KeyStore::from_pkcs12(bytes, password, Pkcs12ImportPolicy::Relaxed)
            .map_err(|error| CertificateError::Pkcs12(self.certificate.clone(), error))?;
        let (_, entry) = store.private_key_chain().ok_or_else(|| CertificateError::NoKey(self.certificate.clone()))?;
        let chain = entry.certs().iter().map(|found| CertificateDer::from(found.as_der().to_vec())).collect();
        let key = PrivateKeyDer::try_from(entry.key().as_der().to_vec());
        Ok((chain, key.map_err(|_| CertificateError::NoKey(self.certificate.clone()))?))
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Contents {
    /// # Errors
    /// What Swish would refuse: see [`CertificateError`].
    pub fn check(&self, payee_alias: &str, now: DateTime<Utc>) -> Result<CertificateInfo, CertificateError> {
        let parsed: Vec<X509Certificate<'_>> = self
            .chain
            .iter()
            .map(|der| x509_parser::parse_x509_certificate(der).map(|(_, parsed)| parsed))
            .collect::<Result<_, _>>()
            .map_err(|_| CertificateError::Unreadable)?;
        let leaf = parsed.first().ok_or(CertificateError::Unreadable)?;
        let common_name = leaf.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        let common_name = common_name.unwrap_or_default().to_owned();
        for (certificate, next) in parsed.iter().zip(parsed.iter().skip(1)) {
            if certificate.issuer() != next.subject() {
                return Err(CertificateError::BrokenChain {
                    subject: certificate.subject().to_string(),
                    issuer: certificate.issuer().to_string(),
                    next: next.subject().to_string(),
                });
            }
        }
        let time = |seconds: i64| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
        let not_after =
            parsed.iter().map(|found| time(found.validity().not_after.timestamp())).min().unwrap_or_default();
        let not_before = time(leaf.validity().not_before.timestamp());
        if not_after <= now {
            return Err(CertificateError::Expired { common_name, not_after });
        }
        if not_before > now {
            return Err(CertificateError::NotYetValid { common_name, not_before });
        }
        if common_name != payee_alias {
            return Err(CertificateError::OtherNumber { common_name, payee_alias: payee_alias.to_owned() });
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        rustls::sign::CertifiedKey::from_der(self.chain.clone(), self.key.clone_key(), &provider)
            .map_err(|_| CertificateError::OtherKey)?;
        Ok(CertificateInfo { common_name, not_after })
    }

    /// Key and chain in one PEM text, as HTTP clients take them.
    pub(super) fn identity(&self) -> Vec<u8> {
        let kind = match &self.key {
            PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
            PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let mut text = section(kind, self.key.secret_der());
        for certificate in &self.chain {
            text.push_str(&section("CERTIFICATE", certificate));
        }
        text.into_bytes()
    }
}

fn section(kind: &str, der: &[u8]) -> String {
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", STANDARD.encode(der))
}

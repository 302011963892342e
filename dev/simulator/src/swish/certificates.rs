//! The certificates of the simulated Swish: a CA of its own, and leafs of the published form.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use chrono::{DateTime, TimeDelta, Utc};
use p12_keystore::{Certificate as P12Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_RSA_SHA512, RsaKeySize,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

/// What `merchant.p12` is opened with.
pub const PASSWORD: &str = "swish";
/// The Swish number of the other leaf.
pub const OTHER_ALIAS: &str = "9871065216";

const ORGANISATION: &str = "5569741234";
const CA_NAME: &str = "Simulated Swish Root CA";
const CUSTOMER_CA_NAME: &str = "Simulated Customer CA for Swish";
const CA_LIFE_DAYS: i64 = 3_650;
const LEAF_LIFE_DAYS: i64 = 730;
/// Files that expire within a day are made anew.
const LEAST_LIFE_DAYS: i64 = 1;
const FILES: [&str; 11] = [
    "ca.pem",
    "ca.key",
    "customer-ca.pem",
    "customer-ca.key",
    "server.pem",
    "server.key",
    "merchant.pem",
    "merchant.key",
    "merchant.p12",
    "other.pem",
    "other.key",
];

/// Where the files are.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The root that both sides trust.
    pub ca: PathBuf,
    /// The merchant's leaf and the intermediate that signed it.
    pub certificate: PathBuf,
    /// PKCS#8, unencrypted.
    pub key: PathBuf,
    /// The merchant's key and whole chain; see [`PASSWORD`].
    pub pkcs12: PathBuf,
    /// A leaf for [`OTHER_ALIAS`].
    pub other_certificate: PathBuf,
    pub other_key: PathBuf,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    customer_ca: PathBuf,
    customer_ca_key: PathBuf,
}

impl Certificates {
    /// The certificates in a directory; made if they are not all there, have expired or are for another number. Several
    /// processes can ask for the same directory at once.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn in_directory(directory: &Path, payee_alias: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        let lock = File::create(directory.join(".lock"))?;
        lock.lock()?;
        let certificates = Self::named(directory);
        if !certificates.usable(directory, payee_alias) {
            make_all(directory, payee_alias).context("cannot make the certificates")?;
        }
        Ok(certificates)
    }

    fn named(directory: &Path) -> Self {
        Self {
            ca: directory.join("ca.pem"),
            certificate: directory.join("merchant.pem"),
            key: directory.join("merchant.key"),
            pkcs12: directory.join("merchant.p12"),
            other_certificate: directory.join("other.pem"),
            other_key: directory.join("other.key"),
            server_certificate: directory.join("server.pem"),
            server_key: directory.join("server.key"),
            customer_ca: directory.join("customer-ca.pem"),
            customer_ca_key: directory.join("customer-ca.key"),
        }
    }

    /// Makes a leaf that the simulator accepts until `not_after`, with an RSA key of 2048 bits: its certificate (with the
    /// intermediate) and its key. One whose `not_after` is past is refused in the handshake.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn issue(
        &self,
        directory: &Path,
        common_name: &str,
        not_after: DateTime<Utc>,
    ) -> anyhow::Result<(PathBuf, PathBuf)> {
        let not_before = Utc::now().min(not_after) - TimeDelta::days(1);
        self.issue_between(directory, common_name, not_before, not_after)
    }

    /// As [`Self::issue`], with both ends of the validity.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn issue_between(
        &self,
        directory: &Path,
        common_name: &str,
        not_before: DateTime<Utc>,
        not_after: DateTime<Utc>,
    ) -> anyhow::Result<(PathBuf, PathBuf)> {
        std::fs::create_dir_all(directory)?;
        let issuer_key =
            KeyPair::from_pkcs8_pem_and_sign_algo(&std::fs::read_to_string(&self.customer_ca_key)?, &PKCS_RSA_SHA512)?;
        let issuer = authority(CUSTOMER_CA_NAME, BasicConstraints::Constrained(0))?;
        let key = rsa(RsaKeySize::_2048)?;
        let leaf =
            leaf(common_name, not_before, not_after)?.signed_by(&key, &Issuer::from_params(&issuer, &issuer_key))?;
        let name = format!("{common_name}-{}", not_after.timestamp());
        let chain = leaf.pem() + &std::fs::read_to_string(&self.customer_ca)?;
        write(directory, &format!("{name}.key"), key.serialize_pem().as_bytes())?;
        write(directory, &format!("{name}.pem"), chain.as_bytes())?;
        Ok((directory.join(format!("{name}.pem")), directory.join(format!("{name}.key"))))
    }

    fn usable(&self, directory: &Path, payee_alias: &str) -> bool {
        let until = (Utc::now() + TimeDelta::days(LEAST_LIFE_DAYS)).timestamp();
        let lives = |file: &PathBuf| not_after(file).is_some_and(|at| at > until);
        FILES.iter().all(|file| directory.join(file).is_file())
            && [&self.ca, &self.customer_ca, &self.server_certificate, &self.certificate, &self.other_certificate]
                .into_iter()
                .all(lives)
            && first(&self.certificate).and_then(|leaf| common_name(&leaf)).as_deref() == Some(payee_alias)
    }
}

/// The first certificate of a PEM file.
fn first(file: &Path) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_file(file).ok()
}

fn not_after(file: &Path) -> Option<i64> {
    let certificate = first(file)?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
    Some(parsed.validity().not_after.timestamp())
}

/// The CN of a certificate's subject.
pub(super) fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    parsed.subject().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}

fn rsa(size: RsaKeySize) -> anyhow::Result<KeyPair> {
    Ok(KeyPair::generate_rsa_for(&PKCS_RSA_SHA512, size)?)
}

fn make_all(directory: &Path, payee_alias: &str) -> anyhow::Result<()> {
    // The merchant's key takes longest.
    let merchant_key = std::thread::spawn(|| rsa(RsaKeySize::_4096));
    let ca_key = rsa(RsaKeySize::_2048)?;
    let customer_ca_key = rsa(RsaKeySize::_2048)?;
    let server_key = rsa(RsaKeySize::_2048)?;
    let other_key = rsa(RsaKeySize::_2048)?;
    let Ok(merchant_key) = merchant_key.join() else { bail!("the merchant's key could not be made") };
    let merchant_key = merchant_key?;

    let ca_params = authority(CA_NAME, BasicConstraints::Unconstrained)?;
    let ca = ca_params.clone().self_signed(&ca_key)?;
    let by_ca = Issuer::from_params(&ca_params, &ca_key);
    let customer_ca_params = authority(CUSTOMER_CA_NAME, BasicConstraints::Constrained(0))?;
    let customer_ca = customer_ca_params.clone().signed_by(&customer_ca_key, &by_ca)?;
    let by_customer_ca = Issuer::from_params(&customer_ca_params, &customer_ca_key);
    let server = server()?.signed_by(&server_key, &by_ca)?;
    let (from, to) = (Utc::now() - TimeDelta::days(1), Utc::now() + TimeDelta::days(LEAF_LIFE_DAYS));
    let merchant = leaf(payee_alias, from, to)?.signed_by(&merchant_key, &by_customer_ca)?;
    let other = leaf(OTHER_ALIAS, from, to)?.signed_by(&other_key, &by_customer_ca)?;

    let pkcs12 = pkcs12(payee_alias, &merchant_key, &[&merchant, &customer_ca, &ca])?;
    let files: [(&str, Vec<u8>); 11] = [
        ("ca.pem", ca.pem().into()),
        ("ca.key", ca_key.serialize_pem().into()),
        ("customer-ca.pem", customer_ca.pem().into()),
        ("customer-ca.key", customer_ca_key.serialize_pem().into()),
        ("server.pem", server.pem().into()),
        ("server.key", server_key.serialize_pem().into()),
        ("merchant.pem", (merchant.pem() + &customer_ca.pem()).into()),
        ("merchant.key", merchant_key.serialize_pem().into()),
        ("merchant.p12", pkcs12),
        ("other.pem", (other.pem() + &customer_ca.pem()).into()),
        ("other.key", other_key.serialize_pem().into()),
    ];
    files.iter().try_for_each(|(name, content)| write(directory, name, content))
}

/// Writes a file that only its owner may read, whole or not at all.
fn write(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let new = directory.join(format!(".{name}.{}", super::world::random_hex(8)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    std::fs::rename(&new, directory.join(name)).with_context(|| format!("cannot write {name}"))
}

fn named(common_name: &str, organisation: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "SE");
    name.push(DnType::OrganizationName, organisation);
    name.push(DnType::CommonName, common_name);
    name
}

fn valid(mut params: CertificateParams, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<CertificateParams> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: DateTime<Utc>| u64::try_from(at.timestamp()).context("a date before 1970");
    params.not_before = epoch + std::time::Duration::from_secs(since(from)?);
    params.not_after = epoch + std::time::Duration::from_secs(since(to)?);
    Ok(params)
}

fn authority(name: &str, constraints: BasicConstraints) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name, "Simulated Bank");
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    valid(params, Utc::now() - TimeDelta::days(1), Utc::now() + TimeDelta::days(CA_LIFE_DAYS))
}

fn server() -> anyhow::Result<CertificateParams> {
    // The last is the simulator's name among containers.
    let names = ["localhost", "127.0.0.1", "::1", "simulator"];
    let mut params = CertificateParams::new(names.map(str::to_owned))?;
    params.distinguished_name = named("localhost", "Simulated Swish");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid(params, Utc::now() - TimeDelta::days(1), Utc::now() + TimeDelta::days(LEAF_LIFE_DAYS))
}

/// As Swish's: the number as CN, the organisation number as O; no alternative names, no usages.
fn leaf(common_name: &str, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(common_name, ORGANISATION);
    params.use_authority_key_identifier_extension = true;
    valid(params, from, to)
}

fn pkcs12(alias: &str, key: &KeyPair, chain: &[&Certificate]) -> anyhow::Result<Vec<u8>> {
    let certificates = chain.iter().map(|certificate| P12Certificate::from_der(certificate.der()));
    let certificates = certificates.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKey::from_der(key.serialized_der())?;
    let mut store = KeyStore::new();
    store.add_entry(alias, KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(b"1".to_vec(), key, certificates)));
    Ok(store.writer(PASSWORD).write()?)
}

//! Who we are at Swish: the certificate in its two forms, what is wrong with one in words, and its renewal.

use std::path::{Path, PathBuf};

use chrono::{TimeDelta, Utc};
use shared::providers::ProviderError;
use shared::providers::chain;
use shared::providers::swish::certificate::CertificateFiles;
use shared::providers::swish::{Settings, Swish};
use testing::swish::{PAYEE, settings, start};
use uuid::Uuid;
use worker::metrics::Metrics;

/// A directory of the test's own.
fn directory() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("swish-{}", Uuid::new_v4().simple()));
    std::fs::create_dir_all(&directory).expect("a directory");
    directory
}

fn with(settings: &Settings, change: impl FnOnce(&mut CertificateFiles)) -> Settings {
    let mut settings = settings.clone();
    change(&mut settings.certificate);
    settings
}

async fn reaches_swish(swish: &Swish) -> Result<(), ProviderError> {
    swish.fetch_payment("0123456789ABCDEF0123456789ABCDEF").await.map(|found| assert!(found.is_none()))
}

#[tokio::test]
async fn pem_and_pkcs12_both_open_the_door() {
    let simulator = start().await;
    let pem = settings(&simulator, "http://127.0.0.1:1");
    let pkcs12 = with(&pem, |files| {
        files.certificate = simulator.certificates().pkcs12.clone();
        files.key = None;
        files.password = Some(simulator::swish::PASSWORD.into());
    });
    for settings in [pem, pkcs12] {
        let swish = Swish::new(settings, Metrics::new().providers, Utc::now()).expect("a client");
        assert_eq!(swish.certificate().common_name, PAYEE);
        reaches_swish(&swish).await.expect("an answer");
    }
}

#[tokio::test]
async fn a_swish_that_is_not_to_be_trusted_is_told_nothing() {
    let simulator = start().await;
    let system = with(&settings(&simulator, "http://127.0.0.1:1"), |files| files.ca = None);
    let swish = Swish::new(system, Metrics::new().providers, Utc::now()).expect("a client");
    let refused = reaches_swish(&swish).await.expect_err("an unknown authority");
    assert!(matches!(refused, ProviderError::NotSent { .. }), "{refused:?}");
    assert_eq!(simulator.world.requests().len(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_in_words() {
    let simulator = start().await;
    let certificates = simulator.certificates();
    let good = settings(&simulator, "http://127.0.0.1:1");
    let directory = directory();
    let (expired, expired_key) =
        certificates.issue(&directory, PAYEE, Utc::now() - TimeDelta::days(3)).expect("a certificate");
    let (future, future_key) = certificates
        .issue_between(&directory, PAYEE, Utc::now() + TimeDelta::days(1), Utc::now() + TimeDelta::days(9))
        .expect("a certificate");
    let broken = directory.join("broken.pem");
    let chain_of = |path: &Path| std::fs::read_to_string(path).expect("a file");
    // The leaf, and after it the root instead of the intermediate.
    let leaf = chain_of(&certificates.certificate);
    let end = leaf.find("-----END CERTIFICATE-----").expect("a certificate") + "-----END CERTIFICATE-----\n".len();
    std::fs::write(&broken, leaf[..end].to_owned() + &chain_of(&certificates.ca)).expect("written");
    let none = directory.join("none.pem");
    std::fs::write(&none, "not a certificate").expect("written");
    for (settings, words) in [
        (
            with(&good, |files| {
                files.certificate = expired;
                files.key = Some(expired_key)
            }),
            "expired on",
        ),
        (
            with(&good, |files| {
                files.certificate = future;
                files.key = Some(future_key)
            }),
            "only valid from",
        ),
        (
            with(&good, |files| {
                files.certificate.clone_from(&certificates.other_certificate);
                files.key = Some(certificates.other_key.clone());
            }),
            "is for the Swish number 9871065216, and payments are to go to 1234679304",
        ),
        (with(&good, |files| files.key = Some(certificates.other_key.clone())), "the key is not the certificate's"),
        (with(&good, |files| files.certificate = broken), "the chain is broken"),
        (with(&good, |files| files.certificate = none), "holds no certificate in PEM"),
        (with(&good, |files| files.key = None), "holds no private key in PEM"),
        (with(&good, |files| files.certificate = "/nowhere/at.all".into()), "cannot read /nowhere/at.all"),
        (
            with(&good, |files| {
                files.certificate.clone_from(&certificates.pkcs12);
                files.password = Some("wrong".into());
            }),
            "is the password right?",
        ),
    ] {
        let error = Swish::new(settings, Metrics::new().providers, Utc::now()).expect_err(words);
        assert!(chain(&error).contains(words), "{words}: {}", chain(&error));
    }
}

#[tokio::test]
async fn a_new_file_is_taken_up_without_a_restart_and_a_bad_one_is_not() {
    let app = testing::TestApp::start().await;
    let directory = directory();
    let (certificate, key) = (directory.join("current.pem"), directory.join("current.key"));
    let put = |until: chrono::DateTime<Utc>, number: &str| {
        let (new, new_key) = app.swish.certificates().issue(&directory, number, until).expect("a certificate");
        std::fs::copy(new, &certificate).expect("copied");
        std::fs::copy(new_key, &key).expect("copied");
    };
    let soon = Utc::now() + TimeDelta::days(10);
    put(soon, PAYEE);
    let settings = with(&settings(&app.swish, &app.api_url), |files| {
        files.certificate.clone_from(&certificate);
        files.key = Some(key.clone());
    });
    let swish = Swish::new(settings, Metrics::new().providers, Utc::now()).expect("a client");
    let context = app.context_with(swish);
    let gauge = |until: chrono::DateTime<Utc>| {
        format!("payment_service_swish_certificate_expiry_timestamp_seconds {}", until.timestamp())
    };
    assert!(context.metrics.text(&app.db).expect("text").contains(&gauge(soon)));
    reaches_swish(context.swish().expect("swish")).await.expect("an answer");

    let later = Utc::now() + TimeDelta::days(700);
    put(later, PAYEE);
    worker::loops::renew_swish_certificate::once(&context);
    assert!(context.metrics.text(&app.db).expect("text").contains(&gauge(later)));
    reaches_swish(context.swish().expect("swish")).await.expect("an answer");

    put(Utc::now() + TimeDelta::days(900), "9871065216");
    worker::loops::renew_swish_certificate::once(&context);
    assert!(context.metrics.text(&app.db).expect("text").contains(&gauge(later)), "the old one stays in use");
    reaches_swish(context.swish().expect("swish")).await.expect("an answer");
}

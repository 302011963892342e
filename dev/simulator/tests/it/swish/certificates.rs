//! Who may call, and with which certificate.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use reqwest::Method;
use serde_json::json;
use simulator::swish::{Certificates, OTHER_ALIAS, PASSWORD};

use super::{Merchant, PAYEE, builder, client, directory, read, uuid};

#[tokio::test]
async fn without_a_certificate_of_ours_there_is_no_handshake() {
    let merchant = Merchant::open().await;
    let url = format!("{}v1/paymentrequests/{}", merchant.swish.url(), uuid());
    let nobody = builder().build().unwrap();
    assert!(read(nobody.get(&url)).await.is_err());
    let certificates = merchant.swish.certificates();
    let own = std::env::temp_dir().join(format!("swish-leafs-{}", uuid()));
    let (expired, key) = certificates.issue(&own, PAYEE, Utc::now() - TimeDelta::hours(1)).unwrap();
    assert!(read(client(&expired, &key).get(&url)).await.is_err(), "expired");
    let tomorrow = Utc::now() + TimeDelta::days(1);
    let (early, key) = certificates.issue_between(&own, "1231181189", tomorrow, tomorrow + TimeDelta::days(1)).unwrap();
    assert!(read(client(&early, &key).get(&url)).await.is_err(), "not yet valid");
    let (soon, key) = certificates.issue(&own, PAYEE, Utc::now() + TimeDelta::hours(1)).unwrap();
    assert_eq!(read(client(&soon, &key).get(&url)).await.unwrap().refusal(), (404, vec!["RP04".to_owned()]));
    std::fs::remove_dir_all(own).unwrap();
}

#[tokio::test]
async fn a_bare_leaf_is_refused_and_a_whole_chain_accepted() {
    let merchant = Merchant::open().await;
    let certificates = merchant.swish.certificates();
    let pem = std::fs::read_to_string(&certificates.certificate).unwrap();
    let leaf = pem.split_inclusive("-----END CERTIFICATE-----").next().unwrap();
    let bare = [leaf, "\n", &std::fs::read_to_string(&certificates.key).unwrap()].concat();
    let bare = builder().identity(reqwest::Identity::from_pem(bare.as_bytes()).unwrap()).build().unwrap();
    assert!(read(bare.get(merchant.swish.url())).await.is_err());
    assert_eq!(read(merchant.http.get(merchant.swish.url())).await.unwrap().status, 404);
}

#[tokio::test]
async fn another_merchant_is_refused_and_sees_nothing() {
    let merchant = Merchant::open().await;
    let certificates = merchant.swish.certificates();
    let other = client(&certificates.other_certificate, &certificates.other_key);
    let id = merchant.ask(json!({})).await;
    let path = format!("v2/paymentrequests/{}", uuid());
    let answer = merchant.call_as(&other, Method::PUT, &path, Some(merchant.request())).await;
    assert_eq!(answer.refusal(), (403, vec!["PA01".to_owned()]));
    let answer = merchant.call_as(&other, Method::GET, &format!("v1/paymentrequests/{id}"), None).await;
    assert_eq!(answer.status, 404);
    let refund = json!({
        "originalPaymentReference": "X", "callbackUrl": "https://shop.example/", "payerAlias": PAYEE,
        "amount": "1.00", "currency": "SEK",
    });
    let path = format!("v2/refunds/{}", uuid());
    let answer = merchant.call_as(&other, Method::PUT, &path, Some(refund)).await;
    assert_eq!(answer.refusal(), (403, vec!["PA01".to_owned()]));
    let names: Vec<String> = merchant.world().requests().into_iter().map(|request| request.common_name).collect();
    assert_eq!(names, [PAYEE, OTHER_ALIAS, OTHER_ALIAS, OTHER_ALIAS]);
}

#[tokio::test]
async fn tls_12_is_spoken_as_well_as_13() {
    let merchant = Merchant::open().await;
    let certificates = merchant.swish.certificates();
    let pem = [std::fs::read(&certificates.certificate).unwrap(), std::fs::read(&certificates.key).unwrap()].concat();
    for version in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        let identity = reqwest::Identity::from_pem(&pem).unwrap();
        let client = builder().identity(identity).tls_version_min(version).tls_version_max(version).build().unwrap();
        let url = format!("{}v1/paymentrequests/{}", merchant.swish.url(), uuid());
        assert_eq!(read(client.get(url)).await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn a_caller_who_says_nothing_holds_up_nobody() {
    let merchant = Merchant::open().await;
    let address = merchant.swish.url().replace("https://", "").replace("/swish-cpcapi/api/", "");
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(tokio::net::TcpStream::connect(&address).await.unwrap());
    }
    let answer = tokio::time::timeout(Duration::from_secs(5), merchant.get("v1/refunds/X")).await.unwrap();
    assert_eq!(answer.status, 404);
}

#[test]
fn the_files_have_the_published_form_and_are_kept() {
    let certificates = Certificates::in_directory(&directory(), PAYEE).unwrap();
    let store = p12_keystore::KeyStore::from_pkcs12(
        &std::fs::read(&certificates.pkcs12).unwrap(),
        PASSWORD,
        p12_keystore::Pkcs12ImportPolicy::Strict,
    )
    .unwrap();
    let (_, chain) = store.private_key_chain().unwrap();
    assert_eq!(chain.certs().len(), 3, "the leaf, the intermediate, the root");
    assert!(chain.certs()[0].subject().contains(&format!("CN={PAYEE}")), "{}", chain.certs()[0].subject());
    let (_, leaf) = x509_parser::parse_x509_certificate(chain.certs()[0].as_der()).unwrap();
    assert!(leaf.extended_key_usage().unwrap().is_none() && leaf.subject_alternative_name().unwrap().is_none());
    assert_eq!(leaf.subject().to_string().split(", ").collect::<Vec<_>>()[0], "C=SE");
    assert!(chain.key().as_der().len() > 2_300, "4096 bits");
    assert!(
        p12_keystore::KeyStore::from_pkcs12(
            &std::fs::read(&certificates.pkcs12).unwrap(),
            "swosh",
            p12_keystore::Pkcs12ImportPolicy::Strict,
        )
        .is_err()
    );
    let pem = std::fs::read_to_string(&certificates.certificate).unwrap();
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(std::fs::read_to_string(&certificates.key).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    for file in [&certificates.key, &certificates.pkcs12, &certificates.ca, &certificates.other_key] {
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let began = Instant::now();
    Certificates::in_directory(&directory(), PAYEE).unwrap();
    assert!(began.elapsed() < Duration::from_millis(500));
    assert_eq!(std::fs::read_to_string(&certificates.certificate).unwrap(), pem);
}

#[test]
fn two_who_start_at_once_get_the_same_files_and_new_ones_are_made_when_they_must() {
    let own = std::env::temp_dir().join(format!("swish-certificates-{}", uuid()));
    let make = |alias: &'static str| {
        let own = own.clone();
        std::thread::spawn(move || {
            let certificates = Certificates::in_directory(&own, alias).unwrap();
            std::fs::read_to_string(certificates.certificate).unwrap()
        })
    };
    let (first, second) = (make(PAYEE), make(PAYEE));
    let first = first.join().unwrap();
    assert_eq!(first, second.join().unwrap());
    let second = make("1231181189").join().unwrap();
    assert_ne!(second, first);
    let certificates = Certificates::in_directory(&own, "1231181189").unwrap();
    let (expired, _) = certificates.issue(&own, "1231181189", Utc::now() - TimeDelta::hours(1)).unwrap();
    std::fs::copy(expired, &certificates.certificate).unwrap();
    let third = make("1231181189").join().unwrap();
    assert_ne!(third, second, "what has expired is made anew");
    assert_eq!(third, make("1231181189").join().unwrap());
    std::fs::remove_dir_all(own).unwrap();
}

//! Callbacks on their way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use simulator::swish::{Forgery, Status};
use simulator::{Order, SwishConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{IDENTIFIER, Inbox, Merchant, config, directory, uuid};

#[tokio::test]
async fn a_callback_is_the_object_with_its_identifier_in_the_header() {
    let merchant = Merchant::open().await;
    let payment = merchant.paid().await;
    merchant.settle().await;
    let came = merchant.inbox.came();
    assert_eq!((came.len(), came[0].identifier.as_str()), (1, IDENTIFIER));
    assert_eq!(came[0].text, merchant.get(&format!("v1/paymentrequests/{}", payment.id)).await.text);
    let id = merchant.ask(json!({ "callbackIdentifier": null })).await;
    merchant.world().decline(&id).unwrap();
    merchant.settle().await;
    let came = merchant.inbox.came();
    assert_eq!((came[1].identifier.as_str(), &came[1].body["status"]), ("", &json!("DECLINED")));
    let known = merchant.world().callbacks();
    assert_eq!(
        (known[1].id.as_str(), known[1].status, known[1].sent, known[1].taken),
        (id.as_str(), Status::Declined, 1, true)
    );
}

#[tokio::test]
async fn only_a_200_is_enough() {
    let merchant = Merchant::open().await;
    merchant.inbox.answer(&[200, 500, 202, 204]);
    merchant.paid().await;
    merchant.settle().await;
    let callback = &merchant.world().callbacks()[0];
    assert_eq!((callback.sent, callback.taken, merchant.inbox.came().len()), (4, true, 4));
}

#[tokio::test]
async fn the_pauses_grow_and_after_ten_retries_it_is_given_up() {
    let merchant = Merchant::open_with(SwishConfig { callback_retry_ms: 5, ..config() }).await;
    merchant.inbox.answer(&[503; 20]);
    let began = Instant::now();
    merchant.paid().await;
    merchant.settle().await;
    let callback = &merchant.world().callbacks()[0];
    assert_eq!((callback.sent, callback.taken), (11, false));
    // 5 + 10 + 20 + 40 + 6 times 60
    assert!(began.elapsed() >= Duration::from_millis(435), "{:?}", began.elapsed());
}

#[tokio::test]
async fn callbacks_can_be_lost_doubled_and_late() {
    let merchant = Merchant::open().await;
    merchant.world().add_fault("payments", "webhook:lose", 1).unwrap();
    let lost = merchant.paid().await;
    merchant.settle().await;
    assert!(merchant.inbox.came().is_empty());
    assert_eq!((merchant.world().callbacks()[0].sent, merchant.world().callbacks()[0].taken), (0, false));
    merchant.world().send_again(&lost.id).unwrap();
    merchant.settle().await;
    assert_eq!((merchant.inbox.statuses(), merchant.world().callbacks()[0].taken), (vec!["PAID".to_owned()], true));

    merchant.world().add_fault("*", "webhook:duplicate", 1).unwrap();
    merchant.paid().await;
    merchant.settle().await;
    assert_eq!((merchant.inbox.came().len(), merchant.world().callbacks()[1].sent), (3, 2));

    merchant.world().add_fault("payments", "webhook:delay", 1).unwrap();
    let began = Instant::now();
    merchant.paid().await;
    merchant.settle().await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(merchant.inbox.came().len(), 4);
    assert!(merchant.world().add_fault("payments", "webhook:twin", 1).is_err());
    assert!(merchant.world().add_fault("payments.create", "webhook:lose", 1).is_err());
    assert!(merchant.world().send_again(&uuid()).is_err());
}

#[tokio::test]
async fn callbacks_can_come_in_the_wrong_order() {
    let merchant = Merchant::open_slowly().await;
    let payment = merchant.paid().await;
    let body = json!({
        "originalPaymentReference": payment.payment_reference, "callbackUrl": merchant.inbox.url,
        "payerAlias": payment.payee_alias, "amount": "1.00", "currency": "SEK",
    });
    merchant.world().add_fault("refunds", "webhook:reorder", 1).unwrap();
    let id = uuid();
    assert_eq!(merchant.put(&format!("v2/refunds/{id}"), body).await.status, 201);
    merchant.world().advance(Duration::from_secs(2_000));
    merchant.settle().await;
    assert_eq!(merchant.inbox.statuses(), ["PAID", "PAID", "DEBITED"]);
}

#[tokio::test]
async fn held_callbacks_go_out_in_the_order_that_is_asked_for() {
    let merchant = Merchant::open().await;
    let mut orders = Vec::new();
    for order in [Order::InOrder, Order::Shuffled(7), Order::Shuffled(7)] {
        merchant.world().reset();
        merchant.inbox.post.came.lock().unwrap().clear();
        merchant.world().hold_callbacks(true);
        for _ in 0..10 {
            merchant.paid().await;
        }
        assert_eq!((merchant.world().deliveries_pending(), merchant.world().callbacks_held()), (0, 10));
        let made: Vec<String> = merchant.world().payments().into_iter().map(|payment| payment.id).collect();
        merchant.world().release_callbacks(order);
        merchant.settle().await;
        let came = merchant.inbox.came();
        let place = |id: &str| made.iter().position(|made| made == id).unwrap();
        orders.push(came.iter().map(|came| place(came.body["id"].as_str().unwrap())).collect::<Vec<_>>());
    }
    assert_eq!(orders[0], (0..10).collect::<Vec<_>>());
    assert_ne!(orders[1], orders[0]);
    assert_eq!(orders[1], orders[2], "the same seed, the same order");
}

#[tokio::test]
async fn a_forged_callback_looks_right_and_changes_nothing() {
    let merchant = Merchant::open().await;
    let id = merchant.ask(json!({})).await;
    let forgery = Forgery { status: Status::Paid, callback_identifier: None, url: None };
    assert_eq!(merchant.world().forge(&id, forgery.clone()).await, Ok(200));
    let came = merchant.inbox.came();
    assert_eq!((&came[0].body["status"], &came[0].body["id"]), (&json!("PAID"), &json!(id)));
    assert_ne!(came[0].identifier, IDENTIFIER);
    assert_eq!(came[0].body["callbackIdentifier"], came[0].identifier.as_str());
    assert_eq!(merchant.payment(&id).status, Status::Created);
    assert_eq!((merchant.moved().len(), merchant.world().callbacks().len()), (0, 0));
    let known = Forgery { callback_identifier: Some(IDENTIFIER.to_owned()), ..forgery.clone() };
    merchant.world().forge(&id, known).await.unwrap();
    assert_eq!(merchant.inbox.came()[1].identifier, IDENTIFIER);
    assert!(merchant.world().forge(&uuid(), forgery.clone()).await.is_err(), "to where?");
    let elsewhere = Inbox::open();
    let unknown = Forgery { url: Some(elsewhere.url.clone()), ..forgery };
    assert_eq!(merchant.world().forge(&uuid(), unknown).await, Ok(200));
    assert_eq!(elsewhere.statuses(), ["PAID"]);
}

/// Answers each connection 200 over TLS, with the simulator's own server certificate.
async fn secure_inbox() -> (String, Arc<AtomicUsize>) {
    let pem = |file: &str| directory().join(file);
    let chain = CertificateDer::pem_file_iter(pem("server.pem"))
        .expect("a file")
        .collect::<Result<Vec<_>, _>>()
        .expect("certificates");
    let key = PrivateKeyDer::from_pem_file(pem("server.key")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let config = config.with_no_client_auth().with_single_cert(chain, key).expect("a pair");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}/callback", listener.local_addr().expect("an address").port());
    let came = Arc::new(AtomicUsize::new(0));
    let counter = came.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut text = vec![0; 4_096];
            let _ = stream.read(&mut text).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
            let _ = stream.shutdown().await;
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, came)
}

#[tokio::test]
async fn callbacks_go_out_over_https() {
    let merchant = Merchant::open().await;
    let (url, came) = secure_inbox().await;
    let id = merchant.ask(json!({ "callbackUrl": url })).await;
    merchant.world().pay(&id).unwrap();
    merchant.settle().await;
    assert!(merchant.world().callbacks()[0].taken);
    assert_eq!(came.load(Ordering::SeqCst), 1);
}

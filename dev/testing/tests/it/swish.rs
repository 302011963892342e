//! Swish, from request to payer and back.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::TestApp;
use testing::swish::swish_body;

#[tokio::test]
async fn a_payer_who_is_asked_by_number_approves() {
    let app = TestApp::start().await;
    let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678", "message": "Order 1042" } })).await;
    app.settle().await;
    let open = app.payment(&id).await;
    assert_eq!(
        (&open["status"], &open["next_action"]["type"]),
        (&json!("requires_action"), &json!("approve_in_swish_app"))
    );
    assert!(open["expires_at"].is_string() && open["client_secret"].is_null(), "{open}");
    assert_eq!(open["next_action"]["swish"], Value::Null, "the payer's app asks by itself");
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.settle().await;
    let paid = app.payment(&id).await;
    assert_eq!((&paid["status"], &paid["amount_captured"]), (&json!("succeeded"), &json!(10_000)));
    assert_eq!((&paid["next_action"], &paid["expires_at"]), (&Value::Null, &Value::Null));
    assert!(paid["swish"]["payment_reference"].is_string(), "{paid}");
    assert_eq!(app.swish_moved(), [("charge".to_owned(), 10_000)]);
}

#[tokio::test]
async fn a_payer_who_scans_the_code_pays_and_the_client_sees_it_at_once() {
    let app = TestApp::start().await;
    let worker = app.start_worker();
    let headers = [
        ("authorization", format!("Bearer {}", testing::token("anna"))),
        ("content-type", "application/json".to_owned()),
        ("prefer", "wait=10".to_owned()),
    ];
    let body = swish_body(json!({ "return_url": "https://shop.example/paid?order=1" })).to_string();
    let made = app.raw(Method::POST, "/api/payments", &headers, body.into_bytes()).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let (id, action) = (made.json()["id"].as_str().expect("an id").to_owned(), made.json()["next_action"].clone());
    assert_eq!(action["type"], "open_swish_app");
    let link = action["swish"]["app_url"].as_str().expect("a link");
    let token = link.split("token=").nth(1).and_then(|rest| rest.split('&').next()).expect("a token");
    assert!(link.ends_with("&callbackurl=https%3A%2F%2Fshop.example%2Fpaid%3Forder%3D1"), "{link}");
    assert_eq!(action["swish"]["qr_text"], format!("D{token}"));
    assert!(made.json()["client_secret"].is_null());

    let etag = app.call(Method::GET, &format!("/api/payments/{id}"), "anna", None).await.header("etag").to_owned();
    let waiting = {
        let (path, auth) = (format!("/api/payments/{id}"), headers[0].clone());
        let headers = [auth, ("prefer", "wait=20".to_owned()), ("if-none-match", etag.clone())];
        let app = &app;
        async move { (app.raw(Method::GET, &path, &headers, Vec::new()).await, Instant::now()) }
    };
    let paying = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let paid_at = Instant::now();
        app.swish.world.pay(token).expect("paid by its token");
        paid_at
    };
    let ((seen, seen_at), paid_at) = tokio::join!(waiting, paying);
    assert_eq!((seen.status, seen.json()["status"].clone()), (StatusCode::OK, json!("succeeded")));
    let took = seen_at.duration_since(paid_at);
    eprintln!("seen {took:?} after the payer approved");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Nothing new: `304` after the wait.
    let again =
        [headers[0].clone(), ("prefer", "wait=1".to_owned()), ("if-none-match", seen.header("etag").to_owned())];
    let answer = app.raw(Method::GET, &format!("/api/payments/{id}"), &again, Vec::new()).await;
    assert_eq!(answer.status, StatusCode::NOT_MODIFIED);
    worker.stop().await;
}

#[tokio::test]
async fn the_code_is_drawn_for_its_owner_while_it_can_be_paid() {
    let app = TestApp::start().await;
    let id = app.create_swish(json!({})).await;
    let path = format!("/api/payments/{id}/qr");
    assert_eq!(app.call(Method::GET, &path, "anna", None).await.status, StatusCode::CONFLICT, "not made yet");
    app.settle().await;
    let svg = app.call(Method::GET, &path, "anna", None).await;
    assert_eq!((svg.status, svg.header("content-type")), (StatusCode::OK, "image/svg+xml"));
    assert_eq!(svg.header("cache-control"), "private, no-store");
    assert!(svg.text.contains("<svg") && svg.text.contains("width=\"300\""), "{}", svg.text);
    assert_eq!(app.call(Method::GET, &path, "bo", None).await.status, StatusCode::NOT_FOUND);
    let url = format!("{}{path}?format=png&size=400", app.api_url);
    let png = reqwest::Client::new().get(url).bearer_auth(testing::token("anna")).send().await.expect("an answer");
    assert_eq!((png.status(), png.headers()["content-type"].to_str().expect("text")), (StatusCode::OK, "image/png"));
    let bytes = png.bytes().await.expect("a picture");
    assert_eq!((&bytes[1..4], &bytes[16..24]), (&b"PNG"[..], &[0, 0, 1, 144, 0, 0, 1, 144][..]));
    for bad in ["?format=gif", "?size=99", "?size=2001"] {
        let answer = app.call(Method::GET, &format!("{path}{bad}"), "anna", None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.settle().await;
    assert_eq!(app.call(Method::GET, &path, "anna", None).await.status, StatusCode::CONFLICT);

    let asked = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
    app.settle().await;
    let answer = app.call(Method::GET, &format!("/api/payments/{asked}/qr"), "anna", None).await;
    assert_eq!(answer.status, StatusCode::CONFLICT);
    let stripe = app.create_payment(json!({})).await;
    let answer = app.call(Method::GET, &format!("/api/payments/{stripe}/qr"), "anna", None).await;
    assert_eq!(answer.json()["code"], "not_supported_by_provider");
}

#[tokio::test]
async fn what_swish_cannot_do_is_refused_in_a_stable_word() {
    let app = TestApp::start().await;
    for (more, pointer) in [
        (json!({ "currency": "eur" }), "/currency"),
        (json!({ "capture_method": "manual" }), "/capture_method"),
        (json!({ "payment_method": "pm_card_visa" }), "/payment_method"),
        (json!({ "statement_descriptor": "ORDER 1042" }), "/statement_descriptor"),
        (json!({ "return_url": "https://shop.example", "swish": { "payer_alias": "46712345678" } }), "/return_url"),
    ] {
        let answer = app.call(Method::POST, "/api/payments", "anna", Some(swish_body(more))).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{pointer}: {answer:?}");
        assert_eq!(answer.json()["code"], "not_supported_by_provider", "{pointer}");
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer);
    }
    let subscription = json!({
        "provider": "swish", "amount": 9_900, "currency": "sek", "interval": "month", "product_name": "Coffee club",
    });
    let answer = app.call(Method::POST, "/api/subscriptions", "anna", Some(subscription)).await;
    assert_eq!(answer.json()["code"], "not_supported_by_provider");
    for (more, pointer) in [
        (json!({ "swish": { "payer_alias": "0701234567" } }), "/swish/payer_alias"),
        (json!({ "swish": { "payer_alias": "+46712345678" } }), "/swish/payer_alias"),
        (json!({ "swish": { "message": "<b>" } }), "/swish/message"),
        (json!({ "swish": { "message": "å".repeat(51) } }), "/swish/message"),
        (json!({ "swish": { "age_limit": 0 } }), "/swish/age_limit"),
        (json!({ "swish": { "age_limit": 300 } }), "/swish/age_limit"),
        (json!({ "swish": { "colour": 1 } }), "/swish/colour"),
        (json!({ "provider": "stripe", "swish": {} }), "/swish"),
    ] {
        let answer = app.call(Method::POST, "/api/payments", "anna", Some(swish_body(more))).await;
        assert_eq!(
            (answer.status, answer.json()["code"].clone()),
            (StatusCode::UNPROCESSABLE_ENTITY, json!("invalid_body"))
        );
        assert_eq!(answer.json()["errors"][0]["pointer"], pointer, "{answer:?}");
    }
    assert_eq!(app.count("SELECT count(*) FROM payments").await, 0);
}

#[tokio::test]
async fn refunds_go_back_in_parts_and_never_exceed_the_payment() {
    let app = TestApp::start().await;
    let id = paid(&app).await;
    for amount in [4_000, 6_000] {
        let refund = app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": amount })).await;
        settle_refunds(&app).await;
        let refund = app.read(&format!("/api/refunds/{}", refund["id"].as_str().expect("an id"))).await;
        assert_eq!(refund["status"], "succeeded", "{refund}");
    }
    assert_eq!(app.payment(&id).await["amount_refunded"], 10_000);
    let more = app.call(Method::POST, "/api/refunds", "anna", Some(json!({ "payment_id": id, "amount": 1 }))).await;
    assert_eq!(
        (more.status, more.json()["code"].clone()),
        (StatusCode::UNPROCESSABLE_ENTITY, json!("refund_exceeds_captured"))
    );
    assert_eq!(
        app.swish_moved().iter().filter(|(kind, _)| kind == "refund").map(|(_, amount)| amount).sum::<i64>(),
        10_000
    );
}

#[tokio::test]
async fn a_refund_that_swish_refuses_or_that_fails_later_frees_its_amount() {
    let app = TestApp::start().await;
    let id = paid(&app).await;
    // Until we say how they end.
    app.swish.world.set_settle(3_600_000);
    let refund = app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
    app.settle().await;
    let path = format!("/api/refunds/{}", refund["id"].as_str().expect("an id"));
    let instruction = app.text("SELECT provider_refund_id FROM refunds").await;
    app.swish.world.fail(&instruction, "RF07", false).expect("failed");
    settle_refunds(&app).await;
    let failed = app.read(&path).await;
    assert_eq!(
        (&failed["status"], &failed["failure"]["code"], &failed["failure"]["decline_code"]),
        (&json!("failed"), &json!("declined"), &json!("RF07"))
    );
    assert_eq!(app.payment(&id).await["amount_refunded"], 0);

    // Refunded elsewhere, which we cannot see: Swish refuses ours.
    app.execute("UPDATE payments SET swish = jsonb_set(swish, '{payment_reference}', '\"NOSUCHREFERENCE\"')").await;
    let refused = app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
    app.settle().await;
    let refused = app.read(&format!("/api/refunds/{}", refused["id"].as_str().expect("an id"))).await;
    assert_eq!((&refused["status"], &refused["failure"]["code"]), (&json!("failed"), &json!("payment_not_refundable")));
    assert_eq!(app.payment(&id).await["amount_refunded"], 0);
}

#[tokio::test]
async fn a_cancellation_ends_in_the_truth_whoever_was_faster() {
    let app = TestApp::start().await;
    let id = app.create_swish(json!({})).await;
    app.settle().await;
    app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await;
    app.settle().await;
    let canceled = app.payment(&id).await;
    assert_eq!((&canceled["status"], &canceled["last_operation"]["status"]), (&json!("canceled"), &json!("succeeded")));

    let id = app.create_swish(json!({})).await;
    app.settle().await;
    app.swish_fault("*", "webhook:lose", 10);
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.accepted(Method::POST, &format!("/api/payments/{id}/cancel"), json!({})).await;
    app.settle().await;
    let paid = app.payment(&id).await;
    assert_eq!((&paid["status"], &paid["last_operation"]["status"]), (&json!("succeeded"), &json!("failed")));
    assert_eq!(paid["last_operation"]["failure"]["decline_code"], "RP07");
}

#[tokio::test]
async fn a_lost_callback_is_made_up_for_by_polling() {
    let app = TestApp::start().await;
    app.swish_fault("*", "webhook:lose", 10);
    let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
    app.settle().await;
    app.poll().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action");
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE kind = 'poll_swish' AND state = 'queued'").await, 1);
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.poll().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded", "{:?}", app.timeline(&id).await);
    assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0);
}

#[tokio::test]
async fn each_way_not_to_pay_is_a_failure_in_our_words() {
    let app = TestApp::start().await;
    let end = async |end: &dyn Fn(&str)| -> Value {
        let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
        app.settle().await;
        end(&app.instruction(&id).await);
        app.settle().await;
        app.payment(&id).await
    };
    let declined = end(&|id| assert!(app.swish.world.decline(id).is_ok())).await;
    assert_eq!((&declined["status"], &declined["failure"]["code"]), (&json!("failed"), &json!("declined_by_payer")));
    for (code, word) in [("RF07", "declined"), ("BANKIDCL", "payer_canceled"), ("FF10", "bank_error")] {
        let failed = end(&|id| assert!(app.swish.world.fail(id, code, false).is_ok())).await;
        assert_eq!((&failed["status"], &failed["failure"]["code"]), (&json!("failed"), &json!(word)), "{code}");
        assert_eq!((&failed["failure"]["decline_code"], &failed["retryable"]), (&json!(code), &json!(false)));
    }
    let expired = end(&|_| assert_ne!(app.swish.world.advance(Duration::from_secs(181)), 0)).await;
    assert_eq!((&expired["status"], &expired["failure"]["code"]), (&json!("failed"), &json!("expired")));
    assert_eq!(app.swish_moved(), []);
    // Refused at once: nothing was made.
    let first = app.create_swish(json!({ "swish": { "payer_alias": "46700000001" } })).await;
    let second = app.create_swish(json!({ "swish": { "payer_alias": "46700000001" } })).await;
    app.settle().await;
    let (first, second) = (app.payment(&first).await, app.payment(&second).await);
    let statuses = [first["status"].as_str().expect("a status"), second["status"].as_str().expect("a status")];
    assert!(statuses.contains(&"requires_action") && statuses.contains(&"failed"), "{first} {second}");
    assert!([first, second].iter().any(|payment| payment["failure"]["code"] == "payer_has_open_payment"));
}

#[tokio::test]
async fn what_swish_itself_does_not_know_is_unknown_and_never_failed() {
    for moved in [true, false] {
        let app = TestApp::start().await;
        let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
        app.settle().await;
        app.swish.world.fail(&app.instruction(&id).await, "DS24", moved).expect("failed");
        app.settle().await;
        app.poll().await;
        let unknown = app.payment(&id).await;
        assert_eq!((&unknown["status"], &unknown["failure"]), (&json!("processing"), &Value::Null), "{unknown}");
        assert!(unknown["outcome_unknown_since"].is_string());
        let timeline = app.timeline(&id).await;
        assert!(timeline.iter().any(|step| step.ends_with("a person must ask the bank")), "{timeline:?}");
        assert_eq!(app.count("SELECT count(*) FROM jobs WHERE state <> 'done'").await, 0, "nobody asks for ever");

        let id = paid(&app).await;
        app.swish.world.set_settle(3_600_000);
        app.accepted(Method::POST, "/api/refunds", json!({ "payment_id": id, "amount": 4_000 })).await;
        app.settle().await;
        let refund = app.text("SELECT provider_refund_id FROM refunds").await;
        app.swish.world.fail(&refund, "DS24", moved).expect("failed");
        settle_refunds(&app).await;
        let refund = &app.read("/api/refunds").await["data"][0];
        assert_eq!(refund["status"], "processing");
        assert!(refund["outcome_unknown_since"].is_string(), "{refund}");
        assert_eq!(app.payment(&id).await["amount_refunded"], 4_000, "what may have moved stays set aside");
    }
}

#[tokio::test]
async fn a_request_whose_token_was_lost_is_replaced_by_one_that_can_be_paid() {
    for mode in ["drop_after", "error_after:500", "garbage_after"] {
        let app = TestApp::start().await;
        app.swish_fault("payments.create", mode, 1);
        let id = app.create_swish(json!({})).await;
        app.settle().await;
        let open = app.payment(&id).await;
        assert_eq!(open["next_action"]["type"], "open_swish_app", "{mode}: {:?}", app.timeline(&id).await);
        assert!(open["next_action"]["swish"]["qr_text"].is_string(), "{open}");
        let made = app.swish.world.payments();
        assert_eq!(made.len(), 2, "{mode}");
        assert_eq!(made.iter().filter(|payment| payment.status == simulator::swish::Status::Cancelled).count(), 1);
        app.swish.world.pay(&app.instruction(&id).await).expect("paid");
        app.settle().await;
        assert_eq!((app.payment(&id).await["status"].clone(), app.swish_moved().len()), (json!("succeeded"), 1));
    }
}

#[tokio::test]
async fn a_payer_who_has_gone_is_not_asked() {
    for sent in [false, true] {
        let app = TestApp::start().await;
        app.swish_fault("payments.create", if sent { "drop_after" } else { "drop_before" }, 1);
        let id = app.create_swish(json!({ "swish": { "payer_alias": "46712345678" } })).await;
        app.run_jobs().await;
        app.execute("UPDATE payments SET created_at = created_at - interval '11 minutes'").await;
        app.execute("UPDATE attempts SET created_at = created_at - interval '11 minutes'").await;
        app.settle().await;
        let payment = app.payment(&id).await;
        if sent {
            assert_eq!(payment["status"], "requires_action", "it was asked in time: {payment}");
        } else {
            assert_eq!((&payment["status"], &payment["failure"]["code"]), (&json!("failed"), &json!("expired")));
        }
        assert_eq!(app.swish.world.payments().len(), usize::from(sent));
        assert_eq!(app.swish_requests("payments.create"), 1);
    }
}

#[tokio::test]
async fn a_certificate_that_swish_refuses_fails_no_payment() {
    let app = TestApp::start().await;
    app.swish_fault("payments.create", "error_before:403", 20);
    app.swish_fault("payments.create", "error_before:401", 20);
    let id = app.create_swish(json!({})).await;
    for _ in 0..40 {
        app.run_jobs().await;
        app.pass_time().await;
    }
    let payment = app.payment(&id).await;
    assert_eq!((&payment["status"], &payment["outcome_unknown_since"]), (&json!("pending"), &Value::Null));
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action");
}

async fn paid(app: &TestApp) -> String {
    let id = app.create_swish(json!({})).await;
    app.settle().await;
    app.swish.world.pay(&app.instruction(&id).await).expect("paid");
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "succeeded");
    id
}

/// Until Swish has carried the refunds out, which takes it some milliseconds.
async fn settle_refunds(app: &TestApp) {
    app.settle().await;
    testing::wait_until("the refunds", async || {
        app.settle().await;
        app.poll().await;
        let open =
            "SELECT count(*) FROM refunds WHERE status IN ('pending', 'processing') AND outcome_unknown_since IS NULL";
        (app.count(open).await == 0).then_some(())
    })
    .await;
}

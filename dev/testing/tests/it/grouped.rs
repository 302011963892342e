//! What comes at the same time is stored together, and is for each as if it had come alone.

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use sea_orm::{ConnectionTrait as _, TransactionTrait as _};
use serde_json::json;
use testing::{TestApp, payment_body};

use crate::metrics::Scrape;

/// A statement that was given several to do gives their rows the same transaction.
const TRANSACTIONS: &str = "SELECT count(DISTINCT xmin::text) FROM";

#[tokio::test]
async fn events_are_stored_together_and_each_once() {
    let app = TestApp::start().await;
    // The second hundred are the first again.
    let event = |n: u32| {
        let object = json!({ "id": format!("cus_{}", n % 100) });
        json!({ "id": format!("evt_{}", n % 100), "object": "event", "type": "customer.deleted", "data": { "object": object } })
    };
    let events: Vec<_> = (0..200).map(event).collect();
    let answers = join_all(events.iter().map(|event| app.send_event(event))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::OK), "{answers:?}");
    let duplicates = answers.iter().filter(|answer| answer.json()["duplicate"] == true).count();
    assert_eq!(duplicates, 100);
    for table in ["provider_events", "jobs"] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM {table}")).await, 100);
        let transactions = app.count(&format!("{TRANSACTIONS} {table}")).await;
        assert!(transactions < 50, "{transactions} transactions for 100 rows of {table}");
    }
    let told = Scrape::of_api(&app).await;
    let together = |what: &str| told.value(&format!("stored_together_{what}"), &[("what", "events")]);
    assert!(together("sum") >= 200.0 && together("count") < 100.0, "{} in {}", together("sum"), together("count"));
    let orphans = "SELECT count(*) FROM provider_events WHERE id NOT IN (SELECT subject_id FROM jobs)";
    assert_eq!(app.count(orphans).await, 0);
    app.settle().await;
    assert_eq!(app.count("SELECT count(*) FROM provider_events WHERE outcome = 'ignored'").await, 100);
}

#[tokio::test]
async fn payments_are_stored_together_and_one_that_cannot_be_leaves_the_others_alone() {
    let app = TestApp::start().await;
    app.create_payment(json!({})).await;
    // An older state of the database is brought back: the process remembers a customer that is not there any more.
    app.execute("TRUNCATE customers CASCADE").await;
    app.execute("TRUNCATE jobs CASCADE").await;
    let users: Vec<String> = (0..40).map(|n| if n == 7 { "anna".to_owned() } else { format!("user-{n}") }).collect();
    let pay = async |user: &str| app.call(Method::POST, "/api/payments", user, Some(payment_body(json!({})))).await;
    let answers = join_all(users.iter().map(|user| pay(user))).await;
    for (user, answer) in users.iter().zip(&answers) {
        let expected = if user == "anna" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::ACCEPTED };
        assert_eq!(answer.status, expected, "{user}: {answer:?}");
    }
    assert_eq!(pay("anna").await.status, StatusCode::ACCEPTED, "it is forgotten, and found out anew");
    for table in ["payments", "jobs", "payment_timeline"] {
        assert_eq!(app.count(&format!("SELECT count(*) FROM {table}")).await, 40, "{table}");
    }
    // Once more, with all of them known.
    let answers = join_all(users.iter().map(|user| pay(user))).await;
    assert!(answers.iter().all(|answer| answer.status == StatusCode::ACCEPTED), "{answers:?}");
    let transactions = app.count(&format!("{TRANSACTIONS} payments")).await;
    assert!(transactions < 70, "{transactions} transactions for 80 payments");
    app.settle().await;
    assert_eq!(app.count("SELECT count(*) FROM payments WHERE status = 'requires_action'").await, 80);
}

#[tokio::test]
async fn nobody_waits_for_a_lock_for_long_and_no_transaction_is_forgotten() {
    let app = TestApp::start().await;
    let limits = "SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
                  current_setting('idle_in_transaction_session_timeout'))";
    assert_eq!(app.text(limits).await, "10s 3s 15s");
}

#[tokio::test]
async fn a_lock_that_somebody_holds_is_only_one_users_trouble() {
    let app = TestApp::start().await;
    let pay = async |user: &str| app.call(Method::POST, "/api/payments", user, Some(payment_body(json!({})))).await;
    for user in ["anna", "bo"] {
        assert_eq!(pay(user).await.status, StatusCode::ACCEPTED);
    }
    // A worker that is frozen while it writes that anna has a customer at Stripe.
    let frozen = app.db.begin().await.expect("a transaction");
    frozen
        .execute_unprepared("UPDATE customers SET stripe_customer_id = 'cus_1' WHERE user_id = 'anna'")
        .await
        .expect("written");
    let answers = join_all([pay("bo"), pay("anna"), pay("bo"), pay("bo"), pay("bo")]).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [202, 503, 202, 202, 202]);
    frozen.rollback().await.expect("rolled back");
    assert_eq!(pay("anna").await.status, StatusCode::ACCEPTED);
}

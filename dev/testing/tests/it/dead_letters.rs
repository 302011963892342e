//! What an operator sees and can mend: dead jobs, queues, and a record of who did what.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::{Answer, TestApp};

async fn admin(app: &TestApp, method: Method, path: &str, body: Option<Value>) -> Answer {
    app.call(method, path, "root", body).await
}

/// A payment whose job is dead: Stripe stored a failure, and nothing was made.
async fn with_a_dead_job(app: &TestApp) -> (String, String) {
    app.make_stripe_customer().await;
    let id = app.create_payment(json!({ "payment_method": "pm_card_visa" })).await;
    app.fault("payment_intents.create", "drop_before", 30);
    app.settle().await;
    let jobs = admin(app, Method::GET, "/api/admin/jobs?state=dead", None).await.json();
    let job = jobs["data"][0]["id"].as_str().unwrap_or_else(|| panic!("no dead job: {jobs}")).to_owned();
    (id, job)
}

#[tokio::test]
async fn a_dead_job_shows_its_whole_history_and_runs_again_under_the_same_key() {
    let app = TestApp::start().await;
    let (id, job) = with_a_dead_job(&app).await;
    let detail = admin(&app, Method::GET, &format!("/api/admin/jobs/{job}"), None).await.json();
    assert_eq!((&detail["job"]["state"], &detail["job"]["subject_id"]), (&json!("dead"), &json!(id)));
    assert_eq!(detail["errors"].as_array().expect("errors").len(), 30, "{detail}");
    assert_eq!(detail["errors"][0]["attempt"], 30);

    let path = format!("/api/admin/jobs/{job}/retry");
    assert_eq!(
        app.call(Method::POST, &path, "anna", Some(json!({ "reason": "x" }))).await.status,
        StatusCode::FORBIDDEN
    );
    for bad in [json!({}), json!({ "reason": "" }), json!({ "reason": "x".repeat(501) })] {
        assert_eq!(admin(&app, Method::POST, &path, Some(bad)).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let again = admin(&app, Method::POST, &path, Some(json!({ "reason": "Stripe is back" }))).await;
    assert_eq!((again.status, again.json()["state"].clone()), (StatusCode::OK, json!("queued")), "{again:?}");
    app.settle().await;
    assert_eq!((app.payment(&id).await["status"].clone(), app.charges(&id)), (json!("succeeded"), 1));
    let keys = "SELECT count(*) FROM attempts WHERE operation = 'create_payment'";
    assert_eq!(app.count(keys).await, 1, "one key, all the time");
    let timeline = app.timeline(&id).await;
    let step = "admin pending retry_job create_payment by root: Stripe is back";
    assert!(timeline.iter().any(|known| known == step), "{timeline:?}");
    assert_eq!(
        app.text("SELECT concat_ws(' ', admin_id, action, reason) FROM admin_actions").await,
        "root retry_job Stripe is back"
    );
    let done = admin(&app, Method::POST, &path, Some(json!({ "reason": "x" }))).await;
    assert_eq!(done.status, StatusCode::CONFLICT, "it is done");
}

#[tokio::test]
async fn a_dead_job_is_discarded_once() {
    let app = TestApp::start().await;
    app.create_payment(json!({})).await;
    app.execute("UPDATE jobs SET state = 'dead', finished_at = now()").await;
    let job = app.text("SELECT id::text FROM jobs").await;
    let path = format!("/api/admin/jobs/{job}/discard");
    let discarded = admin(&app, Method::POST, &path, Some(json!({ "reason": "the payer paid in cash" }))).await;
    assert_eq!((discarded.status, discarded.json()["state"].clone()), (StatusCode::OK, json!("discarded")));
    assert_eq!(admin(&app, Method::POST, &path, Some(json!({ "reason": "x" }))).await.status, StatusCode::CONFLICT);
    let missing = format!("/api/admin/jobs/{}/discard", uuid::Uuid::now_v7());
    assert_eq!(admin(&app, Method::POST, &missing, Some(json!({ "reason": "x" }))).await.status, StatusCode::NOT_FOUND);
    for bad in ["state=gone", "kind=nothing", "lane=fast", "limit=0"] {
        let answer = admin(&app, Method::GET, &format!("/api/admin/jobs?{bad}"), None).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

#[tokio::test]
async fn a_cancellation_waits_for_what_a_person_decides_of_a_dead_creation() {
    let app = TestApp::start().await;
    let cancel = async |id: &str| {
        let answer = app.call(Method::POST, &format!("/api/payments/{id}/cancel"), "anna", Some(json!({}))).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    };
    let ended = async |id: &str| {
        let payment = app.payment(id).await;
        let operation = &payment["last_operation"];
        json!([payment["status"], operation["status"], operation["failure"]["code"]])
    };
    let decide = async |job: &str, what: &str| {
        let reason = Some(json!({ "reason": "looked into" }));
        let done = admin(&app, Method::POST, &format!("/api/admin/jobs/{job}/{what}"), reason).await;
        assert_eq!(done.status, StatusCode::OK, "{done:?}");
        app.settle().await;
    };
    // Whether it was made is not known: nothing is sent again because of it, and nothing is said of it.
    let (unknown, job) = with_a_dead_job(&app).await;
    cancel(&unknown).await;
    for _ in 0..3 {
        app.run_jobs().await;
        app.pass_time().await;
    }
    assert_eq!(ended(&unknown).await, json!(["pending", "pending", null]));
    assert_eq!(app.text("SELECT state FROM jobs WHERE kind = 'create_payment'").await, "dead");
    decide(&job, "retry").await;
    assert_eq!(ended(&unknown).await, json!(["succeeded", "failed", "payment_intent_unexpected_state"]));
    // What was never sent was certainly not made.
    let unsent = app.create_payment(json!({})).await;
    app.execute("UPDATE jobs SET state = 'dead', finished_at = now() WHERE state = 'queued'").await;
    let jobs = admin(&app, Method::GET, &format!("/api/admin/jobs?subject_id={unsent}"), None).await.json();
    cancel(&unsent).await;
    decide(jobs["data"][0]["id"].as_str().expect("a job"), "discard").await;
    assert_eq!(ended(&unsent).await, json!(["pending", "failed", "payment_not_made"]));
    let timeline = app.timeline(&unsent).await;
    assert!(timeline.iter().any(|step| step == "job pending cancel failed: payment_not_made"), "{timeline:?}");
}

#[tokio::test]
async fn many_are_redriven_at_a_rate() {
    let app = TestApp::start().await;
    for _ in 0..6 {
        app.create_payment(json!({})).await;
    }
    app.execute("UPDATE jobs SET state = 'dead', finished_at = now()").await;
    let body = json!({ "kind": "create_payment", "per_second": 2, "reason": "after the outage" });
    let answer = admin(&app, Method::POST, "/api/admin/jobs/redrive", Some(body)).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({ "redriven": 6 })));
    let spread = "SELECT string_agg(round(extract(epoch FROM run_at - now()))::text, ' ' ORDER BY run_at) FROM jobs";
    let spread = app.text(spread).await;
    let seconds: Vec<i64> = spread.split(' ').map(|text| text.parse().expect("seconds")).collect();
    assert_eq!(seconds.iter().map(|at| at - seconds[0]).collect::<Vec<_>>(), [0, 0, 1, 1, 2, 2], "{spread}");
    app.settle().await;
    assert_eq!(app.count("SELECT count(*) FROM payments WHERE status = 'requires_action'").await, 6);
}

#[tokio::test]
async fn a_paused_queue_accepts_and_waits() {
    let app = TestApp::start().await;
    let pause = json!({ "reason": "Stripe asked us to" });
    let paused = admin(&app, Method::POST, "/api/admin/queues/stripe_payments/pause", Some(pause.clone())).await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    assert_eq!(paused.json()["data"][0]["paused_by"], "root");
    let id = app.create_payment(json!({})).await;
    for job in app.due_jobs().await {
        worker::runner::run(&app.context, job).await;
    }
    assert_eq!(app.payment(&id).await["status"], "pending");
    assert_eq!(app.simulator.world.requests().len(), 0);
    let queues = admin(&app, Method::GET, "/api/admin/queues", None).await.json();
    assert_eq!(
        (&queues["data"][0]["lane"], &queues["data"][0]["ready"]),
        (&json!("stripe_payments"), &json!(1)),
        "{queues}"
    );
    admin(&app, Method::POST, "/api/admin/queues/stripe_payments/resume", Some(pause)).await;
    app.settle().await;
    assert_eq!(app.payment(&id).await["status"], "requires_action");
    let actions = admin(&app, Method::GET, "/api/admin/actions?limit=1", None).await.json();
    assert_eq!(
        (&actions["data"][0]["action"], &actions["has_more"]),
        (&json!("resume_queue"), &json!(true)),
        "{actions}"
    );
    let cursor = actions["next_cursor"].as_str().expect("a cursor");
    let older = admin(&app, Method::GET, &format!("/api/admin/actions?starting_after={cursor}"), None).await.json();
    assert_eq!(
        (&older["data"][0]["reason"], older["data"].as_array().map(Vec::len)),
        (&json!("Stripe asked us to"), Some(1))
    );
}

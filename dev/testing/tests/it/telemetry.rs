//! Traces as they are exported: one from the request through the job to the provider, and the webhook that settles it.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{EndpointExt as _, Route, Server, handler, post};
use prost::Message as _;
use serde_json::Value;
use testing::processes::{ApiProcess, WorkerProcess};
use testing::{TestApp, payment_body, token, wait_until};

type Spans = Arc<Mutex<Vec<Span>>>;

#[handler]
fn collect(Data(spans): Data<&Spans>, body: Vec<u8>) {
    let request = ExportTraceServiceRequest::decode(body.as_slice()).expect("spans");
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    spans.lock().expect("the spans").extend(scopes.flat_map(|scope| scope.spans));
}

/// A collector of OTLP over HTTP. Its address, and what it was sent.
fn collector() -> (String, Spans) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener");
    let (address, spans) = (listener.local_addr().expect("an address"), Spans::default());
    let app = Route::new().at("/v1/traces", post(collect)).data(spans.clone());
    tokio::spawn(async move {
        Server::new_with_acceptor(TcpAcceptor::from_std(listener).expect("a listener")).run(app).await
    });
    (format!("http://{address}"), spans)
}

fn is_job(span: &Span, kind: &str) -> bool {
    let has = |attribute: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        attribute.key == "job.kind" && format!("{:?}", attribute.value).contains(&format!("\"{kind}\""))
    };
    span.name == "job" && span.attributes.iter().any(has)
}

#[tokio::test]
async fn one_trace_goes_from_the_request_to_the_provider_and_the_webhook_links_to_it() {
    let app = TestApp::start().await;
    let (url, spans) = collector();
    let export = [("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()), ("RUST_LOG", "info")];
    let api = ApiProcess::start_with(&app, &export).await;
    let _worker = WorkerProcess::start_with(&app, &export);
    let (trace_id, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let body = payment_body(serde_json::json!({ "payment_method": "pm_card_visa" }));
    let answer = reqwest::Client::new()
        .post(format!("{}/api/payments", api.url))
        .bearer_auth(token("anna"))
        .header("traceparent", format!("00-{trace_id}-{parent}-01"))
        .json(&body)
        .send()
        .await
        .expect("an answer");
    let payment: Value = answer.json().await.expect("a payment");
    app.wait_for_status(payment["id"].as_str().expect("an id"), "succeeded").await;

    let bytes = |text: &str| hex::decode(text).expect("hex");
    let request = wait_until("the request was exported", async || {
        let spans = spans.lock().expect("the spans");
        spans.iter().find(|span| span.trace_id == bytes(trace_id) && span.name == "request").cloned()
    })
    .await;
    assert_eq!(request.parent_span_id, bytes(parent));
    let job = wait_until("the job was exported", async || {
        let spans = spans.lock().expect("the spans");
        spans.iter().find(|span| span.trace_id == bytes(trace_id) && is_job(span, "create_payment")).cloned()
    })
    .await;
    assert_eq!(job.parent_span_id, request.span_id);
    let calls = wait_until("the calls were exported", async || {
        let spans = spans.lock().expect("the spans");
        let calls = spans.iter().filter(|span| span.name == "provider_request" && span.parent_span_id == job.span_id);
        Some(calls.cloned().collect::<Vec<_>>()).filter(|calls| !calls.is_empty())
    })
    .await;
    assert!(calls.iter().all(|call| call.trace_id == bytes(trace_id)));
    wait_until("the webhook's job links to it", async || {
        let spans = spans.lock().expect("the spans");
        let links = |span: &Span| span.links.iter().any(|link| link.trace_id == bytes(trace_id));
        spans.iter().any(|span| is_job(span, "apply_stripe_event") && links(span)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_log_says_which_job_which_payment_and_which_trace() {
    let app = TestApp::start().await;
    let path = std::env::temp_dir().join(format!("payment-test-log-{}", app.queue_prefix));
    let log = std::fs::File::create(&path).expect("a file");
    let settings = [("LOG_FORMAT", "json"), ("RUST_LOG", "info")];
    let _worker = WorkerProcess::start_logging(&app, &settings, log.into());
    app.fault("payment_intents.create", "error_before:500", 1);
    let (trace_id, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let headers = [
        ("authorization", format!("Bearer {}", token("anna"))),
        ("content-type", "application/json".to_owned()),
        ("traceparent", format!("00-{trace_id}-{parent}-01")),
    ];
    let body = payment_body(serde_json::json!({ "payment_method": "pm_card_visa" })).to_string();
    let answer = app.raw(reqwest::Method::POST, "/api/payments", &headers, body.into_bytes()).await;
    let payment = answer.json()["id"].as_str().expect("an id").to_owned();
    app.wait_for_status(&payment, "succeeded").await;
    let log = std::fs::read_to_string(&path).expect("a log");
    std::fs::remove_file(&path).expect("removed");
    let failure = log.lines().find(|line| line.contains("the job will run again")).expect("the failure is logged");
    assert_eq!(log.lines().filter(|line| line.contains("the job will run again")).count(), 1, "once: {log}");
    let failure: Value = serde_json::from_str(failure).expect("JSON");
    let span = &failure["span"];
    assert_eq!((&span["payment.id"], &span["trace.id"]), (&payment.into(), &trace_id.into()), "{failure}");
    assert!(span["job.id"].is_string() && span["job.kind"] == "create_payment", "{failure}");
    assert!(failure["fields"]["error"].as_str().expect("a chain").contains("status 500"), "{failure}");
}

//! Many requests that wait, on one subscription to Redis: streams of events, and `GET`s with `Prefer: wait`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;
use testing::processes::ApiProcess;
use testing::{TestApp, token};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

pub(crate) async fn run(requests: usize) -> anyhow::Result<()> {
    let app = TestApp::start().await;
    measure(&app, requests, "streams of events", "/events", "Last-Event-ID: {}").await?;
    measure(&app, requests, "held GETs", "", "Prefer: wait=60\r\nIf-None-Match: \"{}\"").await
}

/// `headers` has `{}` where the version goes that the client has.
async fn measure(app: &TestApp, requests: usize, what: &str, suffix: &str, headers: &str) -> anyhow::Result<()> {
    // A new process each time: a gone client is noticed only later.
    let api = ApiProcess::start(app).await;
    let id = app.create_payment(json!({})).await;
    let address = api.url.trim_start_matches("http://").to_owned();
    let request = Arc::new(format!(
        "GET /api/payments/{id}{suffix} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n{}\r\n\r\n",
        token("anna"),
        headers.replace("{}", "1"),
    ));
    let (before, subscribed) = (api.resident_kib(), subscriptions(app).await?);
    let mut clients = JoinSet::new();
    for opened in 1..=requests {
        let (request, address) = (request.clone(), address.clone());
        clients.spawn(async move {
            let mut connection = TcpStream::connect(&address).await?;
            connection.write_all(request.as_bytes()).await?;
            read_payment(&mut connection).await?;
            anyhow::Ok(Instant::now())
        });
        // Not all of them knock at once: each begins with a read, and what is measured is waiting.
        if opened % 20 == 0 || opened == requests {
            all_wait(&api, opened, &mut clients).await?;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
    let during = api.resident_kib();
    println!("{requests} {what}:");
    println!("  subscriptions to Redis  {subscribed} before, {} now", subscriptions(app).await?);
    println!("  memory of the API       {before} KiB before, {during} KiB now");
    println!("  of each                 {:.1} KiB", f64::from(i32::try_from(during - before)?) / requests as f64);

    let began = Instant::now();
    app.execute(&format!("UPDATE payments SET version = version + 1, updated_at = now() WHERE id = '{id}'")).await;
    let mut redis = redis::Client::open(app.redis_url.as_str())?.get_multiplexed_async_connection().await?;
    let channel = shared::queue::Names::new(&app.queue_prefix).changed_channel();
    redis::cmd("PUBLISH").arg(channel).arg(&id).exec_async(&mut redis).await?;
    let mut answered = Vec::with_capacity(requests);
    while let Some(client) = clients.join_next().await {
        answered.push(client??.duration_since(began));
    }
    answered.sort_unstable();
    let middle = answered.get(requests / 2).context("nobody was answered")?;
    let last = answered.last().context("nobody was answered")?;
    println!("  answered after a change half of them after {middle:.1?}, all after {last:.1?}");
    anyhow::ensure!(*last < Duration::from_secs(5), "that is late");
    Ok(())
}

async fn all_wait(
    api: &ApiProcess,
    count: usize,
    clients: &mut JoinSet<anyhow::Result<Instant>>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    while waiting(api).await != Some(count) {
        if let Some(early) = clients.try_join_next() {
            early??;
            anyhow::bail!("one was answered before there was a change");
        }
        anyhow::ensure!(began.elapsed() < Duration::from_secs(30), "{:?} wait, not {count}", waiting(api).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Reads up to the payment's end.
async fn read_payment(connection: &mut TcpStream) -> anyhow::Result<()> {
    let mut text = String::new();
    while !text.contains("\"expires_at\"") {
        let mut bytes = [0; 4096];
        let read = connection.read(&mut bytes).await?;
        text.push_str(&String::from_utf8_lossy(bytes.get(..read).unwrap_or_default()));
        anyhow::ensure!(read > 0 && text.starts_with("HTTP/1.1 200"), "not answered well: {text}");
    }
    Ok(())
}

async fn waiting(api: &ApiProcess) -> Option<usize> {
    let metrics = api.get("/metrics").await?;
    let line = metrics.lines().find_map(|line| line.strip_prefix("payment_service_waiting_requests "));
    line?.parse().ok()
}

/// How many clients of Redis are subscribed to something.
async fn subscriptions(app: &TestApp) -> anyhow::Result<usize> {
    let mut redis = redis::Client::open(app.redis_url.as_str())?.get_multiplexed_async_connection().await?;
    let clients: String = redis::cmd("CLIENT").arg("LIST").arg("TYPE").arg("pubsub").query_async(&mut redis).await?;
    Ok(clients.lines().count())
}

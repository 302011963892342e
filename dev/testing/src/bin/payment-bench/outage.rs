//! Redis dies, comes back empty and is emptied once more, while payments arrive at a fixed rate: what clients notice, and
//! that every payment which was accepted comes to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use testing::processes::{ApiProcess, RedisProcess, WorkerProcess};
use testing::settings::Settings;
use testing::{TestApp, payment_body, token};

const DIES_AT: Duration = Duration::from_secs(10);
const IS_BACK_AT: Duration = Duration::from_secs(20);
const IS_FLUSHED_AT: Duration = Duration::from_secs(25);
const ENDS_AT: Duration = Duration::from_secs(30);
/// So many that none meets its limit.
const USERS: u32 = 1_000;

/// When it was to be sent, how long after that the answer was there, and whether the payment was accepted.
type Sample = (Duration, Duration, bool);

pub(crate) async fn run(per_second: u32) -> anyhow::Result<()> {
    let mut redis = RedisProcess::start().await;
    let app = TestApp::start_as(Settings { redis_url: redis.url(), ..Settings::default() }).await;
    let api = ApiProcess::start(&app).await;
    let _workers = [WorkerProcess::start(&app), WorkerProcess::start(&app)];
    let tokens: Arc<Vec<String>> = Arc::new((0..USERS).map(|n| token(&format!("user-{n}"))).collect());
    let http = reqwest::Client::new();
    let body = payment_body(serde_json::json!({ "payment_method": "pm_card_visa" })).to_string();
    let began = Instant::now();
    let load = tokio::spawn(arrive(api.url.clone(), http, tokens, body, per_second, began));

    tokio::time::sleep_until((began + DIES_AT).into()).await;
    redis.kill().await;
    tokio::time::sleep_until((began + IS_BACK_AT).into()).await;
    redis.start_again().await;
    tokio::time::sleep_until((began + IS_FLUSHED_AT).into()).await;
    let mut connection = shared::queue::connect(&redis.url()).await?;
    let _: () = connection.flushall().await?;

    let samples = load.await??;
    let accepted = samples.iter().filter(|sample| sample.2).count();
    testing::wait_until("all payments have ended", async || {
        let open = "SELECT count(*) FROM payments WHERE status NOT IN ('succeeded', 'failed', 'canceled')";
        (app.count(open).await == 0).then_some(())
    })
    .await;
    println!("{per_second} payments a second; Redis dies at 10 s, is back and empty at 20 s, is flushed at 25 s");
    for (name, from, to) in [
        ("before", Duration::ZERO, DIES_AT),
        ("while Redis is away", DIES_AT, IS_BACK_AT),
        ("afterwards", IS_BACK_AT, ENDS_AT),
    ] {
        let mut millis: Vec<f64> = samples
            .iter()
            .filter(|(at, _, _)| (from..to).contains(at))
            .map(|(_, took, _)| took.as_secs_f64() * 1_000.0)
            .collect();
        millis.sort_by(f64::total_cmp);
        let at = |per_mille: usize| millis[(millis.len() - 1) * per_mille / 1_000];
        println!("  {name:<20} p50 {:>7.1} ms  p99 {:>7.1} ms  max {:>7.1} ms", at(500), at(990), at(1_000));
    }
    let stored = usize::try_from(app.count("SELECT count(*) FROM payments").await)?;
    let paid = usize::try_from(app.count("SELECT count(*) FROM payments WHERE status = 'succeeded'").await)?;
    let rest = began.elapsed().saturating_sub(ENDS_AT);
    println!(
        "  {accepted} of {} accepted, {stored} stored, {paid} paid, at rest after {:.1} s more",
        samples.len(),
        rest.as_secs_f64()
    );
    anyhow::ensure!(
        accepted == samples.len() && stored == accepted && paid == accepted,
        "a payment was refused or lost"
    );
    Ok(())
}

/// Sends at fixed moments, whatever becomes of those before. Latency counts from the moment.
async fn arrive(
    url: String,
    http: reqwest::Client,
    tokens: Arc<Vec<String>>,
    body: String,
    per_second: u32,
    began: Instant,
) -> anyhow::Result<Vec<Sample>> {
    let mut requests = tokio::task::JoinSet::new();
    let count = per_second * u32::try_from(ENDS_AT.as_secs())?;
    for n in 0..count {
        let at = Duration::from_secs(1) * n / per_second;
        let user = usize::try_from(n)? % tokens.len();
        let request = http.post(format!("{url}/api/payments")).bearer_auth(&tokens[user]);
        let request = request.header("content-type", "application/json").body(body.clone());
        tokio::time::sleep_until((began + at).into()).await;
        requests.spawn(async move {
            let accepted = request.send().await.is_ok_and(|answer| answer.status() == 202);
            (at, (began + at).elapsed(), accepted)
        });
    }
    Ok(requests.join_all().await)
}

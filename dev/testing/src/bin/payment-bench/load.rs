//! Payments that arrive at a fixed rate, and what became of them.

use std::ops::Range;
use std::time::{Duration, Instant};

use testing::{TestApp, payment_body, token};

/// So many that none meets its limit.
const USERS: u32 = 1_000;

/// How long it takes until the first can be sent.
pub(crate) const PREPARING: Duration = Duration::from_secs(2);

/// A payment that was asked for.
pub(crate) struct Sample {
    /// When it was to be sent, from the beginning.
    at: Duration,
    /// How long after that the answer was there.
    took: Duration,
    /// What came instead of `202`.
    refusal: Option<String>,
}

/// Sends at fixed moments, whatever becomes of those before. Latency counts from the moment.
pub(crate) async fn arrive(
    url: String,
    per_second: u32,
    began: Instant,
    length: Duration,
) -> anyhow::Result<Vec<Sample>> {
    let tokens: Vec<String> = (0..USERS).map(|n| token(&format!("user-{n}"))).collect();
    let body = payment_body(serde_json::json!({ "payment_method": "pm_card_visa" })).to_string();
    let http = reqwest::Client::new();
    let mut requests = tokio::task::JoinSet::new();
    for n in 0..per_second * u32::try_from(length.as_secs())? {
        let at = Duration::from_secs(1) * n / per_second;
        let user = usize::try_from(n % USERS)?;
        let request = http.post(format!("{url}/api/payments")).bearer_auth(&tokens[user]);
        let request = request.header("content-type", "application/json").body(body.clone());
        tokio::time::sleep_until((began + at).into()).await;
        requests.spawn(async move {
            let refusal = match request.send().await {
                Ok(answer) if answer.status() == 202 => None,
                Ok(answer) => {
                    let status = answer.status();
                    Some(format!("{status} {}", answer.text().await.unwrap_or_default()))
                }
                Err(error) => Some(shared::providers::chain(&error)),
            };
            Sample { at, took: (began + at).elapsed(), refusal }
        });
    }
    Ok(requests.join_all().await)
}

/// Of those that were to be sent in a stretch of time.
pub(crate) fn latencies(samples: &[Sample], when: Range<Duration>) -> String {
    let there = samples.iter().filter(|sample| when.contains(&sample.at));
    let mut millis: Vec<f64> = there.map(|sample| sample.took.as_secs_f64() * 1_000.0).collect();
    millis.sort_by(f64::total_cmp);
    let at =
        |per_mille: usize| millis.get(millis.len().saturating_sub(1) * per_mille / 1_000).copied().unwrap_or_default();
    format!("p50 {:>7.1} ms  p99 {:>7.1} ms  max {:>7.1} ms", at(500), at(990), at(1_000))
}

pub(crate) async fn all_have_ended(app: &TestApp) {
    testing::wait_until("all payments have ended", async || {
        let open = "SELECT count(*) FROM payments WHERE status NOT IN ('succeeded', 'failed', 'canceled')";
        (app.count(open).await == 0).then_some(())
    })
    .await;
}

/// # Errors
/// A payment was refused, lost, or charged more than once.
pub(crate) async fn nothing_was_lost(app: &TestApp, samples: &[Sample]) -> anyhow::Result<()> {
    let accepted = samples.iter().filter(|sample| sample.refusal.is_none()).count();
    let stored = usize::try_from(app.count("SELECT count(*) FROM payments").await)?;
    let paid = usize::try_from(app.count("SELECT count(*) FROM payments WHERE status = 'succeeded'").await)?;
    let dead = app.count("SELECT count(*) FROM jobs WHERE state = 'dead'").await;
    let charges = app.simulator.world.ledger().iter().filter(|entry| entry.kind == "charge").count();
    println!(
        "  {accepted} of {} accepted, {stored} stored, {paid} paid, {charges} charges, {dead} dead jobs",
        samples.len()
    );
    let refused: Vec<&Sample> = samples.iter().filter(|sample| sample.refusal.is_some()).collect();
    if let (Some(first), Some(last)) = (refused.first(), refused.last()) {
        anyhow::bail!("refused between {:?} and {:?}, as in {:?}", first.at, last.at, first.refusal);
    }
    anyhow::ensure!(stored == accepted && paid == accepted && charges == accepted && dead == 0, "lost or doubled");
    Ok(())
}

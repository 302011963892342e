//! Redis dies, comes back empty and is emptied once more, while payments arrive at a fixed rate: what clients notice, and
//! that every payment which was accepted comes to its end.

use std::time::{Duration, Instant};

use redis::AsyncCommands as _;
use testing::TestApp;
use testing::processes::{ApiProcess, RedisProcess, WorkerProcess};
use testing::settings::Settings;

use crate::load::{PREPARING, all_have_ended, arrive, latencies, nothing_was_lost};

const DIES_AT: Duration = Duration::from_secs(10);
const IS_BACK_AT: Duration = Duration::from_secs(20);
const IS_FLUSHED_AT: Duration = Duration::from_secs(25);
const ENDS_AT: Duration = Duration::from_secs(30);
pub(crate) async fn run(per_second: u32) -> anyhow::Result<()> {
    let mut redis = RedisProcess::start().await;
    let app = TestApp::start_as(Settings { redis_url: redis.url(), ..Settings::default() }).await;
    let api = ApiProcess::start(&app).await;
    let _workers = [WorkerProcess::start(&app), WorkerProcess::start(&app)];
    let began = Instant::now() + PREPARING;
    let load = tokio::spawn(arrive(api.url.clone(), per_second, began, ENDS_AT));

    tokio::time::sleep_until((began + DIES_AT).into()).await;
    redis.kill().await;
    tokio::time::sleep_until((began + IS_BACK_AT).into()).await;
    redis.start_again().await;
    tokio::time::sleep_until((began + IS_FLUSHED_AT).into()).await;
    let mut connection = shared::queue::connect(&redis.url()).await?;
    let _: () = connection.flushall().await?;

    let samples = load.await??;
    all_have_ended(&app).await;
    println!("{per_second} payments a second; Redis dies at 10 s, is back and empty at 20 s, is flushed at 25 s");
    for (name, from, to) in [
        ("before", Duration::ZERO, DIES_AT),
        ("while Redis is away", DIES_AT, IS_BACK_AT),
        ("afterwards", IS_BACK_AT, ENDS_AT),
    ] {
        println!("  {name:<20} {}", latencies(&samples, from..to));
    }
    let rest = began.elapsed().saturating_sub(ENDS_AT);
    println!("  at rest after {:.1} s more", rest.as_secs_f64());
    nothing_was_lost(&app, &samples).await
}

//! Two APIs behind a load balancer and two workers are replaced, one after the other, while payments arrive and webhooks come
//! back through the same balancer: no request fails, nothing is lost or done twice.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testing::TestApp;
use testing::processes::{ApiProcess, WorkerProcess};
use testing::settings::Settings;

use crate::load::{PREPARING, all_have_ended, arrive, latencies, nothing_was_lost};

const BEGINS_AT: Duration = Duration::from_secs(5);
const ENDS_AT: Duration = Duration::from_secs(40);
/// How long a process takes requests after it was told to stop: what the balancer needs to notice, and more.
const DRAIN: &str = "2000";

pub(crate) async fn run(haproxy: &Path, per_second: u32) -> anyhow::Result<()> {
    let port = stack::places::free_port()?;
    let ports = [(); 4].map(|()| stack::places::free_port());
    let [a, b, c, d] = ports;
    let ports = [a?, b?, c?, d?];
    let url = format!("http://127.0.0.1:{port}");
    let webhook_url = Some(format!("{url}/api/webhooks/stripe"));
    let app = TestApp::start_as(Settings { webhook_url, ..Settings::default() }).await;
    let _balancer = Balancer::start(haproxy, port, &ports)?;
    let api = async |port| ApiProcess::start_at(&app, port, &[("DRAIN_MS", DRAIN)]).await;
    let mut apis = [api(ports[0]).await, api(ports[1]).await];
    let mut workers = [WorkerProcess::start(&app), WorkerProcess::start(&app)];
    let http = reqwest::Client::new();
    testing::wait_until("the balancer has found them", async || {
        http.get(format!("{url}/health/ready")).send().await.ok()?.error_for_status().ok()
    })
    .await;
    let began = Instant::now() + PREPARING;
    let load = tokio::spawn(arrive(url, per_second, began, ENDS_AT));

    tokio::time::sleep_until((began + BEGINS_AT).into()).await;
    for (replaced, port) in [(0, ports[2]), (1, ports[3])] {
        let new = api(port).await;
        let mut old = std::mem::replace(&mut apis[replaced], new);
        // The balancer looks once a second.
        tokio::time::sleep(Duration::from_secs(2)).await;
        old.signal(Signal::SIGTERM);
        testing::wait_until("the API has left", async || old.ended_well()).await;
        let new = WorkerProcess::start(&app);
        let mut old = std::mem::replace(&mut workers[replaced], new);
        old.signal(Signal::SIGTERM);
        testing::wait_until("the worker has left", async || old.ended_well()).await;
    }
    let rolled_at = began.elapsed();
    anyhow::ensure!(rolled_at < ENDS_AT, "the roll took longer than the load");
    let samples = load.await??;
    all_have_ended(&app).await;
    println!("{per_second} payments a second for {} s; 2 APIs and 2 workers replaced", ENDS_AT.as_secs());
    for (name, from, to) in [
        ("before", Duration::ZERO, BEGINS_AT),
        ("while they are", BEGINS_AT, rolled_at),
        ("afterwards", rolled_at, ENDS_AT),
    ] {
        println!("  {name:<20} {}", latencies(&samples, from..to));
    }
    nothing_was_lost(&app, &samples).await
}

/// HAProxy, as it would stand before the service. Killed when dropped.
struct Balancer {
    child: Child,
    config: std::path::PathBuf,
}

impl Balancer {
    fn start(program: &Path, port: u16, ports: &[u16]) -> anyhow::Result<Self> {
        let config = std::env::temp_dir().join(format!("payment-roll-{port}.cfg"));
        let servers: String =
            ports.iter().map(|port| format!("    server api-{port} 127.0.0.1:{port} check\n")).collect();
        let text = format!(
            "defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    default-server inter 500ms fall 2 rise 1
frontend in
    bind 127.0.0.1:{port}
    default_backend api
backend api
    balance roundrobin
    option httpchk GET /health/ready
    http-check expect status 200
{servers}"
        );
        std::fs::write(&config, text)?;
        let child = Command::new(program).arg("-f").arg(&config).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        Ok(Self { child, config })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}

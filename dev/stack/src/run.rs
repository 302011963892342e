//! `make run`: the whole service, until Ctrl-C.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use serde_json::json;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::introduction::Introduction;
use crate::leftovers::end_leftovers;
use crate::places::{check_port, dev_dir, free_port, kept_secret, own_program, write_private};
use crate::postgres::{Cluster, Durability};
use crate::process::{Keep, Kept, Starts};
use crate::redis::Redis;
use crate::swish::SimulatedSwish;
use crate::tokens::token;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How many workers.
    #[arg(long, env = "WORKERS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=64))]
    workers: u16,
    /// Where the API listens.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// A Postgres to use instead of a private one.
    #[arg(long, env, hide_env_values = true)]
    database_url: Option<String>,
    /// A Redis to use instead of a private one.
    #[arg(long, env, hide_env_values = true)]
    redis_url: Option<String>,
    /// A test key (sk_test_…): the real Stripe is used instead of the simulator.
    #[arg(long, env, hide_env_values = true)]
    stripe_api_key: Option<String>,
    /// The signing secret of its webhooks, as `stripe listen` prints it.
    #[arg(long, env, hide_env_values = true)]
    stripe_webhook_secret: Option<String>,
}

struct Stack {
    dir: PathBuf,
    starts: Starts,
    children: Vec<Kept>,
}

/// Everything that a script needs to use the stack.
struct Addresses {
    api: String,
    /// Where each worker has its metrics.
    workers: Vec<String>,
    database: String,
    redis: String,
    /// None: the real Stripe.
    simulator: Option<String>,
    swish: SimulatedSwish,
    jwt_secret: String,
    webhook_secret: String,
}

/// # Errors
/// What keeps the stack from starting, in words that help.
pub async fn run(options: Options) -> Result<()> {
    let began = Instant::now();
    let dir = dev_dir()?;
    std::fs::create_dir_all(dir.join("logs"))?;
    let lock = std::fs::File::create(dir.join("lock"))?;
    if lock.try_lock().is_err() {
        bail!("the stack of this directory is running already; its addresses are in .dev/stack.json");
    }
    if options.stripe_api_key.as_ref().is_some_and(|key| !key.starts_with("sk_test_") && !key.starts_with("rk_test_")) {
        bail!("STRIPE_API_KEY is no test key (sk_test_…): this stack never moves real money");
    }
    end_leftovers(&dir.join("stack.json"));
    check_port(options.port)?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // The terminal was closed.
    let mut hangup = signal(SignalKind::hangup())?;
    let (starts, mut started) = mpsc::unbounded_channel();
    let mut stack = Stack { dir: dir.clone(), starts, children: Vec::new() };
    let starting = async {
        let addresses = start(&mut stack, &options).await?;
        wait_until_ready(&addresses.api).await?;
        Ok::<_, anyhow::Error>(addresses)
    };
    let result = tokio::select! {
        addresses = starting => addresses.map(Some),
        _ = interrupt.recv() => Ok(None),
        _ = terminate.recv() => Ok(None),
        _ = hangup.recv() => Ok(None),
    };
    let result = match result {
        Ok(Some(addresses)) => {
            let mut pids = BTreeMap::new();
            while let Ok((name, pid)) = started.try_recv() {
                pids.insert(name, pid);
            }
            write_stack_json(&dir, &addresses, &pids)?;
            introduce(&addresses, &options, began.elapsed())?;
            loop {
                tokio::select! {
                    Some((name, pid)) = started.recv() => {
                        pids.insert(name, pid);
                        write_stack_json(&dir, &addresses, &pids)?;
                    }
                    _ = interrupt.recv() => break,
                    _ = terminate.recv() => break,
                    _ = hangup.recv() => break,
                }
            }
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(error) => Err(error),
    };
    say!("\nstopping");
    // The last started first: the servers outlive those who use them.
    while let Some(child) = stack.children.pop() {
        child.stop().await;
    }
    let _ = std::fs::remove_file(dir.join("stack.json"));
    result
}

/// Starts everything, servers first.
async fn start(stack: &mut Stack, options: &Options) -> Result<Addresses> {
    let dir = stack.dir.clone();
    let jwt_secret = kept_secret(&dir.join("jwt.secret"))?;
    let database = match &options.database_url {
        Some(url) => url.clone(),
        None => {
            let cluster = Cluster::prepare(&dir, free_port()?, Durability::Full).await?;
            let server = cluster.clone();
            stack.keep("postgres", Signal::SIGINT, move || server.server())?;
            cluster.ready().await?;
            cluster.url()
        }
    };
    let redis = match &options.redis_url {
        Some(url) => url.clone(),
        None => {
            let redis = Redis::prepare(&dir, free_port()?)?;
            let server = redis.clone();
            stack.keep("redis", Signal::SIGTERM, move || server.server())?;
            redis.ready().await?;
            redis.url()
        }
    };
    let migrated = Command::new(own_program("payment-migrate")?).env("DATABASE_URL", &database).output().await?;
    if !migrated.status.success() {
        bail!("the migrations failed:\n{}", String::from_utf8_lossy(&migrated.stderr));
    }
    let api = format!("http://127.0.0.1:{}", options.port);
    let webhook_secret = match (&options.stripe_webhook_secret, &options.stripe_api_key) {
        (Some(secret), Some(_)) => secret.clone(),
        _ => format!("whsec_{}", kept_secret(&dir.join("stripe-webhook.secret"))?),
    };
    let swish = SimulatedSwish::prepare(&dir)?;
    let port = start_simulator(stack, &api, &webhook_secret, &swish).await?;
    let simulator = options.stripe_api_key.is_none().then(|| format!("http://127.0.0.1:{port}"));
    let workers = (0..options.workers).map(|_| Ok(format!("127.0.0.1:{}", free_port()?))).collect::<Result<_>>()?;
    let addresses = Addresses { api, workers, database, redis, simulator, swish, jwt_secret, webhook_secret };
    start_service(stack, options, &addresses)?;
    Ok(addresses)
}

/// One program plays both providers. With the real Stripe only its Swish is used. Gives the port of its Stripe.
async fn start_simulator(stack: &mut Stack, api: &str, webhook_secret: &str, swish: &SimulatedSwish) -> Result<u16> {
    let (program, port) = (own_program("payment-simulator")?, free_port()?);
    let (hook, secret) = (format!("{api}/api/webhooks/stripe"), webhook_secret.to_owned());
    // Our database remembers Stripe's objects: so must what plays Stripe.
    let state_file = stack.dir.join("simulator.json");
    let plays_swish = swish.clone();
    stack.keep("simulator", Signal::SIGTERM, move || {
        let mut command = Command::new(&program);
        command.arg("--listen").arg(format!("127.0.0.1:{port}")).arg("--webhook-url").arg(&hook);
        command.env("SIMULATOR_WEBHOOK_SECRET", &secret).env("SIMULATOR_STATE_FILE", &state_file);
        plays_swish.configure(&mut command);
        command
    })?;
    swish.ready().await?;
    Ok(port)
}

/// The service itself: the binaries that run in production, configured as there.
fn start_service(stack: &mut Stack, options: &Options, addresses: &Addresses) -> Result<()> {
    // All of them together within what the private Postgres allows.
    let connections = (250 / (options.workers + 1)).clamp(2, 20);
    let mut environment = vec![
        ("DATABASE_CONNECTIONS_MAX", connections.to_string()),
        ("DATABASE_URL", addresses.database.clone()),
        ("REDIS_URL", addresses.redis.clone()),
        ("LOG_FORMAT", "text".to_owned()),
        ("RUST_LOG", std::env::var("RUST_LOG").unwrap_or_else(|_| "info,apalis_core=off".to_owned())),
        ("LISTEN", format!("127.0.0.1:{}", options.port)),
        ("JWT_DEVELOPMENT_SECRET", addresses.jwt_secret.clone()),
        ("STRIPE_WEBHOOK_SECRETS", addresses.webhook_secret.clone()),
        ("DRAIN_MS", "0".to_owned()),
    ];
    environment.extend(addresses.swish.environment(&addresses.api));
    match (&options.stripe_api_key, &addresses.simulator) {
        (Some(key), _) => environment.push(("STRIPE_API_KEY", key.clone())),
        (None, Some(url)) => {
            environment.push(("STRIPE_API_KEY", "sk_test_simulated".to_owned()));
            environment.push(("STRIPE_BASE_URL", url.clone()));
        }
        (None, None) => bail!("neither Stripe nor a simulator"),
    }
    let mut programs = vec![("api".to_owned(), own_program("payment-api")?, None)];
    for (n, listen) in (1..).zip(&addresses.workers) {
        programs.push((format!("worker-{n}"), own_program("payment-worker")?, Some(listen.clone())));
    }
    // The API is stopped before the workers: it is kept last.
    for (name, program, listen) in programs.into_iter().rev() {
        let mut environment = environment.clone();
        environment.extend(listen.map(|listen| ("WORKER_LISTEN", listen)));
        stack.keep(&name, Signal::SIGTERM, move || {
            let mut command = Command::new(&program);
            command.envs(environment.iter().map(|(name, value)| (name, value)));
            command
        })?;
    }
    Ok(())
}

impl Stack {
    fn keep(
        &mut self,
        name: &str,
        stop_signal: Signal,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Result<()> {
        say!("starting {name}");
        let log = self.dir.join("logs").join(format!("{name}.log"));
        let keep = Keep { name: name.to_owned(), log, stop_signal, command: Box::new(command) };
        self.children.push(Kept::start(keep, self.starts.clone())?);
        Ok(())
    }
}

async fn wait_until_ready(api: &str) -> Result<()> {
    let http = reqwest::Client::new();
    for _ in 0..300 {
        if http.get(format!("{api}/health/ready")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("the API was not ready within 15 seconds; see .dev/logs/api.log")
}

/// Written whole or not at all: scripts read it while we write.
fn write_stack_json(dir: &Path, addresses: &Addresses, pids: &BTreeMap<String, u32>) -> Result<()> {
    let workers: Vec<u32> = pids.iter().filter(|(name, _)| name.starts_with("worker-")).map(|(_, pid)| *pid).collect();
    let workers_metrics = addresses.workers.iter().map(|listen| format!("http://{listen}/metrics"));
    let metrics: Vec<String> = std::iter::once(format!("{}/metrics", addresses.api)).chain(workers_metrics).collect();
    let text = serde_json::to_string_pretty(&json!({
        "api_url": addresses.api,
        "docs_url": format!("{}/docs", addresses.api),
        "metrics_urls": metrics,
        "token": token(&addresses.jwt_secret, "user-1", "user")?,
        "other_token": token(&addresses.jwt_secret, "user-2", "user")?,
        "admin_token": token(&addresses.jwt_secret, "admin-1", "admin")?,
        "stripe_simulator_url": addresses.simulator,
        "swish_simulator_url": addresses.swish.url(),
        "swish_control_url": addresses.swish.control_url(),
        "swish_ca": addresses.swish.file("ca.pem"),
        "swish_certificate": addresses.swish.file("merchant.pem"),
        "swish_certificate_key": addresses.swish.file("merchant.key"),
        "database_url": addresses.database,
        "redis_url": addresses.redis,
        "stripe_webhook_secret": addresses.webhook_secret,
        "pids": {
            "stack": std::process::id(),
            "api": pids.get("api"),
            "workers": workers,
            "simulator": pids.get("simulator"),
            "postgres": pids.get("postgres"),
            "redis": pids.get("redis"),
        },
    }))?;
    write_private(&dir.join("stack.json"), &text)
}

fn introduce(addresses: &Addresses, options: &Options, took: Duration) -> Result<()> {
    let introduction = Introduction {
        api_url: addresses.api.clone(),
        jwt_development_secret: addresses.jwt_secret.clone(),
        stripe_simulator_url: addresses.simulator.clone(),
        swish_control_url: addresses.swish.control_url(),
    };
    say!("\nReady after {:.1} s, with {} worker(s).\n", took.as_secs_f64(), options.workers);
    let token = introduction.addresses()?;
    say!("  logs         .dev/logs, addresses and tokens for scripts: .dev/stack.json");
    say!("  token        {token}\n");
    if options.workers == 0 {
        say!("No worker runs: payments are accepted, and wait. Start again with WORKERS=1 to have them done.\n");
    }
    say!("Take a payment (or see one step by step: make demo):\n");
    introduction.payment(&token);
    say!("Ctrl-C stops everything.");
    Ok(())
}

//! The real binaries, as child processes of a test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::TestApp;

/// A `payment-worker` of its own process. Killed when dropped.
pub struct WorkerProcess {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl WorkerProcess {
    /// # Panics
    /// It is not built: `make test` builds it.
    #[must_use]
    pub fn start(app: &TestApp) -> Self {
        Self::start_with(app, &[])
    }

    /// With more settings.
    ///
    /// # Panics
    /// It is not built: `make test` builds it.
    #[must_use]
    pub fn start_with(app: &TestApp, more: &[(&str, &str)]) -> Self {
        Self::start_logging(app, more, Stdio::inherit())
    }

    /// With more settings, and its log somewhere.
    ///
    /// # Panics
    /// It is not built: `make test` builds it.
    #[must_use]
    pub fn start_logging(app: &TestApp, more: &[(&str, &str)], log: Stdio) -> Self {
        let address = format!("127.0.0.1:{}", stack::places::free_port().expect("a port"));
        let child = Command::new(program("payment-worker"))
            .stderr(log)
            .env("WORKER_LISTEN", &address)
            .env("DATABASE_URL", &app.database_url)
            .env("REDIS_URL", &app.redis_url)
            .env("QUEUE_PREFIX", &app.queue_prefix)
            .env("STRIPE_BASE_URL", app.simulator.url())
            .env("STRIPE_API_KEY", "sk_test_x")
            .env("DATABASE_CONNECTIONS_MAX", "8")
            .env("STRIPE_EVENT_SWEEP", "false")
            .env("RUST_LOG", "warn")
            .env("LOG_FORMAT", "text")
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .spawn()
            .expect("the worker starts");
        Self { child, url: format!("http://{address}"), http: reqwest::Client::new() }
    }

    /// What it has at a path, if it answers well.
    pub async fn get(&self, path: &str) -> Option<String> {
        answer(&self.http, &self.url, path).await
    }

    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        stack::process::signal(self.child.id(), signal).expect("the worker is there");
    }

    /// Whether it has ended, and well.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn ended_well(&mut self) -> Option<bool> {
        self.child.try_wait().expect("a child").map(|status| status.success())
    }
}

impl Drop for WorkerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A `payment-api` of its own process, beside the one of the test and on the same database. Killed when dropped.
pub struct ApiProcess {
    child: Child,
    pub url: String,
    http: reqwest::Client,
}

impl ApiProcess {
    /// Returns once it answers.
    ///
    /// # Panics
    /// It is not built: `make test` builds it. Or it does not answer.
    pub async fn start(app: &TestApp) -> Self {
        Self::start_with(app, &[]).await
    }

    /// With more settings.
    ///
    /// # Panics
    /// It is not built: `make test` builds it. Or it does not answer.
    pub async fn start_with(app: &TestApp, more: &[(&str, &str)]) -> Self {
        Self::start_at(app, stack::places::free_port().expect("a port"), more).await
    }

    /// On a port, with more settings.
    ///
    /// # Panics
    /// It is not built: `make test` builds it. Or it does not answer.
    pub async fn start_at(app: &TestApp, port: u16, more: &[(&str, &str)]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let child = Self::command(app, &address).envs(more.iter().copied()).spawn().expect("the API starts");
        let this = Self { child, url: format!("http://{address}"), http: reqwest::Client::new() };
        crate::wait_until("the API answers", async || this.get("/health/ready").await).await;
        this
    }

    fn command(app: &TestApp, address: &str) -> Command {
        let mut command = Command::new(program("payment-api"));
        command
            .env("DATABASE_URL", &app.database_url)
            .env("REDIS_URL", &app.redis_url)
            .env("QUEUE_PREFIX", &app.queue_prefix)
            .env("LISTEN", address)
            .env("JWT_DEVELOPMENT_SECRET", crate::JWT_SECRET)
            .env("STRIPE_WEBHOOK_SECRETS", crate::WEBHOOK_SECRET)
            .env("DRAIN_MS", "1000")
            .env("RUST_LOG", "warn")
            .env("LOG_FORMAT", "text")
            .stdin(Stdio::null());
        command
    }

    /// Whether `payment-api health` finds it well.
    ///
    /// # Panics
    /// The command cannot be run.
    #[must_use]
    pub fn is_healthy(&self, app: &TestApp) -> bool {
        let address = self.url.trim_start_matches("http://");
        let mut command = Self::command(app, address);
        command.arg("health").stderr(Stdio::null()).status().expect("a command").success()
    }

    /// What it has at a path, if it answers well.
    pub async fn get(&self, path: &str) -> Option<String> {
        answer(&self.http, &self.url, path).await
    }

    /// # Panics
    /// It is gone.
    pub fn signal(&self, signal: Signal) {
        stack::process::signal(self.child.id(), signal).expect("the API is there");
    }

    /// Whether it has ended, and well.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn ended_well(&mut self) -> Option<bool> {
        self.child.try_wait().expect("a child").map(|status| status.success())
    }
}

impl Drop for ApiProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `payment-migrate` on the database of a test. Whether it went well, and what it said.
///
/// # Panics
/// It is not built: `make test` builds it.
#[must_use]
pub fn migrate(app: &TestApp) -> (bool, String) {
    let output = Command::new(program("payment-migrate")).env("DATABASE_URL", &app.database_url).output();
    let output = output.expect("it runs");
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

async fn answer(http: &reqwest::Client, url: &str, path: &str) -> Option<String> {
    let response = http.get(format!("{url}{path}")).send().await.ok()?;
    response.error_for_status().ok()?.text().await.ok()
}

/// A binary of the workspace: beside this program, or beside the directory that test binaries lie in.
fn program(name: &str) -> PathBuf {
    let this = std::env::current_exe().expect("a path");
    let path = this.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    path.unwrap_or_else(|| panic!("{name} is not built: run `make test`"))
}

/// A Redis server of a test's own, that the test may kill. It keeps nothing on disk.
pub struct RedisProcess {
    redis: stack::redis::Redis,
    child: Option<tokio::process::Child>,
}

impl RedisProcess {
    /// # Panics
    /// Redis is not installed.
    pub async fn start() -> Self {
        let dir = std::env::temp_dir().join(format!("payment-test-redis-{}", uuid::Uuid::new_v4().simple()));
        let port = stack::places::free_port().expect("a port");
        std::fs::create_dir_all(&dir).expect("a directory");
        let mut this = Self { redis: stack::redis::Redis::prepare(&dir, port).expect("Redis"), child: None };
        this.start_again().await;
        this
    }

    #[must_use]
    pub fn url(&self) -> String {
        self.redis.url()
    }

    /// At once, as `kill -9` does.
    ///
    /// # Panics
    /// It is gone.
    pub async fn kill(&mut self) {
        self.child.take().expect("it runs").kill().await.expect("killed");
    }

    /// On the same port, and empty.
    ///
    /// # Panics
    /// It does not start.
    pub async fn start_again(&mut self) {
        let mut command = self.redis.server();
        command.args(["--appendonly", "no", "--save", ""]).stdout(Stdio::null()).kill_on_drop(true);
        self.child = Some(command.spawn().expect("Redis starts"));
        self.redis.ready().await.expect("Redis answers");
    }
}

impl Drop for RedisProcess {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(self.redis.dir().parent().expect("a directory of its own"));
    }
}

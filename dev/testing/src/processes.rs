//! The real binaries, as child processes of a test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::TestApp;

/// A `payment-worker` of its own process. Killed when dropped.
pub struct WorkerProcess {
    child: Child,
}

impl WorkerProcess {
    /// # Panics
    /// It is not built: `make test` builds it.
    #[must_use]
    pub fn start(app: &TestApp) -> Self {
        let child = Command::new(program("payment-worker"))
            .env("DATABASE_URL", &app.database_url)
            .env("REDIS_URL", &app.redis_url)
            .env("QUEUE_PREFIX", &app.queue_prefix)
            .env("STRIPE_BASE_URL", app.simulator.url())
            .env("STRIPE_API_KEY", "sk_test_x")
            .env("DATABASE_CONNECTIONS_MAX", "8")
            .env("STRIPE_EVENT_SWEEP", "false")
            .env("RUST_LOG", "warn")
            .env("LOG_FORMAT", "text")
            .stdin(Stdio::null())
            .spawn()
            .expect("the worker starts");
        Self { child }
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

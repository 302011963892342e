//! The simulated Swish of the stack: its ports, its certificates, and what the service is told of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::process::Command;

use crate::places::{free_port, kept_secret};

/// Our Swish number in the simulation.
const PAYEE: &str = "1234679304";

#[derive(Debug, Clone)]
pub struct SimulatedSwish {
    port: u16,
    control_port: u16,
    certificates: PathBuf,
    state_file: PathBuf,
    callback_secret: String,
}

impl SimulatedSwish {
    /// # Errors
    /// No port is left, or the directory cannot be written.
    pub fn prepare(dir: &Path) -> Result<Self> {
        Ok(Self {
            port: free_port()?,
            control_port: free_port()?,
            certificates: dir.join("swish-certificates"),
            // Our database remembers Swish's payments: so must what plays Swish.
            state_file: dir.join("swish.json"),
            callback_secret: kept_secret(&dir.join("swish-callback.secret"))?,
        })
    }

    /// The API, over mutual TLS.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}/swish-cpcapi/api/", self.port)
    }

    /// The payer's pages and the control API.
    #[must_use]
    pub fn control_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.control_port)
    }

    /// The file of this name among the certificates.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.certificates.join(name)
    }

    /// Has the simulator play Swish too.
    pub fn configure(&self, simulator: &mut Command) {
        simulator
            .arg("--swish-listen")
            .arg(format!("127.0.0.1:{}", self.port))
            .arg("--swish-control-listen")
            .arg(format!("127.0.0.1:{}", self.control_port))
            .arg("--swish-certificates")
            .arg(&self.certificates)
            .arg("--swish-state-file")
            .arg(&self.state_file)
            .arg("--swish-payee-alias")
            .arg(PAYEE);
    }

    /// What api and workers need. Swish's callbacks come over plain http here.
    #[must_use]
    pub fn environment(&self, api: &str) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.file(name).display().to_string();
        vec![
            ("SWISH_BASE_URL", self.url()),
            ("SWISH_CERTIFICATE", file("merchant.pem")),
            ("SWISH_CERTIFICATE_KEY", file("merchant.key")),
            ("SWISH_CA", file("ca.pem")),
            ("SWISH_PAYEE_ALIAS", PAYEE.to_owned()),
            ("SWISH_CALLBACK_URL", format!("{api}/api/webhooks/swish")),
            ("SWISH_CALLBACK_SECRETS", self.callback_secret.clone()),
        ]
    }

    /// Waits until it answers: then its certificates are there.
    ///
    /// # Errors
    /// It does not come.
    pub async fn ready(&self) -> Result<()> {
        let http = reqwest::Client::new();
        for _ in 0..600 {
            if http.get(self.control_url()).send().await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("the simulated Swish did not start within 30 seconds; see .dev/logs/simulator.log")
    }
}

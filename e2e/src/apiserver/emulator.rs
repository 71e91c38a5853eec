//! An AWS emulator on loopback, with the clients of a test.

use crate::{
    kind::{
        Check,
        aws::{Aws, SECRET_KEY},
        eventually,
    },
    process::{Guard, Program, free_port},
};
use anyhow::Result;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Region of everything in it.
pub const REGION: &str = "us-east-1";
/// How long it may take until it answers.
const START: Duration = Duration::from_secs(60);

static SHARED: OnceCell<Emulator> = OnceCell::const_new();

/// A running emulator. Its process ends with this one.
pub struct Emulator {
    /// Its URL.
    pub endpoint: String,
    /// Clients.
    pub aws: Aws,
    _process: Guard,
}

impl Emulator {
    /// The emulator of this process, started when it is first asked for.
    ///
    /// # Panics
    /// When it can't be started; the message says why.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| async { Self::start().await.expect("an AWS emulator for the tests") }).await
    }

    async fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("emulator-").tempdir()?.keep();
        let port = free_port()?;
        let process = Program::new("MINISTACK", "ministack")?
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", &port.to_string())
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            .env("LOG_LEVEL", "WARNING")
            .env("TMPDIR", &directory.display().to_string())
            .removing(&directory)
            .start(&directory, "ministack")?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let health = format!("{endpoint}/_ministack/health");
        eventually("the emulator answers", START, async || {
            let status = reqwest::get(&health).await?.status();
            Ok(if status.is_success() { Check::Done(()) } else { Check::NotYet(status.to_string()) })
        })
        .await?;
        Ok(Self { aws: Aws::new(&endpoint, REGION), endpoint, _process: process })
    }
}

//! fakecloud, an AWS emulator whose databases and caches are real: a PostgreSQL or Redis server of this machine
//! stands behind each endpoint.
//!
//! It is licensed under the AGPL, so it runs as a program of its own and is never linked.

use crate::{
    apiserver::REGION,
    kind::{
        Check,
        aws::{ACCESS_KEY, SECRET_KEY},
        eventually,
    },
    process::{Guard, Program},
};
use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::Credentials;
use std::{fs::Permissions, os::unix::fs::PermissionsExt, time::Duration};
use tokio::sync::OnceCell;

/// What stands in for its container CLI.
const CONTAINER_CLI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/emulator/podman-local");
/// What it prints before the port that it listens on.
const PORT: &str = "FAKECLOUD_PORT=";
/// How long it may take until it answers.
const START: Duration = Duration::from_secs(60);

static SHARED: OnceCell<Fakecloud> = OnceCell::const_new();

/// A running emulator with nothing in it. It ends with this value and with this process, whatever ends that, and
/// takes its databases and caches with it.
pub struct Fakecloud {
    /// Its one URL, for every service.
    pub endpoint: String,
    /// Configuration of clients, in the region [`REGION`].
    pub sdk: SdkConfig,
    _process: Guard,
}

impl Fakecloud {
    /// The emulator of this process, started when it is first asked for.
    ///
    /// # Panics
    /// When it can't be started; the message says why.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| async { Self::start().await.expect("fakecloud for the tests") }).await
    }

    /// Starts one on a free port of loopback.
    ///
    /// # Errors
    /// When the program is missing or does not become ready; with the end of its log.
    pub async fn start() -> Result<Self> {
        Self::start_listening("").await
    }

    /// The same; its databases and caches listen on that address of this machine, too. It still says of each that it
    /// is at 127.0.0.1.
    ///
    /// # Errors
    /// As [`Fakecloud::start`].
    pub async fn start_listening(address: &str) -> Result<Self> {
        let mut directory = tempfile::Builder::new();
        // PostgreSQL, which never runs as root, passes through it.
        directory.prefix("fakecloud-").permissions(Permissions::from_mode(0o711));
        let directory = directory.tempdir()?.keep();
        let process = Program::new("FAKECLOUD", "fakecloud")?
            .args(["--addr=127.0.0.1:0".into(), format!("--region={REGION}"), "--log-level=warn".into()])
            .env("FAKECLOUD_CONTAINER_CLI", CONTAINER_CLI)
            .env("CONTAINERS", &directory.join("containers").display().to_string())
            .env("LISTEN", address)
            // A database that was stopped has its data when it starts again, as on AWS.
            .env("FAKECLOUD_PERSIST_DB_VOLUMES", "1")
            .ending_by_itself()
            .removing(&directory)
            .start(&directory, "fakecloud")?;
        let started = eventually("fakecloud answers", START, async || {
            let log = process.log()?;
            let Some(port) = log.lines().find_map(|line| line.strip_prefix(PORT)) else {
                return Ok(Check::NotYet("no port".into()));
            };
            let endpoint = format!("http://127.0.0.1:{port}");
            reqwest::get(format!("{endpoint}/_fakecloud/health")).await?.error_for_status()?;
            Ok(Check::Done(endpoint))
        });
        let endpoint = started.await.with_context(|| process.log_tail())?;
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(&endpoint)
            .region(Region::new(REGION))
            .credentials_provider(Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "tests"))
            .load()
            .await;
        Ok(Self { endpoint, sdk, _process: process })
    }
}

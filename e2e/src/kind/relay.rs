//! A way to the emulator that can be shut, for tests of a cloud that does not answer.

use anyhow::{Context, Result};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// Passes connections on to the emulator until it is shut; then it drops each at once.
pub struct Relay {
    /// URL under which pods and tests reach it.
    pub url: String,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on the emulator's own address, on a port that is free, and passes on to it.
    ///
    /// # Errors
    /// When the endpoint is no `http://address:port`, or its address is not this machine's.
    pub async fn to(endpoint: &str) -> Result<Self> {
        let target = endpoint.strip_prefix("http://").context("the emulator's URL starts with http://")?;
        let target = target.trim_end_matches('/').to_owned();
        let (host, _) = target.rsplit_once(':').context("the emulator's URL has a port")?;
        let listener = TcpListener::bind((host, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (open, opened) = watch::channel(true);
        let task = tokio::spawn(accept(listener, target, opened));
        Ok(Self { url, open, task })
    }

    /// Cuts the connections that there are; new ones are dropped as soon as they are made.
    pub fn shut(&self) {
        self.open.send_replace(false);
    }

    /// Connections pass again.
    pub fn open(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, target: String, open: watch::Receiver<bool>) {
    while let Ok((mut inbound, _)) = listener.accept().await {
        if !*open.borrow() {
            continue;
        }
        let (target, mut open) = (target.clone(), open.clone());
        tokio::spawn(async move {
            let Ok(mut outbound) = TcpStream::connect(&target).await else { return };
            tokio::select! {
                // Either side ends connections as it likes; the next one is a new one.
                _ = copy_bidirectional(&mut inbound, &mut outbound) => {}
                _ = open.wait_for(|open| !open) => {}
            }
        });
    }
}

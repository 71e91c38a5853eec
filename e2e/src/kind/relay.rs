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
        let free = format!("http://{}:0", super::gateway::address(endpoint)?);
        Self::between(&free, endpoint).await
    }

    /// Listens at one URL, and passes on to the other.
    ///
    /// # Errors
    /// When one is no `http://address:port`, or the first is not this machine's, or something listens there.
    pub async fn between(here: &str, endpoint: &str) -> Result<Self> {
        let listener = TcpListener::bind(socket(here)?).await.with_context(|| format!("listen at {here}"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let (open, opened) = watch::channel(true);
        let task = tokio::spawn(accept(listener, socket(endpoint)?, opened));
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

/// `address:port` of a URL.
fn socket(url: &str) -> Result<String> {
    let socket = url.strip_prefix("http://").with_context(|| format!("{url} is no http://address:port"))?;
    Ok(socket.trim_end_matches('/').to_owned())
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

//! An operator in this process, with its requests on record.

use super::{ApiServer, OPERATOR};
use anyhow::{Context, Result};
use http::Method;
use kube::{
    Client,
    client::{Body, ClientBuilder},
};
use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};
use streaming_operator::{
    admin,
    controller::{Controller, Replica, lease::Timing},
    metrics::Metrics,
    observe::cluster::Cluster,
    settings::{Images, Settings},
    surroundings::Surroundings,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower::util::MapRequestLayer;
use tracing_subscriber::EnvFilter;

/// What an operator asked of the API server.
#[derive(Clone, Debug, Default)]
pub struct Requests(Arc<Mutex<Vec<(Method, String)>>>);

impl Requests {
    /// Requests that change something, except of Leases, as `METHOD path`.
    #[must_use]
    pub fn writes(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(method, path)| *method != Method::GET && !path.contains("/leases"))
            .map(|(method, path)| format!("{method} {path}"))
            .collect()
    }

    /// Paths that were read.
    #[must_use]
    pub fn reads(&self) -> Vec<String> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|(method, _)| *method == Method::GET).map(|(_, path)| path.clone()).collect()
    }

    fn note(&self, request: &http::Request<Body>) {
        let entry = (request.method().clone(), request.uri().path().to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }
}

/// A running operator of one namespace.
pub struct Operator {
    /// What it asked of the API server.
    pub requests: Requests,
    /// What it counts.
    pub metrics: Metrics,
    cluster: Arc<Cluster>,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Operator {
    /// Starts one for `namespace`, under the operator's rights.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn start(server: &ApiServer, namespace: &str) -> Result<Self> {
        Self::replica(server, namespace, "first").await
    }

    /// Starts one of several replicas.
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn replica(server: &ApiServer, namespace: &str, identity: &str) -> Result<Self> {
        Self::with(server, settings(namespace), identity).await
    }

    /// Starts one with other settings than [`settings`].
    ///
    /// # Errors
    /// When no client can be made.
    pub async fn with(server: &ApiServer, settings: Settings, identity: &str) -> Result<Self> {
        // `RUST_LOG` shows what the operator says; set already after the first one of a process.
        let log = tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_test_writer();
        drop(log.try_init());
        let requests = Requests::default();
        let noting = requests.clone();
        let layer = MapRequestLayer::new(move |request| {
            noting.note(&request);
            request
        });
        let client: Client =
            ClientBuilder::try_from(server.config(OPERATOR).await?)?.with_layer(&layer).build();
        let replica = Replica {
            identity: identity.to_owned(),
            lease_namespace: settings.watch_namespaces.first().context("a namespace")?.clone(),
            lease_name: "streaming-operator".to_owned(),
            timing: Timing::default(),
            concurrency: 4,
        };
        let (metrics, stop) = (Metrics::default(), CancellationToken::new());
        let controller =
            Controller::new(Surroundings::of_process(client, metrics.clone()), settings, replica);
        let cluster = controller.cluster();
        let running = tokio::spawn(controller.run(stop.clone()));
        Ok(Self { requests, metrics, cluster, stop, running })
    }

    /// Serves what probes and Prometheus ask of it, until the token is cancelled; gives back the base URL.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn admin(&self) -> Result<(String, CancellationToken)> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let stop = self.stop.child_token();
        let (metrics, cluster) = (self.metrics.clone(), Arc::clone(&self.cluster));
        tokio::spawn(admin::serve(listener, metrics, cluster, stop.clone()));
        Ok((url, stop))
    }

    /// Ends it as SIGTERM does, and waits until it is gone.
    ///
    /// # Errors
    /// When it panicked.
    pub async fn stop(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.running.await?)
    }

    /// Ends it as a crash does: nothing is released.
    pub fn crash(&self) {
        self.running.abort();
    }
}

/// Settings of an operator that runs the platforms of one namespace.
#[must_use]
pub fn settings(namespace: &str) -> Settings {
    Settings {
        watch_namespaces: vec![namespace.to_owned()],
        ..Settings::new(Images::named(|name| format!("test/{name}:1")))
    }
}

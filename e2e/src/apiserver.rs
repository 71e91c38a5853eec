//! A Kubernetes without nodes: etcd, kube-apiserver and kube-controller-manager on loopback, ready in
//! seconds, for tests of what only a real API server does.
//!
//! One is shared by all tests of a process; each test has a namespace and an operator of its own there. The
//! operator runs as a user that is bound to exactly the rules of `streaming-operator rbac`.

mod emulator;
mod kubelet;
mod nodes;
mod operator;

pub use emulator::{Emulator, REGION};
pub use kubelet::Kubelet;
pub use nodes::Nodes;
pub use operator::{Operator, Requests, settings};

use crate::{
    kind::{Check, eventually},
    process::{Guard, Program, free_port},
};
use anyhow::{Context, Result};
use k8s_openapi::{
    api::{
        core::v1::Namespace,
        rbac::v1::{ClusterRole, ClusterRoleBinding, RoleRef, Subject},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, CustomResourceExt,
    api::{ObjectMeta, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use streaming_operator::{api::StreamingPlatform, controller::rbac};
use tokio::sync::OnceCell;

/// Tokens of the two users; the server listens on loopback only.
const ADMIN: &str = "admin";
const OPERATOR: &str = "operator";
/// Name of the audit log in the server's directory.
const AUDIT_LOG: &str = "audit.log";
/// How long the server may take until it is ready.
const START: Duration = Duration::from_secs(60);
/// Controllers that the tests need; the rest would only cost time.
const CONTROLLERS: &str = "deployment-controller,replicaset-controller,statefulset-controller,job-controller,\
    garbage-collector-controller,namespace-controller,serviceaccount-controller,resourcequota-controller,\
    horizontal-pod-autoscaler-controller,disruption-controller,ttl-after-finished-controller";

static SHARED: OnceCell<ApiServer> = OnceCell::const_new();

/// A running API server. Its processes end with this process, however that ends.
pub struct ApiServer {
    directory: PathBuf,
    server: String,
    processes: Vec<Guard>,
}

impl ApiServer {
    /// The server of this process, started when it is first asked for.
    ///
    /// # Panics
    /// When it can't be started; the message says why.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| async { Self::start().await.expect("an API server for the tests") }).await
    }

    /// Starts a server, with the CRD and the operator's rights.
    ///
    /// # Errors
    /// When a program is missing, or does not become ready; with the end of its log.
    pub async fn start() -> Result<Self> {
        Self::audited(None).await
    }

    /// Starts one that keeps an audit log by that policy, where there is one; [`Self::audit_log`] is its path.
    ///
    /// # Errors
    /// When a program is missing, or does not become ready; with the end of its log.
    pub async fn audited(policy: Option<&serde_json::Value>) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("apiserver-").tempdir()?.keep();
        let key = directory.join("service-account.key");
        let public_key = directory.join("service-account.pub");
        let pair = rcgen::KeyPair::generate()?;
        fs::write(&key, pair.serialize_pem())?;
        fs::write(&public_key, pair.public_key_pem())?;
        let tokens = directory.join("tokens.csv");
        fs::write(
            &tokens,
            format!("{ADMIN},{ADMIN},{ADMIN},system:masters\n{OPERATOR},{OPERATOR},{OPERATOR}\n"),
        )?;
        let etcd = start_etcd(&directory)?;
        let port = free_port()?;
        let server = format!("https://127.0.0.1:{port}");
        let mut audit = Vec::new();
        if let Some(policy) = policy {
            let file = directory.join("audit-policy.json");
            fs::write(&file, policy.to_string())?;
            audit.push(format!("--audit-policy-file={}", file.display()));
            audit.push(format!("--audit-log-path={}", directory.join(AUDIT_LOG).display()));
            // MiB; a log that is cut in two can't be read from a place on.
            audit.push("--audit-log-maxsize=100000".to_owned());
        }
        let api_server = Program::new("KUBE_APISERVER", "kube-apiserver")?
            .args([
                format!("--etcd-servers={}", etcd.url),
                format!("--secure-port={port}"),
                "--bind-address=127.0.0.1".into(),
                format!("--cert-dir={}", directory.display()),
                "--service-cluster-ip-range=10.96.0.0/16".into(),
                "--endpoint-reconciler-type=none".into(),
                "--authorization-mode=RBAC".into(),
                format!("--token-auth-file={}", tokens.display()),
                "--service-account-issuer=https://kubernetes.default.svc".into(),
                format!("--service-account-key-file={}", public_key.display()),
                format!("--service-account-signing-key-file={}", key.display()),
            ])
            .args(audit)
            .start(&directory, "kube-apiserver")?;
        let mut this = Self { directory, server, processes: vec![etcd.guard, api_server] };
        this.write_kubeconfig(ADMIN)?;
        this.write_kubeconfig(OPERATOR)?;
        this.ready().await?;
        this.start_controllers(&key)?;
        this.install().await?;
        Ok(this)
    }

    /// A client of the administrator.
    ///
    /// # Errors
    /// When the server's certificate can't be read.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config(ADMIN).await?)?)
    }

    /// A client with the operator's rights.
    ///
    /// # Errors
    /// When the server's certificate can't be read.
    pub async fn operator_client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config(OPERATOR).await?)?)
    }

    /// The kubeconfig of a process with the operator's rights.
    #[must_use]
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.kubeconfig(OPERATOR)
    }

    /// The kubeconfig of a process with the administrator's rights.
    #[must_use]
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.kubeconfig(ADMIN)
    }

    /// Where the logs of the processes are, and what else the server needs; it goes with the server.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The audit log of a server that was started with a policy.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.directory.join(AUDIT_LOG)
    }

    /// Configuration of a client for the user with that token.
    async fn config(&self, token: &str) -> Result<Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig(token))?;
        Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    /// Makes a namespace for one test.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn namespace(&self, test: &str) -> Result<String> {
        let api = Api::<Namespace>::all(self.client().await?);
        let metadata = ObjectMeta { generate_name: Some(format!("{test}-")), ..ObjectMeta::default() };
        let made =
            api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
        made.metadata.name.context("the server names it")
    }

    fn kubeconfig(&self, token: &str) -> PathBuf {
        self.directory.join(format!("{token}.kubeconfig"))
    }

    fn write_kubeconfig(&self, token: &str) -> Result<()> {
        let certificate = self.directory.join("apiserver.crt");
        let text = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": {"server": self.server, "certificate-authority": certificate}}],
            "users": [{"name": token, "user": {"token": token}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": token}}],
        });
        Ok(fs::write(self.kubeconfig(token), text.to_string())?)
    }

    async fn ready(&self) -> Result<()> {
        let ready = eventually("the API server is ready", START, async || {
            let request = http::Request::get("/readyz").body(Vec::new())?;
            Ok(match self.client().await?.request_text(request).await {
                Ok(_) => Check::Done(()),
                Err(error) => Check::NotYet(error.to_string()),
            })
        });
        ready.await.with_context(|| self.processes.iter().map(Guard::log_tail).collect::<Vec<_>>().join("\n"))
    }

    fn start_controllers(&mut self, key: &Path) -> Result<()> {
        let controllers = Program::new("KUBE_CONTROLLER_MANAGER", "kube-controller-manager")?
            .args([
                format!("--kubeconfig={}", self.kubeconfig(ADMIN).display()),
                format!("--service-account-private-key-file={}", key.display()),
                format!("--controllers={}", CONTROLLERS.replace(char::is_whitespace, "")),
                "--leader-elect=false".into(),
                "--secure-port=0".into(),
                "--kube-api-qps=1000".into(),
                "--kube-api-burst=1000".into(),
                "--horizontal-pod-autoscaler-sync-period=1s".into(),
            ])
            .start(&self.directory, "kube-controller-manager")?;
        self.processes.push(controllers);
        Ok(())
    }

    async fn install(&self) -> Result<()> {
        let client = self.client().await?;
        let apply = PatchParams::apply("tests").force();
        let crd = StreamingPlatform::crd();
        let name = crd.metadata.name.clone().context("a CRD has a name")?;
        let crds = Api::<CustomResourceDefinition>::all(client.clone());
        crds.patch(&name, &apply, &Patch::Apply(&crd)).await.context("the API server refuses the CRD")?;
        eventually("the CRD is served", START, async || {
            let api = Api::<StreamingPlatform>::all(client.clone());
            Ok(api.list(&Default::default()).await.map(|_| Check::Done(()))?)
        })
        .await?;
        self.grant(&client).await
    }

    async fn grant(&self, client: &Client) -> Result<()> {
        let metadata = ObjectMeta { name: Some(OPERATOR.into()), ..ObjectMeta::default() };
        let rules = rbac::rules().into_iter().chain(rbac::leader_election_rules()).collect();
        let role = ClusterRole { metadata: metadata.clone(), rules: Some(rules), ..ClusterRole::default() };
        Api::all(client.clone()).create(&PostParams::default(), &role).await?;
        let binding = ClusterRoleBinding {
            metadata,
            role_ref: RoleRef {
                api_group: "rbac.authorization.k8s.io".into(),
                kind: "ClusterRole".into(),
                name: OPERATOR.into(),
            },
            subjects: Some(vec![Subject {
                api_group: Some("rbac.authorization.k8s.io".into()),
                kind: "User".into(),
                name: OPERATOR.into(),
                namespace: None,
            }]),
        };
        Api::all(client.clone()).create(&PostParams::default(), &binding).await?;
        Ok(())
    }
}

struct Etcd {
    url: String,
    guard: Guard,
}

fn start_etcd(directory: &Path) -> Result<Etcd> {
    let (url, peers) =
        (format!("http://127.0.0.1:{}", free_port()?), format!("http://127.0.0.1:{}", free_port()?));
    let guard = Program::new("ETCD", "etcd")?
        .args([
            format!("--data-dir={}", directory.join("etcd").display()),
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            "--unsafe-no-fsync".into(),
        ])
        .removing(directory)
        .start(directory, "etcd")?;
    Ok(Etcd { url, guard })
}

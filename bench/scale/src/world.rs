//! What a run works in: a Kubernetes with played nodes, AWS accounts, and an operator or none.

use crate::{
    accounts::{Account, REGION},
    audit,
    usage::Usage,
};
use anyhow::{Context, Result};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_sqs::config::Credentials;
use e2e::{
    apiserver::{ApiServer, Nodes},
    kind::{Check, eventually},
    process::{Guard, Program, free_port},
};
use kube::Client;
use std::time::Duration;

/// Played nodes.
const NODES: usize = 4;
/// How long an operator may take until it leads.
const START: Duration = Duration::from_secs(60);

/// Kubernetes and AWS. Their processes end with this one.
pub struct World {
    /// Kubernetes.
    pub server: ApiServer,
    /// Its administrator.
    pub client: Client,
    /// AWS.
    pub accounts: Vec<Account>,
    _nodes: Nodes,
}

/// An operator in a process of its own.
pub struct Operator {
    guard: Guard,
    metrics: String,
}

impl World {
    /// A new one, with so many AWS accounts, where pods of Jobs run for `job`.
    ///
    /// # Errors
    /// When a program is missing or does not start.
    pub async fn start(accounts: usize, job: Duration) -> Result<Self> {
        let server = ApiServer::audited(Some(&audit::policy())).await?;
        let nodes = Nodes::start(&server, NODES, job).await?;
        Ok(Self {
            client: server.client().await?,
            accounts: Account::several(accounts).await?,
            _nodes: nodes,
            server,
        })
    }

    /// SQS of the first account.
    pub async fn sqs(&self) -> aws_sdk_sqs::Client {
        let keys = Credentials::new(Account::access_key(0), Account::SECRET_KEY, None, None, "bench");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .endpoint_url(&self.accounts[0].url)
            .credentials_provider(keys);
        aws_sdk_sqs::Client::new(&config.load().await)
    }

    /// Starts the operator with so many platforms at a time, and waits until it leads.
    ///
    /// # Errors
    /// When it does not lead in time.
    pub async fn operator(&self, concurrency: usize) -> Result<Operator> {
        let listen = format!("127.0.0.1:{}", free_port()?);
        let endpoints: Vec<_> = self.accounts.iter().map(|account| account.url.as_str()).collect();
        let guard = Program::new("STREAMING_OPERATOR", "streaming-operator")?
            .args([
                "run".to_owned(),
                format!("--listen={listen}"),
                format!("--concurrency={concurrency}"),
                format!("--allowed-aws-endpoints={}", endpoints.join(",")),
                "--identity=bench".to_owned(),
            ])
            .env("KUBECONFIG", &self.server.operator_kubeconfig().display().to_string())
            .start(self.server.directory(), "streaming-operator")?;
        let operator = Operator { guard, metrics: format!("http://{listen}/metrics") };
        let leads = eventually("the operator leads", START, async || {
            let text = operator.metrics().await?;
            let leads = text.lines().any(|line| line == "streaming_operator_leader 1");
            Ok(if leads { Check::Done(()) } else { Check::NotYet("it does not".to_owned()) })
        });
        leads.await.with_context(|| operator.guard.log_tail())?;
        Ok(operator)
    }
}

impl Operator {
    /// What it uses.
    ///
    /// # Errors
    /// When it ended.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.guard.pid()?)
    }

    /// Its process, for a profiler.
    ///
    /// # Errors
    /// When it ended.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.guard.pid()?)
    }

    async fn metrics(&self) -> Result<String> {
        Ok(reqwest::get(&self.metrics).await?.text().await?)
    }
}

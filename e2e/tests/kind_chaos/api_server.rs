//! The API server is away, or shows a certificate that has expired.

use crate::judge;
use anyhow::{Context, Result};
use e2e::kind::{Check, Cluster, eventually, flow::Flow, node, record::Row};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, Issuer, KeyPair, SanType,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, SystemTime},
};
use tokio::time::{Instant, sleep};

const MESSAGES: u32 = 400;
const LENGTH: Duration = Duration::from_secs(160);
/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(60);
/// How long its container may take to end, and to answer again.
const TURN: Duration = Duration::from_secs(120);
/// The controller manager needs a while of its own to be back: its container backs off.
const REST: Duration = Duration::from_secs(300);
/// The first address of the cluster's service range (`e2e/lib/cluster.sh`): by this one pods reach it.
const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 112, 0, 1);
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";
const ASIDE: &str = "/etc/kubernetes/kube-apiserver.yaml";
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
const AUTHORITY: &str = "/etc/kubernetes/pki/ca.crt";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn the_api_server_is_away_for_a_minute() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let done = format!("its static pod taken away for {} s", AWAY.as_secs());
    let row = Row { scenario: "API server stopped", done, ..Row::default() };
    let take = async { node::run(&["mv", MANIFEST, ASIDE]).await.map(drop) };
    let bring = async { node::run(&["mv", ASIDE, MANIFEST]).await.map(drop) };
    Box::pin(away(&cluster, "apiserver", row, take, bring)).await
}

/// The API server starts anew with a certificate that ended yesterday, and gets its own back.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; `make faults` runs it"]
async fn the_api_servers_certificate_has_expired() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let (good, expired) = (node::run(&["cat", CERTIFICATE]).await?, expired().await?);
    let done = format!(
        "the API server killed, and showing for {} s a certificate that ended the day before",
        AWAY.as_secs()
    );
    let row = Row { scenario: "certificate expired", done, ..Row::default() };
    let take = async {
        node::write(CERTIFICATE, &expired).await?;
        // Connections that are there would be good for ever.
        node::run(&["pkill", "-9", "-x", "kube-apiserver"]).await.map(drop)
    };
    let bring = async { node::write(CERTIFICATE, &good).await };
    Box::pin(away(&cluster, "expired", row, take, bring)).await
}

/// Takes the API server away while messages flow, brings it back, and measures until another term of the lease begins:
/// from the moment when pods can reach it, which is when kube-proxy has heard of it.
async fn away(
    cluster: &Cluster,
    name: &str,
    row: Row,
    take: impl Future<Output = Result<()>>,
    bring: impl Future<Output = Result<()>>,
) -> Result<()> {
    let flow = Box::pin(Flow::begin(cluster, name, cluster.aws_spec())).await?;
    let sending = flow.send(0..MESSAGES, LENGTH);
    flow.succeeded(50).await?;
    let term = cluster.term().await?;
    take.await?;
    let gone = gone(cluster).await;
    sleep(AWAY).await;
    bring.await?;
    gone?;
    let ready = answers(cluster).await?;
    let term = async { cluster.next_term(term).await.map(|()| Instant::now()) };
    let (reached, taken) = tokio::try_join!(answers_pods(), term)?;
    let takeovers = vec![taken.saturating_duration_since(reached)];
    let done = format!(
        "{}; takeover counts from the moment when pods could reach it, {:.1} s after it was ready",
        row.done,
        reached.saturating_duration_since(ready).as_secs_f64()
    );
    sending.await??;
    let tally = Box::pin(flow.settled(MESSAGES, REST)).await?;
    judge(&Row { done, tally, takeovers, restarts: flow.replicas.restarts(), ..row })?;
    Box::pin(flow.end()).await
}

/// A certificate as the API server's own, but of the day before yesterday.
async fn expired() -> Result<String> {
    let key = KeyPair::from_pem(&node::run(&["cat", "/etc/kubernetes/pki/apiserver.key"]).await?)?;
    let authority = KeyPair::from_pem(&node::run(&["cat", "/etc/kubernetes/pki/ca.key"]).await?)?;
    // The name of kubeadm's authority, as it is encoded there.
    let mut of_authority = CertificateParams::default();
    of_authority.distinguished_name = DistinguishedName::new();
    let name = DnValue::PrintableString("kubernetes".try_into()?);
    of_authority.distinguished_name.push(DnType::CommonName, name);
    let authority = Issuer::new(of_authority, authority);
    let address: IpAddr =
        node::run(&["hostname", "-i"]).await?.trim().parse().context("the node's address")?;
    let names = ["kubernetes.default.svc", "kubernetes", "localhost"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.subject_alt_names.extend([
        SanType::IpAddress(address),
        SanType::IpAddress([127, 0, 0, 1].into()),
        SanType::IpAddress(SERVICE.into()),
    ]);
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let day = Duration::from_secs(86400);
    let now = SystemTime::now();
    (params.not_before, params.not_after) = ((now - 2 * day).into(), (now - day).into());
    Ok(params.signed_by(&key, &authority)?.pem())
}

/// Waits until the API server answers nobody.
async fn gone(cluster: &Cluster) -> Result<()> {
    eventually("the API server does not answer", TURN, async || {
        Ok(if ready(cluster).await { Check::NotYet("it does".into()) } else { Check::Done(()) })
    })
    .await
}

/// Waits until the API server is ready; when that was.
async fn answers(cluster: &Cluster) -> Result<Instant> {
    eventually("the API server is ready", TURN, async || {
        let now = Instant::now();
        Ok(if ready(cluster).await { Check::Done(now) } else { Check::NotYet("it is not".into()) })
    })
    .await
}

/// Waits until pods can reach the API server, and believe its certificate; when that was.
async fn answers_pods() -> Result<Instant> {
    let url = format!("https://{SERVICE}/readyz");
    let ask = ["curl", "--silent", "--fail", "--max-time", "1", "--cacert", AUTHORITY, &url];
    eventually("the API server can be reached by its Service", TURN, async || {
        let now = Instant::now();
        Ok(match node::run(&ask).await {
            Ok(_) => Check::Done(now),
            Err(error) => Check::NotYet(error.to_string()),
        })
    })
    .await
}

async fn ready(cluster: &Cluster) -> bool {
    let request = http::Request::get("/readyz").body(Vec::new());
    match request {
        Ok(request) => cluster.client.request_text(request).await.is_ok(),
        Err(_) => false,
    }
}

//! The pods of platforms as the operator plans them, those of its chart, and what is around them.

use anyhow::{Context, Result, ensure};
use e2e::apiserver::settings;
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    env,
    fmt::{self, Display},
    path::Path,
    process::Command,
};
use streaming_operator::plan::preview::preview;

/// Where the chart is installed to.
const OPERATOR: &str = "streaming-system";
/// A port that nobody declares.
const UNDECLARED: u16 = 22;
/// What connections are tried on besides the ports that pods declare: the web, DNS, the bundled frontend's metrics.
const PORTS: [(u16, &str); 5] = [(80, "TCP"), (443, "TCP"), (53, "UDP"), (9090, "TCP"), (UNDECLARED, "TCP")];
/// Pods that are not ours: namespace, name, and value of the label `app.kubernetes.io/name`.
const OTHERS: [(&str, &str, &str); 6] = [
    ("media", "stranger", "stranger"),
    ("other", "stranger", "stranger"),
    ("monitoring", "prometheus", "prometheus"),
    ("monitoring", "grafana", "grafana"),
    ("ingress-nginx", "controller", "ingress-nginx"),
    ("kube-system", "dns", "kube-dns"),
];
/// Addresses outside of the cluster: from documents (RFC 5737, RFC 3849), and those of AWS on each node.
const OUTSIDE: [(&str, &str); 5] = [
    ("internet", "203.0.113.7"),
    ("internet6", "2001:db8::7"),
    ("metadata", "169.254.169.254"),
    ("metadata6", "fd00:ec2::254"),
    ("pod-identity", "169.254.170.23"),
];

/// Everything that may connect, and the policies.
pub(crate) struct World {
    pub(crate) policies: Vec<Value>,
    pub(crate) peers: Vec<Peer>,
}

/// A pod, or an address without a namespace.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Peer {
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    ports: Vec<(u16, String, String)>,
    namespace: String,
    namespace_labels: Value,
    labels: Value,
    ip: String,
}

/// A connection that is tried.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Connection<'a> {
    from: usize,
    to: usize,
    #[serde(skip)]
    names: (&'a str, &'a str),
    port: u16,
    port_name: &'a str,
    protocol: &'a str,
}

impl World {
    /// The world with these platforms, by namespace and name.
    pub(crate) fn new(platforms: &[(&str, &str)]) -> Result<Self> {
        let mut world = Self { policies: Vec::new(), peers: Vec::new() };
        for (namespace, name) in platforms {
            let manifest =
                include_str!("platform.yaml").replace("NAMESPACE", namespace).replace("NAME", name);
            let planned = preview("platform.yaml", &manifest, &settings(namespace))?;
            world.add(&planned.yaml, |pod, labels| {
                let component = labels["app.kubernetes.io/name"].as_str().unwrap_or_default();
                pod.name = format!("{namespace}/{name}/{component}");
            })?;
        }
        world.add(&chart()?, |pod, _| pod.name = format!("{OPERATOR}/operator"))?;
        for (namespace, name, label) in OTHERS {
            let labels = json!({"app.kubernetes.io/name": label});
            world.peers.push(pod(namespace, format!("{namespace}/{name}"), labels));
        }
        for (number, peer) in world.peers.iter_mut().enumerate() {
            peer.ip = format!("10.0.0.{number}");
        }
        world.peers.extend(OUTSIDE.map(|(name, ip)| Peer {
            name: name.to_owned(),
            ip: ip.to_owned(),
            ..Peer::default()
        }));
        // One for each kind of pod.
        ensure!(world.policies.len() == 8 * platforms.len() + 1, "{} policies", world.policies.len());
        Ok(world)
    }

    /// Adds the policies and the pods of manifests.
    fn add(&mut self, manifests: &str, name: impl Fn(&mut Peer, &Value)) -> Result<()> {
        for document in serde_saphyr::from_multiple::<Value>(manifests)? {
            if document["kind"] == "NetworkPolicy" {
                self.policies.push(document);
                continue;
            }
            let template = &document["spec"]["template"];
            let Some(containers) = template["spec"]["containers"].as_array() else { continue };
            let namespace = document["metadata"]["namespace"].as_str().context("a namespace")?;
            let labels = template["metadata"]["labels"].clone();
            let mut pod = pod(namespace, String::new(), labels.clone());
            name(&mut pod, &labels);
            let ports = containers.iter().flat_map(|it| it["ports"].as_array().into_iter().flatten());
            for port in ports {
                let number = port["containerPort"].as_u64().context("a number")?.try_into()?;
                let text = |field: &str| port[field].as_str().map(str::to_owned);
                let protocol = text("protocol").unwrap_or_else(|| "TCP".to_owned());
                pod.ports.push((number, text("name").unwrap_or_default(), protocol));
            }
            self.peers.push(pod);
        }
        Ok(())
    }

    /// Each pod and address to each other, on every port that is anywhere.
    pub(crate) fn connections(&self) -> Vec<Connection<'_>> {
        let declared = self.peers.iter().flat_map(|peer| &peer.ports);
        let mut ports: Vec<_> = declared.map(|(number, _, protocol)| (*number, protocol.as_str())).collect();
        ports.extend(PORTS);
        ports.sort_unstable();
        ports.dedup();
        let outside = |place: usize| self.peers[place].namespace.is_empty();
        let places = 0..self.peers.len();
        let pairs = places.clone().flat_map(|from| places.clone().map(move |to| (from, to)));
        let judged = pairs.filter(|&(from, to)| !outside(from) || !outside(to));
        judged.flat_map(|(from, to)| ports.iter().map(move |port| self.connection(from, to, *port))).collect()
    }

    fn connection<'a>(&'a self, from: usize, to: usize, (port, protocol): (u16, &'a str)) -> Connection<'a> {
        let (source, destination) = (&self.peers[from], &self.peers[to]);
        let same = |(number, _, of): &&(u16, String, String)| (*number, of.as_str()) == (port, protocol);
        let port_name = destination.ports.iter().find(same).map_or("", |(_, name, _)| name);
        Connection { from, to, names: (&source.name, &destination.name), port, port_name, protocol }
    }
}

impl Connection<'_> {
    pub(crate) fn source(&self) -> &str {
        self.names.0
    }

    pub(crate) fn destination(&self) -> &str {
        self.names.1
    }

    /// As the table writes it.
    pub(crate) fn port(&self) -> String {
        if self.protocol == "TCP" {
            self.port.to_string()
        } else {
            format!("{}/{}", self.port, self.protocol)
        }
    }
}

impl Display for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {} {}", self.source(), self.destination(), self.port())
    }
}

fn pod(namespace: &str, name: String, labels: Value) -> Peer {
    let namespace_labels = json!({"kubernetes.io/metadata.name": namespace});
    Peer { name, namespace: namespace.to_owned(), namespace_labels, labels, ..Peer::default() }
}

/// The chart by its defaults.
fn chart() -> Result<String> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/streaming-operator");
    let helm = env::var("HELM").context("no helm: set HELM, or let `make unit` build it")?;
    let done = Command::new(helm)
        .args(["template", "streaming-operator"])
        .arg(chart)
        .args(["--namespace", OPERATOR])
        .output()?;
    ensure!(done.status.success(), "helm: {}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

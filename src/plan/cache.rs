//! The objects of a cache: all of an embedded one, one Redis or Valkey.

use super::{Intent, environment, server, workload::pod};
use crate::{
    api::names,
    kinds::{Kind, ObjectKey},
    observe::Observed,
    platform::{Data, Embedded, Platform},
    quantity,
};
use k8s_openapi::api::core::v1::{
    Container, ExecAction, KeyToPath, Probe, SecretVolumeSource, TCPSocketAction, Volume,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const PORT: i32 = 6379;
const DATA: &str = "/data";
/// Folder of the file that sets the password: arguments could be read by anyone on the node.
const AUTH: &str = "/etc/cache";
/// Key of the Secret, and name of the file.
const AUTH_FILE: &str = "auth.conf";

/// Adds the cache, where the operator runs it.
pub(super) fn add(platform: &Platform, observed: &Observed, intent: &mut Intent) {
    match &platform.cache {
        Some(Data::Embedded(spec)) => server::add(platform, server(platform, spec), observed, intent),
        // Its login is set in ElastiCache first; see `plan::login`.
        Some(Data::Aws(_)) => {
            intent.kept.push(ObjectKey::new(Kind::Secret, platform.name.child(names::CACHE)));
        }
        Some(Data::External { .. }) | None => {}
    }
}

fn server<'a>(platform: &Platform, spec: &'a Embedded) -> server::Server<'a> {
    let secret = platform.name.child(names::CACHE);
    let host = format!("{secret}.{}.svc", platform.namespace);
    let tcp = Probe {
        tcp_socket: Some(TCPSocketAction { port: IntOrString::Int(PORT), host: None }),
        timeout_seconds: Some(3),
        ..Default::default()
    };
    let container = Container {
        name: "redis".to_owned(),
        args: Some(arguments(spec)),
        env: Some(vec![environment::from_secret("REDISCLI_AUTH", &secret, "password", false)]),
        volume_mounts: Some(vec![pod::mount("auth", AUTH)]),
        startup_probe: Some(Probe { period_seconds: Some(1), failure_threshold: Some(120), ..tcp.clone() }),
        readiness_probe: Some(Probe { period_seconds: Some(5), timeout_seconds: Some(5), ..answers() }),
        liveness_probe: Some(Probe { period_seconds: Some(10), failure_threshold: Some(6), ..tcp }),
        ..Default::default()
    };
    server::Server {
        part: names::CACHE,
        spec,
        port: PORT,
        data_path: DATA,
        container,
        volumes: vec![auth_volume(&secret)],
        secret: [
            ("host", host.clone()),
            ("port", PORT.to_string()),
            ("password", "{random}".to_owned()),
            ("uri", format!("redis://:{{random}}@{host}:{PORT}/0")),
            (AUTH_FILE, "requirepass {random}\n".to_owned()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
    }
}

/// The configuration: half of the memory for data, because rewriting the append-only file may copy as much.
fn arguments(spec: &Embedded) -> Vec<String> {
    let limit = spec.resources.limits.as_ref().and_then(|limits| quantity::nanos(&limits.get("memory")?.0));
    let mut arguments = vec![format!("{AUTH}/{AUTH_FILE}")];
    arguments.extend(["--dir", DATA, "--appendonly", "yes"].map(str::to_owned));
    if let Some(limit) = limit {
        let bytes = limit / 1_000_000_000 / 2;
        arguments.extend(["--maxmemory".to_owned(), bytes.to_string()]);
        arguments.extend(["--maxmemory-policy", "allkeys-lru"].map(str::to_owned));
    }
    arguments
}

/// Accepting connections is not enough: while it loads its data the server refuses commands.
fn answers() -> Probe {
    let command = ["sh", "-c", "redis-cli ping | grep -q PONG"].map(str::to_owned);
    Probe { exec: Some(ExecAction { command: Some(command.into()) }), ..Default::default() }
}

fn auth_volume(secret: &str) -> Volume {
    Volume {
        name: "auth".to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret.to_owned()),
            items: Some(vec![KeyToPath {
                key: AUTH_FILE.to_owned(),
                path: AUTH_FILE.to_owned(),
                mode: None,
            }]),
            default_mode: Some(0o440),
            ..Default::default()
        }),
        ..Default::default()
    }
}

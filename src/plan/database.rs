//! The objects of a database: all of an embedded one, and the master's Secret of one in AWS.

use super::{
    GeneratedSecret, Intent, environment, server,
    workload::{self, pod},
};
use crate::{
    api::{DatabaseDeletionPolicy, names},
    kinds::{Kind, ObjectKey},
    observe::Observed,
    platform::{Data, Embedded, Platform},
};
use k8s_openapi::api::core::v1::{Container, ExecAction, Probe};

const PORT: i32 = 5432;
/// Name of the user and of the database.
const NAME: &str = "platform";
const DATA: &str = "/var/lib/postgresql/data";

/// Adds the database, where the operator runs it.
pub(super) fn add(platform: &Platform, observed: &Observed, intent: &mut Intent) {
    match &platform.database {
        Some(Data::Embedded(spec)) => server::add(platform, server(platform, spec), observed, intent),
        Some(Data::Aws(spec)) => {
            // Its login is set in the database first; see `plan::login`.
            intent.kept.push(ObjectKey::new(Kind::Secret, platform.name.child(names::DATABASE)));
            if !spec.secrets_manager() {
                let master = names::DATABASE_MASTER;
                let owned = spec.deletion_policy != DatabaseDeletionPolicy::Retain;
                intent.drafts.extend(workload::owned_secret(
                    platform,
                    master,
                    names::DATABASE,
                    owned,
                    observed,
                ));
                intent.generate.push(GeneratedSecret {
                    name: platform.name.child(master),
                    labels: platform.labels(names::DATABASE),
                    template: [("username", spec.master_username.as_str()), ("password", "{random}")]
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .into(),
                });
            }
        }
        Some(Data::External { .. }) | None => {}
    }
}

fn server<'a>(platform: &Platform, spec: &'a Embedded) -> server::Server<'a> {
    let secret = platform.name.child(names::DATABASE);
    let host = format!("{secret}.{}.svc", platform.namespace);
    let container = Container {
        name: "postgres".to_owned(),
        env: Some(vec![
            environment::literal("POSTGRES_USER", NAME),
            environment::literal("POSTGRES_DB", NAME),
            environment::from_secret("POSTGRES_PASSWORD", &secret, "password", false),
            // Below the mount, because a new volume is not always empty (lost+found).
            environment::literal("PGDATA", format!("{DATA}/pgdata")),
        ]),
        volume_mounts: Some(vec![pod::mount("run", "/var/run/postgresql")]),
        // A first start makes the database; a start after a crash replays its log.
        startup_probe: Some(Probe { period_seconds: Some(2), failure_threshold: Some(150), ..accepts() }),
        readiness_probe: Some(Probe { period_seconds: Some(5), ..accepts() }),
        liveness_probe: Some(Probe { period_seconds: Some(10), failure_threshold: Some(6), ..accepts() }),
        ..Default::default()
    };
    server::Server {
        part: names::DATABASE,
        spec,
        port: PORT,
        data_path: DATA,
        container,
        volumes: vec![pod::scratch("run", None)],
        secret: [
            ("host", host.clone()),
            ("port", PORT.to_string()),
            ("dbname", NAME.to_owned()),
            ("username", NAME.to_owned()),
            ("password", "{random}".to_owned()),
            ("uri", format!("postgres://{NAME}:{{random}}@{host}:{PORT}/{NAME}")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
    }
}

/// Asked over TCP: while the database is made, the server listens on its socket only.
fn accepts() -> Probe {
    let command =
        format!("pg_isready --quiet --host 127.0.0.1 --port {PORT} --username {NAME} --dbname {NAME}");
    Probe {
        exec: Some(ExecAction { command: Some(command.split(' ').map(str::to_owned).collect()) }),
        timeout_seconds: Some(5),
        ..Default::default()
    }
}

//! The PostgreSQL servers behind the endpoints: who is let in, and the roles that the master makes.

use super::{Data, Rds};
use crate::aws::{Place, Region, secrets::Secrets};
use jiff::Timestamp;
use serde_json::Value;

/// What names a session that somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session<'a> {
    /// Host, as a description names it.
    pub host: &'a str,
    /// Name of the database.
    pub database: &'a str,
    /// The user.
    pub user: &'a str,
    /// The password that it gives.
    pub password: &'a str,
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// No server answers at this host.
    Unreachable,
    /// The server has no such database.
    NoDatabase,
    /// The password is another one, or there is no such user.
    WrongPassword,
}

/// What a server is, for those who log in.
struct Server<'a> {
    runs: bool,
    database: Option<&'a str>,
    master: &'a str,
    password: Option<String>,
    data: &'a mut Data,
}

impl Region {
    /// Logs in, and tells whether as the master.
    ///
    /// # Errors
    /// Why not.
    pub fn log_in(&mut self, session: Session<'_>) -> Result<bool, NoSession> {
        if let Some(behind) = self.rds.behind_proxy(&session, &self.place, &self.secrets, self.now)? {
            return self.log_in(Session { host: &behind, ..session });
        }
        let server = self.rds.server(session.host, &self.place, &self.secrets);
        let server = server.filter(|server| server.runs).ok_or(NoSession::Unreachable)?;
        let is_master = session.user == server.master;
        let password = if is_master { server.password } else { server.data.password(session.user) };
        if password.as_deref() != Some(session.password) {
            return Err(NoSession::WrongPassword);
        }
        if server.database.is_some_and(|name| name != session.database) {
            return Err(NoSession::NoDatabase);
        }
        Ok(is_master)
    }

    /// Logs in as the master, and gives a user its password.
    ///
    /// # Errors
    /// Why not.
    pub fn set_password(
        &mut self,
        master: Session<'_>,
        user: &str,
        password: &str,
        now: Timestamp,
    ) -> Result<(), NoSession> {
        if !self.log_in(master)? {
            return Err(NoSession::WrongPassword);
        }
        if let Some(server) = self.rds.server(master.host, &self.place, &self.secrets) {
            server.data.set_password(now, user, password);
        }
        Ok(())
    }
}

impl Rds {
    /// The host behind a proxy of this host, which lets in whoever gives the password that a secret of it has; `None`:
    /// there is no proxy.
    fn behind_proxy(
        &self,
        session: &Session<'_>,
        place: &Place,
        secrets: &Secrets,
        now: Timestamp,
    ) -> Result<Option<String>, NoSession> {
        let Some(proxy) = self.proxies.values().find(|proxy| proxy.host(place) == session.host) else {
            return Ok(None);
        };
        let target = proxy.target.as_ref().filter(|it| it.is_ready(now) && proxy.refusal.is_none());
        let target = target.ok_or(NoSession::Unreachable)?;
        let auth = proxy.settings.structures("Auth").unwrap_or_default();
        let arns: Vec<_> = auth.iter().filter_map(|auth| auth.get("SecretArn")).collect();
        let read = secrets.secrets.values().filter(|secret| arns.contains(&secret.arn.as_str()));
        let knows = read.filter_map(|secret| secret.seen_by_proxy(now)).any(|content| {
            let content: Value = serde_json::from_str(content).unwrap_or_default();
            content["username"] == session.user && content["password"] == session.password
        });
        if !knows {
            return Err(NoSession::WrongPassword);
        }
        let cluster = self.clusters.get(&target.identifier).filter(|_| target.is_cluster);
        let instance = self.instances.get(&target.identifier);
        let host = cluster.map(|it| it.writer_host(place));
        let host = host.or_else(|| instance.map(|it| super::host(&it.endpoint, place)));
        host.map(Some).ok_or(NoSession::Unreachable)
    }

    fn server(&mut self, host: &str, place: &Place, secrets: &Secrets) -> Option<Server<'_>> {
        let current = |arn: &Option<String>| {
            let secret = secrets.secrets.values().find(|secret| Some(&secret.arn) == arn.as_ref())?;
            let content: Value = serde_json::from_str(secret.current()?).ok()?;
            Some(content["password"].as_str()?.to_owned())
        };
        let is_at = |endpoint: &str| super::host(endpoint, place) == host;
        if let Some(instance) = self.instances.values_mut().find(|instance| is_at(&instance.endpoint)) {
            return Some(Server {
                runs: runs(instance.progress.status()),
                database: instance.database.as_deref(),
                master: &instance.master_username,
                password: instance.password.clone().or_else(|| current(&instance.secret)),
                data: &mut instance.data,
            });
        }
        let is_at = |cluster: &super::Cluster| cluster.writer_host(place) == host;
        let cluster = self.clusters.values_mut().find(|cluster| is_at(cluster))?;
        Some(Server {
            runs: runs(cluster.progress.status()),
            database: cluster.database.as_deref(),
            master: &cluster.master_username,
            password: cluster.password.clone().or_else(|| current(&cluster.secret)),
            data: &mut cluster.data,
        })
    }
}

/// Whether a server answers in a status.
fn runs(status: &str) -> bool {
    !["creating", "deleting", "failed", "rebooting", "starting", "stopped", "stopping", "upgrading"]
        .contains(&status)
}

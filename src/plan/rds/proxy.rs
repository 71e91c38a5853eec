//! The proxy before a database: the secrets that it reads, the proxy itself, and what it leads to.
//!
//! It has the name of its database, so that what a restore brings has one of its own. Pods stay with the server until
//! the proxy reaches it, and with the proxy until the connection Secret names another host and no pod is left that was
//! started before.

use super::Planner;
use crate::{
    api::ConditionReason,
    managed::{
        Setting,
        rds::{
            self, Database,
            proxy::{self, Phase, Proxy},
        },
    },
    plan::{
        call::Call,
        login::{User, Vault},
        managed::{DataPlan, Owner, Proxied, Removal, State, missing_tags, owner, tags},
    },
    platform::{
        Platform,
        database::{AwsDatabase, Engine, Proxy as Wanted},
    },
};

/// The secrets that the proxy reads, where there shall be one and both are there.
#[must_use]
pub fn vault(platform: &Platform, wanted: &AwsDatabase, database: &Database) -> Option<Vault> {
    wanted.proxy.as_ref()?;
    let secret = |user: User| Some((user, database.login_secrets.get(&user.secret_name(platform))?.clone()));
    let logins = User::ALL.into_iter().map(secret).collect::<Option<_>>()?;
    Some(Vault { logins })
}

/// What of proxies nobody needs any more: no pod connects by them, and no database is kept with them.
#[must_use]
pub fn unused(platform: &Platform, wanted: &AwsDatabase, database: &Database, plan: &DataPlan) -> Vec<Call> {
    if !matches!(plan.state, State::Ready(_)) || !plan.calls.is_empty() {
        return Vec::new();
    }
    let identifier = wanted.identifier();
    let is_needed =
        |name: &String| (wanted.proxy.is_some() && *name == identifier) || plan.facts.kept.contains(name);
    let ours = database.proxies.values().filter(|it| owner(platform, &it.tags) == Owner::Us);
    let (needed, unused): (Vec<_>, Vec<_>) = ours.partition(|it| is_needed(&it.name));
    let unused: Vec<_> = unused.into_iter().filter(|it| it.phase() != Phase::Deleting).collect();
    let mut calls: Vec<_> =
        unused.iter().map(|it| rds::Call::DeleteProxy { name: it.name.clone() }).collect();
    if wanted.proxy.is_none() && needed.is_empty() && calls.is_empty() {
        calls.extend(delete_secrets(database));
    }
    calls.into_iter().map(Call::Rds).collect()
}

/// The next step before a server is removed: its proxy goes first.
pub(super) fn removed(platform: &Platform, database: &Database, identifier: &str) -> Result<(), Removal> {
    let proxy = database.proxies.get(identifier);
    let Some(proxy) = proxy.filter(|it| owner(platform, &it.tags) == Owner::Us) else { return Ok(()) };
    let name = proxy.name.clone();
    Err(match proxy.phase() {
        Phase::Deleting => Removal::Waiting(format!("proxy {name} is being deleted")),
        Phase::Settled | Phase::Moving | Phase::Broken(_) => {
            Removal::Calls(vec![Call::Rds(rds::Call::DeleteProxy { name })])
        }
    })
}

/// Deletes the copies of the logins.
pub(super) fn delete_secrets(database: &Database) -> impl Iterator<Item = rds::Call> {
    let secrets = database.login_secrets.values();
    secrets.map(|it| rds::Call::DeleteLoginSecret { arn: it.arn.clone() })
}

impl Planner<'_> {
    /// The proxy before a server that pods connect to, where one shall be.
    pub(super) fn proxied(&self, identifier: &str) -> Option<Proxied> {
        self.wanted.proxy.as_ref()?;
        let proxy = self.seen.resource.proxies.get(identifier)?;
        let host = proxy.host.clone().filter(|_| proxy.serves())?;
        (owner(self.platform, &proxy.tags) == Owner::Us)
            .then(|| Proxied { host, reaches: proxy.reaches(identifier) })
    }

    /// What the status tells, so that it is looked for as long as there is something.
    pub(super) fn told_proxy(&self) -> Option<String> {
        let Database { proxies, login_secrets, told_proxy, .. } = &self.seen.resource;
        if self.wanted.proxy.is_some() {
            return Some(self.identifier.clone());
        }
        let is_gone = self.seen.failure.is_none() && proxies.is_empty() && login_secrets.is_empty();
        told_proxy.clone().filter(|_| !is_gone)
    }

    /// Brings the proxy to what the spec says, once the server is.
    pub(super) fn proxy(&mut self) {
        let Some(wanted) = &self.wanted.proxy else { return };
        if !matches!(self.plan.state, State::Ready(_)) || !self.plan.calls.is_empty() {
            return;
        }
        let Some(vault) = vault(self.platform, self.wanted, &self.seen.resource) else {
            return self.make_secrets();
        };
        let logins = vault.logins.values().map(|it| it.arn.clone()).collect();
        let settings = proxy::desired(wanted, self.wanted.network.tls, logins);
        let name = self.identifier.clone();
        let Some(proxy) = self.seen.resource.proxies.get(&name) else {
            self.moving(format!("proxy {name} is being made"));
            let settings = settings.into_iter().filter(|(setting, _)| !setting.is_of_pool()).collect();
            return self.call(rds::Call::CreateProxy { name, settings, tags: tags(self.platform) });
        };
        if owner(self.platform, &proxy.tags) != Owner::Us {
            let message = format!(
                "there is a proxy {name} that the operator did not make for this platform; delete it, or leave database.aws.proxy out"
            );
            return self.plan.stuck(ConditionReason::NotOwned, message, true);
        }
        match proxy.phase() {
            Phase::Settled => {}
            Phase::Moving | Phase::Deleting => {
                return self.moving(format!("proxy {name} is {}", proxy.status));
            }
            Phase::Broken(advice) => {
                let message = format!("proxy {name} is {}: {advice}", proxy.status);
                return self.plan.stuck(ConditionReason::Failed, message, true);
            }
        }
        let missing = missing_tags(&tags(self.platform), &proxy.tags);
        if !missing.is_empty() {
            self.call(rds::Call::Tag { arn: proxy.arn.clone(), tags: missing });
        }
        let changes = self.possible(proxy::changes(&settings, proxy));
        let now = self.plan.permitted(changes, &self.permits);
        if now.is_empty() {
            return self.target(wanted, proxy);
        }
        let (call, now) = proxy::modify(&settings, proxy, now);
        let fields: Vec<_> = now.iter().map(|change| change.setting.field()).collect();
        self.moving(format!("{} of proxy {name} are being changed", fields.join(", ")));
        self.call(call);
    }

    fn make_secrets(&mut self) {
        let there = &self.seen.resource.login_secrets;
        let names = User::ALL.map(|user| user.secret_name(self.platform));
        for name in names.into_iter().filter(|name| !there.contains_key(name)) {
            self.call(rds::Call::CreateLoginSecret { name, tags: tags(self.platform) });
        }
        self.moving("the secrets of its proxy are being made");
    }

    /// Leads the proxy to the server, and to nothing else.
    fn target(&mut self, wanted: &Wanted, proxy: &Proxy) {
        let (name, is_cluster) = (proxy.name.clone(), matches!(self.wanted.engine, Engine::Aurora { .. }));
        let other = proxy.targets.keys().find(|it| **it != self.identifier);
        if let Some(identifier) = other.cloned() {
            self.moving(format!("proxy {name} is being led away from {identifier}"));
            return self.call(rds::Call::DeregisterTarget { proxy: name, identifier, is_cluster });
        }
        let Some(target) = proxy.targets.get(&self.identifier) else {
            let identifier = self.identifier.clone();
            self.moving(format!("proxy {name} is being led to it"));
            return self.call(rds::Call::RegisterTarget { proxy: name, identifier, is_cluster });
        };
        let why = target.reason.as_deref().unwrap_or_default();
        match target.state.as_str() {
            "AVAILABLE" => {}
            "UNAVAILABLE" if why.starts_with("AUTH_FAILURE") => {
                let message = format!(
                    "proxy {name} can't log in: {why}; its role {} must trust rds.amazonaws.com and be allowed secretsmanager:GetSecretValue on the secrets {} and {}",
                    wanted.role,
                    User::A.secret_name(self.platform),
                    User::B.secret_name(self.platform),
                );
                self.plan.stuck(ConditionReason::Failed, message, true);
            }
            "UNAVAILABLE" => {
                let message = format!(
                    "proxy {name} does not reach {}: {why}; the database's security groups must admit those of the proxy",
                    self.identifier
                );
                self.plan.stuck(ConditionReason::Failed, message, true);
            }
            state => self.moving(format!("proxy {name} is being led to it: {state}")),
        }
    }
}

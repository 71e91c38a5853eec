//! RDS Proxy.

use super::{
    AVAILABLE, Fault, Instance, Parameters, Rds, Xml, identifier, invalid_combination, invalid_value,
    progress::{Progress, Status, later},
    times, token,
};
use crate::aws::{Place, query, secrets::Secrets};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A proxy.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// `DBProxyName`.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// What it was made with, and was modified to: parameters of CreateDBProxy.
    pub settings: Parameters,
    /// Of its target group: parameters of `ConnectionPoolConfig`.
    pub pool: Parameters,
    /// What it leads to.
    pub target: Option<Target>,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// Why it can't log in, as a test sets it: `AUTH_FAILURE`.
    pub refusal: Option<&'static str>,
    created: Timestamp,
    updated: Timestamp,
    progress: Progress<Finish>,
}

/// What a proxy leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Identifier of an instance or a cluster.
    pub identifier: String,
    /// Whether it is a cluster.
    pub is_cluster: bool,
    ready: Timestamp,
}

impl Target {
    /// Whether the proxy has got to know it.
    #[must_use]
    pub fn is_ready(&self, now: Timestamp) -> bool {
        self.ready <= now
    }
}

#[derive(Clone, Copy, Debug)]
enum Finish {
    Nothing,
    Deleted,
}

impl Proxy {
    /// Its status as describes show it.
    #[must_use]
    pub fn status(&self) -> Status {
        self.progress.status()
    }

    pub(super) fn due(&self) -> Option<Timestamp> {
        self.progress.due()
    }

    /// Where clients connect.
    pub(super) fn host(&self, place: &Place) -> String {
        let token = token(&[&place.account, &place.region], 11);
        format!("{}.proxy-{token}.{}.rds.amazonaws.com", self.name, place.region)
    }
}

impl Rds {
    pub(super) fn proxy_happens(&mut self, name: &str, at: Timestamp) {
        if let Some(proxy) = self.proxies.get_mut(name)
            && let Some(Finish::Deleted) = proxy.progress.finish(at)
        {
            self.proxies.remove(name);
        }
    }

    pub(super) fn perform_on_proxies(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        match operation {
            "CreateDBProxy" => self.create_proxy(parameters, now, place),
            "ModifyDBProxy" => self.modify_proxy(parameters, now, place),
            "DescribeDBProxies" => self.describe_proxies(parameters, place),
            "DeleteDBProxy" => self.delete_proxy(parameters, now, place),
            "RegisterDBProxyTargets" => self.register(parameters, now, place, secrets),
            "DeregisterDBProxyTargets" => self.deregister(parameters),
            "DescribeDBProxyTargets" => self.describe_targets(parameters, now, place, secrets),
            "DescribeDBProxyTargetGroups" => self.describe_target_groups(parameters, place),
            "ModifyDBProxyTargetGroup" => self.modify_target_group(parameters, now, place),
            _ => Err(Fault::bad_request("InvalidAction", format!("Could not find operation {operation}"))),
        }
    }

    fn create_proxy(&mut self, parameters: &Parameters, now: Timestamp, place: &Place) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBProxyName")?;
        if self.proxies.contains_key(&name) {
            return Err(Fault::bad_request(
                "DBProxyAlreadyExistsFault",
                format!("DB Proxy {name} already exists."),
            ));
        }
        if parameters.required("EngineFamily")? != "POSTGRESQL" {
            return Err(invalid_value("EngineFamily must be POSTGRESQL"));
        }
        parameters.required("RoleArn")?;
        let subnets: BTreeSet<_> = parameters.list("VpcSubnetIds").unwrap_or_default().into_iter().collect();
        if let Some(unknown) = subnets.iter().find(|id| !self.subnets.contains_key(*id)) {
            return Err(Fault::bad_request(
                "InvalidSubnet",
                format!("The subnet ID '{unknown}' does not exist"),
            ));
        }
        if self.zones(&subnets).len() < 2 {
            return Err(Fault::bad_request(
                "InvalidSubnet",
                "A DB proxy needs subnets of at least two Availability Zones.",
            ));
        }
        check(parameters)?;
        let id = self.next_token(place, &name, 17);
        let mut proxy = Proxy {
            arn: place.arn("rds", &format!("db-proxy:prx-{id}")),
            name: name.clone(),
            settings: parameters.clone(),
            pool: Parameters::default(),
            target: None,
            refusal: None,
            tags: parameters.tags(),
            created: now,
            updated: now,
            progress: Progress::resting(AVAILABLE),
        };
        proxy.progress.add(now, "creating", times::PROXY, Finish::Nothing);
        let shown = show(&proxy, place);
        self.proxies.insert(name, proxy);
        Ok(Xml::new().element("DBProxy", shown))
    }

    fn modify_proxy(&mut self, parameters: &Parameters, now: Timestamp, place: &Place) -> Result<Xml, Fault> {
        check(parameters)?;
        let proxy = self.available_proxy(parameters)?;
        let mut change = parameters.clone();
        change.0.remove("DBProxyName");
        if let Some(groups) = change.list("SecurityGroups") {
            change.0.retain(|key, _| !key.starts_with("SecurityGroups"));
            proxy.settings.0.retain(|key, _| !key.starts_with("VpcSecurityGroupIds"));
            let groups = groups.into_iter().enumerate();
            change.0.extend(
                groups.map(|(index, group)| (format!("VpcSecurityGroupIds.member.{}", index + 1), group)),
            );
        }
        if change.0.keys().any(|key| key.starts_with("Auth.")) {
            proxy.settings.0.retain(|key, _| !key.starts_with("Auth."));
        }
        proxy.settings.0.extend(change.0);
        proxy.updated = now;
        proxy.progress.add(now, "modifying", times::PROXY, Finish::Nothing);
        Ok(Xml::new().element("DBProxy", show(proxy, place)))
    }

    fn describe_proxies(&self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let wanted = parameters.get("DBProxyName").map(str::to_lowercase);
        if let Some(name) = &wanted {
            self.proxy(name)?;
        }
        let found = self
            .proxies
            .values()
            .filter(|proxy| wanted.as_ref().is_none_or(|name| *name == proxy.name))
            .map(|proxy| (proxy.name.clone(), show(proxy, place)));
        let page = query::page(parameters, found)?;
        Ok(Xml::new().list("DBProxies", "member", page.items).optional("Marker", page.marker))
    }

    fn delete_proxy(&mut self, parameters: &Parameters, now: Timestamp, place: &Place) -> Result<Xml, Fault> {
        let name = identifier(parameters, "DBProxyName")?;
        let proxy = self.proxies.get_mut(&name).ok_or_else(|| no_proxy(&name))?;
        if proxy.status() == "deleting" {
            return Err(invalid_state(proxy));
        }
        proxy.progress.rest_at("deleting");
        proxy.progress.add(now, "deleting", times::PROXY, Finish::Deleted);
        Ok(Xml::new().element("DBProxy", show(proxy, place)))
    }

    fn register(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let names = |name: &str| parameters.list(name).unwrap_or_default();
        let (instances, clusters) = (names("DBInstanceIdentifiers"), names("DBClusterIdentifiers"));
        let (name, is_cluster) = match (instances.as_slice(), clusters.as_slice()) {
            ([name], []) => (name.to_lowercase(), false),
            ([], [name]) => (name.to_lowercase(), true),
            _ => {
                return Err(invalid_combination(
                    "Exactly one DB instance or DB cluster is to be registered.",
                ));
            }
        };
        if is_cluster {
            self.cluster(&name)?;
        } else {
            self.instance(&name)?;
        }
        let proxy = self.available_proxy(parameters)?;
        if let Some(target) = &proxy.target {
            return Err(Fault::bad_request(
                "DBProxyTargetAlreadyRegisteredFault",
                format!("The proxy has the target {} already: deregister it first.", target.identifier),
            ));
        }
        proxy.target = Some(Target { identifier: name, is_cluster, ready: later(now, times::PROXY) });
        let name = proxy.name.clone();
        Ok(Xml::new().list(
            "DBProxyTargets",
            "member",
            self.show_targets(self.proxy(&name)?, now, place, secrets),
        ))
    }

    fn deregister(&mut self, parameters: &Parameters) -> Result<Xml, Fault> {
        let names: Vec<_> = ["DBInstanceIdentifiers", "DBClusterIdentifiers"]
            .into_iter()
            .filter_map(|name| parameters.list(name))
            .flatten()
            .collect();
        let proxy = self.available_proxy(parameters)?;
        match &proxy.target {
            Some(target) if names.iter().any(|name| name.eq_ignore_ascii_case(&target.identifier)) => {
                proxy.target = None;
                Ok(Xml::new())
            }
            _ => Err(Fault::not_found(
                "DBProxyTargetNotFoundFault",
                format!("{names:?} is no target of the proxy."),
            )),
        }
    }

    fn describe_targets(
        &self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &Secrets,
    ) -> Result<Xml, Fault> {
        let proxy = self.proxy(&identifier(parameters, "DBProxyName")?)?;
        Ok(Xml::new().list("Targets", "member", self.show_targets(proxy, now, place, secrets)))
    }

    /// The registered target, and of a cluster its members too.
    fn show_targets(&self, proxy: &Proxy, now: Timestamp, place: &Place, secrets: &Secrets) -> Vec<Xml> {
        let Some(target) = &proxy.target else { return Vec::new() };
        let logins = proxy.settings.structures("Auth").unwrap_or_default();
        let can_log_in = logins.iter().any(|auth| secrets.is_set(auth.get("SecretArn").unwrap_or_default()));
        let refusal = proxy.refusal.or((!can_log_in).then_some("AUTH_FAILURE"));
        let name = &target.identifier;
        let Some(cluster) = self.clusters.get(name).filter(|_| target.is_cluster) else {
            let instance = self.instances.get(name);
            return vec![show_target(name, instance, target, "READ_WRITE", refusal, now, place)];
        };
        let tracked = Xml::new()
            .text("TargetArn", cluster.arn(place))
            .text("RdsResourceId", name)
            .text("Type", "TRACKED_CLUSTER")
            .text("Port", cluster.port);
        let members = cluster.members.iter().map(|member| {
            let instance = self.instances.get(&member.identifier);
            let role = if member.writer { "READ_WRITE" } else { "READ_ONLY" };
            show_target(&member.identifier, instance, target, role, refusal, now, place)
                .text("TrackedClusterId", name)
        });
        std::iter::once(tracked).chain(members).collect()
    }

    fn describe_target_groups(&self, parameters: &Parameters, place: &Place) -> Result<Xml, Fault> {
        let proxy = self.proxy(&identifier(parameters, "DBProxyName")?)?;
        check_group(parameters)?;
        Ok(Xml::new().list("TargetGroups", "member", [show_group(proxy, place)]))
    }

    fn modify_target_group(
        &mut self,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        check_group(parameters)?;
        let change = parameters.structure("ConnectionPoolConfig").unwrap_or_default();
        for name in ["MaxConnectionsPercent", "MaxIdleConnectionsPercent"] {
            if change.integer(name)?.is_some_and(|percent| !(0..=100).contains(&percent)) {
                return Err(invalid_value(format!("{name} must be between 0 and 100.")));
            }
        }
        let proxy = self.available_proxy(parameters)?;
        proxy.pool.0.extend(change.0);
        proxy.updated = now;
        Ok(Xml::new().element("DBProxyTargetGroup", show_group(proxy, place)))
    }

    fn proxy(&self, name: &str) -> Result<&Proxy, Fault> {
        self.proxies.get(name).ok_or_else(|| no_proxy(name))
    }

    fn available_proxy(&mut self, parameters: &Parameters) -> Result<&mut Proxy, Fault> {
        let name = identifier(parameters, "DBProxyName")?;
        let proxy = self.proxies.get_mut(&name).ok_or_else(|| no_proxy(&name))?;
        if proxy.status() == AVAILABLE { Ok(proxy) } else { Err(invalid_state(proxy)) }
    }
}

fn no_proxy(name: &str) -> Fault {
    Fault::not_found("DBProxyNotFoundFault", format!("DB Proxy {name} not found."))
}

fn invalid_state(proxy: &Proxy) -> Fault {
    Fault::bad_request(
        "InvalidDBProxyStateFault",
        format!("The DB proxy {} is {}, not available.", proxy.name, proxy.status()),
    )
}

fn check(parameters: &Parameters) -> Result<(), Fault> {
    match parameters.integer("IdleClientTimeout")? {
        Some(seconds) if !(1..=28_800).contains(&seconds) => {
            Err(invalid_value("IdleClientTimeout must be between 1 and 28800 seconds."))
        }
        _ => Ok(()),
    }
}

fn check_group(parameters: &Parameters) -> Result<(), Fault> {
    match parameters.get("TargetGroupName") {
        None | Some("default") => Ok(()),
        Some(name) => Err(Fault::not_found(
            "DBProxyTargetGroupNotFoundFault",
            format!("There is no target group {name}: every proxy has the group default."),
        )),
    }
}

fn show(proxy: &Proxy, place: &Place) -> Xml {
    let settings = &proxy.settings;
    let auth = settings
        .structures("Auth")
        .unwrap_or_default()
        .into_iter()
        .map(|auth| auth.0.iter().fold(Xml::new(), |xml, (key, value)| xml.text(key, value)));
    Xml::new()
        .text("DBProxyName", &proxy.name)
        .text("DBProxyArn", &proxy.arn)
        .text("Status", proxy.status())
        .text("EngineFamily", "POSTGRESQL")
        .texts("VpcSecurityGroupIds", "member", settings.list("VpcSecurityGroupIds").unwrap_or_default())
        .texts("VpcSubnetIds", "member", settings.list("VpcSubnetIds").unwrap_or_default())
        .list("Auth", "member", auth)
        .optional("RoleArn", settings.get("RoleArn"))
        .text("Endpoint", proxy.host(place))
        .text("RequireTLS", settings.get("RequireTLS").unwrap_or("false"))
        .text("IdleClientTimeout", settings.get("IdleClientTimeout").unwrap_or("1800"))
        .text("DebugLogging", settings.get("DebugLogging").unwrap_or("false"))
        .text("CreatedDate", proxy.created)
        .text("UpdatedDate", proxy.updated)
}

fn show_target(
    name: &str,
    instance: Option<&Instance>,
    target: &Target,
    role: &str,
    refusal: Option<&str>,
    now: Timestamp,
    place: &Place,
) -> Xml {
    let health = match (instance, refusal) {
        _ if now < target.ready => Xml::new().text("State", "REGISTERING"),
        (_, Some(reason)) => Xml::new().text("State", "UNAVAILABLE").text("Reason", reason),
        (Some(instance), None) if instance.takes_connections() => Xml::new().text("State", "AVAILABLE"),
        _ => Xml::new().text("State", "UNAVAILABLE").text("Reason", "UNREACHABLE"),
    };
    Xml::new()
        .text("TargetArn", place.arn("rds", &format!("db:{name}")))
        .text("RdsResourceId", name)
        .text("Type", "RDS_INSTANCE")
        .text("Role", role)
        .optional("Endpoint", instance.map(|instance| super::host(&instance.endpoint, place)))
        .optional("Port", instance.map(|instance| instance.settings.port))
        .element("TargetHealth", health)
}

fn show_group(proxy: &Proxy, place: &Place) -> Xml {
    let pool = &proxy.pool;
    let config = Xml::new()
        .text("MaxConnectionsPercent", pool.get("MaxConnectionsPercent").unwrap_or("100"))
        .text("MaxIdleConnectionsPercent", pool.get("MaxIdleConnectionsPercent").unwrap_or("50"))
        .text("ConnectionBorrowTimeout", pool.get("ConnectionBorrowTimeout").unwrap_or("120"))
        .texts("SessionPinningFilters", "member", pool.list("SessionPinningFilters").unwrap_or_default())
        .optional("InitQuery", pool.get("InitQuery"));
    let id = token(&[&proxy.arn], 17);
    Xml::new()
        .text("DBProxyName", &proxy.name)
        .text("TargetGroupName", "default")
        .text("TargetGroupArn", place.arn("rds", &format!("target-group:prx-tg-{id}")))
        .text("IsDefault", true)
        .text("Status", proxy.status())
        .element("ConnectionPoolConfig", config)
        .text("CreatedDate", proxy.created)
        .text("UpdatedDate", proxy.updated)
}

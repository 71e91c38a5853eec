//! Users and user groups: access by roles (RBAC).

use super::{
    Due, ElastiCache, combine,
    engine::{Engine, Release},
    fault::{combination, identifier, invalid_value},
    replication_group::Group,
    serverless::ServerlessCache,
    times,
};
use crate::aws::{
    Place,
    fault::Fault,
    query::{Answer, Parameters, Xml, filters, page},
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The user that a connection has before it logs in.
const DEFAULT: &str = "default";

/// A user.
#[derive(Clone, Debug)]
pub struct User {
    /// Identifier.
    pub id: String,
    /// Name that clients log in with.
    pub name: String,
    /// Engine.
    pub engine: Engine,
    /// What it may do, as in `ACL SETUSER`.
    pub access: String,
    /// How it logs in.
    pub login: Login,
    /// ARN.
    pub arn: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    work: Option<UserWork>,
}

/// How a user logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// Without a password.
    Open,
    /// With one of two passwords at most.
    Passwords(BTreeSet<String>),
    /// With a token of IAM.
    Iam,
}

#[derive(Clone, Debug)]
enum UserWork {
    Modify { until: Timestamp, access: String, login: Login },
    Delete { until: Timestamp },
}

/// A user group.
#[derive(Clone, Debug)]
pub struct UserGroup {
    /// Identifier.
    pub id: String,
    /// Engine.
    pub engine: Engine,
    /// Identifiers of its users.
    pub users: BTreeSet<String>,
    /// ARN.
    pub arn: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    work: Option<GroupWork>,
}

#[derive(Clone, Debug)]
struct GroupWork {
    until: Timestamp,
    status: &'static str,
    users: BTreeSet<String>,
}

impl User {
    /// The user `default` that each account has.
    pub(super) fn provided(place: &Place) -> Self {
        Self {
            id: DEFAULT.to_owned(),
            name: DEFAULT.to_owned(),
            engine: Engine::Redis,
            access: "on ~* +@all".to_owned(),
            login: Login::Open,
            arn: place.arn("elasticache", "user:default"),
            tags: BTreeMap::new(),
            work: None,
        }
    }

    /// Whether a password, or none, lets in.
    pub(super) fn lets_in(&self, password: Option<&str>) -> bool {
        let is_on = self.access.split_whitespace().any(|rule| rule == "on");
        is_on
            && match (&self.login, password) {
                (Login::Open, _) => true,
                (Login::Passwords(passwords), Some(password)) => passwords.contains(password),
                (Login::Passwords(_), None) | (Login::Iam, _) => false,
            }
    }

    fn status(&self) -> &'static str {
        match self.work {
            None => "active",
            Some(UserWork::Modify { .. }) => "modifying",
            Some(UserWork::Delete { .. }) => "deleting",
        }
    }
}

impl Login {
    fn xml(&self) -> Xml {
        match self {
            Self::Open => Xml::new().text("Type", "no-password"),
            Self::Passwords(passwords) => {
                Xml::new().text("Type", "password").text("PasswordCount", passwords.len())
            }
            Self::Iam => Xml::new().text("Type", "iam"),
        }
    }
}

impl UserGroup {
    fn status(&self) -> &'static str {
        self.work.as_ref().map_or("active", |work| work.status)
    }

    fn must_be_active(&self) -> Result<(), Fault> {
        if self.work.is_none() {
            return Ok(());
        }
        let message = format!("User group {} is not active: it is {}", self.id, self.status());
        Err(Fault::bad_request("InvalidUserGroupState", message))
    }
}

fn minimum_version(engine: Engine) -> &'static str {
    match engine {
        Engine::Redis => "6.0",
        Engine::Valkey => "7.2",
    }
}

/// How a user is to log in; `None`: nothing is said.
fn login(p: &Parameters) -> Result<Option<Login>, Fault> {
    let mode = p.structure("AuthenticationMode");
    let kind = mode.as_ref().map(|mode| mode.required("Type")).transpose()?;
    let passwords = match (p.list("Passwords"), &mode) {
        (Some(_), Some(_)) => {
            return Err(combination("Passwords and AuthenticationMode can't be combined"));
        }
        (Some(passwords), None) => Some(passwords),
        (None, Some(mode)) => mode.list("Passwords"),
        (None, None) => None,
    };
    let open = p.boolean("NoPasswordRequired")?.unwrap_or(false);
    match (open, kind, passwords) {
        (false, None, None) => Ok(None),
        (true, None, None) | (false, Some("no-password-required"), None) => Ok(Some(Login::Open)),
        (false, Some("iam"), None) => Ok(Some(Login::Iam)),
        (false, None | Some("password"), Some(passwords)) => {
            let passwords: BTreeSet<String> = passwords.into_iter().collect();
            let fit = passwords.iter().all(|password| (16..=128).contains(&password.len()));
            if fit && (1..=2).contains(&passwords.len()) {
                return Ok(Some(Login::Passwords(passwords)));
            }
            Err(invalid_value("A user has one or two passwords of 16 to 128 characters"))
        }
        _ => Err(combination(
            "Give one of Passwords, NoPasswordRequired or AuthenticationMode, complete in itself",
        )),
    }
}

impl ElastiCache {
    pub(super) fn user(&self, id: &str) -> Result<&User, Fault> {
        self.users
            .get(&id.to_ascii_lowercase())
            .ok_or_else(|| Fault::not_found("UserNotFound", format!("User {id} not found.")))
    }

    fn user_group(&self, id: &str) -> Result<&UserGroup, Fault> {
        self.user_groups
            .get(&id.to_ascii_lowercase())
            .ok_or_else(|| Fault::not_found("UserGroupNotFound", format!("User group {id} not found.")))
    }

    /// A user group that a replication group can have.
    pub(super) fn user_group_for(&self, id: &str, release: Release) -> Result<&UserGroup, Fault> {
        let group = self.user_group(id)?;
        group.must_be_active()?;
        if group.engine == Engine::Valkey && release.engine == Engine::Redis {
            return Err(combination(format!(
                "User group {id} is of Valkey; the replication group is of Redis OSS"
            )));
        }
        if release.rank() == 0 {
            return Err(combination("User groups need an engine of 6.0 at least"));
        }
        Ok(group)
    }

    fn user_xml(&self, user: &User) -> Xml {
        let groups = self.user_groups.values().filter(|group| group.users.contains(&user.id));
        Xml::new()
            .text("UserId", &user.id)
            .text("UserName", &user.name)
            .text("Status", user.status())
            .text("Engine", user.engine)
            .text("MinimumEngineVersion", minimum_version(user.engine))
            .text("AccessString", &user.access)
            .texts("UserGroupIds", "member", groups.map(|group| &group.id))
            .element("Authentication", user.login.xml())
            .text("ARN", &user.arn)
    }

    pub(super) fn create_user(&mut self, p: &Parameters, place: &Place) -> Result<Answer, Fault> {
        let id = identifier("UserId", p.required("UserId")?, 40)?;
        if self.users.contains_key(&id) {
            return Err(Fault::bad_request("UserAlreadyExists", format!("User {id} already exists.")));
        }
        let user = User {
            name: p.required("UserName")?.to_owned(),
            engine: Engine::read(p.required("Engine")?)?,
            access: access(p.required("AccessString")?)?,
            login: login(p)?.ok_or_else(|| {
                combination("Give Passwords, NoPasswordRequired true or an AuthenticationMode")
            })?,
            arn: place.arn("elasticache", &format!("user:{id}")),
            tags: p.tags(),
            work: None,
            id: id.clone(),
        };
        if user.login == Login::Iam && user.name != user.id {
            return Err(combination("UserName and UserId must be equal for a user of IAM"));
        }
        let answer = self.user_xml(&user);
        self.users.insert(id, user);
        Ok(answer.into())
    }

    pub(super) fn modify_user(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let user = self.changeable_user(p)?;
        if user.arn.ends_with(":user:default") {
            return Err(invalid_value(
                "The user default that AWS provides can't be modified: create another one",
            ));
        }
        let whole = p.get("AccessString").map(access).transpose()?;
        let access = match (whole, p.get("AppendAccessString")) {
            (Some(_), Some(_)) => {
                return Err(combination("AccessString and AppendAccessString can't be combined"));
            }
            (Some(whole), None) => whole,
            (None, Some(more)) => format!("{} {more}", user.access),
            (None, None) => user.access.clone(),
        };
        let login = login(p)?.unwrap_or_else(|| user.login.clone());
        let until = now + times::USER;
        let id = user.id.clone();
        self.work_on_user(&id, UserWork::Modify { until, access, login }, until)
    }

    pub(super) fn delete_user(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let user = self.changeable_user(p)?;
        let in_group = self.user_groups.values().find(|group| group.users.contains(&user.id));
        if let Some(group) = in_group.filter(|_| user.name == DEFAULT) {
            return Err(Fault::bad_request(
                "DefaultUserAssociatedToUserGroup",
                format!("User {} is the default user of user group {}", user.id, group.id),
            ));
        }
        let (id, until) = (user.id.clone(), now + times::USER);
        self.work_on_user(&id, UserWork::Delete { until }, until)
    }

    fn changeable_user(&self, p: &Parameters) -> Result<&User, Fault> {
        let user = self.user(p.required("UserId")?)?;
        if user.work.is_none() {
            return Ok(user);
        }
        let message = format!("User {} is not active: it is {}", user.id, user.status());
        Err(Fault::bad_request("InvalidUserState", message))
    }

    fn work_on_user(&mut self, id: &str, work: UserWork, until: Timestamp) -> Result<Answer, Fault> {
        if let Some(user) = self.users.get_mut(id) {
            user.work = Some(work);
        }
        self.due(until, Due::User(id.to_owned()));
        Ok(self.user_xml(self.user(id)?).into())
    }

    pub(super) fn user_is_due(&mut self, id: &str, at: Timestamp) {
        let Some(user) = self.users.get_mut(id) else { return };
        match user.work.take() {
            Some(UserWork::Modify { until, access, login }) if until == at => {
                (user.access, user.login) = (access, login);
            }
            Some(UserWork::Delete { until }) if until == at => {
                self.users.remove(id);
                self.user_groups.values_mut().for_each(|group| {
                    group.users.remove(id);
                });
            }
            other => user.work = other,
        }
    }

    pub(super) fn describe_users(&self, p: &Parameters) -> Result<Answer, Fault> {
        let filters = filters(p, &["user-name", "engine", "user-id"])?;
        let users: Vec<&User> = match p.get("UserId") {
            Some(id) => vec![self.user(id)?],
            None => self.users.values().collect(),
        };
        let matching = users.into_iter().filter(|user| {
            let engine = user.engine.to_string();
            filters.iter().all(|(name, values)| match name.as_str() {
                "user-name" => values.contains(&user.name),
                "engine" => values.contains(&engine),
                _ => values.contains(&user.id),
            })
        });
        let page = page(p, matching.map(|user| (user.id.clone(), user)))?;
        let users = page.items.into_iter().map(|user| self.user_xml(user));
        Ok(combine("Users", "member", users, page.marker))
    }

    fn user_group_xml(&self, group: &UserGroup) -> Xml {
        let uses = |used: &&Group| used.user_groups.contains(&group.id);
        let xml = Xml::new()
            .text("UserGroupId", &group.id)
            .text("Status", group.status())
            .text("Engine", group.engine)
            .texts("UserIds", "member", &group.users)
            .text("MinimumEngineVersion", minimum_version(group.engine))
            .texts("ReplicationGroups", "member", self.groups.values().filter(uses).map(|group| &group.id))
            .texts("ServerlessCaches", "member", self.serverless_of(&group.id))
            .text("ARN", &group.arn);
        match &group.work {
            Some(work) if work.users != group.users => {
                let pending = Xml::new()
                    .texts("UserIdsToRemove", "member", group.users.difference(&work.users))
                    .texts("UserIdsToAdd", "member", work.users.difference(&group.users));
                xml.element("PendingChanges", pending)
            }
            _ => xml,
        }
    }

    /// Refuses users that are not there, share a name, or lack the default one.
    fn check_users(&self, users: &BTreeSet<String>, engine: Engine) -> Result<(), Fault> {
        let mut names = BTreeSet::new();
        for id in users {
            let user = self.user(id)?;
            if engine == Engine::Redis && user.engine == Engine::Valkey {
                return Err(invalid_value(format!("User {id} is of Valkey; the user group is of Redis OSS")));
            }
            if engine == Engine::Valkey && user.login == Login::Open {
                return Err(invalid_value(format!(
                    "User {id} needs a password or IAM in a user group of Valkey"
                )));
            }
            if !names.insert(user.name.as_str()) {
                return Err(Fault::bad_request(
                    "DuplicateUserName",
                    format!("Several users of the user group have the name {}", user.name),
                ));
            }
        }
        if engine == Engine::Redis && !names.contains(DEFAULT) {
            return Err(Fault::bad_request(
                "DefaultUserRequired",
                "A user group of Redis OSS must contain a user with the name default",
            ));
        }
        Ok(())
    }

    pub(super) fn create_user_group(
        &mut self,
        p: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Answer, Fault> {
        let id = identifier("UserGroupId", p.required("UserGroupId")?, 40)?;
        if self.user_groups.contains_key(&id) {
            return Err(Fault::bad_request(
                "UserGroupAlreadyExists",
                format!("User group {id} already exists."),
            ));
        }
        let engine = Engine::read(p.required("Engine")?)?;
        let users = ids(p, "UserIds");
        self.check_users(&users, engine)?;
        let until = now + times::USER;
        let group = UserGroup {
            arn: place.arn("elasticache", &format!("usergroup:{id}")),
            id: id.clone(),
            engine,
            users: users.clone(),
            tags: p.tags(),
            work: Some(GroupWork { until, status: "creating", users }),
        };
        self.user_groups.insert(id.clone(), group);
        self.due(until, Due::UserGroup(id.clone()));
        Ok(self.user_group_xml(self.user_group(&id)?).into())
    }

    pub(super) fn modify_user_group(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let group = self.user_group(p.required("UserGroupId")?)?;
        group.must_be_active()?;
        let (added, removed) = (ids(p, "UserIdsToAdd"), ids(p, "UserIdsToRemove"));
        if added.is_empty() && removed.is_empty() {
            return Err(combination("Give UserIdsToAdd or UserIdsToRemove"));
        }
        if let Some(id) = removed.difference(&group.users).next() {
            return Err(Fault::not_found("UserNotFound", format!("User {id} is not in the user group")));
        }
        let users: BTreeSet<String> =
            group.users.difference(&removed).chain(&added).map(ToOwned::to_owned).collect();
        self.check_users(&users, group.engine)?;
        let id = group.id.clone();
        self.work_on_user_group(&id, "modifying", users, now)
    }

    pub(super) fn delete_user_group(&mut self, p: &Parameters, now: Timestamp) -> Result<Answer, Fault> {
        let group = self.user_group(p.required("UserGroupId")?)?;
        group.must_be_active()?;
        let groups = self.groups.values().filter(|used| used.uses_user_group(&group.id));
        let user = groups.map(|used| &used.id).chain(self.serverless_of(&group.id)).next();
        if let Some(user) = user {
            return Err(Fault::bad_request(
                "InvalidUserGroupState",
                format!("User group {} is assigned to {user}: remove it there first", group.id),
            ));
        }
        let (id, users) = (group.id.clone(), group.users.clone());
        self.work_on_user_group(&id, "deleting", users, now)
    }

    fn serverless_of<'a>(&'a self, user_group: &'a str) -> impl Iterator<Item = &'a String> {
        let uses = move |cache: &&ServerlessCache| cache.settings.user_group.as_deref() == Some(user_group);
        self.serverless.values().filter(uses).map(|cache| &cache.name)
    }

    fn work_on_user_group(
        &mut self,
        id: &str,
        status: &'static str,
        users: BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Answer, Fault> {
        let until = now + times::USER;
        if let Some(group) = self.user_groups.get_mut(id) {
            group.work = Some(GroupWork { until, status, users });
        }
        self.due(until, Due::UserGroup(id.to_owned()));
        Ok(self.user_group_xml(self.user_group(id)?).into())
    }

    pub(super) fn user_group_is_due(&mut self, id: &str, at: Timestamp) {
        let Some(group) = self.user_groups.get_mut(id) else { return };
        match group.work.take_if(|work| work.until == at) {
            Some(work) if work.status == "deleting" => {
                self.user_groups.remove(id);
            }
            Some(work) => group.users = work.users,
            None => {}
        }
    }

    pub(super) fn describe_user_groups(&self, p: &Parameters) -> Result<Answer, Fault> {
        let groups: Vec<&UserGroup> = match p.get("UserGroupId") {
            Some(id) => vec![self.user_group(id)?],
            None => self.user_groups.values().collect(),
        };
        let page = page(p, groups.into_iter().map(|group| (group.id.clone(), group)))?;
        let groups = page.items.into_iter().map(|group| self.user_group_xml(group));
        Ok(combine("UserGroups", "member", groups, page.marker))
    }
}

fn ids(p: &Parameters, name: &str) -> BTreeSet<String> {
    p.list(name).unwrap_or_default().iter().map(|id| id.to_ascii_lowercase()).collect()
}

/// ElastiCache User Guide, "Role-Based Access Control (RBAC)": a user that is not `on` is off.
fn access(text: &str) -> Result<String, Fault> {
    let is_password = |rule: &str| rule.starts_with(['>', '<', '#', '!']);
    match text.split_whitespace().find(|rule| *rule == "reset" || *rule == "nopass" || is_password(rule)) {
        Some(_) => Err(invalid_value("AccessString takes no passwords, nopass or reset: use Passwords")),
        None => Ok(text.to_owned()),
    }
}

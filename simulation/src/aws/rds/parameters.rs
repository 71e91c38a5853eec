//! Parameters of PostgreSQL: a small true part of the families' tables.

/// A parameter of a family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub name: &'static str,
    pub default: Option<&'static str>,
    /// Whether a change is applied only when the database restarts.
    pub is_static: bool,
    pub data_type: &'static str,
    pub allowed: Option<&'static str>,
    pub is_modifiable: bool,
}

const fn dynamic(
    name: &'static str,
    default: Option<&'static str>,
    data_type: &'static str,
    allowed: &'static str,
) -> Parameter {
    Parameter { name, default, is_static: false, data_type, allowed: Some(allowed), is_modifiable: true }
}

const fn fixed(
    name: &'static str,
    default: Option<&'static str>,
    data_type: &'static str,
    allowed: &'static str,
) -> Parameter {
    Parameter { name, default, is_static: true, data_type, allowed: Some(allowed), is_modifiable: true }
}

const PARAMETERS: [Parameter; 27] = [
    dynamic("autovacuum", Some("1"), "boolean", "0,1"),
    fixed(
        "autovacuum_max_workers",
        Some("GREATEST({DBInstanceClassMemory/64371566592},3)"),
        "integer",
        "1-262143",
    ),
    dynamic("autovacuum_vacuum_scale_factor", Some("0.1"), "float", "0-100"),
    dynamic("checkpoint_timeout", None, "integer", "30-86400"),
    dynamic("default_statistics_target", None, "integer", "1-10000"),
    dynamic("effective_cache_size", Some("{DBInstanceClassMemory/16384}"), "integer", "1-2147483647"),
    dynamic("idle_in_transaction_session_timeout", Some("86400000"), "integer", "0-2147483647"),
    dynamic("lock_timeout", None, "integer", "0-2147483647"),
    dynamic("log_connections", None, "boolean", "0,1"),
    dynamic("log_disconnections", None, "boolean", "0,1"),
    dynamic("log_lock_waits", None, "boolean", "0,1"),
    dynamic("log_min_duration_statement", None, "integer", "-1-2147483647"),
    dynamic("log_statement", None, "string", "none,ddl,mod,all"),
    dynamic(
        "maintenance_work_mem",
        Some("GREATEST({DBInstanceClassMemory*1024/63963136},65536)"),
        "integer",
        "1024-2147483647",
    ),
    fixed("max_connections", Some("LEAST({DBInstanceClassMemory/9531392},5000)"), "integer", "6-8388607"),
    fixed("max_replication_slots", Some("20"), "integer", "5-8388607"),
    fixed("max_wal_senders", Some("20"), "integer", "5-8388607"),
    dynamic("random_page_cost", None, "float", "0-1.79769e+308"),
    fixed("rds.logical_replication", Some("0"), "boolean", "0,1"),
    dynamic("rds.force_ssl", Some("1"), "boolean", "0,1"),
    fixed("shared_buffers", Some("{DBInstanceClassMemory/32768}"), "integer", "16-1073741823"),
    Parameter {
        name: "shared_preload_libraries",
        default: Some("pg_stat_statements"),
        is_static: true,
        data_type: "list",
        allowed: Some("auto_explain,pg_cron,pg_hint_plan,pg_prewarm,pg_stat_statements,pgaudit,pglogical"),
        is_modifiable: true,
    },
    dynamic("statement_timeout", None, "integer", "0-2147483647"),
    Parameter {
        name: "timezone",
        default: Some("UTC"),
        is_static: false,
        data_type: "string",
        allowed: None,
        is_modifiable: true,
    },
    fixed("track_activity_query_size", Some("4096"), "integer", "100-1048576"),
    dynamic("work_mem", None, "integer", "64-2147483647"),
    Parameter {
        name: "server_encoding",
        default: None,
        is_static: true,
        data_type: "string",
        allowed: None,
        is_modifiable: false,
    },
];

/// Families of both engines.
pub(super) fn families() -> impl Iterator<Item = String> {
    ["postgres", "aurora-postgresql"]
        .into_iter()
        .flat_map(|engine| (14..=17).map(move |major| format!("{engine}{major}")))
}

/// The parameters, by name.
pub(super) fn all() -> impl Iterator<Item = Parameter> {
    PARAMETERS.into_iter()
}

/// The parameter of a name.
pub(super) fn find(name: &str) -> Option<Parameter> {
    all().find(|parameter| parameter.name == name)
}

impl Parameter {
    /// Whether it can have a value: one of a list, a number between bounds, or a formula.
    pub fn admits(self, value: &str) -> bool {
        let Some(allowed) = self.allowed else { return true };
        if value.contains('{') {
            return true;
        }
        match self.data_type {
            "list" => value.split(',').all(|part| allowed.split(',').any(|one| one == part.trim())),
            "integer" | "float" => {
                let Some((least, most)) = bounds(allowed) else { return true };
                value.parse::<f64>().is_ok_and(|number| (least..=most).contains(&number))
            }
            _ => allowed.split(',').any(|one| one == value),
        }
    }
}

/// The numbers of `10-20` or `-1-20`.
fn bounds(allowed: &str) -> Option<(f64, f64)> {
    let dash = allowed.char_indices().skip(1).find(|(_, c)| *c == '-')?.0;
    Some((allowed[..dash].parse().ok()?, allowed[dash + 1..].parse().ok()?))
}

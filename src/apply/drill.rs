//! Asks a restored database, by the way that a restore would go: the master sets the platform's login in it, and with
//! that login the query is made. What the query returns is looked at and told to nobody.

use super::{
    connection::server,
    master,
    postgres::{self, Existing, Login, LoginError, Server},
    sessions::Postgres,
};
use crate::{
    aws::Account,
    plan::{
        login::User,
        rds::drill::{Answer, Question},
    },
};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::time::Duration;
use tokio::time::timeout;

/// How long all of it may take, well within a reconcile. What takes longer is tried again: a restored volume gets
/// faster as it is read.
const DEADLINE: Duration = Duration::from_secs(45);
/// How long the query may take.
const QUERY_SECONDS: u8 = 20;

/// Asks, once.
pub async fn ask(
    postgres: &Postgres,
    account: &Account,
    secrets: &Api<Secret>,
    question: &Question,
    existing: Existing,
) -> Answer {
    let server = server(&question.endpoint);
    let asked = async {
        let master = master::login(account, secrets, &question.master).await;
        let master = master
            .map_err(|error| Answer::NotYet(format!("its master user's login can't be read: {error:#}")))?;
        // The copy is nobody else's, so that either user will do.
        let login = postgres.set_login(&server, &master, User::A, existing).await.map_err(not_yet)?;
        Ok(postgres.query(&server, &login, &question.query).await)
    };
    match timeout(DEADLINE, asked).await {
        Ok(Ok(answer) | Err(answer)) => answer,
        Err(_) => Answer::NotYet(format!("{} gave no answer within {} s", server.host, DEADLINE.as_secs())),
    }
}

/// Makes a query in a read-only transaction. It passes with a row whose first column is neither null, false nor 0.
pub(super) async fn query(server: &Server, login: &Login, query: &str) -> Answer {
    let mut connection = match postgres::connect(server, login).await {
        Ok(connection) => connection,
        Err(error) => return not_yet(error),
    };
    match first_value(&mut connection, query).await {
        Ok(value) => verdict(value),
        Err(error) => failure(&error),
    }
}

/// The first column of the first row, as text.
async fn first_value(
    connection: &mut PgConnection,
    query: &str,
) -> Result<Option<Option<String>>, sqlx::Error> {
    let query = query.trim_end().trim_end_matches(';');
    let wrapped = format!("SELECT answer::text FROM (\n{query}\n) AS drill (answer) LIMIT 1");
    let mut transaction = connection.begin_with("BEGIN READ ONLY").await?;
    let limit = format!("SET LOCAL statement_timeout = '{QUERY_SECONDS}s'");
    sqlx::raw_sql(AssertSqlSafe(limit)).execute(&mut *transaction).await?;
    let value = sqlx::query_scalar(AssertSqlSafe(wrapped)).fetch_optional(&mut *transaction).await?;
    transaction.rollback().await?;
    Ok(value)
}

fn verdict(value: Option<Option<String>>) -> Answer {
    let Some(first) = value else { return Answer::Failed("the query returned no row".to_owned()) };
    let failed = |what| Answer::Failed(format!("the first column of the query's first row is {what}"));
    match first.as_deref() {
        None => failed("null"),
        Some("false") => failed("false"),
        Some(text) if text.parse() == Ok(0.0) => failed("0"),
        Some(_) => Answer::Passed,
    }
}

/// Only where the statement itself is wrong is the server's message told: others may quote data.
fn failure(error: &sqlx::Error) -> Answer {
    let sqlx::Error::Database(said) = error else {
        return Answer::NotYet(format!("the query was cut off: {error}"));
    };
    match said.code().as_deref().unwrap_or_default() {
        "57014" => Answer::NotYet(format!("the query took longer than {QUERY_SECONDS} s")),
        code if ["08", "53", "57"].iter().any(|class| code.starts_with(class)) => {
            Answer::NotYet(format!("the server takes no query now (SQLSTATE {code})"))
        }
        code if code.starts_with("42") => {
            Answer::Failed(format!("the query failed: {} (SQLSTATE {code})", said.message()))
        }
        code => Answer::Failed(format!("the query failed with SQLSTATE {code}")),
    }
}

/// Logins fail while a server starts, a password is set or a name is not known yet.
fn not_yet(error: LoginError) -> Answer {
    Answer::NotYet(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(Some(Some("1")), true)]
    #[case(Some(Some("-0.5")), true)]
    #[case(Some(Some("true")), true)]
    #[case(Some(Some("")), true)]
    #[case(Some(Some("a title")), true)]
    #[case(Some(Some("0")), false)]
    #[case(Some(Some("0.00")), false)]
    #[case(Some(Some("false")), false)]
    #[case(Some(None), false)]
    #[case(None, false)]
    fn a_drill_passes_with_a_value(#[case] value: Option<Option<&str>>, #[case] passed: bool) {
        let answer = verdict(value.map(|first| first.map(str::to_owned)));
        assert_eq!(answer == Answer::Passed, passed, "{answer:?}");
    }
}

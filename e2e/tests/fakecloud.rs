//! What other tests take for granted of fakecloud: that databases and caches are real and keep their data, and
//! that nothing of them outlives a test.

use anyhow::{Context, Result, ensure};
use aws_sdk_elasticache::error::ProvideErrorMetadata as _;
use aws_sdk_rds::types::DbInstance;
use e2e::{
    fakecloud::Fakecloud,
    kind::{Check, eventually},
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// How long anything may take. Far above what it does, as machines may be busy.
const DEADLINE: Duration = Duration::from_secs(60);
const USER: &str = "media";
const PASSWORD: &str = "correct-horse";
const DATABASE: &str = "catalog";

#[tokio::test]
async fn a_snapshot_brings_a_database_back() -> Result<()> {
    let fakecloud = Fakecloud::shared().await;
    let rds = aws_sdk_rds::Client::new(&fakecloud.sdk);
    create_database(&rds, "first").await?;
    let mut first = connect(&database_available(&rds, "first").await?).await?;
    sqlx::query("CREATE TABLE videos (title text)").execute(&mut first).await?;
    sqlx::query("INSERT INTO videos VALUES ('kept')").execute(&mut first).await?;
    rds.create_db_snapshot().db_instance_identifier("first").db_snapshot_identifier("before").send().await?;
    snapshot_available(&rds, "before").await?;
    sqlx::query("DELETE FROM videos").execute(&mut first).await?;

    rds.restore_db_instance_from_db_snapshot()
        .db_instance_identifier("second")
        .db_snapshot_identifier("before")
        .send()
        .await?;
    let mut second = connect(&database_available(&rds, "second").await?).await?;
    assert_eq!(titles(&mut second).await?, ["kept"], "the restored database");
    assert!(titles(&mut first).await?.is_empty(), "the first is another server");

    rds.delete_db_instance().db_instance_identifier("first").skip_final_snapshot(true).send().await?;
    database_gone(&rds, "first").await?;
    assert_eq!(titles(&mut second).await?, ["kept"], "the second outlives the first");
    Ok(())
}

#[tokio::test]
async fn a_stopped_database_keeps_its_data() -> Result<()> {
    let fakecloud = Fakecloud::shared().await;
    let rds = aws_sdk_rds::Client::new(&fakecloud.sdk);
    create_database(&rds, "stopped").await?;
    let mut connection = connect(&database_available(&rds, "stopped").await?).await?;
    sqlx::query("CREATE TABLE videos (title text)").execute(&mut connection).await?;
    sqlx::query("INSERT INTO videos VALUES ('kept')").execute(&mut connection).await?;

    rds.stop_db_instance().db_instance_identifier("stopped").send().await?;
    sqlx::query("SELECT 1").execute(&mut connection).await.expect_err("a stopped server");
    rds.start_db_instance().db_instance_identifier("stopped").send().await?;
    let mut connection = connect(&database_available(&rds, "stopped").await?).await?;
    assert_eq!(titles(&mut connection).await?, ["kept"]);
    Ok(())
}

#[tokio::test]
async fn a_cache_answers_until_it_is_deleted() -> Result<()> {
    let fakecloud = Fakecloud::shared().await;
    let elasticache = aws_sdk_elasticache::Client::new(&fakecloud.sdk);
    create_cache(&elasticache, "sessions").await?;
    let address = cache_available(&elasticache, "sessions").await?;
    assert_eq!(ask(&address, "PING").await?, "+PONG\r\n");

    elasticache.delete_replication_group().replication_group_id("sessions").send().await?;
    eventually("the cache is gone", DEADLINE, async || {
        let found = elasticache.describe_replication_groups().replication_group_id("sessions").send().await;
        Ok(match found {
            Err(error) if error.code() == Some("ReplicationGroupNotFoundFault") => Check::Done(()),
            other => Check::NotYet(format!("{other:?}")),
        })
    })
    .await?;
    ask(&address, "PING").await.expect_err("a deleted cache");
    Ok(())
}

#[tokio::test]
async fn its_servers_end_with_it() -> Result<()> {
    let fakecloud = Fakecloud::start().await?;
    let rds = aws_sdk_rds::Client::new(&fakecloud.sdk);
    let elasticache = aws_sdk_elasticache::Client::new(&fakecloud.sdk);
    create_database(&rds, "one").await?;
    create_cache(&elasticache, "one").await?;
    let database = database_available(&rds, "one").await?;
    let cache = cache_available(&elasticache, "one").await?;
    connect(&database).await?;
    drop(fakecloud);
    ask(&cache, "PING").await.expect_err("a cache without its emulator");
    connect(&database).await.expect_err("a database without its emulator");
    Ok(())
}

async fn create_database(rds: &aws_sdk_rds::Client, name: &str) -> Result<()> {
    rds.create_db_instance()
        .db_instance_identifier(name)
        .engine("postgres")
        .db_instance_class("db.t4g.micro")
        .allocated_storage(20)
        .db_name(DATABASE)
        .master_username(USER)
        .master_user_password(PASSWORD)
        .send()
        .await?;
    Ok(())
}

async fn database_available(rds: &aws_sdk_rds::Client, name: &str) -> Result<DbInstance> {
    eventually(&format!("database {name} is available"), DEADLINE, async || {
        let found = rds.describe_db_instances().db_instance_identifier(name).send().await?;
        let instance = found.db_instances().first().context("no such instance")?;
        Ok(match instance.db_instance_status() {
            Some("available") => Check::Done(instance.clone()),
            other => Check::NotYet(format!("{other:?}")),
        })
    })
    .await
}

async fn snapshot_available(rds: &aws_sdk_rds::Client, name: &str) -> Result<()> {
    eventually(&format!("snapshot {name} is available"), DEADLINE, async || {
        let found = rds.describe_db_snapshots().db_snapshot_identifier(name).send().await?;
        Ok(match found.db_snapshots().first().and_then(|snapshot| snapshot.status()) {
            Some("available") => Check::Done(()),
            other => Check::NotYet(format!("{other:?}")),
        })
    })
    .await
}

async fn database_gone(rds: &aws_sdk_rds::Client, name: &str) -> Result<()> {
    eventually(&format!("database {name} is gone"), DEADLINE, async || {
        Ok(match rds.describe_db_instances().db_instance_identifier(name).send().await {
            Err(error) if error.code() == Some("DBInstanceNotFound") => Check::Done(()),
            other => Check::NotYet(format!("{other:?}")),
        })
    })
    .await
}

async fn connect(instance: &DbInstance) -> Result<PgConnection> {
    let endpoint = instance.endpoint().context("no endpoint")?;
    let options = PgConnectOptions::new()
        .host(endpoint.address().context("no address")?)
        .port(endpoint.port().context("no port")?.try_into()?)
        .username(USER)
        .password(PASSWORD)
        .database(DATABASE);
    Ok(PgConnection::connect_with(&options).await?)
}

async fn titles(connection: &mut PgConnection) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT title FROM videos").fetch_all(connection).await?)
}

async fn create_cache(elasticache: &aws_sdk_elasticache::Client, name: &str) -> Result<()> {
    elasticache
        .create_replication_group()
        .replication_group_id(name)
        .replication_group_description(name)
        .engine("valkey")
        .cache_node_type("cache.t4g.micro")
        .num_cache_clusters(1)
        .send()
        .await?;
    Ok(())
}

/// The address, `host:port`, of the group's primary.
async fn cache_available(elasticache: &aws_sdk_elasticache::Client, name: &str) -> Result<String> {
    eventually(&format!("cache {name} is available"), DEADLINE, async || {
        let found = elasticache.describe_replication_groups().replication_group_id(name).send().await?;
        let group = found.replication_groups().first().context("no such group")?;
        if group.status() != Some("available") {
            return Ok(Check::NotYet(format!("{:?}", group.status())));
        }
        let primary = group.node_groups().first().and_then(|node| node.primary_endpoint());
        let primary = primary.context("no primary endpoint")?;
        let (address, port) = (primary.address().context("no address")?, primary.port().context("no port")?);
        Ok(Check::Done(format!("{address}:{port}")))
    })
    .await
}

/// One command to a cache, and the first of its answer.
async fn ask(address: &str, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).await?;
    ensure!(length > 0, "{address} closed the connection");
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

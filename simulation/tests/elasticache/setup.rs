//! A cloud, a client, and what the tests do again and again.

use aws_sdk_elasticache::{
    Client,
    config::retry::RetryConfig,
    error::{ProvideErrorMetadata, SdkError},
    operation::create_replication_group::builders::CreateReplicationGroupFluentBuilder,
    types::{CacheCluster, ReplicationGroup},
};
use jiff::Timestamp;
use simulation::{
    aws::{ACCOUNT, Cloud, Place, elasticache::ElastiCache},
    clock::Clock,
};
use std::time::Duration;

pub const REGION: &str = "eu-central-1";
pub const TOKEN: &str = "first-token-of-sixteen";
pub const OTHER_TOKEN: &str = "second-token-of-sixteen";

/// A cloud and its client. It begins on a Friday at midnight.
pub struct World {
    pub cloud: Cloud,
    pub client: Client,
}

impl World {
    pub fn new() -> Self {
        let epoch: Timestamp = "2027-01-01T00:00:00Z".parse().unwrap();
        let cloud = Cloud::new(Clock::starting_at(epoch));
        let config = aws_sdk_elasticache::config::Builder::from(&cloud.sdk_config(REGION))
            .retry_config(RetryConfig::disabled())
            .build();
        Self { client: Client::from_conf(config), cloud }
    }

    /// The state behind the API.
    pub fn state<T>(&self, act: impl FnOnce(&mut ElastiCache, Timestamp) -> T) -> T {
        let place = Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
        self.cloud.with(&place, |region, now| act(&mut region.elasticache, now))
    }

    /// A creation with what must be said: two nodes that fail over.
    pub fn create(&self, id: &str) -> CreateReplicationGroupFluentBuilder {
        self.client
            .create_replication_group()
            .replication_group_id(id)
            .replication_group_description("a cache")
            .cache_node_type("cache.t4g.micro")
            .num_cache_clusters(2)
            .automatic_failover_enabled(true)
            .preferred_maintenance_window("sun:05:00-sun:06:00")
            .snapshot_window("03:00-04:00")
    }

    pub async fn group(&self, id: &str) -> ReplicationGroup {
        let answer = self.client.describe_replication_groups().replication_group_id(id).send().await.unwrap();
        answer.replication_groups()[0].clone()
    }

    pub async fn clusters(&self) -> Vec<CacheCluster> {
        let answer = self.client.describe_cache_clusters().show_cache_node_info(true).send().await.unwrap();
        answer.cache_clusters().to_vec()
    }
}

pub async fn minutes(count: u64) {
    tokio::time::advance(Duration::from_secs(60 * count)).await;
}

/// The code that AWS answered instead.
pub fn code<T: std::fmt::Debug, E: ProvideErrorMetadata>(answer: Result<T, SdkError<E>>) -> String {
    match answer {
        Ok(answer) => panic!("it was not refused: {answer:?}"),
        Err(error) => error.code().unwrap_or("no code").to_owned(),
    }
}

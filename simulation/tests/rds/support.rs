//! A cloud, its clients, and what most tests begin with.

use aws_sdk_rds::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::DbInstance,
};
use simulation::{
    aws::{ACCOUNT, Cloud, Place},
    clock::Clock,
};
use std::{fmt::Debug, time::Duration};

pub struct World {
    pub cloud: Cloud,
    pub rds: Client,
    pub secrets: aws_sdk_secretsmanager::Client,
}

pub const REGION: &str = "eu-central-1";

impl World {
    /// A Wednesday at noon.
    pub fn new() -> Self {
        let cloud = Cloud::new(Clock::starting_at("2026-07-01T12:00:00Z".parse().unwrap()));
        let config = cloud.sdk_config(REGION);
        Self { rds: Client::new(&config), secrets: aws_sdk_secretsmanager::Client::new(&config), cloud }
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut simulation::aws::rds::Rds, jiff::Timestamp) -> T) -> T {
        let place = Place { account: ACCOUNT.to_owned(), region: REGION.to_owned() };
        self.cloud.with(&place, |region, now| act(&mut region.rds, now))
    }

    pub fn create(
        &self,
        name: &str,
    ) -> aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder {
        self.rds
            .create_db_instance()
            .db_instance_identifier(name)
            .db_instance_class("db.t4g.medium")
            .engine("postgres")
            .engine_version("16")
            .allocated_storage(100)
            .storage_type("gp3")
            .master_username("media")
            .master_user_password("correct-horse")
    }

    pub async fn instance(&self, name: &str) -> DbInstance {
        let found = self.rds.describe_db_instances().db_instance_identifier(name).send().await.unwrap();
        found.db_instances.unwrap().remove(0)
    }

    pub async fn status(&self, name: &str) -> String {
        self.instance(name).await.db_instance_status.unwrap()
    }

    /// An instance that has its first backup behind it.
    pub async fn available(&self, name: &str) -> DbInstance {
        self.create(name).send().await.unwrap();
        minutes(8).await;
        let instance = self.instance(name).await;
        assert_eq!(instance.db_instance_status(), Some("available"));
        instance
    }
}

pub async fn seconds(seconds: u64) {
    tokio::time::advance(Duration::from_secs(seconds)).await;
}

pub async fn minutes(minutes: u64) {
    seconds(minutes * 60).await;
}

pub async fn hours(hours: u64) {
    minutes(hours * 60).await;
}

/// The code of the error that a call ends in.
pub fn code<T: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    answer: Result<T, SdkError<E, R>>,
) -> String {
    answer.expect_err("the call went well").code().expect("a code").to_owned()
}

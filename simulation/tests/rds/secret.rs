//! Secrets, those that RDS manages among them.

use crate::support::{World, code, hours, minutes, seconds};

impl World {
    async fn password(&self, id: &str, stage: &str) -> String {
        let value = self.secrets.get_secret_value().secret_id(id).version_stage(stage).send().await.unwrap();
        let value: serde_json::Value = serde_json::from_str(value.secret_string().unwrap()).unwrap();
        assert_eq!(value["username"], "media");
        value["password"].as_str().unwrap().to_owned()
    }

    async fn managed(&self) -> String {
        let create = self.create("demo").set_master_user_password(None).manage_master_user_password(true);
        create.send().await.unwrap();
        let secret = self.instance("demo").await.master_user_secret.unwrap();
        assert_eq!(secret.secret_status(), Some("creating"));
        secret.secret_arn.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_managed_password_is_rotated_every_week_or_as_asked() {
    let world = World::new();
    let arn = world.managed().await;
    minutes(8).await;
    let status = async || world.instance("demo").await.master_user_secret.unwrap().secret_status.unwrap();
    assert_eq!(status().await, "active");
    let first = world.password(&arn, "AWSCURRENT").await;
    hours(7 * 24).await;
    seconds(30).await;
    let second = world.password(&arn, "AWSCURRENT").await;
    assert_ne!(first, second);
    assert_eq!(world.password(&arn, "AWSPREVIOUS").await, first);
    let rules =
        aws_sdk_secretsmanager::types::RotationRulesType::builder().automatically_after_days(30).build();
    let rotate = world.secrets.rotate_secret().secret_id(&arn).rotation_rules(rules);
    rotate.clone().rotate_immediately(false).send().await.unwrap();
    hours(29 * 24).await;
    assert_eq!(world.password(&arn, "AWSCURRENT").await, second);
    rotate.send().await.unwrap();
    assert_eq!(status().await, "rotating");
    assert_eq!(world.password(&arn, "AWSCURRENT").await, second);
    seconds(30).await;
    assert_eq!(status().await, "active");
    let third = world.password(&arn, "AWSCURRENT").await;
    assert_ne!(second, third);
    hours(29 * 24).await;
    assert_eq!(world.password(&arn, "AWSCURRENT").await, third);
    hours(24).await;
    assert_ne!(world.password(&arn, "AWSCURRENT").await, third);
}

#[tokio::test(start_paused = true)]
async fn a_managed_secret_is_of_its_instance() {
    let world = World::new();
    let arn = world.managed().await;
    minutes(8).await;
    let described = world.secrets.describe_secret().secret_id(&arn).send().await.unwrap();
    assert_eq!(described.owning_service(), Some("rds"));
    assert_eq!(code(world.secrets.delete_secret().secret_id(&arn).send().await), "InvalidRequestException");
    let put = world.secrets.put_secret_value().secret_id(&arn).secret_string("{}");
    assert_eq!(code(put.send().await), "InvalidRequestException");
    let delete = world.rds.delete_db_instance().db_instance_identifier("demo").skip_final_snapshot(true);
    delete.send().await.unwrap();
    minutes(3).await;
    let gone = world.secrets.get_secret_value().secret_id(&arn);
    assert_eq!(code(gone.send().await), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_secret_has_versions_and_can_be_restored() {
    let world = World::new();
    let create = || world.secrets.create_secret().name("app").secret_string("one");
    create().send().await.unwrap();
    assert_eq!(code(create().send().await), "ResourceExistsException");
    world.secrets.put_secret_value().secret_id("app").secret_string("two").send().await.unwrap();
    let value = |stage: &str| world.secrets.get_secret_value().secret_id("app").version_stage(stage).send();
    assert_eq!(value("AWSCURRENT").await.unwrap().secret_string(), Some("two"));
    assert_eq!(value("AWSPREVIOUS").await.unwrap().secret_string(), Some("one"));
    assert_eq!(code(value("AWSPENDING").await), "ResourceNotFoundException");
    world.secrets.delete_secret().secret_id("app").recovery_window_in_days(7).send().await.unwrap();
    assert_eq!(code(value("AWSCURRENT").await), "InvalidRequestException");
    assert_eq!(code(create().send().await), "InvalidRequestException");
    world.secrets.restore_secret().secret_id("app").send().await.unwrap();
    assert_eq!(value("AWSCURRENT").await.unwrap().secret_string(), Some("two"));
    world.secrets.delete_secret().secret_id("app").recovery_window_in_days(7).send().await.unwrap();
    hours(7 * 24).await;
    assert_eq!(code(value("AWSCURRENT").await), "ResourceNotFoundException");
    assert!(world.secrets.list_secrets().send().await.unwrap().secret_list().is_empty());
}

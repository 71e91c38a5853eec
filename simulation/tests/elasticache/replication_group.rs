//! Replication groups.

use crate::setup::{OTHER_TOKEN, TOKEN, World, code, minutes};
use aws_sdk_elasticache::types::{
    AuthTokenUpdateStrategyType, AutomaticFailoverStatus, CloudWatchLogsDestinationDetails, ClusterMode,
    DestinationDetails, DestinationType, LogDeliveryConfigurationRequest, LogFormat, LogType, Tag,
    TransitEncryptionMode,
};

#[tokio::test(start_paused = true)]
async fn is_created_in_eight_minutes_with_what_aws_fills_in() {
    let world = World::new();
    world.create("Cache").engine_version("7.1").send().await.unwrap();
    let group = world.group("cache").await;
    assert_eq!(group.status(), Some("creating"));
    assert!(group.node_groups()[0].primary_endpoint().is_none());

    minutes(8).await;
    let group = world.group("cache").await;
    assert_eq!(group.status(), Some("available"));
    assert_eq!(group.member_clusters(), ["cache-001", "cache-002"]);
    assert_eq!(group.automatic_failover(), Some(&AutomaticFailoverStatus::Enabled));
    let shard = &group.node_groups()[0];
    assert!(shard.primary_endpoint().unwrap().address().unwrap().starts_with("cache."));
    assert!(shard.reader_endpoint().unwrap().address().unwrap().starts_with("cache-ro."));
    let roles: Vec<_> =
        shard.node_group_members().iter().map(|member| member.current_role().unwrap()).collect();
    assert_eq!(roles, ["primary", "replica"]);
    let clusters = world.clusters().await;
    assert_eq!(clusters[0].engine_version(), Some("7.1.0"));
    let parameter_group = clusters[0].cache_parameter_group().unwrap();
    assert_eq!(parameter_group.cache_parameter_group_name(), Some("default.redis7"));
    assert_eq!(clusters[0].preferred_maintenance_window(), Some("sun:05:00-sun:06:00"));
    assert!(clusters[0].cache_nodes()[0].endpoint().is_some());
}

#[tokio::test(start_paused = true)]
async fn refuses_what_does_not_fit_together() {
    let world = World::new();
    let create = || world.create("cache");
    assert_eq!(code(create().num_cache_clusters(1).send().await), "InvalidParameterCombination");
    assert_eq!(
        code(create().multi_az_enabled(true).automatic_failover_enabled(false).send().await),
        "InvalidParameterCombination"
    );
    assert_eq!(code(create().auth_token(TOKEN).send().await), "InvalidParameterCombination");
    let encrypted = || create().transit_encryption_enabled(true);
    assert_eq!(code(encrypted().auth_token("short").send().await), "InvalidParameterValue");
    assert_eq!(
        code(encrypted().auth_token("with-a-slash/which-is-refused").send().await),
        "InvalidParameterValue"
    );
    assert_eq!(code(encrypted().user_group_ids("team").send().await), "UserGroupNotFound");
    assert_eq!(code(create().replication_group_id("1cache").send().await), "InvalidParameterValue");
    assert_eq!(code(create().replication_group_id("a--b").send().await), "InvalidParameterValue");
    assert_eq!(code(create().cache_node_type("cache.z9.micro").send().await), "InvalidParameterValue");
    assert_eq!(code(create().num_node_groups(2).send().await), "InvalidParameterCombination");
    assert_eq!(
        code(create().cache_parameter_group_name("default.redis6.x").engine_version("7.1").send().await),
        "InvalidParameterCombination"
    );
    assert_eq!(code(create().cache_parameter_group_name("mine").send().await), "CacheParameterGroupNotFound");
    assert_eq!(code(create().cache_subnet_group_name("mine").send().await), "CacheSubnetGroupNotFoundFault");
    assert_eq!(code(create().kms_key_id("key").send().await), "InvalidParameterCombination");
    create().send().await.unwrap();
    assert_eq!(code(create().send().await), "ReplicationGroupAlreadyExists");
}

#[tokio::test(start_paused = true)]
async fn takes_changes_only_while_available() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    let modify = || world.client.modify_replication_group().replication_group_id("cache");
    assert_eq!(code(modify().snapshot_retention_limit(3).send().await), "InvalidReplicationGroupState");
    minutes(8).await;
    let group = modify().snapshot_retention_limit(3).send().await.unwrap();
    assert_eq!(group.replication_group().unwrap().snapshot_retention_limit(), Some(3));
    assert_eq!(
        code(world.client.delete_replication_group().replication_group_id("other").send().await),
        "ReplicationGroupNotFoundFault"
    );
}

#[tokio::test(start_paused = true)]
async fn what_replaces_nodes_waits_for_the_window() {
    let world = World::new();
    world.create("cache").engine_version("7.0").send().await.unwrap();
    minutes(8).await;
    let modify = || world.client.modify_replication_group().replication_group_id("cache");
    modify().engine_version("7.1").cache_node_type("cache.t4g.small").send().await.unwrap();
    let cluster = &world.clusters().await[0];
    assert_eq!(cluster.cache_cluster_status(), Some("available"));
    let pending = cluster.pending_modified_values().unwrap();
    assert_eq!(pending.engine_version(), Some("7.1.0"));
    assert_eq!(pending.cache_node_type(), Some("cache.t4g.small"));
    assert_eq!(cluster.engine_version(), Some("7.0.7"));

    // From Friday 00:08 to Sunday 05:00.
    minutes(2 * 24 * 60 + 5 * 60 - 9).await;
    assert_eq!(world.group("cache").await.status(), Some("available"));
    minutes(1).await;
    assert_eq!(world.group("cache").await.status(), Some("modifying"));
    minutes(15).await;
    let cluster = &world.clusters().await[0];
    assert_eq!(cluster.engine_version(), Some("7.1.0"));
    assert_eq!(cluster.cache_node_type(), Some("cache.t4g.small"));
    assert_eq!(cluster.pending_modified_values().unwrap().engine_version(), None);
    assert_eq!(code(modify().engine_version("7.0").send().await), "InvalidParameterCombination");
}

#[tokio::test(start_paused = true)]
async fn becomes_valkey_and_not_redis_again() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let modify = || world.client.modify_replication_group().replication_group_id("cache");
    modify().engine("valkey").engine_version("8.0").apply_immediately(true).send().await.unwrap();
    assert_eq!(world.group("cache").await.status(), Some("modifying"));
    minutes(15).await;
    assert_eq!(world.group("cache").await.engine(), Some("valkey"));
    let cluster = &world.clusters().await[0];
    assert_eq!(
        cluster.cache_parameter_group().unwrap().cache_parameter_group_name(),
        Some("default.valkey8")
    );
    assert_eq!(code(modify().engine("redis").send().await), "InvalidParameterCombination");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_token_is_valid_besides_the_last_one() {
    let world = World::new();
    world.create("cache").transit_encryption_enabled(true).auth_token(TOKEN).send().await.unwrap();
    minutes(8).await;
    let lets_in = |token| world.state(|cache, _| cache.lets_in("cache", "default", Some(token)));
    let modify = |strategy: &str| {
        world
            .client
            .modify_replication_group()
            .replication_group_id("cache")
            .auth_token(OTHER_TOKEN)
            .auth_token_update_strategy(AuthTokenUpdateStrategyType::from(strategy))
    };
    assert!(lets_in(TOKEN) && !lets_in(OTHER_TOKEN));
    assert!(!world.state(|cache, _| cache.lets_in("cache", "default", None)));
    assert_eq!(code(modify("ROTATE").send().await), "InvalidParameterCombination");
    assert_eq!(code(modify("SET").apply_immediately(true).send().await), "InvalidParameterCombination");
    modify("ROTATE").apply_immediately(true).send().await.unwrap();
    let pending = world.group("cache").await.pending_modified_values().unwrap().clone();
    assert_eq!(pending.auth_token_status().unwrap().as_str(), "ROTATING");
    assert!(lets_in(TOKEN) && !lets_in(OTHER_TOKEN));
    minutes(3).await;
    assert!(lets_in(TOKEN) && lets_in(OTHER_TOKEN));
    modify("SET").apply_immediately(true).send().await.unwrap();
    minutes(3).await;
    assert!(!lets_in(TOKEN) && lets_in(OTHER_TOKEN));
    assert!(world.group("cache").await.auth_token_last_modified_date().is_some());
}

#[tokio::test(start_paused = true)]
async fn encryption_in_transit_comes_by_way_of_preferred() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let modify = |mode: &str| {
        world
            .client
            .modify_replication_group()
            .replication_group_id("cache")
            .transit_encryption_enabled(true)
            .transit_encryption_mode(TransitEncryptionMode::from(mode))
            .apply_immediately(true)
    };
    assert_eq!(code(modify("required").send().await), "InvalidParameterCombination");
    let primary = async || {
        let group = world.group("cache").await;
        group.node_groups()[0].primary_endpoint().unwrap().address().unwrap().to_owned()
    };
    assert!(primary().await.starts_with("cache."));
    for mode in ["preferred", "required"] {
        modify(mode).send().await.unwrap();
        minutes(3).await;
        assert_eq!(world.group("cache").await.transit_encryption_mode().unwrap().as_str(), mode);
    }
    assert_eq!(world.group("cache").await.transit_encryption_enabled(), Some(true));
    // The names of the endpoints change with it.
    assert!(primary().await.starts_with("master.cache."));
}

#[tokio::test(start_paused = true)]
async fn replicas_come_and_go() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let grow = |count| {
        let call = world.client.increase_replica_count().replication_group_id("cache");
        call.new_replica_count(count).apply_immediately(true).send()
    };
    let shrink = |count| {
        let call = world.client.decrease_replica_count().replication_group_id("cache");
        call.new_replica_count(count).apply_immediately(true).send()
    };
    assert_eq!(code(grow(1).await), "NoOperationFault");
    grow(2).await.unwrap();
    assert_eq!(world.clusters().await[2].cache_cluster_status(), Some("creating"));
    minutes(6).await;
    assert_eq!(world.group("cache").await.member_clusters().len(), 3);
    assert_eq!(code(shrink(0).await), "InvalidParameterCombination");
    shrink(1).await.unwrap();
    assert_eq!(world.clusters().await[2].cache_cluster_status(), Some("deleting"));
    minutes(6).await;
    assert_eq!(world.group("cache").await.member_clusters(), ["cache-001", "cache-002"]);
}

#[tokio::test(start_paused = true)]
async fn a_failover_makes_the_replica_primary() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let fail = |shard| world.client.test_failover().replication_group_id("cache").node_group_id(shard).send();
    assert_eq!(code(fail("0002").await), "NodeGroupNotFoundFault");
    fail("0001").await.unwrap();
    minutes(2).await;
    let group = world.group("cache").await;
    let members = group.node_groups()[0].node_group_members();
    assert_eq!(members[0].current_role(), Some("replica"));
    assert_eq!(members[1].current_role(), Some("primary"));
}

#[tokio::test(start_paused = true)]
async fn shards_are_added_with_progress_and_removed_by_name() {
    let world = World::new();
    let create = world.create("cache").set_num_cache_clusters(None);
    create.num_node_groups(2).replicas_per_node_group(1).send().await.unwrap();
    minutes(8).await;
    let group = world.group("cache").await;
    assert_eq!(group.cluster_mode(), Some(&ClusterMode::Enabled));
    assert!(group.configuration_endpoint().unwrap().address().unwrap().starts_with("clustercfg.cache."));
    assert_eq!(group.member_clusters()[3], "cache-0002-002");
    let reshard = |count| {
        let call = world.client.modify_replication_group_shard_configuration();
        call.replication_group_id("cache").node_group_count(count).apply_immediately(true)
    };
    reshard(3).send().await.unwrap();
    minutes(5).await;
    let pending = world.group("cache").await.pending_modified_values().unwrap().clone();
    let progress = pending.resharding().unwrap().slot_migration().unwrap().progress_percentage();
    assert_eq!(progress, Some(25.0));
    minutes(15).await;
    let group = world.group("cache").await;
    assert_eq!(group.node_groups()[2].slots(), Some("10922-16383"));

    assert_eq!(code(reshard(2).send().await), "InvalidParameterCombination");
    reshard(2).node_groups_to_remove("0002").send().await.unwrap();
    minutes(20).await;
    let group = world.group("cache").await;
    let left: Vec<_> = group.node_groups().iter().map(|shard| shard.node_group_id().unwrap()).collect();
    assert_eq!(left, ["0001", "0003"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_can_only_be_deleted() {
    let world = World::new();
    world.state(|cache, _| cache.failing_creations.insert("cache".to_owned()));
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    assert_eq!(world.group("cache").await.status(), Some("create-failed"));
    let modify = world.client.modify_replication_group().replication_group_id("cache");
    assert_eq!(code(modify.send().await), "InvalidReplicationGroupState");
    world.client.delete_replication_group().replication_group_id("cache").send().await.unwrap();
    minutes(5).await;
    let describe = world.client.describe_replication_groups().replication_group_id("cache");
    assert_eq!(code(describe.send().await), "ReplicationGroupNotFoundFault");
}

#[tokio::test(start_paused = true)]
async fn listings_come_in_pages() {
    let world = World::new();
    for index in 0..45 {
        world.create(&format!("cache-{index:02}")).send().await.unwrap();
    }
    let mut groups = world.client.describe_replication_groups().max_records(20).into_paginator().send();
    let mut sizes = Vec::new();
    while let Some(page) = groups.next().await {
        sizes.push(page.unwrap().replication_groups().len());
    }
    assert_eq!(sizes, [20, 20, 5]);
    let mut clusters = world.client.describe_cache_clusters().into_paginator().items().send();
    let mut count = 0;
    while let Some(cluster) = clusters.next().await {
        cluster.unwrap();
        count += 1;
    }
    assert_eq!(count, 90);
}

#[tokio::test(start_paused = true)]
async fn tags_are_kept_by_arn() {
    let world = World::new();
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    world.create("cache").tags(tag("owner", "media")).send().await.unwrap();
    let arn = world.group("cache").await.arn().unwrap().to_owned();
    assert_eq!(arn, "arn:aws:elasticache:eu-central-1:111122223333:replicationgroup:cache");
    let add = || world.client.add_tags_to_resource().resource_name(&arn).tags(tag("stage", "test"));
    assert_eq!(code(add().send().await), "InvalidReplicationGroupState");
    minutes(8).await;
    add().send().await.unwrap();
    let remove = |key| world.client.remove_tags_from_resource().resource_name(&arn).tag_keys(key).send();
    remove("owner").await.unwrap();
    assert_eq!(code(remove("owner").await), "TagNotFound");
    let left = world.client.list_tags_for_resource().resource_name(&arn).send().await.unwrap();
    assert_eq!(left.tag_list(), [tag("stage", "test")]);
    let unknown = world.client.list_tags_for_resource().resource_name("arn:aws:s3:::bucket").send().await;
    assert_eq!(code(unknown), "InvalidARN");
}

#[tokio::test(start_paused = true)]
async fn a_newer_modification_takes_the_place_of_what_waits() {
    let world = World::new();
    world.create("cache").send().await.unwrap();
    minutes(8).await;
    let modify = |node_type: &str| {
        let call = world.client.modify_replication_group().replication_group_id("cache");
        call.cache_node_type(node_type).send()
    };
    let pending = async || {
        let cluster = world.clusters().await[0].clone();
        cluster.pending_modified_values().unwrap().cache_node_type().map(ToOwned::to_owned)
    };
    modify("cache.t4g.small").await.unwrap();
    assert_eq!(pending().await.as_deref(), Some("cache.t4g.small"));
    modify("cache.t4g.micro").await.unwrap();
    assert_eq!(pending().await, None);
}

#[tokio::test(start_paused = true)]
async fn logs_are_delivered_by_type() {
    let world = World::new();
    let log = |kind: LogType, enabled: bool| {
        let group = CloudWatchLogsDestinationDetails::builder().log_group("logs").build();
        LogDeliveryConfigurationRequest::builder()
            .log_type(kind)
            .destination_type(DestinationType::CloudWatchLogs)
            .destination_details(DestinationDetails::builder().cloud_watch_logs_details(group).build())
            .log_format(LogFormat::Json)
            .enabled(enabled)
            .build()
    };
    world.create("cache").log_delivery_configurations(log(LogType::SlowLog, true)).send().await.unwrap();
    minutes(8).await;
    let modify = |request| {
        let call = world.client.modify_replication_group().replication_group_id("cache");
        call.log_delivery_configurations(request).send()
    };
    modify(log(LogType::EngineLog, true)).await.unwrap();
    let pending = world.group("cache").await.pending_modified_values().unwrap().clone();
    assert_eq!(pending.log_delivery_configurations().len(), 2);
    minutes(3).await;
    modify(log(LogType::SlowLog, false)).await.unwrap();
    minutes(3).await;
    let group = world.group("cache").await;
    let [left] = group.log_delivery_configurations() else { panic!("{group:?}") };
    assert_eq!(left.log_type(), Some(&LogType::EngineLog));
    let details = left.destination_details().unwrap().cloud_watch_logs_details().unwrap();
    assert_eq!(details.log_group(), Some("logs"));
}

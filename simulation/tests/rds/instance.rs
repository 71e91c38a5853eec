//! The life of an instance.

use crate::support::{World, code, hours, minutes, seconds};

#[tokio::test(start_paused = true)]
async fn a_new_instance_is_created_backed_up_and_available() {
    let world = World::new();
    world.create("demo").send().await.unwrap();
    let created = world.instance("demo").await;
    assert_eq!(created.db_instance_status(), Some("creating"));
    assert!(created.endpoint().is_none() && created.instance_create_time().is_none());
    minutes(5).await;
    assert_eq!(world.status("demo").await, "backing-up");
    minutes(2).await;
    let instance = world.instance("demo").await;
    assert_eq!(instance.db_instance_status(), Some("available"));
    assert!(instance.endpoint().unwrap().address().unwrap().starts_with("demo."));
    assert_eq!(instance.engine_version(), Some("16.9"));
    assert_eq!(instance.backup_retention_period(), Some(1));
    assert_eq!(instance.iops(), Some(3000));
    assert_eq!(instance.ca_certificate_identifier(), Some("rds-ca-rsa2048-g1"));
    assert_eq!(instance.db_parameter_groups()[0].db_parameter_group_name(), Some("default.postgres16"));
    assert!(instance.latest_restorable_time().is_some());
    assert!(instance.preferred_maintenance_window().is_some());
}

#[tokio::test(start_paused = true)]
async fn names_are_unique_and_their_resource_ids_for_ever() {
    let world = World::new();
    let first = world.available("demo").await;
    assert_eq!(code(world.create("demo").send().await), "DBInstanceAlreadyExists");
    let delete = world.rds.delete_db_instance().db_instance_identifier("demo").skip_final_snapshot(true);
    delete.clone().send().await.unwrap();
    assert_eq!(world.status("demo").await, "deleting");
    assert_eq!(code(delete.send().await), "InvalidDBInstanceState");
    assert_eq!(code(world.create("demo").send().await), "DBInstanceAlreadyExists");
    minutes(3).await;
    let describe = world.rds.describe_db_instances().db_instance_identifier("demo");
    assert_eq!(code(describe.send().await), "DBInstanceNotFound");
    let second = world.available("demo").await;
    assert_ne!(first.dbi_resource_id(), second.dbi_resource_id());
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_at_creation() {
    let world = World::new();
    let refused =
        |builder: aws_sdk_rds::operation::create_db_instance::builders::CreateDBInstanceFluentBuilder| async {
            code(builder.send().await)
        };
    assert_eq!(refused(world.create("9demo")).await, "InvalidParameterValue");
    assert_eq!(refused(world.create("de--mo")).await, "InvalidParameterValue");
    assert_eq!(refused(world.create("demo-")).await, "InvalidParameterValue");
    assert_eq!(refused(world.create("demo").db_instance_class("db.huge")).await, "InvalidParameterValue");
    assert_eq!(refused(world.create("demo").engine_version("16.99")).await, "InvalidParameterCombination");
    assert_eq!(refused(world.create("demo").allocated_storage(19)).await, "InvalidParameterCombination");
    assert_eq!(refused(world.create("demo").iops(12000)).await, "InvalidParameterCombination");
    assert_eq!(refused(world.create("demo").max_allocated_storage(105)).await, "InvalidParameterCombination");
    assert_eq!(
        refused(world.create("demo").manage_master_user_password(true)).await,
        "InvalidParameterCombination"
    );
    assert_eq!(
        refused(world.create("demo").db_subnet_group_name("none")).await,
        "DBSubnetGroupNotFoundFault"
    );
    assert_eq!(
        refused(world.create("demo").db_parameter_group_name("none")).await,
        "DBParameterGroupNotFound"
    );
    assert_eq!(refused(world.create("demo").monitoring_interval(60)).await, "InvalidParameterCombination");
    let with_key = world.create("demo").storage_encrypted(true).kms_key_id("none");
    assert_eq!(refused(with_key).await, "KMSKeyNotAccessibleFault");
    let windows = world
        .create("demo")
        .preferred_backup_window("02:00-03:00")
        .preferred_maintenance_window("sun:02:30-sun:03:30");
    assert_eq!(refused(windows).await, "InvalidParameterCombination");
}

#[tokio::test(start_paused = true)]
async fn a_change_waits_for_the_window_or_not() {
    let world = World::new();
    world.create("demo").preferred_maintenance_window("fri:03:00-fri:04:00").send().await.unwrap();
    minutes(8).await;
    let modify = || world.rds.modify_db_instance().db_instance_identifier("demo");
    let answer = modify().db_instance_class("db.m7g.large").deletion_protection(true).send().await.unwrap();
    let answer = answer.db_instance.unwrap();
    assert_eq!(answer.pending_modified_values().unwrap().db_instance_class(), Some("db.m7g.large"));
    assert_eq!(answer.db_instance_class(), Some("db.t4g.medium"));
    assert_eq!(answer.deletion_protection(), Some(true));
    hours(38).await;
    assert_eq!(world.status("demo").await, "available");
    // Friday, 03:00.
    minutes(53).await;
    assert_eq!(world.status("demo").await, "modifying");
    minutes(5).await;
    let instance = world.instance("demo").await;
    assert_eq!(instance.db_instance_class(), Some("db.m7g.large"));
    assert!(instance.pending_modified_values().unwrap().db_instance_class().is_none());
    modify().multi_az(true).apply_immediately(true).send().await.unwrap();
    assert_eq!(world.status("demo").await, "available");
    seconds(10).await;
    assert_eq!(world.status("demo").await, "modifying");
    assert_eq!(code(modify().multi_az(false).send().await), "InvalidDBInstanceState");
    minutes(5).await;
    assert_eq!(world.instance("demo").await.multi_az(), Some(true));
}

#[tokio::test(start_paused = true)]
async fn pending_values_are_taken_back_by_asking_for_the_present_ones() {
    let world = World::new();
    world.available("demo").await;
    let modify = || world.rds.modify_db_instance().db_instance_identifier("demo");
    modify().db_instance_class("db.m7g.large").send().await.unwrap();
    modify().db_instance_class("db.t4g.medium").send().await.unwrap();
    hours(8 * 24).await;
    assert_eq!(world.instance("demo").await.db_instance_class(), Some("db.t4g.medium"));
}

#[tokio::test(start_paused = true)]
async fn storage_grows_by_a_tenth_and_once_in_six_hours() {
    let world = World::new();
    world.available("demo").await;
    let grow = |size| {
        world
            .rds
            .modify_db_instance()
            .db_instance_identifier("demo")
            .allocated_storage(size)
            .apply_immediately(true)
    };
    assert_eq!(code(grow(90).send().await), "InvalidParameterCombination");
    assert_eq!(code(grow(109).send().await), "InvalidParameterCombination");
    grow(110).send().await.unwrap();
    seconds(10).await;
    minutes(5).await;
    let instance = world.instance("demo").await;
    assert_eq!(instance.db_instance_status(), Some("storage-optimization"));
    assert_eq!(instance.allocated_storage(), Some(110));
    let refused = grow(150).send().await.unwrap_err().into_service_error();
    assert!(refused.to_string().contains("InvalidParameterCombination"), "{refused}");
    let other = world.rds.modify_db_instance().db_instance_identifier("demo").multi_az(true);
    other.send().await.unwrap();
    hours(6).await;
    assert_eq!(world.status("demo").await, "available");
    grow(150).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn storage_grows_by_itself_up_to_the_threshold() {
    let world = World::new();
    world.create("demo").max_allocated_storage(115).send().await.unwrap();
    minutes(8).await;
    world.with(|rds, now| rds.fill("demo", now, 95));
    minutes(11).await;
    assert_eq!(world.instance("demo").await.allocated_storage(), Some(110));
    world.with(|rds, now| rds.fill("demo", now, 110));
    assert_eq!(world.status("demo").await, "storage-full");
    hours(6).await;
    minutes(15).await;
    let instance = world.instance("demo").await;
    assert_eq!(instance.allocated_storage(), Some(115));
    assert_eq!(instance.db_instance_status(), Some("storage-optimization"));
}

#[tokio::test(start_paused = true)]
async fn a_stopped_instance_is_started_after_seven_days() {
    let world = World::new();
    world.available("demo").await;
    let stop = || world.rds.stop_db_instance().db_instance_identifier("demo").send();
    stop().await.unwrap();
    assert_eq!(world.status("demo").await, "stopping");
    minutes(3).await;
    let instance = world.instance("demo").await;
    assert_eq!(instance.db_instance_status(), Some("stopped"));
    assert!(instance.automatic_restart_time().is_some());
    assert_eq!(code(stop().await), "InvalidDBInstanceState");
    let modify = world.rds.modify_db_instance().db_instance_identifier("demo").multi_az(true);
    assert_eq!(code(modify.send().await), "InvalidDBInstanceState");
    hours(7 * 24).await;
    assert_eq!(world.status("demo").await, "starting");
    minutes(5).await;
    assert_eq!(world.status("demo").await, "available");
}

#[tokio::test(start_paused = true)]
async fn deletion_is_guarded() {
    let world = World::new();
    world.create("demo").deletion_protection(true).send().await.unwrap();
    minutes(8).await;
    let delete = || world.rds.delete_db_instance().db_instance_identifier("demo");
    assert_eq!(code(delete().skip_final_snapshot(true).send().await), "InvalidParameterCombination");
    let modify = world.rds.modify_db_instance().db_instance_identifier("demo").deletion_protection(false);
    modify.send().await.unwrap();
    assert_eq!(code(delete().send().await), "InvalidParameterCombination");
    delete().final_db_snapshot_identifier("last").send().await.unwrap();
    minutes(3).await;
    let snapshots = world.rds.describe_db_snapshots().db_instance_identifier("demo").send().await.unwrap();
    let names: Vec<_> =
        snapshots.db_snapshots().iter().filter_map(|one| one.db_snapshot_identifier()).collect();
    assert_eq!(names, ["last"]);
}

#[tokio::test(start_paused = true)]
async fn upgrades_need_a_target_and_a_word_for_major_ones() {
    let world = World::new();
    world.create("demo").engine_version("15.7").send().await.unwrap();
    minutes(8).await;
    let to = |version: &str| {
        let modify = world.rds.modify_db_instance().db_instance_identifier("demo");
        modify.engine_version(version).apply_immediately(true)
    };
    assert_eq!(code(to("15.5").send().await), "InvalidParameterCombination");
    assert_eq!(
        code(to("16.1").allow_major_version_upgrade(true).send().await),
        "InvalidParameterCombination"
    );
    assert_eq!(code(to("16.9").send().await), "InvalidParameterCombination");
    let later = to("17").apply_immediately(false).allow_major_version_upgrade(true).send().await.unwrap();
    let pending = later.db_instance.unwrap().pending_modified_values.unwrap();
    assert_eq!(pending.engine_version(), Some("17.5"));
    let other = world.rds.modify_db_instance().db_instance_identifier("demo").multi_az(true);
    other.send().await.unwrap();
    to("16.9").allow_major_version_upgrade(true).send().await.unwrap();
    seconds(10).await;
    // What was pending is done at once with it.
    assert_eq!(world.status("demo").await, "modifying");
    minutes(5).await;
    assert_eq!(world.status("demo").await, "upgrading");
    minutes(10).await;
    let instance = world.instance("demo").await;
    assert_eq!(instance.engine_version(), Some("16.9"));
    assert_eq!(instance.db_parameter_groups()[0].db_parameter_group_name(), Some("default.postgres16"));
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_says_why() {
    let world = World::new();
    world.with(|rds, _| rds.fail_next_creation("incompatible-network", "There are no free addresses"));
    world.create("demo").send().await.unwrap();
    minutes(6).await;
    assert_eq!(world.status("demo").await, "incompatible-network");
    let kind = aws_sdk_rds::types::SourceType::DbInstance;
    let events =
        world.rds.describe_events().source_type(kind).source_identifier("demo").send().await.unwrap();
    assert_eq!(events.events()[0].message(), Some("There are no free addresses"));
    let delete = world.rds.delete_db_instance().db_instance_identifier("demo");
    let kept = delete.clone().final_db_snapshot_identifier("last").send().await;
    assert_eq!(code(kept), "InvalidDBInstanceState");
    delete.skip_final_snapshot(true).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn listings_are_paged_and_filtered() {
    let world = World::new();
    for index in 0..25 {
        world.create(&format!("demo-{index:02}")).send().await.unwrap();
    }
    let first = world.rds.describe_db_instances().max_records(20).send().await.unwrap();
    assert_eq!(first.db_instances().len(), 20);
    let rest = world.rds.describe_db_instances().marker(first.marker().unwrap()).send().await.unwrap();
    assert_eq!(rest.db_instances().len(), 5);
    assert!(rest.marker().is_none());
    let filter = aws_sdk_rds::types::Filter::builder().name("db-instance-id").values("demo-07").build();
    let found = world.rds.describe_db_instances().filters(filter).send().await.unwrap();
    assert_eq!(found.db_instances().len(), 1);
    let few = world.rds.describe_db_instances().max_records(19).send().await;
    assert_eq!(code(few), "InvalidParameterValue");
}

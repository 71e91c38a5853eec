//! Users and user groups.

use crate::setup::{OTHER_TOKEN, TOKEN, World, code, minutes};
use aws_sdk_elasticache::types::AuthTokenUpdateStrategyType;

async fn create_user(world: &World, id: &str, name: &str, password: &str) {
    let call = world.client.create_user().user_id(id).user_name(name).engine("redis");
    call.access_string("on ~* +@all").passwords(password).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rotation_keeps_both_passwords_for_a_while() {
    let world = World::new();
    create_user(&world, "guest", "default", TOKEN).await;
    create_user(&world, "app", "app", TOKEN).await;
    let team = || world.client.create_user_group().user_group_id("team").engine("redis");
    assert_eq!(code(team().user_ids("app").send().await), "DefaultUserRequired");
    assert_eq!(code(team().user_ids("nobody").send().await), "UserNotFound");
    let made = team().user_ids("guest").user_ids("app").send().await.unwrap();
    assert_eq!(made.status(), Some("creating"));
    let create = || world.create("cache").transit_encryption_enabled(true).user_group_ids("team");
    assert_eq!(code(create().send().await), "InvalidUserGroupState");
    minutes(1).await;
    create().send().await.unwrap();
    minutes(8).await;

    let lets_in = |password| world.state(|cache, _| cache.lets_in("cache", "app", Some(password)));
    assert!(lets_in(TOKEN) && !lets_in(OTHER_TOKEN));
    let modify = || world.client.modify_user().user_id("app");
    assert_eq!(
        code(modify().passwords(TOKEN).passwords(OTHER_TOKEN).passwords("a-third-password").send().await),
        "InvalidParameterValue"
    );
    modify().passwords(TOKEN).passwords(OTHER_TOKEN).send().await.unwrap();
    assert_eq!(code(modify().passwords(OTHER_TOKEN).send().await), "InvalidUserState");
    minutes(1).await;
    assert!(lets_in(TOKEN) && lets_in(OTHER_TOKEN));
    modify().passwords(OTHER_TOKEN).send().await.unwrap();
    minutes(1).await;
    assert!(!lets_in(TOKEN) && lets_in(OTHER_TOKEN));
    let users = world.client.describe_users().user_id("app").send().await.unwrap();
    assert_eq!(users.users()[0].authentication().unwrap().password_count(), Some(1));
    assert_eq!(users.users()[0].user_group_ids(), ["team"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_use_stays() {
    let world = World::new();
    create_user(&world, "guest", "default", TOKEN).await;
    create_user(&world, "app", "app", TOKEN).await;
    let team = world.client.create_user_group().user_group_id("team").engine("redis");
    team.user_ids("guest").send().await.unwrap();
    minutes(1).await;
    world.create("cache").transit_encryption_enabled(true).user_group_ids("team").send().await.unwrap();
    minutes(8).await;
    let delete_user = |id| world.client.delete_user().user_id(id).send();
    assert_eq!(code(delete_user("guest").await), "DefaultUserAssociatedToUserGroup");
    let delete_group = || world.client.delete_user_group().user_group_id("team").send();
    assert_eq!(code(delete_group().await), "InvalidUserGroupState");

    let modify = || world.client.modify_user_group().user_group_id("team");
    modify().user_ids_to_add("app").send().await.unwrap();
    let groups = world.client.describe_user_groups().user_group_id("team").send().await.unwrap();
    let group = &groups.user_groups()[0];
    assert_eq!(group.replication_groups(), ["cache"]);
    assert_eq!(group.pending_changes().unwrap().user_ids_to_add(), ["app"]);
    minutes(1).await;
    assert!(world.state(|cache, _| cache.lets_in("cache", "app", Some(TOKEN))));
    delete_user("app").await.unwrap();
    minutes(1).await;
    assert!(!world.state(|cache, _| cache.lets_in("cache", "app", Some(TOKEN))));

    let release = world.client.modify_replication_group().replication_group_id("cache");
    release.remove_user_groups(true).send().await.unwrap();
    let pending = world.group("cache").await.pending_modified_values().unwrap().clone();
    assert_eq!(pending.user_groups().unwrap().user_group_ids_to_remove(), ["team"]);
    minutes(3).await;
    delete_group().await.unwrap();
    minutes(1).await;
    assert_eq!(code(delete_group().await), "UserGroupNotFound");
}

#[tokio::test(start_paused = true)]
async fn user_groups_take_over_from_a_token() {
    let world = World::new();
    create_user(&world, "guest", "default", OTHER_TOKEN).await;
    let team = world.client.create_user_group().user_group_id("team").engine("redis");
    team.user_ids("guest").send().await.unwrap();
    world.create("cache").transit_encryption_enabled(true).auth_token(TOKEN).send().await.unwrap();
    minutes(8).await;
    let modify = || {
        let call = world.client.modify_replication_group().replication_group_id("cache");
        call.user_group_ids_to_add("team").apply_immediately(true)
    };
    assert_eq!(code(modify().send().await), "InvalidParameterCombination");
    let delete = AuthTokenUpdateStrategyType::Delete;
    modify().auth_token_update_strategy(delete).send().await.unwrap();
    minutes(3).await;
    let lets_in = |password| world.state(|cache, _| cache.lets_in("cache", "default", Some(password)));
    assert!(!lets_in(TOKEN) && lets_in(OTHER_TOKEN));
    assert_eq!(world.group("cache").await.auth_token_enabled(), Some(false));
}

#[tokio::test(start_paused = true)]
async fn refuses_names_and_logins_that_do_not_fit() {
    let world = World::new();
    let create = || world.client.create_user().user_id("app").user_name("app").engine("redis");
    assert_eq!(code(create().access_string("on ~*").send().await), "InvalidParameterCombination");
    let open = || create().no_password_required(true);
    assert_eq!(code(open().access_string("on >secret +@all").send().await), "InvalidParameterValue");
    open().access_string("on ~* +@read").send().await.unwrap();
    assert_eq!(code(open().access_string("on ~* +@read").send().await), "UserAlreadyExists");
    let described = world.client.describe_users().send().await.unwrap();
    let ids: Vec<_> = described.users().iter().map(|user| user.user_id().unwrap()).collect();
    assert_eq!(ids, ["app", "default"]);
    create_user(&world, "second", "app", TOKEN).await;
    let team = world.client.create_user_group().user_group_id("team").engine("redis");
    let team = team.user_ids("default").user_ids("app").user_ids("second");
    assert_eq!(code(team.send().await), "DuplicateUserName");
    // Without a password: good for Redis OSS only.
    let valkey = world.client.create_user_group().user_group_id("team").engine("valkey").user_ids("app");
    assert_eq!(code(valkey.send().await), "InvalidParameterValue");
}

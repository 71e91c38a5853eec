//! Which operation does what.

use super::{Fault, Parameters, Rds, Xml, engine, groups};
use crate::aws::{Place, secrets::Secrets};
use jiff::Timestamp;

impl Rds {
    pub(super) fn perform(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        match operation {
            "CreateDBInstance" => self.create_instance(parameters, now, place, secrets),
            "DescribeDBInstances" => self.describe_instances(parameters, now, place, secrets),
            "ModifyDBInstance" => self.modify_instance(parameters, now, place, secrets),
            "RebootDBInstance" => self.reboot_instance(parameters, now, place, secrets),
            "StopDBInstance" => self.stop_instance(parameters, now, place, secrets),
            "StartDBInstance" => self.start_instance(parameters, now, place, secrets),
            "DeleteDBInstance" => self.delete_instance(parameters, now, place, secrets),
            "CreateDBSnapshot" => self.create_snapshot(parameters, now, place),
            "DescribeDBSnapshots" => self.describe_snapshots(parameters, place),
            "CopyDBSnapshot" => self.copy_snapshot(parameters, now, place),
            "DeleteDBSnapshot" => self.delete_snapshot(parameters, place),
            "RestoreDBInstanceFromDBSnapshot" => self.restore_snapshot(parameters, now, place, secrets),
            "RestoreDBInstanceToPointInTime" => self.restore_to_time(parameters, now, place, secrets),
            "AddTagsToResource" => self.add_tags(parameters, place),
            "RemoveTagsFromResource" => self.remove_tags(parameters, place),
            "ListTagsForResource" => self.list_tags(parameters, place),
            "DescribeEvents" => self.describe_events(parameters, now),
            "DescribeDBEngineVersions" => engine::describe_versions(parameters),
            "DescribeOrderableDBInstanceOptions" => engine::describe_orderable(parameters, &place.region),
            "DescribePendingMaintenanceActions" => self.describe_maintenance(parameters, place),
            "ApplyPendingMaintenanceAction" => self.apply_maintenance(parameters, now, place),
            _ if operation.contains("DBProx") => {
                self.perform_on_proxies(operation, parameters, now, place, secrets)
            }
            _ if operation.contains("BlueGreen") => {
                self.perform_on_deployments(operation, parameters, now, place, secrets)
            }
            _ if operation.contains("Group") || operation.contains("Parameters") => {
                self.perform_on_groups(operation, parameters, now, place)
            }
            _ if operation.contains("DBCluster") => {
                self.perform_on_clusters(operation, parameters, now, place, secrets)
            }
            _ => Err(unknown(operation)),
        }
    }

    fn perform_on_groups(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
    ) -> Result<Xml, Fault> {
        match operation {
            "CreateDBSubnetGroup" => self.create_subnet_group(parameters, place),
            "DescribeDBSubnetGroups" => self.describe_subnet_groups(parameters, place),
            "ModifyDBSubnetGroup" => self.modify_subnet_group(parameters, place),
            "DeleteDBSubnetGroup" => self.delete_subnet_group(parameters),
            "CreateDBParameterGroup" => self.groups.create(parameters, place),
            "DescribeDBParameterGroups" => self.groups.describe(parameters, place),
            "DescribeDBParameters" => self.groups.describe_parameters(parameters),
            "ModifyDBParameterGroup" => self.change_group(parameters, false, now, place),
            "ResetDBParameterGroup" => self.change_group(parameters, true, now, place),
            "DeleteDBParameterGroup" => self.delete_group(parameters),
            "CreateDBClusterParameterGroup" => self.cluster_groups.create(parameters, place),
            "DescribeDBClusterParameterGroups" => self.cluster_groups.describe(parameters, place),
            "DescribeDBClusterParameters" => self.cluster_groups.describe_parameters(parameters),
            "ModifyDBClusterParameterGroup" => self.change_cluster_group(parameters, false, now),
            "ResetDBClusterParameterGroup" => self.change_cluster_group(parameters, true, now),
            "DeleteDBClusterParameterGroup" => self.delete_cluster_group(parameters),
            "DescribeEngineDefaultParameters" | "DescribeEngineDefaultClusterParameters" => {
                groups::describe_defaults(parameters)
            }
            _ => Err(unknown(operation)),
        }
    }

    fn perform_on_clusters(
        &mut self,
        operation: &str,
        parameters: &Parameters,
        now: Timestamp,
        place: &Place,
        secrets: &mut Secrets,
    ) -> Result<Xml, Fault> {
        match operation {
            "CreateDBCluster" => self.create_cluster(parameters, now, place, secrets),
            "DescribeDBClusters" => self.describe_clusters(parameters, now, place, secrets),
            "ModifyDBCluster" => self.modify_cluster(parameters, now, place, secrets),
            "DeleteDBCluster" => self.delete_cluster(parameters, now, place, secrets),
            "FailoverDBCluster" => self.fail_over(parameters, now, place, secrets),
            "StopDBCluster" => self.stop_cluster(parameters, now, place, secrets),
            "StartDBCluster" => self.start_cluster(parameters, now, place, secrets),
            "CreateDBClusterSnapshot" => self.create_cluster_snapshot(parameters, now, place),
            "DescribeDBClusterSnapshots" => self.describe_cluster_snapshots(parameters, place),
            "DeleteDBClusterSnapshot" => self.delete_cluster_snapshot(parameters, place),
            "RestoreDBClusterFromSnapshot" => self.restore_cluster_snapshot(parameters, now, place, secrets),
            "RestoreDBClusterToPointInTime" => self.restore_cluster_to_time(parameters, now, place, secrets),
            _ => Err(unknown(operation)),
        }
    }
}

fn unknown(operation: &str) -> Fault {
    Fault::bad_request("InvalidAction", format!("Could not find operation {operation}"))
}

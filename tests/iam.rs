//! The operator's IAM policy is made of the calls that the tests saw it make.

use std::{collections::BTreeSet, env, fs};
use streaming_operator::aws::iam;

/// Reads what the other tests recorded: run it last (`e2e/test.sh unit` does).
#[test]
#[ignore = "needs the recording of the other tests in STREAMING_OPERATOR_AWS_CALLS"]
fn the_policy_knows_the_recorded_calls_and_no_others() {
    let file = env::var_os("STREAMING_OPERATOR_AWS_CALLS")
        .expect("STREAMING_OPERATOR_AWS_CALLS names the recording");
    let recording = fs::read_to_string(file).expect("the recording can be read");
    let recorded: BTreeSet<_> = recording.lines().filter_map(|line| line.split_once(' ')).collect();
    let known: BTreeSet<_> = iam::operator_calls().collect();
    let missing: Vec<_> = recorded.difference(&known).collect();
    assert!(missing.is_empty(), "src/aws/iam/table.rs lacks calls that were made: {missing:?}");
    let unused: Vec<_> = known.difference(&recorded).collect();
    assert!(unused.is_empty(), "src/aws/iam/table.rs has calls that no test made: {unused:?}");
}

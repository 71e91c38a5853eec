//! Clients for AWS, or for an emulator where `AWS_ENDPOINT_URL` is set.

use crate::Env;
use aws_config::{BehaviorVersion, SdkConfig, timeout::TimeoutConfig};
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use std::time::Duration;

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer's first byte may take: well above the 20 s of a long poll.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The configuration that all clients share: credentials, region and endpoint by AWS's own variables
/// (`AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, …) or the pod's identity.
pub async fn sdk_config() -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}

/// A client for S3. With an endpoint of its own it addresses buckets by path and sends checksums only where
/// S3 demands them, as emulators and older stores know no others.
#[must_use]
pub fn s3_client(config: &SdkConfig) -> aws_sdk_s3::Client {
    let mut builder = aws_sdk_s3::config::Builder::from(config);
    if has_own_endpoint(config) {
        builder = builder
            .force_path_style(true)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    }
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// A client for SQS.
#[must_use]
pub fn sqs_client(config: &SdkConfig) -> aws_sdk_sqs::Client {
    aws_sdk_sqs::Client::new(config)
}

fn has_own_endpoint(config: &SdkConfig) -> bool {
    let env = Env::process();
    config.endpoint_url().is_some()
        || env.optional("AWS_ENDPOINT_URL").is_some()
        || env.optional("AWS_ENDPOINT_URL_S3").is_some()
}

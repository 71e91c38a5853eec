//! Specs that fit two cores: small ladders, small requests, and nothing left behind in AWS.

use serde_json::{Value, json};

/// A component of one replica. Its traces go where the secrets canary listens, if it does.
#[must_use]
pub fn component() -> Value {
    let traces = std::env::var("CANARY_TRACES").ok();
    let env: Vec<_> =
        traces.iter().map(|it| json!({"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": it})).collect();
    let resources = json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}});
    json!({"replicas": 1, "resources": resources, "env": env})
}

/// Transcoding whose queues and buckets go with the platform.
#[must_use]
pub fn transcoding() -> Value {
    json!({
        "queue": {"visibilityTimeout": "30s", "deletionPolicy": "Delete"},
        "input": {"deletionPolicy": "DeleteWithContents"},
        "output": {"deletionPolicy": "DeleteWithContents"},
        "maxConcurrentJobs": 4,
        "drainTimeout": "1m",
        "profile": {
            "renditions": [{"height": 180, "bitrate": 250_000}, {"height": 120, "bitrate": 120_000}],
            "segmentSeconds": 2,
            "gopSeconds": 1,
            "preset": "ultrafast",
        },
        "job": {
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}},
            "scratchSize": "512Mi",
            "deadline": "5m",
        },
    })
}

/// An embedded server; `policy` says what becomes of its volume.
#[must_use]
pub fn embedded(policy: &str) -> Value {
    json!({
        "provider": "Embedded",
        "deletionPolicy": policy,
        "embedded": {
            "storage": {"size": "128Mi"},
            "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}},
        },
    })
}

/// A command in place of the transcoder's that runs until its Job is deleted, so that a test decides when
/// a Job ends.
#[must_use]
pub fn held() -> Value {
    json!({"spec": {"containers": [{"name": "transcoder", "command": ["sleep", "3600"]}]}})
}

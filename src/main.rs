//! The streaming operator.
use kube::CustomResourceExt;
fn main() -> anyhow::Result<()> {
    use std::io::Write;
    std::io::stdout()
        .write_all(serde_saphyr::to_string(&streaming_operator::api::StreamingPlatform::crd())?.as_bytes())?;
    Ok(())
}

//! Logs as JSON on standard output, and traces by OTLP where a collector is configured.
//!
//! Every span has a trace id whether or not it is exported, so that logs of one request can be found by it.
//! `RUST_LOG` filters both (default `info`); `OTEL_EXPORTER_OTLP_ENDPOINT` and the other variables of the
//! OpenTelemetry specification configure the export.

use crate::Env;
use http::HeaderMap;
use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    runtime::Tokio,
    trace::{SdkTracerProvider, span_processor_with_async_runtime::BatchSpanProcessor},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG is no filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The exporter refused its variables.
    #[error("traces can't be exported, check OTEL_EXPORTER_OTLP_ENDPOINT: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
    /// Something else logs already.
    #[error(transparent)]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
}

/// Keeps the export alive; [`Telemetry::shutdown`] sends what is left.
#[must_use]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Starts logs and traces of the service of that name. Call it once, inside the tokio runtime.
///
/// # Errors
/// [`TelemetryError`] for variables that can't be understood, or on a second call.
pub fn init(service: &'static str) -> Result<Telemetry, TelemetryError> {
    let env = Env::process();
    let filter = EnvFilter::builder().parse(env.optional("RUST_LOG").unwrap_or_else(|| "info".to_owned()))?;
    let mut builder =
        SdkTracerProvider::builder().with_resource(Resource::builder().with_service_name(service).build());
    let exporting = env.optional("OTEL_EXPORTER_OTLP_ENDPOINT").is_some()
        || env.optional("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").is_some();
    if exporting {
        let exporter = SpanExporter::builder().with_http().build()?;
        builder = builder.with_span_processor(BatchSpanProcessor::builder(exporter, Tokio).build());
    }
    let provider = builder.build();
    tracing_subscriber::registry()
        .with(filter)
        .with(
            tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(true),
        )
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer(service)))
        .try_init()?;
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Sends the spans that are still held. Its failure is logged: nothing else can be done about it.
    pub async fn shutdown(self) {
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown()).await;
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
            Err(error) => tracing::warn!(%error, "the last traces were not sent"),
        }
    }
}

/// Makes a span part of the trace that a request's `traceparent` names, and records its trace id, so that
/// every log line inside shows it. The span needs a field `trace_id = tracing::field::Empty`.
pub fn join_trace(span: &Span, headers: &HeaderMap) {
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    if parent.span().span_context().is_valid() {
        // It fails only for a span that no layer listens to, which has no trace to join.
        let _ = span.set_parent(parent);
    }
    record_trace_id(span);
}

/// Records the trace id in the field `trace_id` of a span that begins a trace.
pub fn record_trace_id(span: &Span) {
    let context = span.context();
    let id = context.span().span_context().trace_id();
    span.record("trace_id", tracing::field::display(id));
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

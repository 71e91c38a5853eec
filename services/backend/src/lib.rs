//! The backend: uploads, library, live events and media of a platform.
//!
//! - [`api`]: the HTTP API under `/api`.
//! - [`media`]: outputs of the private bucket under `/media`.
//! - [`multipart`]: multipart uploads straight to S3.
//! - [`changes`]: what changes in the catalogue, to whoever listens.
//! - [`cache`]: which outputs are whole, for all replicas.

pub mod api;
pub mod auth;
pub mod cache;
pub mod changes;
pub mod media;
pub mod multipart;
pub mod problem;
pub mod settings;

use auth::ApiToken;
use aws_config::SdkConfig;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use cache::Cache;
use catalog::{Catalog, Edit, Storage, StoreError};
use changes::Changes;
use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use media::WholeOutputs;
use multipart::Multipart;
use problem::Problem;
use service_common::{Shutdown, aws};
use settings::{Limits, Settings};
use std::{ops::Deref, sync::Arc, time::Duration};
use tower_http::set_header::SetResponseHeaderLayer;
use uuid::Uuid;

/// Largest body of a request: the list of 10,000 parts fits.
const MAX_BODY_BYTES: usize = 2 << 20;
/// How long the head of a response may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// For answers of the API: the next one may differ.
const NEVER: HeaderValue = HeaderValue::from_static("no-store");

/// The migrations of the catalogue. Older replicas ignore what a newer one has applied already.
#[must_use]
pub fn migrator() -> sqlx::migrate::Migrator {
    let mut migrator = sqlx::migrate!();
    migrator.set_ignore_missing(true);
    migrator
}

/// Brings the schema of the catalogue up to date. Replicas that do so at once wait for each other.
///
/// # Errors
/// [`StoreError::Database`].
pub async fn migrate(catalog: &Catalog) -> Result<(), StoreError> {
    Ok(migrator().run(&catalog.patient()).await.map_err(sqlx::Error::from)?)
}

/// What the handlers share. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Shared>);

/// See [`App`].
pub struct Shared {
    catalog: Catalog,
    storage: Storage,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    multipart: Multipart,
    transcoding_queue_url: String,
    token: ApiToken,
    limits: Limits,
    changes: Changes,
    cache: Option<Cache>,
    whole_outputs: WholeOutputs,
    shutdown: Shutdown,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// Puts the parts together and begins to listen for changes. Call it inside the tokio runtime.
    #[must_use]
    pub fn new(settings: Settings, sdk: &SdkConfig, shutdown: &Shutdown) -> Self {
        let s3 = aws::s3_client(sdk);
        Self(Arc::new(Shared {
            multipart: Multipart::new(s3.clone()),
            s3,
            sqs: aws::sqs_client(sdk),
            transcoding_queue_url: settings.transcoding_queue_url,
            token: ApiToken::new(&settings.api_token),
            limits: settings.limits,
            changes: Changes::listen(settings.catalog.clone(), shutdown.clone()),
            catalog: settings.catalog,
            cache: settings.cache,
            storage: settings.storage,
            whole_outputs: WholeOutputs::default(),
            shutdown: shutdown.clone(),
        }))
    }

    /// Opens a change of a video that is not deleted.
    async fn live_edit(&self, id: Uuid) -> Result<Edit, Problem> {
        let edit = self.catalog.edit(id).await?.filter(|edit| !edit.video.is_deleted());
        edit.ok_or_else(Problem::no_such_video)
    }

    /// All routes.
    pub fn router(self) -> Router {
        Router::new()
            .merge(api::router().layer(SetResponseHeaderLayer::if_not_present(CACHE_CONTROL, NEVER)))
            .merge(media::router())
            .fallback(async || Problem::new(StatusCode::NOT_FOUND, "There is nothing at this path."))
            .method_not_allowed_fallback(async || {
                Problem::new(StatusCode::METHOD_NOT_ALLOWED, "This path does not know this method.")
            })
            .layer(middleware::from_fn_with_state(REQUEST_TIMEOUT, in_time))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(self)
    }
}

/// Answers for a handler that takes too long.
async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "The request took too long. Try again.").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, routing::get};
    use http::header::CONTENT_TYPE;
    use tower::ServiceExt;

    #[tokio::test]
    async fn a_request_that_takes_too_long_is_a_problem() {
        let endless = get(async || std::future::pending::<()>().await);
        let layer = middleware::from_fn_with_state(Duration::from_millis(1), in_time);
        let app = Router::new().route("/", endless).layer(layer);
        let answer = app.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(answer.headers()[CONTENT_TYPE], "application/problem+json");
    }
}

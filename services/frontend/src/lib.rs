//! The frontend's server: the built web application, and a proxy to the backend for `/api` and `/media`.
//!
//! Everything that a browser needs comes from one origin, so that the Content-Security-Policy can be strict
//! and the backend needs no CORS. Only uploads go elsewhere: straight to S3, to the origins that
//! [`Settings::upload_origins`] names.

pub mod assets;
pub mod headers;
pub mod proxy;
pub mod settings;

pub use assets::Assets;
pub use settings::Settings;

use axum::{Router, extract::State, middleware, routing::any};
use proxy::Proxy;
use service_common::Shutdown;
use std::sync::Arc;

/// The routes of the server, without health and metrics.
pub fn app(settings: &Settings, assets: Assets, shutdown: &Shutdown) -> Router {
    let proxy = Arc::new(Proxy::new(settings, shutdown.clone()));
    let security = headers::Security::new(&settings.upload_origins);
    let forward = async |State(proxy): State<Arc<Proxy>>, request| proxy.forward(request).await;
    Router::new()
        .route("/api/{*path}", any(forward))
        .route("/media/{*path}", any(forward))
        .with_state(proxy)
        .fallback_service(assets.into_service())
        .layer(middleware::map_response_with_state(security, headers::secure))
}

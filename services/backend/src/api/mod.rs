//! The HTTP API under `/api`, and its description in OpenAPI.

pub mod events;
pub mod extract;
pub mod model;
pub mod uploads;
pub mod videos;

use crate::App;
use axum::{Json, Router, routing::get};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

#[derive(OpenApi)]
#[openapi(
    info(title = "streaming-operator backend", description = "Uploads, library and live events of a platform."),
    modifiers(&Bearer)
)]
struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        openapi.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

fn described() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(uploads::create))
        .routes(routes!(uploads::show, uploads::abort))
        .routes(routes!(uploads::complete))
        .routes(routes!(videos::list))
        .routes(routes!(videos::show, videos::delete))
        .routes(routes!(videos::retranscode))
        .routes(routes!(events::stream))
}

/// The description of all routes.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().into_openapi()
}

/// The routes under `/api`. Each handler is registered together with its description.
pub fn router() -> Router<App> {
    let (router, description) = described().split_for_parts();
    router.route("/api/openapi.json", get(async move || Json(description)))
}

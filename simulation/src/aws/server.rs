//! The cloud on a socket, for clients in other processes.

use super::Cloud;
use axum::{Router, body::Body, extract::State, response::IntoResponse};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::net::TcpListener;

/// Answers requests until the listener fails.
///
/// # Errors
/// The listener's.
pub async fn serve(cloud: Cloud, listener: TcpListener) -> std::io::Result<()> {
    axum::serve(listener, router(cloud)).await
}

/// What answers requests, for a server that does more.
pub fn router(cloud: Cloud) -> Router {
    Router::new().fallback(answer).with_state(cloud)
}

async fn answer(State(cloud): State<Cloud>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return StatusCode::BAD_REQUEST.into_response() };
    let request = Request::from_parts(parts, body.to_bytes());
    cloud.wait(&request).await;
    match cloud.handle(&request) {
        Some(response) => response.map(Body::from),
        // An answer that breaks off: the connection is closed within the body.
        None => Response::new(Body::from_stream(cut())),
    }
}

fn cut() -> impl futures::Stream<Item = Result<Bytes, std::io::Error>> {
    futures::stream::once(async { Err(std::io::Error::other("the connection was cut")) })
}

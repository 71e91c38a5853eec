//! The library.

use super::{
    extract::{Path, Query},
    model::Video,
};
use crate::{App, auth::Authorized, problem::FieldError, problem::Problem};
use aws_sdk_s3::error::DisplayErrorContext;
use axum::{Json, extract::State};
use contract::message::ExplicitMessage;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

const DEFAULT_LIMIT: u16 = 50;
const MAX_LIMIT: u16 = 200;

/// What to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// How many, 1 to 200; 50 when left out.
    limit: Option<u16>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
    /// Only videos in this state.
    state: Option<String>,
}

/// A page of videos, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct VideoPage {
    /// The videos.
    items: Vec<Video>,
    /// Where the next page begins; left out on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Lists videos, newest first.
#[utoipa::path(get, path = "/api/videos", tag = "videos", params(ListQuery), responses(
    (status = 200, body = VideoPage),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "A parameter is not valid"),
))]
pub async fn list(
    State(app): State<App>,
    Query(query): Query<ListQuery>,
) -> Result<Json<VideoPage>, Problem> {
    let mut errors = Vec::new();
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        errors.push(FieldError::new("limit", format!("must be 1 to {MAX_LIMIT}")));
    }
    let state = query.state.map(|name| name.parse()).transpose().unwrap_or_else(|unknown| {
        errors.push(FieldError::new("state", format!("{unknown}")));
        None
    });
    let before = query.cursor.map(|text| text.parse::<Uuid>()).transpose().unwrap_or_else(|_| {
        errors.push(FieldError::new("cursor", "must be the nextCursor of a page before"));
        None
    });
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let page = app.catalog.list(state, before, limit).await?;
    Ok(Json(VideoPage {
        items: page.videos.iter().map(Video::from).collect(),
        next_cursor: page.next.map(|id| id.to_string()),
    }))
}

/// Shows one video.
#[utoipa::path(get, path = "/api/videos/{id}", tag = "videos", params(("id" = Uuid, Path)), responses(
    (status = 200, body = Video),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such video"),
))]
pub async fn show(State(app): State<App>, Path(id): Path<Uuid>) -> Result<Json<Video>, Problem> {
    let video = app.catalog.get(id).await?.ok_or_else(Problem::no_such_video)?;
    Ok(Json(Video::from(&video)))
}

/// Deletes a video: its source and its outputs.
///
/// It is gone from the library at once, its objects soon after. A Job that runs for it is not stopped; what it still
/// writes is erased when it ends.
#[utoipa::path(delete, path = "/api/videos/{id}", tag = "videos", params(("id" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 204, description = "Deleted"),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such video"),
))]
pub async fn delete(
    _: Authorized,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    erase(&app, app.live_edit(id).await?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Marks a video as deleted, for good. Its objects are erased after the answer, as there may be thousands; what is
/// left when that fails the worker erases.
pub(super) async fn erase(app: &App, mut edit: catalog::Edit) -> Result<(), Problem> {
    let now = Timestamp::now();
    edit.video.delete(now);
    let tombstone = edit.commit(now).await?;
    let app = app.clone();
    let erasing = async move {
        if let Err(error) = app.storage.erase(&app.s3, &tombstone).await {
            tracing::warn!(%error, video = %tombstone.id, "the worker erases what is left");
        } else if let Err(error) = app.catalog.erased(&tombstone, Timestamp::now()).await {
            tracing::warn!(%error, video = %tombstone.id, "the worker erases it once more");
        }
    };
    tokio::spawn(erasing.in_current_span());
    Ok(())
}

/// Transcodes a video once more. The old output plays until the new one is whole.
#[utoipa::path(post, path = "/api/videos/{id}/retranscode", tag = "videos", params(("id" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 202, body = Video, description = "Queued"),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such video"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "It is not settled yet"),
))]
pub async fn retranscode(
    _: Authorized,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<(StatusCode, Json<Video>), Problem> {
    let mut edit = app.live_edit(id).await?;
    let state = edit.video.state();
    if !state.is_settled() {
        let detail = format!("The video is {state}. Wait until it is Ready, Failed or Cancelled.");
        return Err(Problem::new(StatusCode::CONFLICT, detail));
    }
    // The row stays locked while the message is sent: a second click waits, and is then refused. If the
    // message is sent and the commit fails, the worker learns of the work by its first event.
    let now = Timestamp::now();
    let explicit_id = format!("retranscode/{}", Uuid::now_v7());
    edit.video.request(&explicit_id, now);
    let message = ExplicitMessage::with_id(edit.video.source.clone(), explicit_id);
    send(&app, &message).await?;
    let video = edit.commit(now).await?;
    Ok((StatusCode::ACCEPTED, Json(Video::from(&video))))
}

async fn send(app: &App, message: &ExplicitMessage) -> Result<(), Problem> {
    let body = serde_json::to_string(message).expect("a message of text and numbers is JSON");
    let sent = app.sqs.send_message().queue_url(&app.transcoding_queue_url).message_body(body).send().await;
    sent.map(drop).map_err(|error| {
        tracing::error!(error = %DisplayErrorContext(&error), "the transcoding queue can't be used");
        Problem::new(StatusCode::BAD_GATEWAY, "The queue can't be used at the moment. Try again.")
    })
}

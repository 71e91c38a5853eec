//! Uploads: the browser sends its parts straight to S3, the API begins, resumes, completes and aborts them.

use super::{
    extract::{Json, Path},
    model::Video,
    videos::erase,
};
use crate::{
    App,
    auth::Authorized,
    multipart::{Completion, HeldPart, SentPart, part_numbers, part_size},
    problem::{FieldError, Problem},
    settings::Limits,
};
use axum::extract::State;
use catalog::video::{About, MAX_NAME_CHARACTERS, title_of};
use contract::job::Source;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};
use utoipa::ToSchema;
use uuid::Uuid;

/// S3's highest part number.
const MAX_PART_NUMBER: u16 = 10_000;

/// What is to be uploaded.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewUpload {
    /// Name of the file.
    #[schema(max_length = 255)]
    file_name: String,
    /// Its size, in bytes.
    size: u64,
    /// Its media type.
    content_type: String,
    /// What people call it; the file's name without extension when left out.
    #[schema(max_length = 255)]
    title: Option<String>,
}

/// A part that can be PUT to its URL.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PartUrl {
    /// From 1. Part n holds the bytes from (n − 1) × partSize.
    part_number: u16,
    /// Takes a PUT of exactly these bytes. Keep the `ETag` of the answer.
    url: String,
}

/// An upload that has begun.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BegunUpload {
    /// Id of the video that it becomes.
    video_id: Uuid,
    /// S3's id of the upload.
    upload_id: String,
    /// Key of the object.
    key: String,
    /// Bytes of each part but the last.
    part_size: u64,
    /// Where each part goes.
    parts: Vec<PartUrl>,
    /// When it is given up if it is not complete.
    expires_at: Timestamp,
}

/// A part that has arrived.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadedPart {
    part_number: u16,
    etag: String,
    size: u64,
}

/// How far an upload has come.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct UploadStatus {
    video_id: Uuid,
    upload_id: String,
    key: String,
    file_name: String,
    size: u64,
    content_type: String,
    part_size: u64,
    /// What has arrived.
    uploaded_parts: Vec<UploadedPart>,
    /// Where each part goes that has not arrived.
    parts: Vec<PartUrl>,
    expires_at: Timestamp,
}

/// The parts of an upload.
#[derive(Deserialize, ToSchema)]
pub struct CompleteUpload {
    /// Every part, in any order.
    parts: Vec<EtaggedPart>,
}

/// A part as S3 acknowledged it.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtaggedPart {
    /// From 1.
    part_number: u16,
    /// The `ETag` header of S3's answer.
    etag: String,
}

/// Begins an upload.
#[utoipa::path(post, path = "/api/uploads", tag = "uploads", request_body = NewUpload,
    security(("token" = [])), responses(
    (status = 201, body = BegunUpload),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "A field is not acceptable"),
))]
pub async fn create(
    _: Authorized,
    State(app): State<App>,
    Json(new): Json<NewUpload>,
) -> Result<(StatusCode, axum::Json<BegunUpload>), Problem> {
    let about = new.check(&app.limits)?;
    let id = Uuid::now_v7();
    let source = Source {
        bucket: app.storage.input_bucket.clone(),
        key: app.storage.upload_key(id, &about.file_name),
        version_id: None,
    };
    let upload_id = app.multipart.begin(&source.bucket, &source.key, &about.content_type).await?;
    let now = Timestamp::now();
    let part_size = part_size(about.size);
    let upload = catalog::Upload { id: upload_id, part_size, expires_at: now + app.limits.expiry };
    let urls = urls(&app, &source, &upload, part_numbers(about.size, part_size), now).await?;
    let video = catalog::Video::uploading(id, about, source, upload.clone(), now);
    app.catalog.insert(&video).await?;
    let begun = BegunUpload {
        video_id: id,
        upload_id: upload.id,
        key: video.source.key,
        part_size,
        parts: urls,
        expires_at: upload.expires_at,
    };
    Ok((StatusCode::CREATED, axum::Json(begun)))
}

/// Shows how far an upload has come, with fresh URLs of what is missing.
#[utoipa::path(get, path = "/api/uploads/{videoId}", tag = "uploads", params(("videoId" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 200, body = UploadStatus),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such upload"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "It is complete"),
))]
pub async fn show(
    _: Authorized,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<axum::Json<UploadStatus>, Problem> {
    let video = app.catalog.get(id).await?.ok_or_else(Problem::no_such_video)?;
    let upload = video.upload.clone().ok_or_else(already_complete)?;
    let held = app.multipart.held(&video.source, &upload.id).await?.ok_or_else(gone)?;
    let arrived: HashSet<u16> = held.iter().map(|part| part.number).collect();
    let missing = part_numbers(video.size, upload.part_size).filter(|number| !arrived.contains(number));
    let parts = urls(&app, &video.source, &upload, missing, Timestamp::now()).await?;
    let uploaded =
        |part: HeldPart| UploadedPart { part_number: part.number, etag: part.etag, size: part.size };
    Ok(axum::Json(UploadStatus {
        video_id: id,
        upload_id: upload.id,
        key: video.source.key,
        file_name: video.file_name,
        size: video.size,
        content_type: video.content_type,
        part_size: upload.part_size,
        uploaded_parts: held.into_iter().map(uploaded).collect(),
        parts,
        expires_at: upload.expires_at,
    }))
}

/// Completes an upload: its parts become the source of the video. Doing it again is harmless.
#[utoipa::path(post, path = "/api/uploads/{videoId}/complete", tag = "uploads",
    params(("videoId" = Uuid, Path)), request_body = CompleteUpload, security(("token" = [])), responses(
    (status = 200, body = Video),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such upload"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "Parts are missing or wrong"),
))]
pub async fn complete(
    _: Authorized,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(sent): Json<CompleteUpload>,
) -> Result<axum::Json<Video>, Problem> {
    let video = app.catalog.get(id).await?.ok_or_else(Problem::no_such_video)?;
    let Some(upload) = &video.upload else { return Ok(axum::Json(Video::from(&video))) };
    let parts = sent.check()?;
    let completion = match app.multipart.held(&video.source, &upload.id).await? {
        None => app.multipart.find(&video.source).await?,
        Some(held) => {
            check_size(&parts, &held, video.size)?;
            app.multipart.complete(&video.source, &upload.id, &parts).await?
        }
    };
    let version = match completion {
        Completion::Done(version) => version,
        Completion::BadParts(why) => return Err(Problem::fields(vec![FieldError::new("parts", why)])),
        Completion::Gone => return Err(gone()),
    };
    let edit = app.catalog.edit(id).await?.filter(|edit| !edit.video.is_deleted());
    let mut edit = edit.ok_or_else(Problem::no_such_video)?;
    edit.video.finish_upload(version);
    let video = edit.commit(Timestamp::now()).await?;
    Ok(axum::Json(Video::from(&video)))
}

/// Aborts an upload: what has arrived is erased, and the video is gone.
#[utoipa::path(delete, path = "/api/uploads/{videoId}", tag = "uploads", params(("videoId" = Uuid, Path)),
    security(("token" = [])), responses(
    (status = 204, description = "Aborted"),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such upload"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "It is complete"),
))]
pub async fn abort(
    _: Authorized,
    State(app): State<App>,
    Path(id): Path<Uuid>,
) -> Result<StatusCode, Problem> {
    let edit = app.catalog.edit(id).await?.filter(|edit| !edit.video.is_deleted());
    let edit = edit.ok_or_else(Problem::no_such_video)?;
    if edit.video.upload.is_none() {
        return Err(already_complete());
    }
    erase(&app, edit).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl NewUpload {
    fn check(self, limits: &Limits) -> Result<About, Problem> {
        let mut errors = Vec::new();
        let file_name = self.file_name.trim().to_owned();
        let title = self.title.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let title = title.unwrap_or_else(|| title_of(&file_name));
        errors.extend(name_error("fileName", &file_name));
        if errors.is_empty() {
            errors.extend(name_error("title", &title));
        }
        if self.size > limits.max_bytes {
            errors.push(FieldError::new("size", format!("must be at most {} bytes", limits.max_bytes)));
        }
        if !limits.admits(&self.content_type) || !fits_a_header(&self.content_type) {
            let admitted = limits.content_types.join(", ");
            errors.push(FieldError::new("contentType", format!("must be one of {admitted}")));
        }
        if !errors.is_empty() {
            return Err(Problem::fields(errors));
        }
        Ok(About { title, file_name, size: self.size, content_type: self.content_type })
    }
}

/// S3 keeps the media type as a header.
fn fits_a_header(text: &str) -> bool {
    text.len() <= MAX_NAME_CHARACTERS && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}

fn name_error(field: &'static str, name: &str) -> Option<FieldError> {
    let length = name.chars().count();
    if !(1..=MAX_NAME_CHARACTERS).contains(&length) {
        return Some(FieldError::new(field, format!("must have 1 to {MAX_NAME_CHARACTERS} characters")));
    }
    let odd = name.chars().any(char::is_control);
    odd.then(|| FieldError::new(field, "must not contain control characters"))
}

impl CompleteUpload {
    fn check(self) -> Result<Vec<SentPart>, Problem> {
        let mut parts: Vec<SentPart> = self
            .parts
            .into_iter()
            .map(|part| SentPart { number: part.part_number, etag: part.etag })
            .collect();
        parts.sort_by_key(|part| part.number);
        let wrong = if parts.is_empty() {
            Some("must not be empty")
        } else if parts.windows(2).any(|pair| pair[0].number == pair[1].number) {
            Some("must not name a part twice")
        } else if parts.iter().any(|part| !(1..=MAX_PART_NUMBER).contains(&part.number)) {
            Some("must have numbers from 1 to 10000")
        } else {
            None
        };
        match wrong {
            Some(message) => Err(Problem::fields(vec![FieldError::new("parts", message)])),
            None => Ok(parts),
        }
    }
}

/// A presigned URL takes any number of bytes, so the size that was promised is checked here.
fn check_size(parts: &[SentPart], held: &[HeldPart], promised: u64) -> Result<(), Problem> {
    let named: HashSet<u16> = parts.iter().map(|part| part.number).collect();
    let arrived: u64 = held.iter().filter(|part| named.contains(&part.number)).map(|part| part.size).sum();
    if arrived == promised {
        return Ok(());
    }
    let message = format!("hold {arrived} bytes, but the upload was begun for {promised}");
    Err(Problem::fields(vec![FieldError::new("parts", message)]))
}

async fn urls(
    app: &App,
    source: &Source,
    upload: &catalog::Upload,
    numbers: impl Iterator<Item = u16>,
    now: Timestamp,
) -> Result<Vec<PartUrl>, Problem> {
    let valid = Duration::try_from(upload.expires_at.duration_since(now)).unwrap_or_default();
    let mut urls = Vec::new();
    for part_number in numbers {
        let url = app.multipart.presign(source, &upload.id, part_number, valid).await?;
        urls.push(PartUrl { part_number, url });
    }
    Ok(urls)
}

fn gone() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "The upload was aborted or has expired. Begin it again.")
}

fn already_complete() -> Problem {
    Problem::new(StatusCode::CONFLICT, "The upload is complete.")
}

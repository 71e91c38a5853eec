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
use catalog::{
    storage::abort_upload,
    video::{About, MAX_NAME_CHARACTERS, title_of},
};
use contract::job::Source;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, time::Duration};
use tracing::Instrument;
use utoipa::ToSchema;
use uuid::Uuid;

/// S3's highest part number.
const MAX_PART_NUMBER: u16 = 10_000;
/// How long a request waits while S3 joins the parts, which may take minutes: less than a request may take, here and
/// at the proxies before.
const JOIN_PATIENCE: Duration = Duration::from_secs(20);

/// What is to be uploaded.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewUpload {
    /// A UUIDv7 for the video that it becomes. With one, asking again after a lost answer begins nothing new. Its time
    /// decides the place in lists.
    video_id: Option<Uuid>,
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

/// Begins an upload, or shows again the one that was begun with this `videoId` for the same file.
#[utoipa::path(post, path = "/api/uploads", tag = "uploads", request_body = NewUpload,
    security(("token" = [])), responses(
    (status = 201, body = BegunUpload),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 409, body = Problem, content_type = "application/problem+json", description = "The `videoId` is taken"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "A field is not acceptable"),
))]
pub async fn create(
    _: Authorized,
    State(app): State<App>,
    Json(new): Json<NewUpload>,
) -> Result<(StatusCode, axum::Json<BegunUpload>), Problem> {
    let (id, about) = new.check(&app.limits)?;
    if let Some(begun) = begun_before(&app, id, &about).await? {
        return Ok((StatusCode::CREATED, axum::Json(begun)));
    }
    let source = Source {
        bucket: app.storage.input_bucket.clone(),
        key: app.storage.upload_key(id, &about.file_name),
        version_id: None,
    };
    let upload_id = app.multipart.begin(&source.bucket, &source.key, &about.content_type).await?;
    let now = Timestamp::now();
    let part_size = part_size(about.size);
    let upload = catalog::Upload { id: upload_id, part_size, expires_at: now + app.limits.expiry };
    let video = catalog::Video::uploading(id, about.clone(), source, upload.clone(), now);
    let begun = if app.catalog.insert(&video).await? {
        begun(&app, &video, &upload).await?
    } else {
        // A request that was faster has the id, and this upload is nobody's.
        abort_upload(&app.s3, &video.source.bucket, &video.source.key, &upload.id).await?;
        begun_before(&app, id, &about).await?.ok_or_else(taken)?
    };
    Ok((StatusCode::CREATED, axum::Json(begun)))
}

/// The upload of that id, if the same file was begun with it. A deleted video keeps its id.
async fn begun_before(app: &App, id: Uuid, about: &About) -> Result<Option<BegunUpload>, Problem> {
    let Some(edit) = app.catalog.edit(id).await? else { return Ok(None) };
    let video = &edit.video;
    let same = !video.is_deleted() && video.about() == *about;
    match &video.upload {
        Some(upload) if same => Ok(Some(begun(app, video, upload).await?)),
        None if same => Err(already_complete()),
        _ => Err(taken()),
    }
}

async fn begun(app: &App, video: &catalog::Video, upload: &catalog::Upload) -> Result<BegunUpload, Problem> {
    let numbers = part_numbers(video.size, upload.part_size);
    Ok(BegunUpload {
        video_id: video.id,
        upload_id: upload.id.clone(),
        key: video.source.key.clone(),
        part_size: upload.part_size,
        parts: urls(app, &video.source, upload, numbers, Timestamp::now()).await?,
        expires_at: upload.expires_at,
    })
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
    let Some(held) = app.multipart.held(&video.source, &upload.id).await? else {
        let found = app.multipart.find(&video.source).await?;
        settle(&app, id, found).await?;
        return Err(already_complete());
    };
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

/// Completes an upload: its parts become the source of the video. Doing it again is harmless, and what to do where the
/// answer is that it takes long.
#[utoipa::path(post, path = "/api/uploads/{videoId}/complete", tag = "uploads",
    params(("videoId" = Uuid, Path)), request_body = CompleteUpload, security(("token" = [])), responses(
    (status = 200, body = Video),
    (status = 401, body = Problem, content_type = "application/problem+json", description = "No token, or a wrong one"),
    (status = 404, body = Problem, content_type = "application/problem+json", description = "No such upload"),
    (status = 422, body = Problem, content_type = "application/problem+json", description = "Parts are missing or wrong"),
    (status = 503, body = Problem, content_type = "application/problem+json", description = "S3 still joins the parts"),
))]
pub async fn complete(
    _: Authorized,
    State(app): State<App>,
    Path(id): Path<Uuid>,
    Json(sent): Json<CompleteUpload>,
) -> Result<axum::Json<Video>, Problem> {
    let video = app.catalog.get(id).await?.ok_or_else(Problem::no_such_video)?;
    let Some(upload) = video.upload.clone() else { return Ok(axum::Json(Video::from(&video))) };
    let parts = sent.check()?;
    let held = match app.multipart.held(&video.source, &upload.id).await? {
        Some(held) => held,
        None => {
            let found = app.multipart.find(&video.source).await?;
            return Ok(axum::Json(Video::from(&settle(&app, id, found).await?)));
        }
    };
    check_size(&parts, &held, video.size)?;
    let joining = async move {
        let completion = app.multipart.complete(&video.source, &upload.id, &parts).await?;
        settle(&app, id, completion).await
    };
    let joined = within(JOIN_PATIENCE, joining).await?.ok_or_else(still_joining)?;
    Ok(axum::Json(Video::from(&joined)))
}

/// Records what S3 says of completing an upload.
async fn settle(app: &App, id: Uuid, completion: Completion) -> Result<catalog::Video, Problem> {
    let version = match completion {
        Completion::Done(version) => version,
        Completion::BadParts(why) => return Err(Problem::fields(vec![FieldError::new("parts", why)])),
        Completion::Gone => return Err(gone()),
    };
    let mut edit = app.live_edit(id).await?;
    edit.video.finish_upload(version);
    Ok(edit.commit(Timestamp::now()).await?)
}

/// What comes of some work; `None` if it takes longer. The work goes on then, whether or not the client stays.
async fn within<T: Send + 'static>(
    patience: Duration,
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<Option<T>, Problem> {
    match tokio::time::timeout(patience, tokio::spawn(work.in_current_span())).await {
        Ok(Ok(result)) => result.map(Some),
        Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Ok(None),
    }
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
    let edit = app.live_edit(id).await?;
    if edit.video.upload.is_none() {
        return Err(already_complete());
    }
    erase(&app, edit).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl NewUpload {
    fn check(self, limits: &Limits) -> Result<(Uuid, About), Problem> {
        let mut errors = Vec::new();
        let id = self.video_id.unwrap_or_else(Uuid::now_v7);
        if id.get_version_num() != 7 {
            errors.push(FieldError::new("videoId", "must be a UUIDv7"));
        }
        let file_name = self.file_name.trim().to_owned();
        let title = self.title.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        let title = title.unwrap_or_else(|| title_of(&file_name));
        match name_error("fileName", &file_name) {
            Some(error) => errors.push(error),
            None => errors.extend(name_error("title", &title)),
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
        Ok((id, About { title, file_name, size: self.size, content_type: self.content_type }))
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

fn taken() -> Problem {
    Problem::new(StatusCode::CONFLICT, "This videoId was used for another file. Begin with a new one.")
}

fn still_joining() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "S3 still joins the parts of the upload. Ask again.")
}

fn already_complete() -> Problem {
    Problem::new(StatusCode::CONFLICT, "The upload is complete.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn work_that_takes_long_goes_on_without_its_request() {
        let (release, held) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let work = async move {
            let found: u8 = held.await.unwrap();
            done.send(found).unwrap();
            Ok(())
        };
        assert_eq!(within(Duration::from_millis(1), work).await, Ok(None));
        release.send(7).unwrap();
        assert_eq!(ended.await, Ok(7));
        assert_eq!(within(Duration::from_secs(60), async { Ok(8) }).await, Ok(Some(8)));
    }
}

//! Outputs of the private bucket, streamed with ranges, validators and cache headers.
//!
//! A CDN can be put before it as it is: what never changes says so, all else must be asked for again.

use crate::{App, api::extract::Path, problem::Problem};
use aws_sdk_s3::{
    error::{DisplayErrorContext, SdkError},
    operation::get_object::{GetObjectError, GetObjectOutput},
    primitives::{DateTime, DateTimeFormat},
};
use axum::{
    Router,
    body::Body,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use catalog::StoreError;
use contract::{
    Identity,
    job::{JOB_RECORD, PROGRESS_FILE, content_type},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::{collections::HashSet, sync::Mutex};
use tokio_util::io::ReaderStream;

/// For files of a finished output: they never change.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// For files that a Job may still replace: keep them, but ask each time.
const REVALIDATE: &str = "no-cache";
/// How many identities of finished outputs are remembered.
const REMEMBERED: usize = 10_000;
/// Longest key that S3 admits, in bytes.
const MAX_KEY_BYTES: usize = 1024;

/// Identities whose output is known to be whole, so that cache and database are asked once for each.
#[derive(Default)]
pub struct WholeOutputs(Mutex<HashSet<Identity>>);

impl WholeOutputs {
    fn contains(&self, identity: &Identity) -> bool {
        self.0.lock().is_ok_and(|known| known.contains(identity))
    }

    fn insert(&self, identity: Identity) {
        if let Ok(mut known) = self.0.lock() {
            if known.len() >= REMEMBERED {
                known.clear();
            }
            known.insert(identity);
        }
    }
}

/// The routes under `/media`.
pub fn router() -> Router<App> {
    Router::new().route("/media/{identity}/{*path}", get(serve))
}

/// The conditional and range headers of a request, as S3 takes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Conditions {
    range: Option<String>,
    if_match: Option<String>,
    if_none_match: Option<String>,
    if_modified_since: Option<String>,
}

impl Conditions {
    fn of(headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let if_none_match = text(header::IF_NONE_MATCH);
        // A range of several parts is answered with the whole, as RFC 9110 allows.
        let range = text(header::RANGE).filter(|range| range.starts_with("bytes=") && !range.contains(','));
        let if_range = text(header::IF_RANGE);
        let (range, if_match) = match if_range {
            None => (range, None),
            Some(tag) if tag.starts_with('"') && range.is_some() => (range, Some(tag)),
            // A weak tag or a date does not prove that the bytes are the same.
            Some(_) => (None, None),
        };
        let if_modified_since = if_none_match.is_none().then(|| text(header::IF_MODIFIED_SINCE)).flatten();
        Self { range, if_match, if_none_match, if_modified_since }
    }

    /// The same without a range, for when `If-Range` names other bytes than there are now.
    fn whole(&self) -> Self {
        Self { range: None, if_match: None, ..self.clone() }
    }
}

async fn serve(
    State(app): State<App>,
    method: Method,
    Path((identity, path)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let not_found = || Problem::new(StatusCode::NOT_FOUND, "There is no such media file.");
    let identity = Identity::parse(&identity).ok_or_else(not_found)?;
    let key = format!("{}{path}", app.storage.output_folder(&identity));
    if !is_plain(&path) || key.len() > MAX_KEY_BYTES {
        return Err(not_found());
    }
    let conditions = Conditions::of(&headers);
    let mut answer = fetch(&app, &key, &conditions).await;
    if conditions.if_match.is_some() && status_of(&answer) == Some(StatusCode::PRECONDITION_FAILED) {
        answer = fetch(&app, &key, &conditions.whole()).await;
    }
    let object = match answer {
        Ok(object) => object,
        Err(error) => return refusal(&key, &error).ok_or_else(not_found),
    };
    let caching = caching(&app, &identity, &path).await;
    Ok(respond(object, &path, caching, method == Method::HEAD))
}

type Answer = Result<GetObjectOutput, SdkError<GetObjectError>>;

/// Fetches by GET for HEAD requests as well: the body is not read, and ranges get the answer they would have.
async fn fetch(app: &App, key: &str, conditions: &Conditions) -> Answer {
    let conditions = conditions.clone();
    let since = conditions.if_modified_since.as_deref();
    let since = since.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
    app.s3
        .get_object()
        .bucket(&app.storage.output_bucket)
        .key(key)
        .set_range(conditions.range)
        .set_if_match(conditions.if_match)
        .set_if_none_match(conditions.if_none_match)
        .set_if_modified_since(since)
        .send()
        .await
}

fn status_of(answer: &Answer) -> Option<StatusCode> {
    let raw = answer.as_ref().err()?.raw_response()?;
    StatusCode::from_u16(raw.status().as_u16()).ok()
}

/// What S3's refusal means for the client; `None` where there is no such object.
fn refusal(key: &str, error: &SdkError<GetObjectError>) -> Option<Response> {
    let raw = error.raw_response();
    let status = raw.and_then(|r| StatusCode::from_u16(r.status().as_u16()).ok());
    match status {
        Some(StatusCode::NOT_FOUND) => None,
        Some(StatusCode::NOT_MODIFIED) => {
            let etag =
                raw.and_then(|r| r.headers().get("etag")).and_then(|tag| HeaderValue::from_str(tag).ok());
            let headers: HeaderMap = etag.map(|tag| (header::ETAG, tag)).into_iter().collect();
            Some((StatusCode::NOT_MODIFIED, headers).into_response())
        }
        Some(StatusCode::RANGE_NOT_SATISFIABLE) => Some(
            Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "The file has no bytes in this range.")
                .into_response(),
        ),
        _ => {
            tracing::error!(key, error = %DisplayErrorContext(error), "media can't be read");
            Some(
                Problem::new(StatusCode::BAD_GATEWAY, "The storage can't be used at the moment. Try again.")
                    .into_response(),
            )
        }
    }
}

async fn caching(app: &App, identity: &Identity, path: &str) -> &'static str {
    if path == PROGRESS_FILE || path == JOB_RECORD {
        return REVALIDATE;
    }
    if app.whole_outputs.contains(identity) {
        return IMMUTABLE;
    }
    match is_whole(app, identity).await {
        Ok(true) => {
            app.whole_outputs.insert(identity.clone());
            IMMUTABLE
        }
        Ok(false) => REVALIDATE,
        Err(error) => {
            tracing::warn!(%error, "media is served without caching");
            REVALIDATE
        }
    }
}

/// Asks the cache, if there is one, and then the database.
async fn is_whole(app: &App, identity: &Identity) -> Result<bool, StoreError> {
    let Some(cache) = &app.cache else { return app.catalog.is_whole(identity).await };
    // Platforms may share a cache that is not the operator's, so the bucket is part of the name.
    let folder = format!("{}/{}", app.storage.output_bucket, app.storage.output_folder(identity));
    if cache.is_whole(&folder).await {
        return Ok(true);
    }
    let whole = app.catalog.is_whole(identity).await?;
    if whole {
        cache.remember_whole(&folder).await;
    }
    Ok(whole)
}

fn respond(object: GetObjectOutput, path: &str, caching: &'static str, head: bool) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let modified = object.last_modified().and_then(|time| time.fmt(DateTimeFormat::HttpDate).ok());
    let given = [
        (header::ETAG, object.e_tag().map(str::to_owned)),
        (header::LAST_MODIFIED, modified),
        (header::CONTENT_RANGE, object.content_range().map(str::to_owned)),
        (header::CONTENT_LENGTH, object.content_length().map(|length| length.to_string())),
    ];
    for (name, value) in given {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            headers.insert(name, value);
        }
    }
    let partial = headers.contains_key(header::CONTENT_RANGE);
    let status = if partial { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let body = if head {
        Body::empty()
    } else {
        Body::from_stream(ReaderStream::with_capacity(object.body.into_async_read(), 64 << 10))
    };
    (status, headers, body).into_response()
}

/// Whether a path names a file below its folder, and nothing but that.
fn is_plain(path: &str) -> bool {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(plain) && !path.contains(|c: char| c.is_control() || c == '\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_paths_below_the_folder_are_served() {
        for path in ["master.m3u8", "720p/seg-00001.m4s", "a..b/c"] {
            assert!(is_plain(path), "{path}");
        }
        for path in
            ["", "..", "../other/master.m3u8", "a/../../b", "a//b", "/a", "a/", "./a", "a\\..\\b", "a\nb"]
        {
            assert!(!is_plain(path), "{path:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_of_a_client_asks_for_more_than_one_range(
            range in "(bytes=)?[0-9,\\- ]{0,40}|[ -~]{0,40}",
            if_range in proptest::option::of("(W/)?\"?[ -~]{0,20}\"?"),
            if_none_match in proptest::option::of("[ -~]{0,40}"),
            since in proptest::option::of("[ -~]{0,40}"),
        ) {
            let given = [
                (header::RANGE, Some(range)),
                (header::IF_RANGE, if_range.clone()),
                (header::IF_NONE_MATCH, if_none_match.clone()),
                (header::IF_MODIFIED_SINCE, since),
            ];
            let headers: HeaderMap = given
                .into_iter()
                .filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value?).ok()?)))
                .collect();
            let conditions = Conditions::of(&headers);
            if let Some(range) = &conditions.range {
                prop_assert!(range.starts_with("bytes=") && !range.contains(','), "{}", range);
                prop_assert!(if_range.is_none() || conditions.if_match.is_some());
            }
            prop_assert!(conditions.if_match.is_none() || conditions.range.is_some());
            prop_assert!(if_none_match.is_none() || conditions.if_modified_since.is_none());
        }

        #[test]
        fn a_plain_path_stays_below_its_folder(path in "([a-z.]{0,3}[/\\\\]?){0,6}|.{0,40}") {
            if is_plain(&path) {
                let mut depth = 0_i32;
                for part in std::path::Path::new(&path).components() {
                    prop_assert!(matches!(part, std::path::Component::Normal(_)), "{:?}", path);
                    depth += 1;
                }
                prop_assert!(depth > 0);
            }
        }
    }

    #[test]
    fn a_range_counts_only_as_far_as_if_range_proves_the_bytes_equal() {
        let range = (header::RANGE, "bytes=0-9");
        let conditions = Conditions::of(&headers(std::slice::from_ref(&range)));
        assert_eq!(conditions.range.as_deref(), Some("bytes=0-9"));
        let strong = Conditions::of(&headers(&[range.clone(), (header::IF_RANGE, "\"tag\"")]));
        assert_eq!(strong.if_match.as_deref(), Some("\"tag\""));
        assert_eq!(strong.whole(), Conditions::default());
        for unproven in ["W/\"tag\"", "Sat, 21 Nov 2026 04:00:00 GMT"] {
            let weak = Conditions::of(&headers(&[range.clone(), (header::IF_RANGE, unproven)]));
            assert_eq!(weak, Conditions::default(), "{unproven}");
        }
        let several = Conditions::of(&headers(&[(header::RANGE, "bytes=0-1,5-6")]));
        assert_eq!(several.range, None);
    }
}

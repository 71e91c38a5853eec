//! The built web application, held in memory: it is small, and so a response costs no disk.

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::get,
};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY},
};
use service_common::problem::problem;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The build puts a hash of their content in the names of the files in this folder.
const HASHED: &str = "/assets/";
const INDEX: &str = "/index.html";
const YEAR: &str = "public, max-age=31536000, immutable";
const REVALIDATE: &str = "no-cache";

/// Why the application can't be served.
#[derive(Debug, thiserror::Error)]
pub enum AssetsError {
    /// A folder or file can't be read.
    #[error("can't read {path}, check WEB_ROOT: {source}")]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no application in that folder.
    #[error("{root} has no index.html, check WEB_ROOT")]
    NoIndex {
        /// The folder.
        root: PathBuf,
    },
}

#[derive(Clone, Debug)]
struct Asset {
    plain: Bytes,
    /// Compressed, where that is smaller.
    gzip: Option<Bytes>,
    content_type: &'static str,
    etag: HeaderValue,
    cache_control: &'static str,
}

/// The files of the application by their path from the root, which begins with `/`.
#[derive(Clone, Debug)]
pub struct Assets {
    files: HashMap<String, Asset>,
    index: Asset,
}

impl Assets {
    /// Reads and compresses every file below `root`.
    ///
    /// # Errors
    /// [`AssetsError`] where a file can't be read or there is no `index.html`.
    pub fn load(root: &Path) -> Result<Self, AssetsError> {
        let mut files = HashMap::new();
        read_folder(root, "", &mut files)?;
        let index =
            files.get(INDEX).cloned().ok_or_else(|| AssetsError::NoIndex { root: root.to_owned() })?;
        Ok(Self { files, index })
    }

    /// Number of files.
    #[must_use]
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Serves the files, and `index.html` for the pages that the application itself routes.
    pub fn into_service(self) -> Router {
        Router::new().fallback_service(get(serve).with_state(Arc::new(self)))
    }

    /// The file of a path. A name with a dot is a file; anything else is a page of the application.
    fn find(&self, path: &str) -> Option<&Asset> {
        let is_file =
            path.starts_with(HASHED) || path.rsplit('/').next().is_some_and(|name| name.contains('.'));
        self.files.get(path).or_else(|| (!is_file).then_some(&self.index))
    }
}

async fn serve(State(assets): State<Arc<Assets>>, request: Request) -> Response {
    match assets.find(request.uri().path()) {
        Some(asset) => asset.respond(request.headers()),
        None => problem(StatusCode::NOT_FOUND, "There is no such file."),
    }
}

impl Asset {
    fn new(path: &str, plain: Vec<u8>) -> Self {
        let gzip = compress(&plain).filter(|gzip| gzip.len() < plain.len());
        // Weak: the compressed form has the same one.
        let etag = format!("W/\"{}\"", &HEXLOWER.encode(&Sha256::digest(&plain))[..32]);
        Self {
            gzip: gzip.map(Bytes::from),
            content_type: content_type(path),
            etag: HeaderValue::from_str(&etag).expect("hexadecimal digits are ASCII"),
            cache_control: if path.starts_with(HASHED) { YEAR } else { REVALIDATE },
            plain: plain.into(),
        }
    }

    fn respond(&self, request: &HeaderMap) -> Response {
        let mut headers = HeaderMap::from_iter([
            (ETAG, self.etag.clone()),
            (CACHE_CONTROL, HeaderValue::from_static(self.cache_control)),
            (VARY, HeaderValue::from_static("accept-encoding")),
        ]);
        if request.get_all(IF_NONE_MATCH).iter().any(|value| names(value, &self.etag)) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let body = match &self.gzip {
            Some(gzip) if accepts_gzip(request) => {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                gzip
            }
            _ => &self.plain,
        };
        (headers, Body::from(body.clone())).into_response()
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut HashMap<String, Asset>) -> Result<(), AssetsError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| AssetsError::Read { path, source }
    };
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let entry = entry.map_err(failed(folder))?;
        let path = entry.path();
        let name = format!("{prefix}/{}", entry.file_name().to_string_lossy());
        if fs::metadata(&path).map_err(failed(&path))?.is_dir() {
            read_folder(&path, &name, files)?;
        } else {
            let content = fs::read(&path).map_err(failed(&path))?;
            files.insert(name.clone(), Asset::new(&name, content));
        }
    }
    Ok(())
}

fn compress(plain: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    encoder.write_all(plain).and_then(|()| encoder.finish()).ok()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("json" | "map") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

/// Whether an `If-None-Match` names this ETag.
fn names(value: &HeaderValue, etag: &HeaderValue) -> bool {
    let (Ok(value), Ok(etag)) = (value.to_str(), etag.to_str()) else { return false };
    let strong = etag.trim_start_matches("W/");
    value.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == strong)
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    request.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|coding| {
            let (name, parameters) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
            name.trim().eq_ignore_ascii_case("gzip") && weight.is_ok_and(|weight| weight > 0.0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("gzip, deflate, br", true)]
    #[case("br;q=1.0, GZIP;q=0.5", true)]
    #[case("gzip;q=0", false)]
    #[case("br", false)]
    #[case("", false)]
    fn gzip_is_sent_to_those_who_accept_it(#[case] accepted: &str, #[case] expected: bool) {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(accepted).unwrap())]);
        assert_eq!(accepts_gzip(&headers), expected);
    }

    #[rstest]
    #[case("\"abc\"", true)]
    #[case("W/\"x\", W/\"abc\"", true)]
    #[case("*", true)]
    #[case("\"ab\"", false)]
    fn etags_compare_weakly(#[case] value: &str, #[case] expected: bool) {
        let value = HeaderValue::from_str(value).unwrap();
        assert_eq!(names(&value, &HeaderValue::from_static("W/\"abc\"")), expected);
    }

    #[test]
    fn a_folder_without_index_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = Assets::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("WEB_ROOT"), "{error}");
    }
}

//! Media: ranges, validators, caching, and what is refused.

use crate::harness::Backend;
use contract::{Identity, Outcome};
use http::{Method, StatusCode};
use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Media {
    backend: Backend,
    identity: Identity,
}

impl Media {
    /// A finished output with a segment of ten bytes.
    async fn start() -> Self {
        let backend = Backend::start().await;
        let id = backend.upload(b"abc").await;
        let identity = backend.report(id, None, Outcome::Succeeded).await;
        backend.put_output(&identity, "720p/seg-00001.m4s", "0123456789").await;
        Self { backend, identity }
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let url = format!("{}/media/{}/{path}", self.backend.url, self.identity);
        let mut request = self.backend.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// Asks for a path as it stands, where a client library would resolve its dots; gives the status line.
    async fn ask_raw(&self, path: &str) -> String {
        let address = self.backend.url.strip_prefix("http://").unwrap();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            format!("GET /media/{}/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", self.identity);
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.lines().next().unwrap().to_owned()
    }

    async fn segment(&self, headers: &[(&str, &str)]) -> Response {
        self.ask(Method::GET, "720p/seg-00001.m4s", headers).await
    }
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_of_a_finished_output_is_immutable_and_has_ranges_and_validators() {
    let media = Media::start().await;
    let whole = media.segment(&[]).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(header(&whole, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&whole, "content-type"), "video/mp4");
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    assert_eq!(header(&whole, "content-length"), "10");
    let etag = header(&whole, "etag").to_owned();
    let modified = header(&whole, "last-modified").to_owned();
    assert_eq!(whole.text().await.unwrap(), "0123456789");

    let part = media.segment(&[("range", "bytes=2-4")]).await;
    assert_eq!(
        (part.status(), header(&part, "content-range")),
        (StatusCode::PARTIAL_CONTENT, "bytes 2-4/10")
    );
    assert_eq!(part.text().await.unwrap(), "234");
    assert_eq!(media.segment(&[("range", "bytes=-3")]).await.text().await.unwrap(), "789");
    let beyond = media.segment(&[("range", "bytes=10-")]).await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    let several = media.segment(&[("range", "bytes=0-1,4-5")]).await;
    assert_eq!((several.status(), several.text().await.unwrap().len()), (StatusCode::OK, 10));

    let same = media.segment(&[("if-none-match", &etag)]).await;
    assert_eq!((same.status(), header(&same, "etag")), (StatusCode::NOT_MODIFIED, etag.as_str()));
    assert_eq!(media.segment(&[("if-none-match", "\"other\"")]).await.status(), StatusCode::OK);
    assert_eq!(media.segment(&[("if-modified-since", &modified)]).await.status(), StatusCode::NOT_MODIFIED);

    let proven = media.segment(&[("range", "bytes=0-0"), ("if-range", &etag)]).await;
    assert_eq!(proven.status(), StatusCode::PARTIAL_CONTENT);
    let outdated = media.segment(&[("range", "bytes=0-0"), ("if-range", "\"other\"")]).await;
    assert_eq!((outdated.status(), outdated.text().await.unwrap().len()), (StatusCode::OK, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_has_the_headers_of_a_get_and_no_body() {
    let media = Media::start().await;
    let head = media.ask(Method::HEAD, "720p/seg-00001.m4s", &[]).await;
    assert_eq!((head.status(), header(&head, "content-length")), (StatusCode::OK, "10"));
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_may_change_are_asked_for_again() {
    let media = Media::start().await;
    media.backend.put_output(&media.identity, "progress.json", "{}").await;
    let progress = media.ask(Method::GET, "progress.json", &[]).await;
    assert_eq!(
        (header(&progress, "cache-control"), header(&progress, "content-type")),
        ("no-cache", "application/json")
    );

    let id = media.backend.upload(b"def").await;
    let running = media.backend.report(id, None, Outcome::Running).await;
    media.backend.put_output(&running, "720p/init.mp4", "init").await;
    let url = format!("{}/media/{running}/720p/init.mp4", media.backend.url);
    let early = media.backend.http.get(&url).send().await.unwrap();
    assert_eq!((early.status(), header(&early, "cache-control")), (StatusCode::OK, "no-cache"));
    media.backend.report(id, None, Outcome::Succeeded).await;
    let finished = media.backend.http.get(&url).send().await.unwrap();
    assert!(header(&finished, "cache-control").contains("immutable"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_output_folder_is_served() {
    let media = Media::start().await;
    let other = media.backend.upload(b"def").await;
    let other = media.backend.report(other, None, Outcome::Succeeded).await;
    media.backend.put_output(&other, "master.m3u8", "#EXTM3U").await;
    for path in ["../", "%2e%2e/", "720p%2f..%2f..%2f", "720p/../../"] {
        let status = media.ask_raw(&format!("{path}{other}/master.m3u8")).await;
        assert_eq!(status, "HTTP/1.1 404 Not Found", "{path}");
    }
    for path in ["missing.m4s", "720p/", "720p//seg-00001.m4s"] {
        assert_eq!(media.ask(Method::GET, path, &[]).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let odd = media.ask(Method::GET, "%ff", &[]).await;
    assert_eq!(
        (odd.status(), header(&odd, "content-type")),
        (StatusCode::BAD_REQUEST, "application/problem+json")
    );
    let url = format!("{}/media/not-an-identity/master.m3u8", media.backend.url);
    assert_eq!(media.backend.http.get(url).send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

//! Requests to S3, which has no names of operations on the wire.

use super::SETTINGS;
use bytes::Bytes;
use http::{Method, Request};
use std::collections::BTreeMap;

/// A request.
#[derive(Clone, Debug)]
pub struct S3Request {
    /// Its verb.
    pub method: Method,
    /// Its bucket.
    pub bucket: String,
    /// Its key; empty: it is about the bucket.
    pub key: String,
    /// Its query.
    pub query: BTreeMap<String, String>,
    /// What is sent.
    pub body: Bytes,
}

impl S3Request {
    /// Reads a request, with the bucket in the host's name or first in the path.
    pub fn read(request: &Request<Bytes>) -> Self {
        let host = request.uri().host().unwrap_or_default();
        let path = request.uri().path().trim_start_matches('/');
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (bucket, key) = match host.split_once(".s3.") {
            Some((bucket, _)) => (bucket.to_owned(), decode(path)),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (bucket.to_owned(), decode(key))
            }
        };
        let query = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes());
        Self {
            method: request.method().clone(),
            bucket,
            key,
            query: query.into_owned().collect(),
            body: request.body().clone(),
        }
    }

    /// As the SDK names it.
    pub fn operation(&self) -> String {
        let setting = SETTINGS.iter().find(|(subresource, ..)| self.query.contains_key(*subresource));
        let verb = |of: &str| match self.method {
            Method::GET => format!("Get{of}"),
            Method::DELETE => format!("Delete{of}"),
            _ => format!("Put{of}"),
        };
        match (self.key.is_empty(), setting) {
            (true, Some((_, name, _))) => verb(name),
            (true, None) => match self.method {
                Method::PUT => "CreateBucket".to_owned(),
                Method::HEAD => "HeadBucket".to_owned(),
                Method::DELETE => "DeleteBucket".to_owned(),
                Method::POST => "DeleteObjects".to_owned(),
                _ if self.query.contains_key("versions") => "ListObjectVersions".to_owned(),
                _ => "ListObjectsV2".to_owned(),
            },
            (false, _) if self.method == Method::HEAD => "HeadObject".to_owned(),
            (false, _) => verb("Object"),
        }
    }
}

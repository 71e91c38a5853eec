//! S3: buckets with their settings, objects with their versions, and the events that arrive on queues.
//!
//! A bucket's settings are kept as the XML that they were set with: S3 gives them back as they are, but for what
//! `observe` has to cope with, which is tested on emulators.

mod objects;
mod request;

pub use objects::{Object, Version};
pub(super) use request::S3Request;

use super::{Place, fault::Fault, sqs::Sqs};
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// S3 in one account and region.
#[derive(Clone, Debug, Default)]
pub struct S3 {
    /// Buckets by name.
    pub buckets: BTreeMap<String, Bucket>,
    written: u64,
}

/// A bucket.
#[derive(Clone, Debug, Default)]
pub struct Bucket {
    /// Its settings, as XML, by the subresource that sets them.
    pub settings: BTreeMap<&'static str, String>,
    /// Objects by key.
    pub objects: BTreeMap<String, Object>,
}

/// What can be set of a bucket: the subresource, the name in IAM's style, and the code where nothing is set. Empty: a
/// bucket always has it.
const SETTINGS: &[(&str, &str, &str)] = &[
    ("versioning", "BucketVersioning", ""),
    ("notification", "BucketNotificationConfiguration", ""),
    ("publicAccessBlock", "PublicAccessBlock", "NoSuchPublicAccessBlockConfiguration"),
    ("ownershipControls", "BucketOwnershipControls", "OwnershipControlsNotFoundError"),
    ("encryption", "BucketEncryption", ""),
    ("lifecycle", "BucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
    ("cors", "BucketCors", "NoSuchCORSConfiguration"),
    ("tagging", "BucketTagging", "NoSuchTagSet"),
];

/// What a bucket has from the start: <https://docs.aws.amazon.com/AmazonS3/latest/userguide/default-bucket-encryption.html>.
fn from_the_start(subresource: &str) -> &'static str {
    match subresource {
        "versioning" => "<VersioningConfiguration/>",
        "notification" => "<NotificationConfiguration/>",
        "publicAccessBlock" => {
            "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls>\
             <IgnorePublicAcls>true</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy>\
             <RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>"
        }
        "ownershipControls" => {
            "<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>"
        }
        "encryption" => {
            "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault>\
             <SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault>\
             <BucketKeyEnabled>false</BucketKeyEnabled></Rule></ServerSideEncryptionConfiguration>"
        }
        _ => "",
    }
}

impl S3 {
    pub(super) fn call(
        &mut self,
        request: &S3Request,
        now: Timestamp,
        place: &Place,
        sqs: &mut Sqs,
    ) -> Result<Response<Bytes>, Fault> {
        let S3Request { method, bucket, key, query, .. } = request;
        if key.is_empty() {
            let setting = SETTINGS.iter().find(|(subresource, ..)| query.contains_key(*subresource));
            return match (method, setting) {
                (_, Some((subresource, _, absent))) => self.setting(request, subresource, absent),
                (&Method::PUT, None) => self.create(bucket),
                (&Method::HEAD, None) => self.bucket(bucket).map(|_| empty(StatusCode::OK)),
                (&Method::DELETE, None) => self.delete(bucket),
                (&Method::GET, None) if query.contains_key("versions") => self.list_versions(request),
                (&Method::GET, None) => self.list(request),
                (&Method::POST, None) if query.contains_key("delete") => self.delete_objects(request, now),
                _ => Err(unknown()),
            };
        }
        match *method {
            Method::PUT => self.put(request, now, place, sqs),
            Method::GET | Method::HEAD => self.get(request),
            Method::DELETE => self.delete_object(request, now),
            _ => Err(unknown()),
        }
    }

    fn bucket(&mut self, name: &str) -> Result<&mut Bucket, Fault> {
        self.buckets.get_mut(name).ok_or_else(|| {
            Fault::not_found("NoSuchBucket", format!("The specified bucket {name} does not exist"))
        })
    }

    fn create(&mut self, name: &str) -> Result<Response<Bytes>, Fault> {
        if self.buckets.contains_key(name) {
            return Err(Fault::sender(
                StatusCode::CONFLICT,
                "BucketAlreadyOwnedByYou",
                "Your previous request to create the named bucket succeeded and you already own it.",
            ));
        }
        let settings =
            SETTINGS.iter().map(|(subresource, ..)| (*subresource, from_the_start(subresource).to_owned()));
        let settings = settings.filter(|(_, xml)| !xml.is_empty()).collect();
        self.buckets.insert(name.to_owned(), Bucket { settings, objects: BTreeMap::new() });
        Ok(empty(StatusCode::OK))
    }

    fn delete(&mut self, name: &str) -> Result<Response<Bytes>, Fault> {
        if !self.bucket(name)?.objects.is_empty() {
            return Err(Fault::sender(
                StatusCode::CONFLICT,
                "BucketNotEmpty",
                "The bucket you tried to delete is not empty. You must delete all versions in the bucket.",
            ));
        }
        self.buckets.remove(name);
        Ok(empty(StatusCode::NO_CONTENT))
    }

    fn setting(
        &mut self,
        request: &S3Request,
        subresource: &'static str,
        absent: &str,
    ) -> Result<Response<Bytes>, Fault> {
        let bucket = self.bucket(&request.bucket)?;
        match request.method {
            Method::PUT => {
                bucket.settings.insert(subresource, String::from_utf8_lossy(&request.body).into_owned());
                Ok(empty(StatusCode::OK))
            }
            Method::DELETE => {
                bucket.settings.remove(subresource);
                Ok(empty(StatusCode::NO_CONTENT))
            }
            _ => match bucket.settings.get(subresource) {
                Some(xml) => Ok(answer(StatusCode::OK, xml.clone())),
                None => Err(Fault::not_found(absent, "The configuration does not exist")),
            },
        }
    }
}

fn unknown() -> Fault {
    Fault::sender(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "the fake has no such operation")
}

fn empty(status: StatusCode) -> Response<Bytes> {
    answer(status, String::new())
}

fn answer(status: StatusCode, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/xml"));
    response
}

/// A refusal, as S3 writes it. A request for the head alone gets no text.
pub(super) fn refusal(request: &S3Request, fault: &Fault) -> Response<Bytes> {
    if request.method == Method::HEAD {
        return empty(fault.status);
    }
    let escape = |text: &str| quick_xml::escape::escape(text).into_owned();
    let xml = format!(
        "<Error><Code>{}</Code><Message>{}</Message></Error>",
        escape(&fault.code),
        escape(&fault.message)
    );
    answer(fault.status, xml)
}

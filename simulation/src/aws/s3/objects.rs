//! Objects, their versions, and what is told of new ones.

use super::{Bucket, S3, S3Request, answer, empty};
use crate::aws::{Place, fault::Fault, sqs::Sqs};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode};
use jiff::Timestamp;
use quick_xml::{Reader, events::Event};
use serde_json::json;

/// An object: its versions, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object {
    /// At least one.
    pub versions: Vec<Version>,
}

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its id; `null` where the bucket has no versions.
    pub id: String,
    /// Its content; none: it marks that the object was deleted.
    pub content: Option<Bytes>,
    /// When it was written.
    pub written_at: Timestamp,
}

impl Bucket {
    fn is_versioned(&self) -> bool {
        self.settings.get("versioning").is_some_and(|xml| xml.contains("<Status>Enabled</Status>"))
    }

    /// The object's content, where it is there and not deleted.
    #[must_use]
    pub fn content(&self, key: &str) -> Option<&Bytes> {
        self.objects.get(key)?.versions.last()?.content.as_ref()
    }

    fn write(&mut self, key: &str, id: String, content: Option<Bytes>, now: Timestamp) -> String {
        let is_versioned = self.is_versioned();
        let id = if is_versioned { id } else { "null".to_owned() };
        let object = self.objects.entry(key.to_owned()).or_default();
        object.versions.retain(|version| version.id != id);
        object.versions.push(Version { id: id.clone(), content, written_at: now });
        id
    }

    fn remove(&mut self, key: &str, version: &str) {
        if let Some(object) = self.objects.get_mut(key) {
            object.versions.retain(|it| it.id != version);
        }
        self.objects.retain(|_, object| !object.versions.is_empty());
    }
}

impl S3 {
    fn next_id(&mut self) -> String {
        self.written += 1;
        format!("v{}", self.written)
    }

    /// Writes an object, as a client of a bucket does.
    pub fn write(
        &mut self,
        bucket: &str,
        key: &str,
        content: Bytes,
        now: Timestamp,
        place: &Place,
        sqs: &mut Sqs,
    ) {
        let (id, sequencer) = (self.next_id(), format!("{:016X}", self.written));
        let Some(there) = self.buckets.get_mut(bucket) else { return };
        let size = content.len();
        let version = there.write(key, id, Some(content), now);
        let xml = there.settings.get("notification").cloned().unwrap_or_default();
        for notification in notifications(&xml) {
            if !key.starts_with(&notification.prefix) || !key.ends_with(&notification.suffix) {
                continue;
            }
            let encoded: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
            let mut object =
                json!({"key": encoded.replace("%2F", "/"), "size": size, "sequencer": sequencer});
            if version != "null" {
                object["versionId"] = json!(version);
            }
            let record = json!({
                "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": place.region,
                "eventTime": now.to_string(), "eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": bucket}, "object": object},
            });
            let queue = notification.queue_arn.rsplit(':').next().unwrap_or_default().to_owned();
            sqs.send(&queue, &json!({"Records": [record]}).to_string(), now);
        }
    }

    pub(super) fn put(
        &mut self,
        request: &S3Request,
        now: Timestamp,
        place: &Place,
        sqs: &mut Sqs,
    ) -> Result<Response<Bytes>, Fault> {
        self.bucket(&request.bucket)?;
        self.write(&request.bucket, &request.key, request.body.clone(), now, place, sqs);
        Ok(with_etag(empty(StatusCode::OK)))
    }

    pub(super) fn get(&mut self, request: &S3Request) -> Result<Response<Bytes>, Fault> {
        let missing = || Fault::not_found("NoSuchKey", "The specified key does not exist.");
        let object = self.bucket(&request.bucket)?.objects.get(&request.key).ok_or_else(missing)?;
        let version = match request.query.get("versionId") {
            Some(id) => object.versions.iter().find(|version| version.id == *id),
            None => object.versions.last(),
        };
        let content = version.and_then(|version| version.content.clone()).ok_or_else(missing)?;
        let mut response = with_etag(empty(StatusCode::OK));
        response.headers_mut().insert("content-length", HeaderValue::from(content.len()));
        if request.method == Method::GET {
            *response.body_mut() = content;
        }
        Ok(response)
    }

    pub(super) fn delete_object(
        &mut self,
        request: &S3Request,
        now: Timestamp,
    ) -> Result<Response<Bytes>, Fault> {
        let id = self.next_id();
        let bucket = self.bucket(&request.bucket)?;
        erase(bucket, &request.key, request.query.get("versionId").map(String::as_str), id, now);
        Ok(empty(StatusCode::NO_CONTENT))
    }

    pub(super) fn delete_objects(
        &mut self,
        request: &S3Request,
        now: Timestamp,
    ) -> Result<Response<Bytes>, Fault> {
        let id = self.next_id();
        let bucket = self.bucket(&request.bucket)?;
        for fields in elements(&String::from_utf8_lossy(&request.body), "Object") {
            let field =
                |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            erase(bucket, field("Key").unwrap_or_default(), field("VersionId"), id.clone(), now);
        }
        Ok(answer(StatusCode::OK, "<DeleteResult/>".to_owned()))
    }

    pub(super) fn list(&mut self, request: &S3Request) -> Result<Response<Bytes>, Fault> {
        let prefix = request.query.get("prefix").cloned().unwrap_or_default();
        let bucket = self.bucket(&request.bucket)?;
        let keys =
            bucket.objects.keys().filter(|key| key.starts_with(&prefix) && bucket.content(key).is_some());
        let contents: String =
            keys.map(|key| format!("<Contents><Key>{}</Key></Contents>", escape(key))).collect();
        let xml = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{contents}</ListBucketResult>");
        Ok(answer(StatusCode::OK, xml))
    }

    pub(super) fn list_versions(&mut self, request: &S3Request) -> Result<Response<Bytes>, Fault> {
        let bucket = self.bucket(&request.bucket)?;
        let mut rows = String::new();
        for (key, object) in &bucket.objects {
            let latest = object.versions.last().map(|version| version.id.clone());
            for version in object.versions.iter().rev() {
                let kind = if version.content.is_some() { "Version" } else { "DeleteMarker" };
                rows += &format!(
                    "<{kind}><Key>{}</Key><VersionId>{}</VersionId><IsLatest>{}</IsLatest><LastModified>{}</LastModified></{kind}>",
                    escape(key),
                    version.id,
                    latest.as_ref() == Some(&version.id),
                    version.written_at
                );
            }
        }
        let xml = format!("<ListVersionsResult><IsTruncated>false</IsTruncated>{rows}</ListVersionsResult>");
        Ok(answer(StatusCode::OK, xml))
    }
}

/// Deletes a version, or marks an object as deleted; without versions it is gone.
fn erase(bucket: &mut Bucket, key: &str, version: Option<&str>, id: String, now: Timestamp) {
    match version {
        Some(version) => bucket.remove(key, version),
        None if bucket.is_versioned() => drop(bucket.write(key, id, None, now)),
        None => drop(bucket.objects.remove(key)),
    }
}

struct Notification {
    queue_arn: String,
    prefix: String,
    suffix: String,
}

/// The entries of a bucket's notifications that name a queue.
fn notifications(xml: &str) -> Vec<Notification> {
    let entries = elements(xml, "QueueConfiguration");
    let read = |fields: Vec<(String, String)>| {
        let mut entry =
            Notification { queue_arn: String::new(), prefix: String::new(), suffix: String::new() };
        let mut name = String::new();
        for (field, value) in fields {
            match field.as_str() {
                "Queue" => entry.queue_arn = value,
                "Name" => name = value.to_lowercase(),
                "Value" if name == "prefix" => entry.prefix = value,
                "Value" if name == "suffix" => entry.suffix = value,
                _ => {}
            }
        }
        entry
    };
    entries.into_iter().map(read).collect()
}

/// The texts below each element of that name, with the names of their own elements.
fn elements(xml: &str, name: &str) -> Vec<Vec<(String, String)>> {
    let mut reader = Reader::from_str(xml);
    let (mut found, mut inside) = (Vec::<Vec<(String, String)>>::new(), false);
    let (mut field, mut text) = (String::new(), String::new());
    loop {
        match reader.read_event() {
            Ok(Event::Start(start)) => {
                start.local_name().as_ref().clone_into(&mut field);
                text.clear();
                if field == name {
                    inside = true;
                    found.push(Vec::new());
                }
            }
            Ok(Event::Text(more)) => text.push_str(&more),
            Ok(Event::GeneralRef(entity)) => {
                text.push_str(quick_xml::escape::resolve_predefined_entity(&entity).unwrap_or_default());
            }
            Ok(Event::End(end)) => {
                let ended = end.local_name();
                if inside
                    && ended.as_ref() == field
                    && let Some(last) = found.last_mut()
                {
                    last.push((std::mem::take(&mut field), std::mem::take(&mut text)));
                }
                inside &= ended.as_ref() != name;
            }
            Ok(Event::Eof) | Err(_) => return found,
            Ok(_) => {}
        }
    }
}

fn escape(text: &str) -> String {
    quick_xml::escape::escape(text).into_owned()
}

fn with_etag(mut response: Response<Bytes>) -> Response<Bytes> {
    response.headers_mut().insert("etag", HeaderValue::from_static("\"simulated\""));
    response
}

//! message: what stands on the queue, understood.
//!
//! S3 notifications (several records, URL-encoded keys), SNS envelopes of them, EventBridge's form (keys as
//! they are) and explicit messages. Pure; never panics, whatever a sender writes.

use super::outcome::shorten;
use contract::{
    Identity, Profile, Work,
    job::Source,
    message::{API_VERSION, ExplicitMessage},
};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Largest body that is accepted, in bytes: it is kept on the Job, whose annotations hold 256 KiB at most.
pub const MAX_BODY: usize = 128 * 1024;
/// Longest key of S3, in bytes.
const MAX_KEY: usize = 1024;
/// Longest name of a bucket; old ones in us-east-1 may have more than the 63 characters of today.
const MAX_BUCKET: usize = 255;
/// Longest id of an explicit message, in characters.
const MAX_ID: usize = 128;

/// What a message asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// One piece of work.
    Transcode(Box<Request>),
    /// Several pieces of work: one equivalent body for each.
    Split(Vec<String>),
    /// Nothing: the test event that S3 sends when a notification is set up.
    Discard,
}

/// One piece of work that a message asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// What makes it the same as, or other than, other work.
    pub work: Work,
    /// What to transcode.
    pub source: Source,
    /// The ladder; the platform's when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profile>,
    /// Whether an event of S3 asks for it, and not a service by an explicit message.
    #[serde(default)]
    pub from_event: bool,
}

impl Request {
    /// The identity of the work.
    #[must_use]
    pub fn identity(&self) -> Identity {
        self.work.identity()
    }

    /// The sender's id of an explicit message.
    #[must_use]
    pub fn explicit_id(&self) -> Option<&str> {
        match &self.work {
            Work::Explicit { id } => Some(id),
            Work::Object { .. } => None,
        }
    }
}

/// Why a message can't be carried out. Each says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    /// Larger than [`MAX_BODY`].
    #[error("the body has {0} bytes; at most {MAX_BODY} are accepted")]
    TooLarge(usize),
    /// No JSON object.
    #[error("the body is no JSON object")]
    NoObject,
    /// JSON of a form that is not known.
    #[error("neither an S3 notification, an SNS envelope, an EventBridge event nor a {API_VERSION} message")]
    UnknownForm,
    /// A known form with a field missing or wrong. In one line of bounded length, as all that quotes the message:
    /// it becomes an attribute of a message and a part of an event.
    #[error("{0}")]
    Field(String),
    /// Something happened to an object, but it was not created.
    #[error("{0} is no upload; send only ObjectCreated events to this queue")]
    NotCreated(String),
    /// The source lies where outputs go, or outside of the input.
    #[error("{0}")]
    OutOfPlace(String),
}

/// Understands the body of a message.
///
/// # Errors
/// [`Misunderstood`] for everything that is none of the known forms.
pub fn parse(body: &str) -> Result<Parsed, Misunderstood> {
    if body.len() > MAX_BODY {
        return Err(Misunderstood::TooLarge(body.len()));
    }
    let value: Value = serde_json::from_str(body).map_err(|_| Misunderstood::NoObject)?;
    if value["Type"] == "Notification" {
        let inner = value["Message"].as_str().ok_or_else(|| field("Message of the SNS envelope"))?;
        return parse_object(&serde_json::from_str(inner).map_err(|_| Misunderstood::NoObject)?);
    }
    parse_object(&value)
}

fn parse_object(value: &Value) -> Result<Parsed, Misunderstood> {
    let object = value.as_object().ok_or(Misunderstood::NoObject)?;
    if object.contains_key("apiVersion") {
        return explicit(value);
    }
    if value["Event"] == "s3:TestEvent" {
        return Ok(Parsed::Discard);
    }
    if let Some(records) = value["Records"].as_array() {
        return match records.as_slice() {
            [] => Err(field("Records, which is empty")),
            [record] => notification(record),
            many => Ok(Parsed::Split(
                many.iter().map(|record| serde_json::json!({ "Records": [record] }).to_string()).collect(),
            )),
        };
    }
    if value["source"] == "aws.s3" && object.contains_key("detail") {
        return event_bridge(value);
    }
    Err(Misunderstood::UnknownForm)
}

fn explicit(value: &Value) -> Result<Parsed, Misunderstood> {
    let message: ExplicitMessage = serde_json::from_value(value.clone())
        .map_err(|error| Misunderstood::Field(shorten(&format!("explicit message: {error}"))))?;
    if message.api_version != API_VERSION {
        return Err(Misunderstood::Field(format!(
            "apiVersion `{}` is not known; {API_VERSION} is",
            shorten(&message.api_version)
        )));
    }
    if let Some(id) = &message.id
        && !(1..=MAX_ID).contains(&id.chars().count())
    {
        return Err(Misunderstood::Field(format!("id must have 1 to {MAX_ID} characters")));
    }
    if let Some(profile) = &message.profile {
        profile.check().map_err(|error| Misunderstood::Field(error.to_string()))?;
    }
    check_source(&message.source)?;
    let work = message.work();
    Ok(Parsed::Transcode(Box::new(Request {
        work,
        source: message.source,
        profile: message.profile,
        from_event: false,
    })))
}

/// One record of an S3 notification, whose key is encoded as a form is (`+` for a blank).
fn notification(record: &Value) -> Result<Parsed, Misunderstood> {
    let name = record["eventName"].as_str().ok_or_else(|| field("Records[].eventName"))?;
    if !name.starts_with("ObjectCreated:") && !name.starts_with("s3:ObjectCreated:") {
        return Err(Misunderstood::NotCreated(shorten(name)));
    }
    let s3 = &record["s3"];
    let encoded = s3["object"]["key"].as_str().ok_or_else(|| field("Records[].s3.object.key"))?;
    let key = percent_decode_str(&encoded.replace('+', " "))
        .decode_utf8()
        .map_err(|_| field("Records[].s3.object.key, which is no UTF-8"))?
        .into_owned();
    object(&s3["bucket"]["name"], key, &s3["object"]["versionId"], &s3["object"]["sequencer"])
}

fn event_bridge(value: &Value) -> Result<Parsed, Misunderstood> {
    let kind = value["detail-type"].as_str().ok_or_else(|| field("detail-type"))?;
    if kind != "Object Created" {
        return Err(Misunderstood::NotCreated(shorten(kind)));
    }
    let detail = &value["detail"];
    let key = detail["object"]["key"].as_str().ok_or_else(|| field("detail.object.key"))?.to_owned();
    object(&detail["bucket"]["name"], key, &detail["object"]["version-id"], &detail["object"]["sequencer"])
}

/// Work of an event. A bucket whose versioning is off or suspended gives no id of its own; then the
/// sequencer tells one upload from the next.
fn object(bucket: &Value, key: String, version: &Value, sequencer: &Value) -> Result<Parsed, Misunderstood> {
    let bucket = bucket.as_str().ok_or_else(|| field("the bucket's name"))?.to_owned();
    let version_id =
        version.as_str().filter(|version| !matches!(*version, "" | "null")).map(ToOwned::to_owned);
    let version = version_id.clone().or_else(|| sequencer.as_str().map(ToOwned::to_owned));
    let source = Source { bucket, key, version_id };
    check_source(&source)?;
    let work = Work::Object {
        bucket: source.bucket.clone(),
        key: source.key.clone(),
        version: version.unwrap_or_default(),
    };
    Ok(Parsed::Transcode(Box::new(Request { work, source, profile: None, from_event: true })))
}

fn check_source(source: &Source) -> Result<(), Misunderstood> {
    if !(1..=MAX_BUCKET).contains(&source.bucket.len()) {
        return Err(field("the bucket's name"));
    }
    if !(1..=MAX_KEY).contains(&source.key.len()) || source.key.contains('\0') {
        return Err(field("the object's key"));
    }
    if source.version_id.as_ref().is_some_and(|version| version.is_empty() || version.len() > MAX_KEY) {
        return Err(field("the object's version"));
    }
    Ok(())
}

fn field(name: &str) -> Misunderstood {
    Misunderstood::Field(format!("missing or wrong: {name}"))
}

/// Where sources may lie and outputs go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Bucket that uploads arrive in.
    pub input_bucket: String,
    /// Empty, or ends in `/`.
    pub input_prefix: String,
    /// Bucket that outputs go to.
    pub output_bucket: String,
    /// Empty, or ends in `/`.
    pub output_prefix: String,
}

impl Places {
    /// Refuses what would transcode outputs again, and events of places that the platform does not watch.
    /// An explicit message may name any other object that the Jobs may read.
    ///
    /// # Errors
    /// [`Misunderstood::OutOfPlace`] with both places.
    pub fn admit(&self, request: &Request) -> Result<(), Misunderstood> {
        let Source { bucket, key, .. } = &request.source;
        if *bucket == self.output_bucket && key.starts_with(&self.output_prefix) {
            return Err(Misunderstood::OutOfPlace(shorten(&format!(
                "s3://{bucket}/{key} lies where outputs go; its output would be transcoded again and again"
            ))));
        }
        let inside = *bucket == self.input_bucket && key.starts_with(&self.input_prefix);
        if request.from_event && !inside {
            return Err(Misunderstood::OutOfPlace(shorten(&format!(
                "s3://{bucket}/{key} lies outside of the input s3://{}/{}",
                self.input_bucket, self.input_prefix
            ))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    fn record(key: &str, version: Option<&str>) -> Value {
        let mut record = json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": "in"}, "object": {"key": key, "size": 1, "sequencer": "0055AED6DCD90281E5"}}
        });
        if let Some(version) = version {
            record["s3"]["object"]["versionId"] = json!(version);
        }
        record
    }

    fn request(body: &Value) -> Request {
        match parse(&body.to_string()).unwrap() {
            Parsed::Transcode(request) => *request,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_forms_of_one_upload_are_the_same_work() {
        let notification = json!({"Records": [record("a+b%2Bc/%C3%A4.mp4", Some("v1"))]});
        let envelope = json!({"Type": "Notification", "Message": notification.to_string()});
        let bridge = json!({
            "version": "0", "source": "aws.s3", "detail-type": "Object Created",
            "detail": {"bucket": {"name": "in"}, "object": {"key": "a b+c/ä.mp4", "version-id": "v1", "sequencer": "x"}}
        });
        let explicit = json!({
            "apiVersion": API_VERSION,
            "source": {"bucket": "in", "key": "a b+c/ä.mp4", "versionId": "v1"}
        });
        let expected = request(&notification);
        assert_eq!(expected.source.key, "a b+c/ä.mp4");
        assert_eq!(request(&envelope), expected);
        assert_eq!(request(&bridge), expected);
        assert_eq!(request(&explicit).identity(), expected.identity());
    }

    #[rstest]
    #[case(None)]
    #[case(Some("null"))]
    #[case(Some(""))]
    fn without_versions_the_sequencer_tells_uploads_apart(#[case] version: Option<&str>) {
        let request = request(&json!({"Records": [record("a.mp4", version)]}));
        assert_eq!(request.source.version_id, None);
        assert_eq!(
            request.work,
            Work::Object { bucket: "in".into(), key: "a.mp4".into(), version: "0055AED6DCD90281E5".into() }
        );
    }

    #[test]
    fn several_records_are_split_into_equivalent_messages() {
        let both = json!({"Records": [record("a.mp4", Some("1")), record("b.mp4", None)]});
        let Parsed::Split(bodies) = parse(&both.to_string()).unwrap() else { panic!("not split") };
        let split: Vec<_> = bodies.iter().map(|body| request(&serde_json::from_str(body).unwrap())).collect();
        assert_eq!(split[0], request(&json!({"Records": [record("a.mp4", Some("1"))]})));
        assert_eq!(split[1], request(&json!({"Records": [record("b.mp4", None)]})));
    }

    #[test]
    fn the_test_event_is_discarded() {
        let body = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"2014-10-13T15:57:02.089Z","Bucket":"in"}"#;
        assert_eq!(parse(body), Ok(Parsed::Discard));
    }

    #[rstest]
    #[case("", Misunderstood::NoObject)]
    #[case("hello", Misunderstood::NoObject)]
    #[case("[]", Misunderstood::NoObject)]
    #[case("{}", Misunderstood::UnknownForm)]
    #[case(r#"{"Records":[]}"#, field("Records, which is empty"))]
    #[case(r#"{"Records":[{"eventName":"ObjectRemoved:Delete"}]}"#, Misunderstood::NotCreated("ObjectRemoved:Delete".into()))]
    #[case(r#"{"Records":[{"eventName":"ObjectCreated:Put"}]}"#, field("Records[].s3.object.key"))]
    #[case(r#"{"Type":"Notification","Message":"no json"}"#, Misunderstood::NoObject)]
    #[case(r#"{"Type":"Notification"}"#, field("Message of the SNS envelope"))]
    #[case(r#"{"source":"aws.s3","detail-type":"Object Deleted","detail":{}}"#, Misunderstood::NotCreated("Object Deleted".into()))]
    fn anything_else_is_misunderstood_for_a_stated_reason(
        #[case] body: &str,
        #[case] expected: Misunderstood,
    ) {
        assert_eq!(parse(body), Err(expected));
    }

    #[rstest]
    #[case(json!({"apiVersion": "transcode.streamingplatform.dev/v2", "source": {"bucket": "in", "key": "a"}}), "not known")]
    #[case(json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": "a"}, "id": ""}), "1 to 128")]
    #[case(json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": ""}}), "key")]
    #[case(json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": "a"}, "colour": 1}), "colour")]
    #[case(json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": "a"}, "profile": {"maxFrameRate": 144}}), "profile.maxFrameRate")]
    #[case(json!({"apiVersion": API_VERSION, "source": {"bucket": "in", "key": "a"}, "profile": {"renditions": []}}), "renditions")]
    fn a_wrong_explicit_message_names_the_field(#[case] body: Value, #[case] expected: &str) {
        let error = parse(&body.to_string()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    /// It becomes an attribute of the copy on the dead-letter queue and a part of an event, both of bounded size.
    #[test]
    fn a_refusal_is_one_short_line_whatever_it_quotes() {
        let long = format!("a\n{}", "\u{202e}".repeat(MAX_BODY / 4));
        let source = json!({"bucket": "in", "key": "a"});
        for body in [
            json!({"apiVersion": API_VERSION, "source": source, (long.clone()): 1}),
            json!({"apiVersion": long, "source": source}),
            json!({"Records": [{"eventName": long}]}),
            json!({"source": "aws.s3", "detail-type": long, "detail": {}}),
        ] {
            let why = parse(&body.to_string()).unwrap_err().to_string();
            assert!(why.chars().count() < 1200 && !why.contains('\n'), "{} characters", why.chars().count());
        }
    }

    #[test]
    fn a_body_too_large_to_keep_is_refused() {
        let body = json!({"Records": [record(&"a".repeat(MAX_BODY), None)]}).to_string();
        assert_eq!(parse(&body), Err(Misunderstood::TooLarge(body.len())));
    }

    #[test]
    fn outputs_are_never_taken_for_sources() {
        let places = Places {
            input_bucket: "in".into(),
            input_prefix: "up/".into(),
            output_bucket: "in".into(),
            output_prefix: "out/".into(),
        };
        let at = |key: &str, from_event| Request {
            work: Work::Explicit { id: "x".into() },
            source: Source { bucket: "in".into(), key: key.into(), version_id: None },
            profile: None,
            from_event,
        };
        assert!(places.admit(&at("up/a.mp4", true)).is_ok());
        assert!(places.admit(&at("elsewhere/a.mp4", true)).is_err());
        assert!(places.admit(&at("elsewhere/a.mp4", false)).is_ok());
        assert!(places.admit(&at("out/x/720p/seg-00001.m4s", false)).is_err());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let words = prop_oneof![
            Just("Records".to_owned()),
            Just("s3".to_owned()),
            Just("object".to_owned()),
            Just("key".to_owned()),
            Just("bucket".to_owned()),
            Just("name".to_owned()),
            Just("eventName".to_owned()),
            Just("ObjectCreated:Put".to_owned()),
            Just("Type".to_owned()),
            Just("Notification".to_owned()),
            Just("Message".to_owned()),
            Just("apiVersion".to_owned()),
            Just(API_VERSION.to_owned()),
            Just("detail".to_owned()),
            Just("aws.s3".to_owned()),
            Just("source".to_owned()),
            ".{0,12}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            words.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 48, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((words.clone(), inner), 0..6)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(body in ".{0,400}") {
            let _ = parse(&body);
        }

        #[test]
        fn no_json_makes_the_parser_panic(body in any_json()) {
            let _ = parse(&body.to_string());
        }

        #[test]
        fn every_key_survives_the_encoding_of_s3(key in "[^\0]{1,200}") {
            prop_assume!(key.len() <= MAX_KEY);
            let encoded = percent_encoding::utf8_percent_encode(&key, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
                .replace("%20", "+");
            let read = request(&json!({"Records": [record(&encoded, Some("v"))]}));
            prop_assert_eq!(read.source.key, key);
        }
    }
}

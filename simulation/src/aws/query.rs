//! Parameters of a call, and answers: the AWS Query protocol (RDS, ElastiCache) and AWS JSON (Secrets Manager).
//!
//! <https://smithy.io/2.0/aws/protocols/aws-query-protocol.html>

use super::fault::Fault;
use bytes::Bytes;
use http::Response;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

/// Parameters of a call. A JSON body is flattened to the same form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(pub BTreeMap<String, String>);

impl Parameters {
    /// A parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter that must be there.
    ///
    /// # Errors
    /// As AWS answers when it is not.
    pub fn required(&self, name: &str) -> Result<&str, Fault> {
        self.get(name).ok_or_else(|| {
            Fault::bad_request("MissingParameter", format!("The request must contain the parameter {name}."))
        })
    }

    /// A number.
    ///
    /// # Errors
    /// When it is none.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Fault> {
        self.parsed(name, "an integer")
    }

    /// A number with a fraction.
    ///
    /// # Errors
    /// When it is none.
    pub fn number(&self, name: &str) -> Result<Option<f64>, Fault> {
        self.parsed(name, "a number")
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, Fault> {
        self.parsed(name, "a boolean")
    }

    fn parsed<T: std::str::FromStr>(&self, name: &str, what: &str) -> Result<Option<T>, Fault> {
        let invalid = |value: &str| {
            Fault::bad_request("InvalidParameterValue", format!("{name}: {value:?} is not {what}"))
        };
        self.get(name).map(|value| value.parse().map_err(|_| invalid(value))).transpose()
    }

    /// A list of texts, sent as `name.member.1` or `name.Item.1`. `None`: the parameter is not there.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<String>> {
        let entries = self.structures(name)?;
        Some(entries.into_iter().filter_map(|entry| entry.get("").map(ToOwned::to_owned)).collect())
    }

    /// A list of structures, each as parameters of its own; of a plain text under the name `""`.
    #[must_use]
    pub fn structures(&self, name: &str) -> Option<Vec<Self>> {
        if self.get(name) == Some("") {
            return Some(Vec::new());
        }
        let prefix = format!("{name}.");
        let mut found: BTreeMap<u32, Self> = BTreeMap::new();
        for (key, value) in self.0.range(prefix.clone()..).take_while(|(key, _)| key.starts_with(&prefix)) {
            // `member.1.Key`, `Tag.1.Key`, or in JSON `1.Key`.
            let mut parts = key[prefix.len()..].split('.').skip_while(|part| part.parse::<u32>().is_err());
            if let Some(index) = parts.next().and_then(|part| part.parse().ok()) {
                let rest = parts.collect::<Vec<_>>().join(".");
                found.entry(index).or_default().0.insert(rest, value.clone());
            }
        }
        (!found.is_empty()).then(|| found.into_values().collect())
    }

    /// A structure, as parameters of its own.
    #[must_use]
    pub fn structure(&self, name: &str) -> Option<Self> {
        let prefix = format!("{name}.");
        let of = |(key, value): (&String, &String)| {
            key.strip_prefix(&prefix).map(|rest| (rest.to_owned(), value.clone()))
        };
        let found: BTreeMap<_, _> = self.0.iter().filter_map(of).collect();
        (!found.is_empty()).then_some(Self(found))
    }

    /// The tags in `Tags`.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<String, String> {
        let tags = self.structures("Tags").unwrap_or_default();
        tags.iter()
            .filter_map(|tag| Some((tag.get("Key")?.to_owned(), tag.get("Value").unwrap_or("").to_owned())))
            .collect()
    }

    pub(super) fn without_secrets(&self) -> Self {
        let is_secret =
            |key: &str| ["Password", "AuthToken", "SecretString"].iter().any(|word| key.contains(word));
        let kept = self.0.iter().filter(|(key, _)| !is_secret(key));
        Self(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
    }
}

/// What a call answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Content of the result element.
    Xml(Xml),
    /// A JSON body.
    Json(serde_json::Value),
}

impl From<Xml> for Answer {
    fn from(xml: Xml) -> Self {
        Self::Xml(xml)
    }
}

impl From<serde_json::Value> for Answer {
    fn from(value: serde_json::Value) -> Self {
        Self::Json(value)
    }
}

/// XML under construction.
#[derive(Clone, Debug, Default)]
pub struct Xml(String);

impl Xml {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With `<name>value</name>`.
    #[must_use]
    pub fn text(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        let value = value.to_string();
        let escaped = quick_xml::escape::escape(&value);
        let _ = write!(self.0, "<{name}>{escaped}</{name}>");
        self
    }

    /// With the same, where there is a value.
    #[must_use]
    pub fn optional(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// With an element around other XML.
    #[must_use]
    pub fn element(mut self, name: &str, content: Self) -> Self {
        let _ = write!(self.0, "<{name}>{}</{name}>", content.0);
        self
    }

    /// With `<name>` around an `<item>` each.
    #[must_use]
    pub fn list(self, name: &str, item: &str, content: impl IntoIterator<Item = Self>) -> Self {
        let items = content.into_iter().fold(Self::new(), |xml, one| xml.element(item, one));
        self.element(name, items)
    }

    /// With `<name>` around texts.
    #[must_use]
    pub fn texts<T: std::fmt::Display>(
        self,
        name: &str,
        item: &str,
        texts: impl IntoIterator<Item = T>,
    ) -> Self {
        let items = texts.into_iter().fold(Self::new(), |xml, text| xml.text(item, text));
        self.element(name, items)
    }
}

/// A page of a listing.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Where the next one begins.
    pub marker: Option<String>,
}

/// The page that `Marker` and `MaxRecords` ask for: 100 at most, 20 at least, as RDS and ElastiCache have it.
///
/// # Errors
/// For a number out of bounds.
pub fn page<T>(
    parameters: &Parameters,
    all: impl IntoIterator<Item = (String, T)>,
) -> Result<Page<T>, Fault> {
    let most = parameters.integer("MaxRecords")?.unwrap_or(100);
    if !(20..=100).contains(&most) {
        return Err(Fault::bad_request(
            "InvalidParameterValue",
            "Invalid value for max records. Must be between 20 and 100",
        ));
    }
    let most = usize::try_from(most).unwrap_or(100);
    let after = parameters.get("Marker");
    let mut rest = all.into_iter().filter(|(key, _)| after.is_none_or(|after| key.as_str() > after));
    let mut page = Page { items: Vec::new(), marker: None };
    let mut last = None;
    for (key, item) in rest.by_ref().take(most) {
        page.items.push(item);
        last = Some(key);
    }
    if rest.next().is_some() {
        page.marker = last;
    }
    Ok(page)
}

/// The `Filters` of a describe: values by name.
///
/// # Errors
/// For a name that the service does not know.
pub fn filters(parameters: &Parameters, known: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>, Fault> {
    let mut filters = BTreeMap::new();
    for filter in parameters.structures("Filters").unwrap_or_default() {
        let name = filter.required("Name")?;
        if !known.contains(&name) {
            return Err(Fault::bad_request(
                "InvalidParameterValue",
                format!("Unrecognized filter name: {name}"),
            ));
        }
        let values = filter.list("Values").unwrap_or_default();
        filters.insert(name.to_owned(), values.into_iter().collect());
    }
    Ok(filters)
}

pub(super) fn answer(operation: &str, answer: &Answer) -> Response<Bytes> {
    match answer {
        Answer::Xml(Xml(content)) => xml(
            http::StatusCode::OK,
            format!(
                "<{operation}Response><{operation}Result>{content}</{operation}Result><ResponseMetadata><RequestId>0</RequestId></ResponseMetadata></{operation}Response>"
            ),
        ),
        Answer::Json(value) => json(http::StatusCode::OK, value),
    }
}

pub(super) fn error(fault: &Fault) -> Response<Bytes> {
    let content = Xml::new()
        .text("Type", if fault.status.is_server_error() { "Receiver" } else { "Sender" })
        .text("Code", &fault.code)
        .text("Message", &fault.message);
    let body = Xml::new().element("Error", content).text("RequestId", 0);
    xml(fault.status, format!("<ErrorResponse>{}</ErrorResponse>", body.0))
}

pub(super) fn json_error(fault: &Fault) -> Response<Bytes> {
    let mut response =
        json(fault.status, &serde_json::json!({ "__type": fault.code, "message": fault.message }));
    // SQS tells the codes that it had before it spoke JSON, and clients go by these.
    if let Some(code) = super::sqs::code_of_old(&fault.code) {
        let value = http::HeaderValue::from_static(code);
        response.headers_mut().insert("x-amzn-query-error", value);
    }
    response
}

fn xml(status: http::StatusCode, body: String) -> Response<Bytes> {
    respond(status, "text/xml", body)
}

fn json(status: http::StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    respond(status, "application/x-amz-json-1.1", body.to_string())
}

fn respond(status: http::StatusCode, kind: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    response
}

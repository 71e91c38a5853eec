//! From HTTP to a call, and how the real SDK gets here without a socket.

use super::{
    ACCOUNT, Cloud, Place,
    fault::Fault,
    query::{self, Answer, Parameters},
    s3::{self, S3Request},
};
use crate::wire::Wire;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_rds::config::{AsyncSleep, Credentials, SharedAsyncSleep, SharedCredentialsProvider, Sleep};
use aws_smithy_runtime_api::client::{
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
        SharedHttpConnector,
    },
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};

/// A call as it arrives.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub place: Place,
    /// As in an IAM policy: `rds`.
    pub service: String,
    pub operation: String,
    pub parameters: Parameters,
    /// Of S3, which speaks another way.
    pub s3: Option<S3Request>,
    is_json: bool,
}

/// What a service says.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// An answer in the protocol of the request.
    Answer(Answer),
    /// A response of its own.
    Response(Response<Bytes>),
}

impl Incoming {
    pub fn read(request: &Request<Bytes>) -> Result<Self, Fault> {
        let invalid = |message: &str| Fault::bad_request("InvalidAction", message);
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        // AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request, ...
        let scope = header(AUTHORIZATION.as_str())
            .and_then(|value| value.split("Credential=").nth(1)?.split(',').next())
            .ok_or_else(|| {
                Fault::sender(
                    http::StatusCode::FORBIDDEN,
                    "MissingAuthenticationToken",
                    "Request is missing Authentication Token",
                )
            })?;
        let mut scope = scope.split('/');
        let (key, _date) = (scope.next().unwrap_or_default(), scope.next());
        let region = scope.next().unwrap_or_default().to_owned();
        let service = scope.next().unwrap_or_default().to_owned();
        let is_account = key.len() == 12 && key.bytes().all(|byte| byte.is_ascii_digit());
        let account = if is_account { key } else { ACCOUNT }.to_owned();
        let place = Place { account, region };
        if service == "s3" {
            let s3 = S3Request::read(request);
            let named = [("Bucket", &s3.bucket), ("Key", &s3.key)];
            let parameters = named.map(|(name, value)| (name.to_owned(), value.clone()));
            return Ok(Self {
                place,
                service,
                operation: s3.operation(),
                parameters: Parameters(parameters.into()),
                s3: Some(s3),
                is_json: false,
            });
        }
        if let Some(target) = header("x-amz-target") {
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body = serde_json::from_slice(request.body()).map_err(|_| invalid("the body is no JSON"))?;
            let mut parameters = Parameters::default();
            flatten(String::new(), &body, &mut parameters);
            return Ok(Self { place, service, operation, parameters, s3: None, is_json: true });
        }
        let mut parameters = Parameters(url::form_urlencoded::parse(request.body()).into_owned().collect());
        let operation = parameters.0.remove("Action").ok_or_else(|| invalid("there is no Action"))?;
        parameters.0.remove("Version");
        Ok(Self { place, service, operation, parameters, s3: None, is_json: false })
    }

    pub fn action(&self) -> String {
        format!("{}:{}", self.service, self.operation)
    }

    pub fn respond(&self, performed: Result<Said, Fault>) -> Response<Bytes> {
        if let (Some(request), Err(fault)) = (&self.s3, &performed) {
            return s3::refusal(request, fault);
        }
        match performed {
            Ok(Said::Response(response)) => response,
            Ok(Said::Answer(answer)) => query::answer(&self.operation, &answer),
            Err(fault) if self.is_json => query::json_error(&fault),
            Err(fault) => fault.xml_response(),
        }
    }
}

/// Gives a JSON body the form of the Query protocol's parameters: `Tags.1.Key`.
fn flatten(name: String, value: &serde_json::Value, into: &mut Parameters) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(field, value)| flatten(below(field), value, into));
        }
        serde_json::Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                flatten(below(&(index + 1).to_string()), value, into);
            }
        }
        serde_json::Value::String(text) => {
            into.0.insert(name, text.clone());
        }
        other => {
            into.0.insert(name, other.to_string());
        }
    }
}

impl Cloud {
    /// Configuration for clients that reach this cloud within the process, as the account of [`ACCOUNT`].
    #[must_use]
    pub fn sdk_config(&self, region: &str) -> SdkConfig {
        self.sdk_config_on(&Wire::default(), region)
    }

    /// The same, for clients whose calls go over a wire.
    #[must_use]
    pub fn sdk_config_on(&self, wire: &Wire, region: &str) -> SdkConfig {
        let keys = Credentials::new(ACCOUNT, "secret", None, None, "simulation");
        let line = Line { cloud: self.clone(), wire: wire.clone() };
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_config::Region::new(region.to_owned()))
            .credentials_provider(SharedCredentialsProvider::new(keys))
            .http_client(SharedHttpClient::new(line))
            .sleep_impl(SharedAsyncSleep::new(TokioSleep))
            .build()
    }
}

/// The SDK's backoff on tokio's clock, which may be virtual.
#[derive(Debug)]
struct TokioSleep;

impl AsyncSleep for TokioSleep {
    fn sleep(&self, duration: std::time::Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration))
    }
}

/// From a client to the cloud.
#[derive(Clone, Debug)]
struct Line {
    cloud: Cloud,
    wire: Wire,
}

impl HttpClient for Line {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let line = self.clone();
        HttpConnectorFuture::new(async move { line.call(request).await })
    }
}

impl Line {
    async fn call(self, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let broken = |what: &str| ConnectorError::io(what.to_owned().into());
        let request = request.try_into_http1x().map_err(|_| broken("the request is no HTTP/1.1"))?;
        let request = request.map(|body| Bytes::copy_from_slice(body.bytes().unwrap_or_default()));
        let Self { cloud, wire } = self;
        let name = Incoming::read(&request).map_or_else(|fault| fault.code, |incoming| incoming.action());
        let answered = async move {
            cloud.wait(&request).await;
            cloud.handle(&request)
        };
        let response = wire.carry(name, answered).await.flatten();
        let response = response.ok_or_else(|| broken("the connection was cut"))?;
        response.map(SdkBody::from).try_into().map_err(|_| broken("the response is no HTTP/1.1"))
    }
}

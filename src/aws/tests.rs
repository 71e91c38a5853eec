use super::*;
use aws_sdk_sqs::config::{
    SharedHttpClient,
    http::{HttpRequest, HttpResponse},
};
use aws_smithy_runtime_api::{
    client::http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use kube::client::Body;

const ROLE: &str = "arn:aws:iam::123456789012:role/streaming";

/// STS that gives keys to everyone, and SQS that knows no tags.
#[derive(Clone, Debug, Default)]
struct Cloud(Arc<Mutex<Vec<String>>>);

impl Cloud {
    fn http(&self) -> SharedHttpClient {
        let cloud = self.clone();
        http_client_fn(move |_, _| SharedHttpConnector::new(cloud.clone()))
    }

    /// What was said to STS.
    fn assumed(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl HttpConnector for Cloud {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let answer = if body.contains("Action=AssumeRole") {
            self.0.lock().unwrap().push(body);
            "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>key</AccessKeyId>\
             <SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>\
             <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        } else {
            "{}"
        };
        let status = StatusCode::try_from(200).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(answer))))
    }
}

async fn accounts(cloud: &Cloud) -> Accounts {
    let never = |_| std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>();
    let kube = Client::new(tower::service_fn(never), "default");
    let accounts = Accounts::new(kube, Metrics::default());
    let own = aws_sdk_sqs::config::Credentials::new("own", "own", None, None, "tests");
    let base = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(SharedCredentialsProvider::new(own))
        .http_client(cloud.http());
    accounts.base.set(base.load().await).unwrap();
    accounts
}

fn aws(namespace: &str, name: &str) -> Aws {
    Aws {
        region: "eu-central-1".to_owned(),
        credentials: Credentials::Role(AssumedRole::new(ROLE, "streaming-operator", namespace, name)),
        endpoint_url: None,
        tags: std::collections::BTreeMap::new(),
    }
}

#[tokio::test]
async fn a_role_is_assumed_under_the_platforms_own_external_id() {
    let cloud = Cloud::default();
    let accounts = accounts(&cloud).await;
    let ours = accounts.account("media", &aws("media", "tv"), None).await.unwrap();
    let theirs = accounts.account("other", &aws("other", "tv"), None).await.unwrap();
    assert!(ours != theirs, "one role, but the trust is in the external id");
    assert!(ours == accounts.account("media", &aws("media", "tv"), None).await.unwrap());
    for account in [ours, theirs] {
        account.sqs.list_queue_tags().queue_url("https://sqs/1/q").send().await.unwrap();
    }
    let assumed = cloud.assumed();
    assert_eq!(assumed.len(), 2);
    assert!(assumed[0].contains("ExternalId=streaming-operator%2Fmedia%2Ftv"), "{}", assumed[0]);
    assert!(assumed[1].contains("ExternalId=streaming-operator%2Fother%2Ftv"), "{}", assumed[1]);
}

#[test]
fn calls_count_for_the_account_that_a_role_is_in() {
    let key = |credentials: &str, region: &str| Key {
        region: region.to_owned(),
        endpoint_url: None,
        rights: Rights::Role(AssumedRole::new(credentials, "p", "media", credentials)),
    };
    let one = key("arn:aws:iam::111111111111:role/a", "eu-central-1").payer();
    assert_eq!(one.account, "111111111111");
    assert_eq!(one, key("arn:aws:iam::111111111111:role/b", "eu-central-1").payer());
    assert_ne!(one, key("arn:aws:iam::111111111111:role/a", "eu-west-1").payer());
    assert_ne!(one, key("arn:aws:iam::222222222222:role/a", "eu-central-1").payer());
}

/// The environment is that of a process of its own, since it is the same for all tests of one.
#[test]
fn the_endpoint_of_a_spec_wins_over_that_of_the_environment() {
    let itself = std::env::current_exe().unwrap();
    let name = "aws::tests::the_endpoint_of_a_spec_is_called";
    let done = std::process::Command::new(itself)
        .args(["--exact", name, "--ignored"])
        .envs([
            // Nothing listens there.
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
            ("AWS_ACCESS_KEY_ID", "key"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "run by the test above, in a process of its own"]
async fn the_endpoint_of_a_spec_is_called() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let aws = Aws {
        region: "eu-central-1".to_owned(),
        credentials: Credentials::Operator,
        endpoint_url: Some(format!("http://{}", listener.local_addr().unwrap())),
        tags: std::collections::BTreeMap::new(),
    };
    let nowhere =
        tower::service_fn(|_: http::Request<Body>| async { Err::<http::Response<Body>, _>("nowhere") });
    let accounts = Accounts::new(Client::new(nowhere, "default"), Metrics::default());
    let account = accounts.account("media", &aws, None).await.unwrap();
    tokio::select! {
        arrived = listener.accept() => drop(arrived.unwrap()),
        answer = account.sqs.get_queue_url().queue_name("work").send() => panic!("it was sent elsewhere: {answer:?}"),
    }
}

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
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

/// What was asked of which host, by answers that lead elsewhere or nowhere.
#[derive(Clone, Debug, Default)]
struct Hosts(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Hosts {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let uri: http::Uri = request.uri().parse().unwrap();
        self.0.lock().unwrap().push(uri.host().unwrap_or_default().to_owned());
        let status = StatusCode::try_from(400).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from("{}"))))
    }
}

/// The hosts that are called for a queue and for a bucket of these names, by a client that has no endpoint or that.
async fn hosts(endpoint_url: Option<&str>, region: &str, name: &str) -> Vec<String> {
    let hosts = Hosts::default();
    let accounts = accounts(&Cloud::default()).await;
    let connector = hosts.clone();
    let base = accounts
        .base
        .get()
        .unwrap()
        .to_builder()
        .http_client(http_client_fn(move |_, _| SharedHttpConnector::new(connector.clone())));
    let never = |_| std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>();
    let kube = Client::new(tower::service_fn(never), "default");
    let accounts = Accounts::with_config(kube, Metrics::default(), base.build());
    let aws = Aws {
        region: region.to_owned(),
        credentials: Credentials::Operator,
        endpoint_url: endpoint_url.map(str::to_owned),
        tags: std::collections::BTreeMap::new(),
    };
    let account = accounts.account("media", &aws, None).await.unwrap();
    drop(account.sqs.receive_message().queue_url(name).send().await);
    drop(account.s3.head_object().bucket(name).key("../../x").send().await);
    hosts.0.lock().unwrap().clone()
}

const NAMES: [&str; 16] = [
    "https://evil.example/123456789012/queue",
    "http://169.254.169.254/latest",
    "//evil.example/bucket",
    "evil.example",
    "evil.example/bucket",
    "evil.example#",
    "evil.example?x=",
    "user@evil.example",
    "a..b",
    "..",
    "%2e%2e%2fevil.example",
    "bucket--use1-az4--x-s3",
    "bucket-0123456789012345678901234567890123-s3alias",
    "arn:aws:s3:eu-central-1:123456789012:accesspoint/evil.example",
    "arn:aws:s3-object-lambda:eu-central-1:123456789012:accesspoint/evil",
    "arn:aws:s3:evil.example:123456789012:accesspoint/a",
];

#[tokio::test]
async fn no_name_of_a_queue_or_bucket_leads_out_of_aws() {
    for name in NAMES {
        for host in hosts(None, "eu-central-1", name).await {
            assert!(host.ends_with(".amazonaws.com"), "{name} is asked of {host}");
        }
        for host in hosts(Some("http://aws.example:4566"), "eu-central-1", name).await {
            // Below the listed one, where S3 wants the bucket in the host.
            let listed = host == "aws.example" || host.ends_with(".aws.example");
            assert!(listed, "{name} is asked of {host}");
        }
    }
    // That anything is asked at all.
    assert_eq!(hosts(None, "eu-central-1", "queue").await.len(), 2);
}

/// The endpoint is on the list; where it leads to is not.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let location = format!("http://{}/", elsewhere.local_addr().unwrap());
    for status in [301, 302, 307, 308] {
        let listed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint_url = Some(format!("http://{}", listed.local_addr().unwrap()));
        let answer = format!(
            "HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listed.accept().await {
                let mut request = [0; 8192];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        let never = |_| std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>();
        let kube = Client::new(tower::service_fn(never), "default");
        let own = aws_sdk_sqs::config::Credentials::new("own", "own", None, None, "tests");
        let base =
            load("eu-central-1").await.to_builder().credentials_provider(SharedCredentialsProvider::new(own));
        let accounts = Accounts::with_config(kube, Metrics::default(), base.build());
        let credentials = Credentials::Operator;
        let aws = Aws {
            region: "eu-central-1".to_owned(),
            credentials,
            endpoint_url,
            tags: std::collections::BTreeMap::new(),
        };
        let account = accounts.account("media", &aws, None).await.unwrap();
        let (queue, bucket) = tokio::join!(
            account.sqs.get_queue_url().queue_name("work").send(),
            account.s3.head_bucket().bucket("bucket").send(),
        );
        assert!(queue.is_err() && bucket.is_err(), "{status}");
    }
    // Does not block, as it was one of tokio's.
    let followed = elsewhere.into_std().unwrap().accept();
    assert!(followed.is_err(), "a redirect was followed");
}

#[tokio::test]
async fn a_name_that_is_a_path_reads_no_secret() {
    // It would answer anything, and be asked nothing.
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let kube = Client::new(
        tower::service_fn(move |request: http::Request<Body>| {
            noted.lock().unwrap().push(request.uri().to_string());
            async { Err::<http::Response<Body>, _>("not there") }
        }),
        "media",
    );
    let accounts = Accounts::new(kube, Metrics::default());
    for name in [
        "../../other/secrets/keys",
        "..%2f..%2fother%2fsecrets%2fkeys",
        "keys?x=",
        "a/b",
        "..",
        ".",
        "",
        "Keys",
    ] {
        let credentials = Credentials::Secret(name.to_owned());
        let aws = Aws { credentials, ..aws("media", "tv") };
        let error = accounts.account("media", &aws, None).await.unwrap_err();
        assert!(matches!(&error, AccessError::NoSecretName(it) if it == name), "{error}");
    }
    assert_eq!(*asked.lock().unwrap(), [] as [String; 0]);
    let aws = Aws { credentials: Credentials::Secret("keys.of-2".to_owned()), ..aws("media", "tv") };
    assert!(matches!(accounts.account("media", &aws, None).await, Err(AccessError::Unreadable { .. })));
}

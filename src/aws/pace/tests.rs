use super::*;
use aws_sdk_sqs::{
    Client,
    config::{BehaviorVersion, Credentials, Region, http::HttpResponse},
};
use aws_smithy_runtime_api::{client::http::http_client_fn, http::StatusCode};
use aws_smithy_types::{body::SdkBody, retry::RetryConfig};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn payer(account: &str) -> Payer {
    Payer { account: account.to_owned(), region: "eu-central-1".to_owned(), endpoint_url: None }
}

/// AWS that always answers the same.
#[derive(Debug)]
struct Always(u16, &'static str);

impl HttpConnector for Always {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        let status = StatusCode::try_from(self.0).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(self.1))))
    }
}

fn client(budgets: &Budgets, account: &str, status: u16, body: &'static str, tries: u32) -> Client {
    let http = http_client_fn(move |_, _| SharedHttpConnector::new(Always(status, body)));
    let pace = budgets.pace(&payer(account), "sqs", http);
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-central-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "tests"))
        .retry_config(RetryConfig::standard().with_max_attempts(tries).with_initial_backoff(Duration::ZERO))
        .interceptor(pace.clone())
        .http_client(pace);
    Client::from_conf(config.build())
}

fn rate(budgets: &Budgets, account: &str) -> f64 {
    let http = http_client_fn(|_, _| SharedHttpConnector::new(Always(200, "{}")));
    budgets.pace(&payer(account), "sqs", http).budget.rate()
}

/// A count of the metrics.
fn count(metrics: &Metrics, name: &str) -> u64 {
    let text = metrics.render().unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{service=\"sqs\"} "));
    line.map_or(0, |number| number.parse().unwrap())
}

const TAKEN: &str = "streaming_operator_aws_wait_seconds_count";
const THROTTLES: &str = "streaming_operator_aws_throttles_total";

#[tokio::test(start_paused = true)]
async fn each_try_takes_a_token() {
    let metrics = Metrics::default();
    let client = client(&Budgets::new(metrics.clone()), "a", 500, "{}", 3);
    client.list_queue_tags().queue_url("https://q/1/a").send().await.unwrap_err();
    assert_eq!(count(&metrics, TAKEN), 3);
}

#[tokio::test(start_paused = true)]
async fn messages_take_none() {
    let metrics = Metrics::default();
    let client = client(&Budgets::new(metrics.clone()), "a", 200, "{}", 1);
    client.receive_message().queue_url("https://q/1/a").send().await.unwrap();
    client.delete_message().queue_url("https://q/1/a").receipt_handle("h").send().await.unwrap();
    assert_eq!(count(&metrics, TAKEN), 0);
    client.list_queue_tags().queue_url("https://q/1/a").send().await.unwrap();
    assert_eq!(count(&metrics, TAKEN), 1);
}

#[rstest::rstest]
#[case(400, r#"{"__type":"com.amazonaws.sqs#RequestThrottled","message":"Rate exceeded"}"#)]
#[case(400, r#"{"__type":"ThrottlingException"}"#)]
#[case(400, r#"{"__type":"RequestLimitExceeded"}"#)]
#[case(400, r#"{"__type":"TooManyRequestsException"}"#)]
#[case(400, r#"{"__type":"Throttling"}"#)]
#[case(429, "")]
#[case(503, "")]
#[tokio::test(start_paused = true)]
async fn throttling_shrinks_the_budget_of_that_account_alone(
    #[case] status: u16,
    #[case] body: &'static str,
) {
    let metrics = Metrics::default();
    let budgets = Budgets::new(metrics.clone());
    let (throttled, other) = (client(&budgets, "a", status, body, 1), client(&budgets, "b", 200, "{}", 1));
    throttled.list_queue_tags().queue_url("https://q/1/a").send().await.unwrap_err();
    assert!(rate(&budgets, "a") < 0.6 * limits("sqs").rate);
    assert_eq!(count(&metrics, THROTTLES), 1);
    other.list_queue_tags().queue_url("https://q/1/a").send().await.unwrap();
    assert!((rate(&budgets, "b") - limits("sqs").rate).abs() < 1e-9);
}

#[rstest::rstest]
#[case(400, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"SlowDown, Throttling"}"#)]
#[case(403, r#"{"__type":"AccessDenied"}"#)]
#[case(500, "{}")]
#[tokio::test(start_paused = true)]
async fn other_errors_leave_the_budget_alone(#[case] status: u16, #[case] body: &'static str) {
    let budgets = Budgets::new(Metrics::default());
    let client = client(&budgets, "a", status, body, 1);
    client.list_queue_tags().queue_url("https://q/1/a").send().await.unwrap_err();
    assert!((rate(&budgets, "a") - limits("sqs").rate).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn a_platform_that_calls_in_a_loop_does_not_starve_another() {
    let budgets = Budgets::new(Metrics::default());
    // Two clients of one account, as two platforms with roles of their own have.
    let (loops, calm) = (client(&budgets, "a", 200, "{}", 1), client(&budgets, "a", 200, "{}", 1));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..2000 {
        let call = loops.list_queue_tags().queue_url("https://q/1/a");
        flood.spawn(on_behalf_of(PlatformKey::new("media", "loops"), async move { call.send().await }));
    }
    sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    let call = calm.list_queue_tags().queue_url("https://q/1/b").send();
    on_behalf_of(PlatformKey::new("media", "calm"), call).await.unwrap();
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
    let refused = flood.join_all().await.into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(!refused.is_empty());
    let why = crate::aws::explain(&refused[0]);
    assert!(why.contains("no turn within 5s") && why.contains("calls of sqs"), "{why}");
}

#[tokio::test]
async fn a_budget_lives_as_long_as_its_clients() {
    let budgets = Budgets::new(Metrics::default());
    let first = client(&budgets, "a", 200, "{}", 1);
    let _second = client(&budgets, "b", 200, "{}", 1);
    drop(first);
    let _third = client(&budgets, "c", 200, "{}", 1);
    assert_eq!(budgets.made.lock().unwrap().len(), 2);
}

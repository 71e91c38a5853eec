//! What replicas share through the cache, and that nothing depends on it.

use crate::harness::Backend;
use backend::cache::Cache;
use contract::{Identity, Outcome};
use prometheus_client::{encoding::text::encode, registry::Registry};
use rcgen::{CertificateParams, CertifiedIssuer, KeyPair};
use redis::{Client, TlsCertificates};
use service_common::testing::Redis;
use std::time::Instant;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Nothing listens there.
const NO_DATABASE: &str = "postgres://nobody@127.0.0.1:1/none";

fn url(redis: &Redis) -> String {
    format!("redis://127.0.0.1:{}/0", redis.port)
}

/// A finished output.
async fn finished(backend: &Backend) -> Identity {
    let id = backend.upload(b"abc").await;
    let identity = backend.report(id, None, Outcome::Succeeded).await;
    backend.put_output(&identity, "master.m3u8", "#EXTM3U").await;
    identity
}

async fn caching(backend: &Backend, identity: &Identity) -> String {
    let url = format!("{}/media/{identity}/master.m3u8", backend.url);
    let answer = backend.http.get(url).send().await.unwrap().error_for_status().unwrap();
    answer.headers()["cache-control"].to_str().unwrap().to_owned()
}

fn metrics(cache: &Cache) -> String {
    let (mut registry, mut text) = (Registry::default(), String::new());
    cache.register(&mut registry);
    encode(&mut text, &registry).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_replica_knows_what_is_whole_without_the_database() {
    let redis = Redis::start(None, None);
    let backend = Backend::start_with(&[("CACHE_URL", &url(&redis))]).await;
    let (watched, unwatched) = (finished(&backend).await, finished(&backend).await);
    assert_eq!(caching(&backend, &watched).await, IMMUTABLE);

    let replica = backend.replica(&[("DATABASE_URL", NO_DATABASE), ("CACHE_URL", &url(&redis))]).await;
    assert_eq!(caching(&replica, &watched).await, IMMUTABLE);
    assert_eq!(caching(&replica, &unwatched).await, "no-cache", "it is in the database alone");
    let shown = metrics(replica.cache.as_ref().unwrap());
    assert!(shown.contains(r#"cache_lookups_total{result="hit"} 1"#), "{shown}");
    assert!(shown.contains(r#"cache_lookups_total{result="miss"} 1"#), "{shown}");

    let mut connection = Client::open(url(&redis)).unwrap().get_connection().unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).unwrap();
    let [key] = &keys[..] else { panic!("one key, not {keys:?}") };
    let seconds: u64 = redis::cmd("TTL").arg(key).query(&mut connection).unwrap();
    assert!((1..=24 * 3600).contains(&seconds), "{key} stays for {seconds} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_cache_all_goes_on_and_it_is_taken_up_again() {
    let redis = Redis::start(None, None);
    let backend = Backend::start_with(&[("CACHE_URL", &url(&redis))]).await;
    let cache = backend.cache.clone().unwrap();
    cache.check().await.unwrap();
    let port = redis.port;
    redis.stop().await;
    cache.check().await.unwrap_err();
    for _ in 0..2 {
        let identity = finished(&backend).await;
        assert_eq!(caching(&backend, &identity).await, IMMUTABLE);
    }
    let shown = metrics(&cache);
    assert!(shown.contains(r#"cache_lookups_total{result="unavailable"} 2"#), "{shown}");

    let _redis = Redis::start(Some(port), None);
    backend.until("the cache is taken up again", async || cache.check().await.is_ok()).await;
    let identity = finished(&backend).await;
    assert_eq!(caching(&backend, &identity).await, IMMUTABLE);
    let shown = metrics(&cache);
    assert!(shown.contains(r#"cache_lookups_total{result="miss"} 1"#), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_that_is_silent_is_not_waited_for() {
    // It accepts connections, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}/0", silent.local_addr().unwrap());
    let cache = Cache::new(Client::open(url).unwrap()).unwrap();
    assert!(!cache.is_whole("bucket/one/").await);
    let start = Instant::now();
    for _ in 0..100 {
        assert!(!cache.is_whole("bucket/one/").await);
    }
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_told_to_a_server_that_a_known_authority_vouches_for() {
    let mut issuer = CertificateParams::default();
    issuer.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
    let redis = Redis::start(None, Some((&certificate.pem(), &key.serialize_pem())));
    let url = |login: &str| format!("rediss://{login}localhost:{}/0", redis.port);
    let client = |login: &str| {
        let known = TlsCertificates { client_tls: None, root_cert: Some(issuer.pem().into_bytes()) };
        Client::build_with_tls(url(login), known).unwrap()
    };
    let mut administrator = client("").get_connection().unwrap();
    let user = ["SETUSER", "platform-a", "on", ">pass/word", "~*", "+@all"];
    redis::cmd("ACL").arg(&user).exec(&mut administrator).unwrap();

    let cache = Cache::new(client("platform-a:pass%2Fword@")).unwrap();
    cache.check().await.unwrap();
    cache.remember_whole("bucket/one/").await;
    assert!(cache.is_whole("bucket/one/").await);

    let refused = |client| async { Cache::new(client).unwrap().check().await.unwrap_err() };
    let wrong = refused(client("platform-a:other@")).await;
    assert!(wrong.contains("uthentication"), "{wrong}");
    let unknown = refused(Client::open(url("platform-a:pass%2Fword@")).unwrap()).await;
    assert!(unknown.contains("certificate"), "{unknown}");
}

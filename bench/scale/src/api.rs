//! The API under many readers: the list of videos, and live events, against bare handlers with the same queries.

use crate::{
    accounts::{Account, REGION},
    report::{percentile, say, table},
    usage::load,
};
use anyhow::{Context, Result, ensure};
use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::sse::{Event, Sse},
    routing::get,
};
use e2e::{
    kind::{Check, eventually},
    process::{Guard, Program, free_port},
};
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use service_common::testing::database;
use sqlx::{PgPool, Row, postgres::PgListener, postgres::PgPoolOptions};
use std::{
    collections::HashMap,
    convert::Infallible,
    net::Ipv4Addr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    sync::{broadcast, mpsc},
    time::{sleep, timeout},
};
use uuid::Uuid;

/// Videos in the catalogue.
const VIDEOS: i32 = 1000;
/// Videos of a page, as the API has it where nothing is said.
const PAGE: i64 = 50;
/// Connections to PostgreSQL, of both sides; the backend's default.
const POOL: u32 = 10;
/// Changes a second while events are measured.
const CHANGES_A_SECOND: u64 = 20;
/// The most that the backend's median may be of the bare handler's.
const RATIO: f64 = 2.0;
/// How long a side may take to start, and an event to come.
const PATIENCE: Duration = Duration::from_secs(30);

/// The queries of the catalogue; see `services/catalog/src/store.rs`.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const LIST: &str = "SELECT * FROM videos
             WHERE deleted_at IS NULL AND ($1::text IS NULL OR state = $1) AND ($2::uuid IS NULL OR id < $2)
             ORDER BY id DESC LIMIT $3";
const ONE: &str = "SELECT * FROM videos WHERE id = $1 AND deleted_at IS NULL";
const TRANSCODES: &str = "SELECT * FROM transcodes WHERE video_id = ANY($1) ORDER BY requested_at, identity";

#[derive(clap::Args)]
pub struct Args {
    /// Clients at a time.
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Seconds of load on the list, for each side and turn.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Turns of each side.
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Changes that live events tell of, for each side.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=500))]
    changes: u64,
}

/// Seconds of each answer.
#[derive(Default)]
struct Side {
    list: Vec<f64>,
    list_seconds: f64,
    events: Vec<f64>,
}

/// Measures, prints, and fails where a limit is passed.
pub async fn run(args: Args) -> Result<()> {
    let database = database().await;
    let account = Account::several(1).await?.remove(0);
    let backend = Backend::start(&database, &account.url).await?;
    let pool = PgPoolOptions::new().max_connections(POOL).connect(&database).await?;
    fill(&pool).await?;
    let bare = serve_bare(&database, pool.clone()).await?;
    let (load_before, mut sides) = (load()?, [Side::default(), Side::default()]);
    let urls = [bare, backend.url.clone()];
    for turn in 0..args.turns {
        for side in [turn % 2, 1 - turn % 2] {
            sides[side].read_list(&urls[side], &args).await?;
        }
    }
    say("the list is measured")?;
    for (side, url) in sides.iter_mut().zip(&urls) {
        side.hear_events(url, &pool, &args).await?;
    }
    print(&args, &load_before, &sides)
}

/// The backend, in a process of its own.
struct Backend {
    url: String,
    _guard: Guard,
}

impl Backend {
    async fn start(database: &str, aws: &str) -> Result<Self> {
        let port = free_port()?;
        let logs = log_directory()?;
        let guard = Program::new("BACKEND", "backend")?
            .env("PORT", &port.to_string())
            .env("DATABASE_URL", database)
            .env("DATABASE_MAX_CONNECTIONS", &POOL.to_string())
            .env("INPUT_BUCKET", "input")
            .env("OUTPUT_BUCKET", "output")
            .env("TRANSCODING_QUEUE_URL", &format!("{aws}/queue"))
            .env("API_TOKEN", "a-token-of-a-benchmark-and-nothing-else")
            .env("AWS_ENDPOINT_URL", aws)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "000000000001")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .removing(&logs)
            .start(&logs, "backend")?;
        let url = format!("http://127.0.0.1:{port}");
        let ready = eventually("the backend is ready", PATIENCE, async || {
            let response = reqwest::get(format!("{url}/ready")).await?;
            let status = response.status();
            Ok(if status.is_success() { Check::Done(()) } else { Check::NotYet(response.text().await?) })
        });
        ready.await.with_context(|| guard.log_tail())?;
        Ok(Self { url, _guard: guard })
    }
}

/// A directory for the backend's log.
fn log_directory() -> Result<PathBuf> {
    let directory = std::env::temp_dir().join(format!("bench-api-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    Ok(directory)
}

async fn fill(pool: &PgPool) -> Result<()> {
    let videos = "INSERT INTO videos (id, state, title, file_name, size, content_type, bucket, key, created_at, updated_at)
        SELECT gen_random_uuid(), 'Queued', 'Clip ' || n, 'clip-' || n || '.mp4', 1000000 + n, 'video/mp4', 'input',
            'uploads/' || n, now(), now() FROM generate_series(1, $1) AS n";
    sqlx::query(videos).bind(VIDEOS).execute(pool).await?;
    sqlx::query("ANALYZE").execute(pool).await?;
    Ok(())
}

/// What the bare handlers share.
#[derive(Clone)]
struct Bare {
    pool: PgPool,
    events: broadcast::Sender<Arc<str>>,
}

async fn serve_bare(database: &str, pool: PgPool) -> Result<String> {
    let bare = Bare { pool, events: broadcast::Sender::new(1024) };
    let mut listener = PgListener::connect(database).await?;
    listener.listen("videos").await?;
    tokio::spawn({
        let bare = bare.clone();
        async move {
            while let Ok(notice) = listener.recv().await {
                let Ok(id) = notice.payload().parse::<Uuid>() else { continue };
                if let Ok(video) = bare.one(id).await {
                    // Without clients nobody hears it.
                    drop(bare.events.send(video.to_string().into()));
                }
            }
        }
    });
    let router = Router::new()
        .route(
            "/api/videos",
            get(async |State(bare): State<Bare>| {
                let videos = bare.list().await.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR);
                videos.map(|items| Json(json!({"items": items})))
            }),
        )
        .route("/api/events", get(async |State(bare): State<Bare>| Sse::new(bare.stream())))
        .with_state(bare);
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", socket.local_addr()?);
    tokio::spawn(async move { drop(axum::serve(socket, router).await) });
    Ok(url)
}

impl Bare {
    async fn list(&self) -> sqlx::Result<Vec<Value>> {
        let mut snapshot = self.pool.begin_with(SNAPSHOT).await?;
        let query = sqlx::query(LIST).bind(None::<String>).bind(None::<Uuid>).bind(PAGE + 1);
        let mut rows = query.fetch_all(&mut *snapshot).await?;
        rows.truncate(PAGE as usize);
        let ids = rows.iter().map(|row| row.try_get("id")).collect::<sqlx::Result<Vec<Uuid>>>()?;
        sqlx::query(TRANSCODES).bind(&ids).fetch_all(&mut *snapshot).await?;
        rows.iter().map(shown).collect()
    }

    async fn one(&self, id: Uuid) -> sqlx::Result<Value> {
        let mut snapshot = self.pool.begin_with(SNAPSHOT).await?;
        let row = sqlx::query(ONE).bind(id).fetch_one(&mut *snapshot).await?;
        sqlx::query(TRANSCODES).bind(vec![id]).fetch_all(&mut *snapshot).await?;
        shown(&row)
    }

    fn stream(&self) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        let events = stream::unfold(self.events.subscribe(), async |mut events| {
            let video = events.recv().await.ok()?;
            Some((Event::default().event("video").data(video.as_ref()), events))
        });
        stream::iter([Event::default().comment("connected")]).chain(events).map(Ok)
    }
}

/// What the list shows of a row.
fn shown(row: &sqlx::postgres::PgRow) -> sqlx::Result<Value> {
    Ok(json!({
        "id": row.try_get::<Uuid, _>("id")?,
        "state": row.try_get::<String, _>("state")?,
        "title": row.try_get::<String, _>("title")?,
        "fileName": row.try_get::<String, _>("file_name")?,
        "size": row.try_get::<i64, _>("size")?,
        "contentType": row.try_get::<String, _>("content_type")?,
    }))
}

impl Side {
    async fn read_list(&mut self, url: &str, args: &Args) -> Result<()> {
        let (url, http) = (format!("{url}/api/videos"), reqwest::Client::new());
        let begun = Instant::now();
        let length = Duration::from_secs(args.seconds);
        let clients = (0..args.connections).map(|_| {
            let (url, http) = (url.clone(), http.clone());
            tokio::spawn(async move {
                let mut seconds = Vec::new();
                while begun.elapsed() < length {
                    let asked = Instant::now();
                    let page: Value = http.get(&url).send().await?.error_for_status()?.json().await?;
                    ensure!(
                        page["items"].as_array().map(Vec::len) == Some(PAGE as usize),
                        "not a page: {page}"
                    );
                    seconds.push(asked.elapsed().as_secs_f64());
                }
                Ok(seconds)
            })
        });
        for client in futures::future::join_all(clients).await {
            self.list.extend(client??);
        }
        self.list_seconds += begun.elapsed().as_secs_f64();
        Ok(())
    }

    async fn hear_events(&mut self, url: &str, pool: &PgPool, args: &Args) -> Result<()> {
        let (sender, mut heard) = mpsc::unbounded_channel();
        let http = reqwest::Client::new();
        let mut clients = Vec::new();
        for _ in 0..args.connections {
            let response = http.get(format!("{url}/api/events")).send().await?.error_for_status()?;
            clients.push(tokio::spawn(listen(response, sender.clone())));
        }
        let ids: Vec<Uuid> = sqlx::query_scalar("SELECT id FROM videos ORDER BY id LIMIT $1")
            .bind(i64::try_from(args.changes)?)
            .fetch_all(pool)
            .await?;
        let mut told = HashMap::new();
        for id in ids {
            told.insert(id.to_string(), Instant::now());
            sqlx::query("SELECT pg_notify('videos', $1)").bind(id.to_string()).execute(pool).await?;
            sleep(Duration::from_millis(1000 / CHANGES_A_SECOND)).await;
        }
        for _ in 0..told.len() * args.connections {
            let next =
                timeout(PATIENCE, heard.recv()).await.context("not every client heard of every change")?;
            let (id, at): (String, Instant) = next.context("all streams ended")?;
            let told = told.get(&id).with_context(|| format!("an event of {id}"))?;
            self.events.push((at - *told).as_secs_f64());
        }
        clients.iter().for_each(tokio::task::JoinHandle::abort);
        Ok(())
    }
}

/// Tells of each video that a stream of events names.
async fn listen(response: reqwest::Response, heard: mpsc::UnboundedSender<(String, Instant)>) -> Result<()> {
    let mut chunks = response.bytes_stream();
    let mut text = String::new();
    while let Some(chunk) = chunks.next().await {
        let at = Instant::now();
        text.push_str(&String::from_utf8_lossy(&chunk?));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
            let video: Value = serde_json::from_str(data)?;
            heard.send((video["id"].as_str().unwrap_or_default().to_owned(), at))?;
        }
    }
    Ok(())
}

fn print(args: &Args, load_before: &str, [bare, backend]: &[Side; 2]) -> Result<()> {
    let times = |samples: &[f64]| {
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| percentile(samples, share) * 1000.0);
        format!("{p50:.1}; {p90:.1}; {p99:.1} ms")
    };
    let rate = |side: &Side| side.list.len() as f64 / side.list_seconds;
    let ratio = |a: &[f64], b: &[f64]| percentile(a, 0.5) / percentile(b, 0.5);
    let list = ratio(&backend.list, &bare.list);
    table(
        &format!(
            "{} clients, {} videos; list: {} × {} s for each side; events: {} changes, {CHANGES_A_SECOND} a second",
            args.connections, VIDEOS, args.turns, args.seconds, args.changes
        ),
        (load_before, &load()?),
        &["p50; p90; p99", "bare handler", "backend", "ratio of p50"],
        &[
            vec![
                "list of 50".into(),
                times(&bare.list),
                times(&backend.list),
                format!("{list:.2} (at most {RATIO})"),
            ],
            vec![
                "lists a second".into(),
                format!("{:.0}", rate(bare)),
                format!("{:.0}", rate(backend)),
                String::new(),
            ],
            vec![
                "change → event at each client".into(),
                times(&bare.events),
                times(&backend.events),
                format!("{:.2}", ratio(&backend.events, &bare.events)),
            ],
        ],
    )?;
    ensure!(list <= RATIO, "the backend takes {list:.2} times as long; at most {RATIO} is allowed");
    Ok(())
}

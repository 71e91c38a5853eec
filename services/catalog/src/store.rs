//! The catalogue's tables. Each change is one transaction, which locks its video, writes what follows from the
//! change, and tells the channel [`CHANNEL`] which video it was.

use crate::video::{State, Transcode, Upload, Video};
use contract::{Identity, JobRecord, Outcome, TerminationMessage, job::Source};
use jiff::Timestamp;
use jiff_sqlx::{Timestamp as SqlTimestamp, ToSqlx};
use service_common::{Env, EnvError};
use sqlx::{
    Connection, Executor, FromRow, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
    types::Json,
};
use std::{collections::HashMap, io, time::Duration};
use tokio::time::timeout;
use uuid::Uuid;

/// The `NOTIFY` channel of changes; the payload is the video's id.
pub const CHANNEL: &str = "videos";
/// The migration that this code needs: the newest of `services/backend/migrations`.
pub const SCHEMA_VERSION: i64 = 1;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement may take and wait for a lock, and a transaction may do nothing: what a replica left
/// behind that hangs or is cut off must not hold up the others. The first two are below the 30 s of a request; the
/// last leaves one the time to call AWS while it holds its row.
const PATIENCE: &str = "SET statement_timeout = '15s'; SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '60s'";
/// How long the connection of a lock may take to answer.
const LOCK_ANSWER: Duration = Duration::from_secs(5);

/// The database could not be asked, or holds what no release wrote.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// PostgreSQL can't be reached, or refused.
    #[error("PostgreSQL: {0}")]
    Database(#[from] sqlx::Error),
    /// A row that this release can't read.
    #[error("{table} {key}: {column} holds what this release can't read; is a newer one running?")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// Its primary key.
        key: String,
        /// The column.
        column: &'static str,
    },
}

impl StoreError {
    /// Whether trying again can't help: the data itself is refused (SQLSTATE classes 22 and 23) or unreadable.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::Database(error) => error
                .as_database_error()
                .and_then(|refusal| refusal.code())
                .is_some_and(|code| code.starts_with("22") || code.starts_with("23")),
        }
    }
}

/// The catalogue in PostgreSQL. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    pool: PgPool,
}

/// A page of a list, newest first.
#[derive(Debug)]
pub struct Page {
    /// The videos.
    pub videos: Vec<Video>,
    /// Where the next page begins, if there is one.
    pub next: Option<Uuid>,
}

/// A change of one video: a transaction that holds the lock of its row.
pub struct Edit {
    transaction: Transaction<'static, Postgres>,
    /// The video, to be changed.
    pub video: Video,
}

#[derive(FromRow)]
struct VideoRow {
    id: Uuid,
    title: String,
    file_name: String,
    size: i64,
    content_type: String,
    bucket: String,
    key: String,
    version_id: Option<String>,
    upload_id: Option<String>,
    part_size: Option<i64>,
    upload_expires_at: Option<SqlTimestamp>,
    created_at: SqlTimestamp,
    updated_at: SqlTimestamp,
    deleted_at: Option<SqlTimestamp>,
    erased_at: Option<SqlTimestamp>,
}

#[derive(FromRow)]
struct TranscodeRow {
    identity: String,
    video_id: Uuid,
    requested_at: SqlTimestamp,
    attempt: i32,
    outcome: Option<String>,
    percent: i16,
    failure_reason: Option<String>,
    failure_message: Option<String>,
    record: Option<Json<serde_json::Value>>,
}

impl Catalog {
    /// The catalogue of `DATABASE_URL`, with at most `DATABASE_MAX_CONNECTIONS` (default 10).
    ///
    /// # Errors
    /// [`EnvError`] for a URL that is missing or none, and for no connections.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let max_connections = env.parse_or("DATABASE_MAX_CONNECTIONS", 10)?;
        if max_connections == 0 {
            return Err(EnvError::invalid("DATABASE_MAX_CONNECTIONS", "must be at least 1"));
        }
        Self::connect(&env.required("DATABASE_URL")?, max_connections)
    }

    /// A catalogue in the database of that URL. Nothing is connected yet.
    ///
    /// # Errors
    /// [`EnvError`] naming `DATABASE_URL`, without its value, where it is no such URL.
    pub fn connect(url: &str, max_connections: u32) -> Result<Self, EnvError> {
        let options: PgConnectOptions = url.parse().map_err(|_| {
            EnvError::invalid("DATABASE_URL", "expected postgres://user:password@host:port/database")
        })?;
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .after_connect(|connection, _| Box::pin(async { connection.execute(PATIENCE).await.map(drop) }))
            .connect_lazy_with(options);
        Ok(Self { pool })
    }

    /// One more connection, on which statements take as long as they take: for migrations, which wait for each
    /// other on purpose, and for listening.
    #[must_use]
    pub fn patient(&self) -> PgPool {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        let one = PgPoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        one.acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(options)
    }

    /// The connections.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Whether the database answers and its schema is new enough; the error says which it is.
    ///
    /// # Errors
    /// A sentence for the readiness endpoint.
    pub async fn check(&self) -> Result<(), String> {
        let newest: Result<Option<i64>, sqlx::Error> =
            sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
                .fetch_one(&self.pool)
                .await;
        match newest {
            Ok(Some(version)) if version >= SCHEMA_VERSION => Ok(()),
            Ok(_) => Err(format!("waiting until the backend has migrated the schema to {SCHEMA_VERSION}")),
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
                Err(format!("waiting until the backend has migrated the schema to {SCHEMA_VERSION}"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Hears of every change, on a connection beside the others. After `quiet` without any the connection is
    /// asked whether it still lives, and may take as long to answer.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn listen(&self, quiet: Duration) -> Result<Listener, StoreError> {
        let mut connection = PgListener::connect_with(&self.patient()).await?;
        connection.listen(CHANNEL).await?;
        Ok(Listener { connection, quiet })
    }

    /// Adds a video, unless there is one of its source already. Says whether it was added.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn insert(&self, video: &Video) -> Result<bool, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let upload = video.upload.as_ref();
        let inserted = sqlx::query(
            "INSERT INTO videos (id, state, title, file_name, size, content_type, bucket, key, version_id,
                 upload_id, part_size, upload_expires_at, created_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
             ON CONFLICT DO NOTHING",
        )
        .bind(video.id)
        .bind(video.state().as_str())
        .bind(&video.title)
        .bind(&video.file_name)
        .bind(clamped(video.size))
        .bind(&video.content_type)
        .bind(&video.source.bucket)
        .bind(&video.source.key)
        .bind(&video.source.version_id)
        .bind(upload.map(|u| &u.id))
        .bind(upload.map(|u| clamped(u.part_size)))
        .bind(upload.map(|u| u.expires_at.to_sqlx()))
        .bind(video.created_at.to_sqlx())
        .bind(video.updated_at.to_sqlx())
        .execute(&mut *transaction)
        .await?;
        notify(&mut transaction, video.id).await?;
        transaction.commit().await?;
        Ok(inserted.rows_affected() == 1)
    }

    /// A transaction whose queries see one moment, so that a video and its transcodes fit together.
    async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    /// A video that is not deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn get(&self, id: Uuid) -> Result<Option<Video>, StoreError> {
        let mut connection = self.snapshot().await?;
        let row = sqlx::query_as("SELECT * FROM videos WHERE id = $1 AND deleted_at IS NULL")
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        one(&mut connection, row).await
    }

    /// Videos that are not deleted, newest first, of one state or all, from before that id. One that this
    /// release can't read is left out, and logged.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(
        &self,
        state: Option<State>,
        before: Option<Uuid>,
        limit: u16,
    ) -> Result<Page, StoreError> {
        let mut connection = self.snapshot().await?;
        let mut rows: Vec<VideoRow> = sqlx::query_as(
            "SELECT * FROM videos
             WHERE deleted_at IS NULL AND ($1::text IS NULL OR state = $1) AND ($2::uuid IS NULL OR id < $2)
             ORDER BY id DESC LIMIT $3",
        )
        .bind(state.map(State::as_str))
        .bind(before)
        .bind(i64::from(limit) + 1)
        .fetch_all(&mut *connection)
        .await?;
        let more = rows.len() > usize::from(limit);
        rows.truncate(usize::from(limit));
        let next = more.then(|| rows.last().map(|row| row.id)).flatten();
        Ok(Page { videos: readable(&mut connection, rows).await?, next })
    }

    /// Opens a change of a video, deleted or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn edit(&self, id: Uuid) -> Result<Option<Edit>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let row = sqlx::query_as("SELECT * FROM videos WHERE id = $1 FOR UPDATE")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await?;
        let video = one(&mut transaction, row).await?;
        Ok(video.map(|video| Edit { transaction, video }))
    }

    /// Opens a change of the video that a piece of work belongs to: by its identity where it is known, else by
    /// its source. An upload that looks open counts, as S3 may tell of an object before we recorded it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn edit_work(
        &self,
        identity: &Identity,
        source: Option<&Source>,
    ) -> Result<Option<Edit>, StoreError> {
        let by_identity: Option<Uuid> =
            sqlx::query_scalar("SELECT video_id FROM transcodes WHERE identity = $1")
                .bind(identity.as_str())
                .fetch_optional(&self.pool)
                .await?;
        let id = match (by_identity, source) {
            (Some(id), _) => Some(id),
            (None, Some(source)) => self.by_source(source).await?,
            (None, None) => None,
        };
        match id {
            Some(id) => self.edit(id).await,
            None => Ok(None),
        }
    }

    async fn by_source(&self, source: &Source) -> Result<Option<Uuid>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM videos
             WHERE bucket = $1 AND key = $2
               AND (version_id IS NULL OR $3::text IS NULL OR version_id = $3)
             ORDER BY (version_id IS NOT DISTINCT FROM $3) DESC, id DESC LIMIT 1",
        )
        .bind(&source.bucket)
        .bind(&source.key)
        .bind(&source.version_id)
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Whether the output of that identity is whole, and so will never change.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn is_whole(&self, identity: &Identity) -> Result<bool, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM transcodes WHERE identity = $1 AND record IS NOT NULL)",
        )
        .bind(identity.as_str())
        .fetch_one(&self.pool)
        .await?)
    }

    /// What runs, newest first: what is stuck grows old and is in nobody's way.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running(&self, limit: u16) -> Result<Vec<Identity>, StoreError> {
        let identities: Vec<String> = sqlx::query_scalar(
            "SELECT identity FROM transcodes JOIN videos ON videos.id = video_id
             WHERE outcome = 'Running' AND deleted_at IS NULL ORDER BY requested_at DESC LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        identities.iter().map(|identity| read_identity(identity)).collect()
    }

    /// Work that is not over and of whose video nothing was heard since `before`: any `limit` of it, so that all
    /// has its turn.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn silent(&self, before: Timestamp, limit: u16) -> Result<Vec<Identity>, StoreError> {
        let identities: Vec<String> = sqlx::query_scalar(
            "SELECT identity FROM videos JOIN transcodes ON video_id = id
             WHERE state IN ('Queued', 'Transcoding') AND deleted_at IS NULL AND updated_at < $1
               AND (outcome IS NULL OR outcome IN ('Running', 'Retrying'))
             ORDER BY random() LIMIT $2",
        )
        .bind(before.to_sqlx())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        identities.iter().map(|identity| read_identity(identity)).collect()
    }

    /// Videos whose upload was to be complete before `now`.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn expired_uploads(&self, now: Timestamp, limit: u16) -> Result<Vec<Uuid>, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT id FROM videos WHERE upload_expires_at < $1 AND deleted_at IS NULL
             ORDER BY upload_expires_at LIMIT $2",
        )
        .bind(now.to_sqlx())
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?)
    }

    /// Deleted videos that may still have objects in S3, but for those that this release can't read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn to_erase(&self, limit: u16) -> Result<Vec<Video>, StoreError> {
        let mut connection = self.snapshot().await?;
        let rows = sqlx::query_as(
            "SELECT * FROM videos WHERE deleted_at IS NOT NULL AND erased_at IS NULL
             ORDER BY deleted_at LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(&mut *connection)
        .await?;
        readable(&mut connection, rows).await
    }

    /// Records that the objects of a deleted video are gone, as of a look at `seen`: if it changed since, a Job
    /// may have written more, and it is left to be erased again.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn erased(&self, seen: &Video, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE videos SET erased_at = $2
             WHERE id = $1 AND deleted_at IS NOT NULL AND updated_at = $3",
        )
        .bind(seen.id)
        .bind(now.to_sqlx())
        .bind(seen.updated_at.to_sqlx())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Forgets erased videos that were deleted before `before`. Says how many.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn forget(&self, before: Timestamp) -> Result<u64, StoreError> {
        let gone = sqlx::query("DELETE FROM videos WHERE erased_at IS NOT NULL AND deleted_at < $1")
            .bind(before.to_sqlx())
            .execute(&self.pool)
            .await?;
        Ok(gone.rows_affected())
    }

    /// Takes a lock that one process of all has, until its connection ends. `None` where another has it.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub async fn try_lock(&self, lock: i64) -> Result<Option<Lock>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let asked = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock);
        let answer: Result<bool, _> = asked.fetch_one(&mut *connection).await;
        if matches!(answer, Ok(false)) {
            return Ok(None);
        }
        // A connection that holds the lock, or may hold it, does not go back to the others.
        let connection = connection.detach();
        answer?;
        Ok(Some(Lock { connection }))
    }
}

/// Hears of changes.
pub struct Listener {
    connection: PgListener,
    quiet: Duration,
}

impl Listener {
    /// The id of the next video that changed. `None` where some may have been missed.
    ///
    /// # Errors
    /// [`StoreError::Database`] where the connection is lost, or does not answer: a failover may leave one
    /// open on which nothing is ever said.
    pub async fn next(&mut self) -> Result<Option<Uuid>, StoreError> {
        loop {
            match timeout(self.quiet, self.connection.try_recv()).await {
                Ok(received) => match received?.map(|notification| notification.payload().parse()) {
                    None => return Ok(None),
                    Some(Ok(id)) => return Ok(Some(id)),
                    // Not of ours.
                    Some(Err(_)) => {}
                },
                Err(_) => {
                    let alive = timeout(self.quiet, sqlx::query("SELECT 1").execute(&mut self.connection));
                    alive.await.map_err(|_| silent())??;
                }
            }
        }
    }
}

fn silent() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the connection does not answer").into()
}

/// A lock that lives as long as its connection.
pub struct Lock {
    connection: PgConnection,
}

impl Lock {
    /// Whether the connection, and so the lock, is still there.
    pub async fn is_held(&mut self) -> bool {
        matches!(timeout(LOCK_ANSWER, self.connection.ping()).await, Ok(Ok(())))
    }
}

impl Edit {
    /// Writes the video and its transcodes, and tells who listens.
    ///
    /// # Errors
    /// [`StoreError::Database`]; nothing is written then.
    pub async fn commit(mut self, now: Timestamp) -> Result<Video, StoreError> {
        let video = &mut self.video;
        // At least a microsecond later, so that `updated_at` tells two versions of a row apart; and no finer
        // than PostgreSQL keeps it.
        let next = video.updated_at + Duration::from_micros(1);
        let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
        video.updated_at = now.max(next);
        write_video(&mut self.transaction, video).await?;
        for transcode in &video.transcodes {
            write_transcode(&mut self.transaction, video.id, transcode).await?;
        }
        notify(&mut self.transaction, video.id).await?;
        self.transaction.commit().await?;
        Ok(self.video)
    }
}

async fn write_video(connection: &mut PgConnection, video: &Video) -> Result<(), StoreError> {
    let upload = video.upload.as_ref();
    sqlx::query(
        "UPDATE videos SET state = $2, version_id = $3, upload_id = $4, part_size = $5,
             upload_expires_at = $6, updated_at = $7, deleted_at = $8, erased_at = $9
         WHERE id = $1",
    )
    .bind(video.id)
    .bind(video.state().as_str())
    .bind(&video.source.version_id)
    .bind(upload.map(|u| &u.id))
    .bind(upload.map(|u| clamped(u.part_size)))
    .bind(upload.map(|u| u.expires_at.to_sqlx()))
    .bind(video.updated_at.to_sqlx())
    .bind(video.deleted_at.map(ToSqlx::to_sqlx))
    .bind(video.erased_at.map(ToSqlx::to_sqlx))
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_transcode(
    connection: &mut PgConnection,
    video: Uuid,
    transcode: &Transcode,
) -> Result<(), StoreError> {
    let failure = transcode.failure.as_ref();
    sqlx::query(
        "INSERT INTO transcodes (identity, video_id, requested_at, attempt, outcome, percent,
             failure_reason, failure_message, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (identity) DO UPDATE SET requested_at = excluded.requested_at,
             attempt = excluded.attempt, outcome = excluded.outcome, percent = excluded.percent,
             failure_reason = excluded.failure_reason, failure_message = excluded.failure_message,
             record = excluded.record",
    )
    .bind(transcode.identity.as_str())
    .bind(video)
    .bind(transcode.requested_at.to_sqlx())
    .bind(i32::try_from(transcode.attempt).unwrap_or(i32::MAX))
    .bind(transcode.outcome.map(outcome_name))
    .bind(i16::from(transcode.percent))
    .bind(failure.map(|f| f.reason.as_str()))
    .bind(failure.map(|f| &f.message))
    .bind(transcode.record.as_ref().map(Json))
    .execute(connection)
    .await?;
    Ok(())
}

async fn notify(connection: &mut PgConnection, video: Uuid) -> Result<(), StoreError> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(video.to_string()).execute(connection).await?;
    Ok(())
}

async fn one(connection: &mut PgConnection, row: Option<VideoRow>) -> Result<Option<Video>, StoreError> {
    with_transcodes(connection, row.into_iter().collect()).await?.pop().transpose()
}

/// The videos that this release can read; the others are logged.
async fn readable(connection: &mut PgConnection, rows: Vec<VideoRow>) -> Result<Vec<Video>, StoreError> {
    let videos = with_transcodes(connection, rows).await?;
    let read = |video: Result<Video, StoreError>| {
        video.inspect_err(|error| tracing::error!(%error, "a video is left out of a list")).ok()
    };
    Ok(videos.into_iter().filter_map(read).collect())
}

async fn with_transcodes(
    connection: &mut PgConnection,
    rows: Vec<VideoRow>,
) -> Result<Vec<Result<Video, StoreError>>, StoreError> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let transcodes: Vec<TranscodeRow> =
        sqlx::query_as("SELECT * FROM transcodes WHERE video_id = ANY($1) ORDER BY requested_at, identity")
            .bind(&ids)
            .fetch_all(connection)
            .await?;
    let mut by_video: HashMap<Uuid, Vec<TranscodeRow>> = HashMap::new();
    for row in transcodes {
        by_video.entry(row.video_id).or_default().push(row);
    }
    Ok(rows
        .into_iter()
        .map(|row| {
            let transcodes = by_video.remove(&row.id).unwrap_or_default();
            let transcodes = transcodes.into_iter().map(Transcode::try_from).collect::<Result<_, _>>()?;
            Ok(row.into_video(transcodes))
        })
        .collect())
}

impl VideoRow {
    fn into_video(self, transcodes: Vec<Transcode>) -> Video {
        let upload = match (self.upload_id, self.part_size, self.upload_expires_at) {
            (Some(id), Some(part_size), Some(expires_at)) => {
                Some(Upload { id, part_size: part_size.unsigned_abs(), expires_at: expires_at.to_jiff() })
            }
            _ => None,
        };
        Video {
            id: self.id,
            title: self.title,
            file_name: self.file_name,
            size: self.size.unsigned_abs(),
            content_type: self.content_type,
            source: Source { bucket: self.bucket, key: self.key, version_id: self.version_id },
            upload,
            transcodes,
            created_at: self.created_at.to_jiff(),
            updated_at: self.updated_at.to_jiff(),
            deleted_at: self.deleted_at.map(SqlTimestamp::to_jiff),
            erased_at: self.erased_at.map(SqlTimestamp::to_jiff),
        }
    }
}

impl TryFrom<TranscodeRow> for Transcode {
    type Error = StoreError;

    fn try_from(row: TranscodeRow) -> Result<Self, StoreError> {
        let outcome = row.outcome.as_deref().map(|name| read_outcome(&row.identity, name)).transpose()?;
        let failure = row.failure_reason.zip(row.failure_message);
        let record = row.record.map(|Json(record)| serde_json::from_value::<JobRecord>(record)).transpose();
        let record = record.map_err(|_| unreadable(&row.identity, "record"))?;
        Ok(Self {
            identity: read_identity(&row.identity)?,
            requested_at: row.requested_at.to_jiff(),
            attempt: row.attempt.unsigned_abs(),
            outcome,
            percent: u8::try_from(row.percent).unwrap_or(100),
            failure: failure.map(|(reason, message)| TerminationMessage { reason: reason.into(), message }),
            record,
        })
    }
}

fn outcome_name(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Running => "Running",
        Outcome::Retrying => "Retrying",
        Outcome::DeadLettered => "DeadLettered",
        Outcome::Cancelled => "Cancelled",
        Outcome::Succeeded => "Succeeded",
    }
}

fn read_outcome(identity: &str, name: &str) -> Result<Outcome, StoreError> {
    use Outcome::{Cancelled, DeadLettered, Retrying, Running, Succeeded};
    [Running, Retrying, DeadLettered, Cancelled, Succeeded]
        .into_iter()
        .find(|outcome| outcome_name(*outcome) == name)
        .ok_or_else(|| unreadable(identity, "outcome"))
}

fn read_identity(text: &str) -> Result<Identity, StoreError> {
    Identity::parse(text).ok_or_else(|| unreadable(text, "identity"))
}

fn unreadable(identity: &str, column: &'static str) -> StoreError {
    StoreError::Unreadable { table: "transcodes", key: identity.to_owned(), column }
}

/// A size as PostgreSQL's bigint. S3's objects end at 5 TiB, far below its end.
fn clamped(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

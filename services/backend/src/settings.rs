//! What the backend is told by environment variables; README.md lists them.

use crate::cache::Cache;
use catalog::{Catalog, Storage};
use service_common::{Env, EnvError};
use std::time::Duration;

const GIB: u64 = 1 << 30;
/// What S3 admits for one object.
const MAX_OBJECT_BYTES: u64 = 5 << 40;
/// What Signature Version 4 admits for a presigned URL.
const MAX_PRESIGNED: Duration = Duration::from_secs(7 * 24 * 3600);

/// Limits of what is accepted for upload.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one source.
    pub max_bytes: u64,
    /// Media types, where `video/*` stands for all of a kind.
    pub content_types: Vec<String>,
    /// How long an upload may take, and how long its URLs work.
    pub expiry: Duration,
}

/// All settings, with what they open.
pub struct Settings {
    /// The catalogue in `DATABASE_URL`.
    pub catalog: Catalog,
    /// The cache of `CACHE_URL`, where there is one.
    pub cache: Option<Cache>,
    /// Buckets and prefixes.
    pub storage: Storage,
    /// Queue of transcoding messages.
    pub transcoding_queue_url: String,
    /// The token that every change needs.
    pub api_token: String,
    /// Limits of uploads.
    pub limits: Limits,
}

impl Settings {
    /// Reads the settings. Call it inside the tokio runtime.
    ///
    /// # Errors
    /// [`EnvError`], naming the first variable that is missing or wrong.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            catalog: Catalog::from_env(env)?,
            cache: Cache::from_env(env)?,
            storage: Storage::from_env(env)?,
            transcoding_queue_url: env.required("TRANSCODING_QUEUE_URL")?,
            api_token: env.required("API_TOKEN")?,
            limits: Limits::from_env(env)?,
        })
    }
}

impl Limits {
    fn from_env(env: &Env) -> Result<Self, EnvError> {
        let max_bytes = env.parse_or("UPLOAD_MAX_BYTES", 20 * GIB)?;
        if max_bytes > MAX_OBJECT_BYTES {
            return Err(EnvError::invalid("UPLOAD_MAX_BYTES", "S3 takes no object above 5 TiB"));
        }
        let expiry = env.duration_or("UPLOAD_EXPIRY", Duration::from_secs(24 * 3600))?;
        if expiry > MAX_PRESIGNED {
            return Err(EnvError::invalid("UPLOAD_EXPIRY", "presigned URLs work for 7 days at most"));
        }
        let types = env.optional("UPLOAD_CONTENT_TYPES");
        let types = types.as_deref().unwrap_or("video/*,audio/*,application/mxf,application/octet-stream");
        let content_types = types.split(',').map(|t| t.trim().to_ascii_lowercase()).collect();
        Ok(Self { max_bytes, content_types, expiry })
    }

    /// Whether a media type, without its parameters, is accepted.
    #[must_use]
    pub fn admits(&self, content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        self.content_types.iter().any(|admitted| match admitted.strip_suffix("/*") {
            Some(kind) => {
                essence.split_once('/').is_some_and(|(k, subtype)| k == kind && !subtype.is_empty())
            }
            None => *admitted == essence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_are_admitted_by_kind_or_by_name() {
        let limits =
            Limits::from_env(&Env::of([("UPLOAD_CONTENT_TYPES", "video/*, application/mxf")])).unwrap();
        assert!(limits.admits("video/mp4"));
        assert!(limits.admits("Video/MP4; codecs=avc1"));
        assert!(limits.admits("application/mxf"));
        assert!(!limits.admits("text/plain"));
        assert!(!limits.admits("video/"));
        assert!(!limits.admits("video"));
    }

    #[test]
    fn a_catalogue_needs_a_connection() {
        let env = Env::of([("DATABASE_URL", "postgres://u@h/d"), ("DATABASE_MAX_CONNECTIONS", "0")]);
        let refused = Settings::from_env(&env).err().unwrap().to_string();
        assert_eq!(refused, "DATABASE_MAX_CONNECTIONS is not valid: must be at least 1");
    }

    #[test]
    fn limits_that_s3_would_refuse_are_refused_at_the_start() {
        let refused = |name, value| Limits::from_env(&Env::of([(name, value)])).unwrap_err().to_string();
        assert!(refused("UPLOAD_EXPIRY", "8d").contains("UPLOAD_EXPIRY"));
        assert!(refused("UPLOAD_MAX_BYTES", "6000000000000").contains("5 TiB"));
    }
}

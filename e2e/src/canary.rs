//! The secrets canary: no value of a Secret is seen outside of Secrets in a whole run of the tests.
//!
//! [`record`] follows the cluster while tests run and writes down every Secret that there was and all that was said:
//! objects, events, logs, metrics, traces. [`check`] then seeks each value in it, in the API server's audit log and
//! on the node.

pub mod check;
pub mod record;
pub mod search;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// One value that a Secret had at some time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretValue {
    /// `namespace/name` of the Secret.
    pub secret: String,
    /// Its key.
    pub key: String,
    /// The value in base64.
    pub base64: String,
}

/// Something that was said, and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Said {
    /// What kind of place, and which.
    pub place: String,
    /// What was said.
    pub text: String,
}

/// The two files of a record, in a folder that only its owner reads.
#[derive(Clone, Debug)]
pub struct Record(PathBuf);

impl Record {
    /// The record in that folder, which is there.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn secrets(&self) -> PathBuf {
        self.0.join("secrets.jsonl")
    }

    fn said(&self) -> PathBuf {
        self.0.join("said.jsonl")
    }
}

/// Appends values to a file, one in a line.
struct Lines(Mutex<File>);

impl Lines {
    fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
        Ok(Self(Mutex::new(file.with_context(|| format!("write {}", path.display()))?)))
    }

    fn append(&self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&line)?)
    }
}

/// Gives each value of a file to `each`. The last line may be cut off, anywhere: it is being written.
fn read_lines<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(T)) -> Result<()> {
    let file = File::open(path).with_context(|| format!("no record at {}", path.display()))?;
    for line in BufReader::new(file).split(b'\n') {
        if let Ok(value) = serde_json::from_slice(&line?) {
            each(value);
        }
    }
    Ok(())
}

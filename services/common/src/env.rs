//! Settings from environment variables, with errors that name the variable.

use jiff::SignedDuration;
use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

/// A variable that is missing or can't be understood. Its value is never shown: it may be a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvError {
    /// The variable is not set, or empty.
    #[error("set {name}: it has no default")]
    Missing {
        /// Name of the variable.
        name: String,
    },
    /// The variable is set to something else than what is asked for.
    #[error("{name} is not valid: {problem}")]
    Invalid {
        /// Name of the variable.
        name: String,
        /// What is wrong, without the value.
        problem: String,
    },
}

impl EnvError {
    /// An error for a variable whose value was read but does not fit.
    pub fn invalid(name: &str, problem: impl fmt::Display) -> Self {
        Self::Invalid { name: name.to_owned(), problem: problem.to_string() }
    }
}

/// The environment of the process, or a stand-in for it in tests.
pub struct Env {
    given: Option<HashMap<String, String>>,
}

impl Env {
    /// The variables of this process.
    #[must_use]
    pub fn process() -> Self {
        Self { given: None }
    }

    /// Only these variables.
    pub fn of<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self { given: Some(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect()) }
    }

    /// The value of a variable; an empty one counts as not set.
    #[must_use]
    pub fn optional(&self, name: &str) -> Option<String> {
        let value = match &self.given {
            Some(given) => given.get(name).cloned(),
            None => std::env::var(name).ok(),
        };
        value.filter(|v| !v.is_empty())
    }

    /// The value of a variable that must be set.
    ///
    /// # Errors
    /// [`EnvError::Missing`] where it is not set or empty.
    pub fn required(&self, name: &str) -> Result<String, EnvError> {
        self.optional(name).ok_or_else(|| EnvError::Missing { name: name.to_owned() })
    }

    /// The value of a variable as a `T`, or the default where it is not set.
    ///
    /// # Errors
    /// [`EnvError::Invalid`] where it is set and no `T`.
    pub fn parse_or<T>(&self, name: &str, default: T) -> Result<T, EnvError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.optional(name)
            .map_or(Ok(default), |value| value.trim().parse().map_err(|e| EnvError::invalid(name, e)))
    }

    /// The value of a variable as a duration like `30s`, `10m` or `1h 30m`, or the default.
    ///
    /// # Errors
    /// [`EnvError::Invalid`] where it is set and no duration, or a negative one.
    pub fn duration_or(&self, name: &str, default: Duration) -> Result<Duration, EnvError> {
        let Some(value) = self.optional(name) else { return Ok(default) };
        let duration: SignedDuration = value
            .trim()
            .parse()
            .map_err(|_| EnvError::invalid(name, "expected a duration such as 30s, 10m or 24h"))?;
        duration.try_into().map_err(|_| EnvError::invalid(name, "a duration can't be negative"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_variable_and_keeps_its_value_to_itself() {
        let env = Env::of([("PORT", "hunter2"), ("EMPTY", "")]);
        let error = env.parse_or::<u16>("PORT", 1).unwrap_err().to_string();
        assert!(error.contains("PORT") && !error.contains("hunter2"), "{error}");
        assert_eq!(env.required("EMPTY").unwrap_err().to_string(), "set EMPTY: it has no default");
    }

    #[test]
    fn durations_are_written_as_people_write_them() {
        let env = Env::of([("A", "90s"), ("B", "1h 30m"), ("C", "-1s"), ("D", "soon")]);
        let read = |name| env.duration_or(name, Duration::from_secs(7));
        assert_eq!(read("A"), Ok(Duration::from_secs(90)));
        assert_eq!(read("B"), Ok(Duration::from_secs(5400)));
        assert!(read("C").unwrap_err().to_string().contains("negative"));
        assert!(read("D").unwrap_err().to_string().contains("30s"));
        assert_eq!(read("UNSET"), Ok(Duration::from_secs(7)));
    }
}

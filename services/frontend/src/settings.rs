//! Settings from the environment.

use http::Uri;
use service_common::{Env, EnvError};
use std::{path::PathBuf, time::Duration};
use url::Url;

/// What the server needs to know. The README has a table of the variables.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where `/api` and `/media` go: scheme `http`, host and port, no path.
    pub backend: Uri,
    /// Folder of the built web application.
    pub web_root: PathBuf,
    /// Origins that the browser may send uploads to.
    pub upload_origins: Vec<String>,
    /// Largest request body that is passed on, in bytes.
    pub max_request_bytes: usize,
    /// How long connecting to the backend may take.
    pub connect_timeout: Duration,
    /// How long the backend may take until the head of its response.
    pub response_timeout: Duration,
}

/// Completing an upload of 10,000 parts takes about 1 MB.
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// [`EnvError`] names the variable that is missing or can't be understood.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            backend: backend(&env.required("BACKEND_URL")?)?,
            web_root: env.parse_or("WEB_ROOT", PathBuf::from("/srv/web"))?,
            upload_origins: env.optional("UPLOAD_ORIGINS").map_or(Ok(Vec::new()), |text| origins(&text))?,
            max_request_bytes: env.parse_or("MAX_REQUEST_BYTES", MAX_REQUEST_BYTES)?,
            connect_timeout: env.duration_or("CONNECT_TIMEOUT", Duration::from_secs(3))?,
            response_timeout: env.duration_or("RESPONSE_TIMEOUT", Duration::from_secs(60))?,
        })
    }
}

fn backend(text: &str) -> Result<Uri, EnvError> {
    let invalid = |problem| EnvError::invalid("BACKEND_URL", problem);
    let uri: Uri = text.parse().map_err(|_| invalid("expected a URL such as http://backend:8080"))?;
    match (uri.scheme_str(), uri.authority(), uri.path()) {
        (Some("http"), Some(_), "/" | "") => Ok(uri),
        (Some("http"), Some(_), _) => Err(invalid("a path is not supported")),
        _ => Err(invalid("the scheme must be http")),
    }
}

/// Origins, separated by spaces or commas. Whatever else a URL holds is dropped.
fn origins(text: &str) -> Result<Vec<String>, EnvError> {
    text.split([' ', ','])
        .filter(|part| !part.is_empty())
        .map(|part| match Url::parse(part) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(url.origin().ascii_serialization())
            }
            _ => Err(EnvError::invalid(
                "UPLOAD_ORIGINS",
                "expected URLs with http or https, separated by spaces",
            )),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, EnvError> {
        Settings::from_env(&Env::of(pairs.iter().copied()))
    }

    #[test]
    fn only_the_backend_has_no_default() {
        let settings = read(&[("BACKEND_URL", "http://demo-backend:8080")]).unwrap();
        assert_eq!(settings.backend.authority().unwrap(), "demo-backend:8080");
        assert_eq!(settings.web_root, PathBuf::from("/srv/web"));
        assert!(settings.upload_origins.is_empty());
        assert_eq!(read(&[]).unwrap_err(), EnvError::Missing { name: "BACKEND_URL".into() });
    }

    #[rstest]
    #[case("https://backend")]
    #[case("backend:8080")]
    #[case("http://backend/base")]
    #[case("")]
    fn a_backend_that_can_not_be_reached_is_refused(#[case] url: &str) {
        assert!(read(&[("BACKEND_URL", url)]).unwrap_err().to_string().contains("BACKEND_URL"));
    }

    #[test]
    fn upload_origins_lose_path_and_credentials() {
        let text = "http://user:secret@172.17.0.1:4566/x, https://in.s3.eu-west-1.amazonaws.com";
        let settings = read(&[("BACKEND_URL", "http://b"), ("UPLOAD_ORIGINS", text)]).unwrap();
        assert_eq!(
            settings.upload_origins,
            ["http://172.17.0.1:4566", "https://in.s3.eu-west-1.amazonaws.com"]
        );
    }

    #[rstest]
    #[case("*")]
    #[case("data:")]
    #[case("https://a; script-src 'unsafe-inline'")]
    fn what_would_widen_the_policy_is_refused(#[case] text: &str) {
        let error = read(&[("BACKEND_URL", "http://b"), ("UPLOAD_ORIGINS", text)]).unwrap_err();
        assert!(error.to_string().contains("UPLOAD_ORIGINS"), "{error}");
    }
}

//! Security headers of every response.

use axum::{extract::State, response::Response};
use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS},
};

/// The headers that depend on settings.
#[derive(Clone, Debug)]
pub struct Security {
    policy: HeaderValue,
}

impl Security {
    /// The headers for an application that uploads to these origins.
    ///
    /// # Panics
    /// Where an origin is no text for a header; [`crate::Settings`] makes no such origin.
    #[must_use]
    pub fn new(upload_origins: &[String]) -> Self {
        let policy = content_security_policy(upload_origins);
        Self { policy: HeaderValue::from_str(&policy).expect("origins are ASCII without control characters") }
    }
}

/// Nothing inline, nothing from elsewhere. `blob:` is how Media Source Extensions feed a video element, and
/// hls.js begins each caption track with an empty `data:` file.
fn content_security_policy(upload_origins: &[String]) -> String {
    let connect = ["'self'"].into_iter().chain(upload_origins.iter().map(String::as_str));
    [
        "default-src 'none'".to_owned(),
        "script-src 'self'".to_owned(),
        "style-src 'self'".to_owned(),
        "img-src 'self'".to_owned(),
        "media-src 'self' blob: data:".to_owned(),
        "worker-src 'self'".to_owned(),
        format!("connect-src {}", connect.collect::<Vec<_>>().join(" ")),
        "base-uri 'none'".to_owned(),
        "form-action 'self'".to_owned(),
        "frame-ancestors 'none'".to_owned(),
    ]
    .join("; ")
}

/// Adds the security headers, over what the backend may have set.
pub async fn secure(State(security): State<Security>, mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, security.policy);
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_admits_uploads_to_the_named_origins_and_nothing_inline() {
        let policy = content_security_policy(&["https://in.s3.eu-west-1.amazonaws.com".into()]);
        assert!(policy.contains("connect-src 'self' https://in.s3.eu-west-1.amazonaws.com;"), "{policy}");
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!policy.contains('*'), "{policy}");
    }
}

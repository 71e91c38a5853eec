//! The bearer token that every change needs.

use crate::{App, problem::Problem};
use axum::extract::FromRequestParts;
use http::{StatusCode, header::AUTHORIZATION, request::Parts};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Digest of the token, so that a comparison takes the same time whatever is sent.
#[derive(Clone)]
pub struct ApiToken([u8; 32]);

impl ApiToken {
    /// The token that is to be shown.
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    fn accepts(&self, token: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.ct_eq(&shown).into()
    }
}

/// Proof that a request showed the token. A handler that takes it is guarded.
pub struct Authorized;

impl FromRequestParts<App> for Authorized {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let shown = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = shown
            .and_then(|value| value.split_once(' '))
            .and_then(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()));
        match token {
            Some(token) if app.token.accepts(token) => Ok(Self),
            _ => Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "Send the platform's API token as `Authorization: Bearer …`.",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_accepted() {
        let token = ApiToken::new("secret");
        assert!(token.accepts("secret"));
        for wrong in ["", "secre", "secret ", "SECRET"] {
            assert!(!token.accepts(wrong), "{wrong:?}");
        }
    }
}

//! What the administrator decides for all platforms: images, allow-lists, limits.

use std::{str::FromStr, time::Duration};

/// What external ids begin with where nothing else is said.
pub const EXTERNAL_ID_PREFIX: &str = "streaming-operator";
/// Longest prefix. With namespace and name it stays far below the 1,224 characters of the STS API Reference.
const MAX_EXTERNAL_ID_PREFIX: usize = 128;
/// The default of [`Settings::resync`].
const RESYNC: Duration = Duration::from_secs(600);

/// Settings of the operator, from its command line.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Images for what a platform leaves unsaid.
    pub images: Images,
    /// Base URLs that `spec.aws.endpointURL` may name; empty: none.
    pub allowed_aws_endpoints: Vec<String>,
    /// Which roles a namespace may assume; empty: none.
    pub allowed_roles: Vec<RolePattern>,
    /// What external ids begin with by which the operator assumes roles; different for each operator of an account.
    pub external_id_prefix: String,
    /// Namespaces whose platforms may act in AWS with the operator's own identity (`*`: all); empty: none.
    pub operator_identity_namespaces: Vec<String>,
    /// Namespaces that are watched; empty: all.
    pub watch_namespaces: Vec<String>,
    /// A reconcile of every platform at least this often, as a net below the watches.
    pub resync: Duration,
}

/// Images that the operator brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// The bundled frontend.
    pub frontend: String,
    /// The bundled backend.
    pub backend: String,
    /// The bundled worker.
    pub worker: String,
    /// The bundled transcoder.
    pub transcoder: String,
    /// PostgreSQL, by the contract of the official `postgres` image.
    pub postgres: String,
    /// Redis or Valkey, by the contract of the official `redis` image.
    pub redis: String,
}

impl Images {
    /// Images by the names of their fields.
    #[must_use]
    pub fn named(image: impl Fn(&str) -> String) -> Self {
        Self {
            frontend: image("frontend"),
            backend: image("backend"),
            worker: image("worker"),
            transcoder: image("transcoder"),
            postgres: image("postgres"),
            redis: image("redis"),
        }
    }
}

/// `namespace=arn-pattern`: platforms of the namespace (`*`: any) may assume roles whose ARN matches. `*` in
/// the pattern stands for any characters but `/` and `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RolePattern {
    /// The namespace, or `*`.
    pub namespace: String,
    /// The pattern.
    pub role_arn: String,
}

impl Settings {
    /// As the command line without options: every namespace is watched, and nothing is admitted in AWS.
    #[must_use]
    pub fn new(images: Images) -> Self {
        Self {
            images,
            allowed_aws_endpoints: Vec::new(),
            allowed_roles: Vec::new(),
            external_id_prefix: EXTERNAL_ID_PREFIX.to_owned(),
            operator_identity_namespaces: Vec::new(),
            watch_namespaces: Vec::new(),
            resync: RESYNC,
        }
    }

    /// Whether a platform may name this URL in place of AWS.
    #[must_use]
    pub fn admits_endpoint(&self, url: &str) -> bool {
        let url = url.trim_end_matches('/');
        self.allowed_aws_endpoints.iter().any(|allowed| allowed.trim_end_matches('/') == url)
    }

    /// Whether platforms of a namespace may have the operator assume this role.
    #[must_use]
    pub fn admits_role(&self, namespace: &str, role_arn: &str) -> bool {
        self.allowed_roles.iter().any(|pattern| pattern.admits(namespace, role_arn))
    }

    /// Whether platforms of a namespace may act in AWS with the operator's own identity.
    #[must_use]
    pub fn admits_operator_identity(&self, namespace: &str) -> bool {
        self.operator_identity_namespaces.iter().any(|admitted| admitted == "*" || admitted == namespace)
    }
}

impl FromStr for RolePattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (namespace, role_arn) =
            text.split_once('=').ok_or("expected `namespace=role-arn`, with `*` for any namespace")?;
        if namespace.is_empty() || !role_arn.starts_with("arn:") {
            return Err("expected `namespace=role-arn`, with `*` for any namespace");
        }
        Ok(Self { namespace: namespace.to_owned(), role_arn: role_arn.to_owned() })
    }
}

/// A prefix of external ids: characters that the STS API Reference admits in them, but for the `/` that ends it.
///
/// # Errors
/// What is wrong with it.
pub fn external_id_prefix(text: &str) -> Result<String, &'static str> {
    let taken = |c: char| c.is_ascii_alphanumeric() || "_+=,.@:-".contains(c);
    if text.is_empty() || text.len() > MAX_EXTERNAL_ID_PREFIX || !text.chars().all(taken) {
        return Err("expected 1 to 128 letters, digits or any of _+=,.@:-");
    }
    Ok(text.to_owned())
}

impl RolePattern {
    fn admits(&self, namespace: &str, role_arn: &str) -> bool {
        (self.namespace == "*" || self.namespace == namespace)
            && matches(self.role_arn.as_bytes(), role_arn.as_bytes())
    }
}

/// Whether a text matches a pattern in which `*` stands for any characters but `/` and `:`. As neither crosses
/// such a character, only the last star met can have to take more: the time grows with the product of the
/// lengths at most.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                last_star = Some((p, t));
                p += 1;
            }
            (Some(expected), Some(found)) if expected == found => {
                p += 1;
                t += 1;
            }
            _ => match last_star {
                Some((star, taken)) if text.get(taken).is_some_and(|c| !matches!(c, b'/' | b':')) => {
                    last_star = Some((star, taken + 1));
                    (p, t) = (star + 1, taken + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    /// Settings that admit nothing.
    fn settings() -> Settings {
        Settings::new(Images::named(str::to_owned))
    }

    #[rstest]
    #[case("http://aws.example:4566", true)]
    #[case("http://aws.example:4566/", true)]
    #[case("https://aws.example:4566", false)]
    #[case("http://aws.example", false)]
    #[case("http://aws.example:45660", false)]
    #[case("http://aws.example.:4566", false)]
    #[case("http://aws.example:4566@evil.example", false)]
    #[case("http://aws.example:4566.evil.example", false)]
    #[case("http://user:password@aws.example:4566", false)]
    #[case("http://aws.example:4566/../", false)]
    #[case("http://aws.example:4566/%2e%2e", false)]
    #[case("http://aws.example:4566?", false)]
    #[case("http://aws.example:4566#@evil.example", false)]
    #[case("http://aws.example:4566\\@evil.example", false)]
    #[case("http://aws.example:4566\n", false)]
    #[case(" http://aws.example:4566", false)]
    #[case("HTTP://AWS.EXAMPLE:4566", false)]
    #[case("http://aws%2eexample:4566", false)]
    #[case("http://аws.example:4566", false)] // The first letter is Cyrillic.
    #[case("http://aws。example:4566", false)] // An ideographic full stop, which IDNA takes for a dot.
    #[case("http://aws.example:04566", false)]
    #[case("http://2130706433:4566", false)]
    #[case("http://[::1]:4566", false)]
    #[case("", false)]
    fn an_endpoint_is_admitted_only_as_it_is_listed(#[case] url: &str, #[case] admitted: bool) {
        let allowed_aws_endpoints = vec!["http://aws.example:4566".into()];
        let settings = Settings { allowed_aws_endpoints, ..settings() };
        assert_eq!(settings.admits_endpoint(url), admitted);
    }

    #[rstest]
    #[case(&[], false)]
    #[case(&["media"], true)]
    #[case(&["*"], true)]
    #[case(&["med", "media-2"], false)]
    fn the_operators_identity_is_used_only_where_it_is_admitted(
        #[case] namespaces: &[&str],
        #[case] admitted: bool,
    ) {
        let operator_identity_namespaces = namespaces.iter().map(ToString::to_string).collect();
        let settings = Settings { operator_identity_namespaces, ..settings() };
        assert_eq!(settings.admits_operator_identity("media"), admitted);
    }

    #[rstest]
    #[case("media=arn:aws:iam::123456789012:role/media-*", "media", true)]
    #[case("*=arn:aws:iam::*:role/media-x", "media", true)]
    #[case("media=arn:aws:iam::123456789012:role/media-*", "other", false)]
    #[case("media=arn:aws:iam::123456789012:role/*-x", "media", true)]
    #[case("media=arn:aws:iam::123456789012:role/admin", "media", false)]
    fn a_role_is_assumed_only_where_a_pattern_admits_it(
        #[case] pattern: &str,
        #[case] namespace: &str,
        #[case] admitted: bool,
    ) {
        let pattern: RolePattern = pattern.parse().unwrap();
        assert_eq!(pattern.admits(namespace, "arn:aws:iam::123456789012:role/media-x"), admitted);
    }

    #[test]
    fn a_star_crosses_neither_path_nor_account() {
        assert!(!matches(b"arn:aws:iam::1:role/*", b"arn:aws:iam::1:role/path/admin"));
        assert!(!matches(b"arn:*:role/x", b"arn:aws:iam::1:role/x"));
        assert!(matches(b"*", b""));
    }

    #[rstest]
    #[case("arn:aws:iam::123456789012:role/media-tv", true)]
    #[case("arn:aws:iam::123456789012:role/media-", true)]
    #[case("arn:aws:iam::123456789012:role/media-*", true)]
    #[case("arn:aws:iam::123456789012:role/media-x/admin", false)]
    #[case("arn:aws:iam::123456789012:role/media-x:admin", false)]
    #[case("arn:aws:iam::123456789012:role/media-x/../admin", false)]
    #[case("arn:aws:iam::123456789012:role/path/media-x", false)]
    #[case("arn:aws:iam::123456789012:role/Media-x", false)]
    #[case("arn:aws:iam::123456789012:role/mediа-x", false)] // The last a is Cyrillic.
    #[case("arn:aws:iam::123456789012:role/media%2Dx", false)]
    #[case("arn:aws:iam::123456789012:role/admin\narn:aws:iam::123456789012:role/media-x", false)]
    #[case("arn:aws:iam::210987654321:role/media-x", false)]
    #[case("arn:aws-cn:iam::123456789012:role/media-x", false)]
    #[case("arn:aws:sts::123456789012:assumed-role/media-x/session", false)]
    #[case("arn:aws:iam::123456789012:user/media-x", false)]
    #[case(" arn:aws:iam::123456789012:role/media-x", false)]
    #[case("", false)]
    fn no_other_way_to_write_a_role_is_admitted(#[case] role: &str, #[case] admitted: bool) {
        let pattern: RolePattern = "media=arn:aws:iam::123456789012:role/media-*".parse().unwrap();
        assert_eq!(pattern.admits("media", role), admitted);
        for namespace in ["Media", "media ", "media/other", "*", "", "mediа"] {
            assert!(!pattern.admits(namespace, role), "{namespace:?}");
        }
    }

    proptest! {
        /// Whatever a star stands for, account and path are those that the administrator wrote.
        #[test]
        fn what_a_pattern_admits_has_its_parts(
            pattern in "arn:aws:iam::[12*]{1,3}:role/[ab*]{0,4}(/[ab*]{0,3})?",
            role in "arn:aws:iam::[12]{1,3}:role/[ab*é]{0,4}(/[ab]{0,3})?(:a)?",
        ) {
            let parts = |text: &str| text.split([':', '/']).map(str::to_owned).collect::<Vec<_>>();
            let one = |pattern: &String, part: &String| {
                regex_lite::Regex::new(&format!("^{}$", pattern.replace('*', ".*"))).unwrap().is_match(part)
            };
            let (patterns, found) = (parts(&pattern), parts(&role));
            let separators = |text: &str| text.chars().filter(|c| matches!(c, ':' | '/')).collect::<String>();
            let expected = separators(&pattern) == separators(&role)
                && patterns.iter().zip(&found).all(|(pattern, part)| one(pattern, part));
            prop_assert_eq!(matches(pattern.as_bytes(), role.as_bytes()), expected);
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        let text = [b"a".repeat(2000), b"b".to_vec()].concat();
        assert!(!matches(&[b"*a".repeat(20), b"c".to_vec()].concat(), &text));
        assert!(matches(&[b"*a".repeat(20), b"*".to_vec()].concat(), &text));
    }
}

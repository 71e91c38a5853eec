//! The request: read from the environment, and validated so that nothing later has to doubt it.

use crate::Failure;
use contract::{Reason, TranscodeRequest, job::REQUEST_VARIABLE};

/// Reads and validates the request.
///
/// # Errors
/// `INVALID_REQUEST` that names the field.
pub fn parse(json: Option<&str>) -> Result<TranscodeRequest, Failure> {
    let json = json.ok_or_else(|| invalid(&format!("the variable {REQUEST_VARIABLE} is not set")))?;
    let request: TranscodeRequest =
        serde_json::from_str(json).map_err(|error| invalid(&format!("{REQUEST_VARIABLE}: {error}")))?;
    let expected = format!("{}/", request.identity);
    if !request.output.prefix.ends_with(&expected) {
        return Err(invalid(&format!("output.prefix must end in the identity: \"{expected}\"")));
    }
    for (field, value) in [
        ("source.bucket", &request.source.bucket),
        ("source.key", &request.source.key),
        ("output.bucket", &request.output.bucket),
    ] {
        if value.is_empty() {
            return Err(invalid(&format!("{field} is empty")));
        }
    }
    request.profile.check().map_err(|error| invalid(&error.to_string()))?;
    Ok(request)
}

fn invalid(why: &str) -> Failure {
    Failure::new(
        Reason::InvalidRequest,
        format!("The request can't be used: {why}. Correct it and ask again."),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use contract::Profile;
    use rstest::rstest;

    fn json(change: impl FnOnce(&mut serde_json::Value)) -> String {
        let mut value = serde_json::json!({
            "identity": "abcdefghijklmnopqrst", "attempt": 1,
            "source": {"bucket": "in", "key": "a.mp4"},
            "output": {"bucket": "out", "prefix": "x/abcdefghijklmnopqrst/"},
            "profile": {}
        });
        change(&mut value);
        value.to_string()
    }

    #[test]
    fn a_whole_request_is_taken() {
        let request = parse(Some(&json(|_| ()))).unwrap();
        assert_eq!(request.profile, Profile::default());
    }

    #[rstest]
    #[case("/output/prefix", serde_json::json!("x/"), "output.prefix")]
    #[case("/source/key", serde_json::json!(""), "source.key")]
    #[case("/profile/gopSeconds", serde_json::json!(0), "profile.gopSeconds")]
    #[case("/profile/colour", serde_json::json!("blue"), "colour")]
    fn a_wrong_field_is_named(#[case] pointer: &str, #[case] value: serde_json::Value, #[case] named: &str) {
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        let text = json(|request| request.pointer_mut(parent).unwrap()[field] = value);
        let failure = parse(Some(&text)).unwrap_err();
        assert_eq!(failure.reason, Reason::InvalidRequest);
        assert!(failure.message.contains(named), "{failure}");
    }

    #[test]
    fn a_missing_variable_is_named() {
        assert!(parse(None).unwrap_err().message.contains(REQUEST_VARIABLE));
        assert!(parse(Some("{")).unwrap_err().message.contains(REQUEST_VARIABLE));
    }
}

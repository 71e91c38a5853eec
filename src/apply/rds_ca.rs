//! The certificates with which AWS signs those of its databases, by region.
//!
//! The file is generated (`make generate`); NOTICE tells its source and licence. A Secret gets those of its region
//! only: all of them together are too long for an environment variable.

/// Each certificate under a comment with its subject's name.
const BUNDLE: &str = include_str!("rds-ca.pem");
/// What follows each certificate.
const END: &str = "-----END CERTIFICATE-----\n";

/// CA certificates in PEM of RDS and Aurora in `region`, and those of Amazon Trust Services, which sign RDS
/// Proxy's (Amazon RDS User Guide, "Using TLS/SSL with RDS Proxy").
///
/// None: the region is newer than the file, or of another partition; the spec has to give the certificates.
#[must_use]
pub fn of_region(region: &str) -> Option<String> {
    let of_region = format!("# Amazon RDS {region} Root CA ");
    let (own, rest): (Vec<_>, Vec<_>) = certificates().partition(|it| it.contains(&of_region));
    let public = rest.into_iter().filter(|it| !it.contains("# Amazon RDS "));
    (!own.is_empty()).then(|| own.iter().copied().chain(public).collect())
}

fn certificates() -> impl Iterator<Item = &'static str> {
    BUNDLE.split_inclusive(END).filter(|it| it.ends_with(END))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{Timestamp, ToSpan, civil::date, tz::TimeZone};
    use x509_parser::pem::Pem;

    #[test]
    fn every_certificate_can_be_read_and_lasts() {
        let pinned = date(2026, 11, 21);
        assert!(
            BUNDLE.contains(&format!("pinned {pinned}")),
            "the date in bundle.mjs was raised: raise this one"
        );
        let deadline = (pinned + 1.year()).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let mut count = 0;
        for pem in Pem::iter_from_buffer(BUNDLE.as_bytes()) {
            let pem = pem.unwrap();
            let certificate = pem.parse_x509().unwrap();
            let ends = Timestamp::from_second(certificate.validity().not_after.timestamp()).unwrap();
            assert!(ends > deadline, "{} ends {ends}", certificate.subject());
            assert!(certificate.is_ca(), "{} is no CA", certificate.subject());
            count += 1;
        }
        assert_eq!(count, certificates().count());
    }

    #[test]
    fn a_region_gets_its_own_and_the_public_ones() {
        let pem = of_region("us-east-1").unwrap();
        assert_eq!(pem.matches("# Amazon RDS us-east-1 Root CA ").count(), 3);
        assert_eq!(pem.matches("# Amazon Root CA ").count(), 4);
        assert_eq!(pem.matches(END).count(), 8);
        assert_eq!(Pem::iter_from_buffer(pem.as_bytes()).filter(Result::is_ok).count(), 8);
        assert!(pem.len() < 32 * 1024, "{} bytes are much for an environment variable", pem.len());
        assert_eq!(of_region("us-east"), None);
        assert_eq!(of_region("moon-1"), None);
    }
}

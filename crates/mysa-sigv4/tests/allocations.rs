//! A presigned URL costs one allocation: the URL itself. Signed headers cost the list of them, the authorization, and
//! the token.

use mysa_sigv4::{Authority, Credentials, HeaderSigner, Presigner, Request, TokenRule};
use time::{Duration, OffsetDateTime};

#[test]
fn a_url_is_one_allocation_with_and_without_the_days_cache() {
    let time = OffsetDateTime::from_unix_timestamp(1_767_323_045).expect("a time");
    let authority =
        Authority::new("a3q27gia9qg3zy-ats.iot.us-east-1.amazonaws.com", Some(8443)).expect("a host");
    let token = "IQoJb3JpZ2luX2Vj/+=é".repeat(50);
    for token in [None, Some("t"), Some(token.as_str())] {
        let credentials =
            Credentials::new("AKID/+EXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token);
        for rule in [TokenRule::AfterSigning, TokenRule::Signed] {
            for expires in [None, Some(1), Some(604_800)] {
                let name = format!("{rule:?}, {expires:?}, token of {:?}", token.map(str::len));
                let presigner = Presigner::iot("us-east-1");
                let plain = allocation_counter::measure(|| {
                    let _ =
                        presigner.presign(&credentials, &authority, "/mqtt", time, expires, rule).map(drop);
                });
                assert_eq!(plain.count_total, 1, "{name}: {plain:?}");

                let mut days = presigner
                    .into_cached(credentials.clone(), authority.clone(), "/mqtt", rule)
                    .expect("a plain path");
                let first = days.presign(time, expires).expect("signable");
                let cached = allocation_counter::measure(|| {
                    let _ = days.presign(time + Duration::SECOND, expires).map(drop);
                });
                assert_eq!(cached.count_total, 1, "{name}: {cached:?}");
                // The length of the URL is close to the reserved capacity.
                assert!((plain.bytes_max as usize).abs_diff(first.as_str().len()) < 32, "{name}: {plain:?}");
            }
        }
    }
}

#[test]
fn signed_headers_are_two_allocations_and_the_token() {
    let time = OffsetDateTime::from_unix_timestamp(1_767_323_045).expect("a time");
    let headers =
        [("host", "iot.us-east-1.amazonaws.com"), ("accept", "application/json"), ("user-agent", "test")];
    let request = Request { method: "GET", target: "/things/a1b2c3", headers: &headers };
    let signer = HeaderSigner::new("us-east-1", "iot");
    for (token, expected) in [(None, 2), (Some("IQoJb3JpZ2luX2Vj/+=="), 3)] {
        let credentials = Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token);
        for body in [&b""[..], b"{}"] {
            let cost = allocation_counter::measure(|| {
                let _ = signer.sign(&credentials, &request, body, time).map(drop);
            });
            assert_eq!(cost.count_total, expected, "{token:?}: {cost:?}");
        }
    }
}

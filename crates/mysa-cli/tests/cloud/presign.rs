//! URLs for other programs.

use crate::bench::{Bench, HANG_SECONDS, LIVING};
use crate::common::finish;

const THERMOSTAT: &str = "a0b1c2d3e4f5=BB-V1-1";

/// Watches with a URL until the thermostat has reported.
fn sees_statuses(bench: &Bench, url: &str) {
    let args = ["watch", "--url", "-", "--count", "1", "--timeout", HANG_SECONDS, "--json", THERMOSTAT];
    let ran = finish(bench.command(&args), url.as_bytes()).ok();
    let last = ran.json().pop().unwrap();
    assert!(last["id"] == LIVING && last["current_a"].is_number(), "{ran:?}");
    assert!(!ran.out.contains("X-Amz") && !ran.err.contains("X-Amz"), "{ran:?}");
}

#[test]
fn a_url_that_is_printed_is_taken_by_the_broker_and_warned_of() {
    let bench = Bench::signed_in();
    let ran = bench.run(&["presign", "--print"]).ok();
    assert!(ran.out.starts_with("wss://") && ran.out.lines().count() == 1, "{ran:?}");
    assert!(ran.err.contains("secret") && !ran.err.contains("Signature"), "{ran:?}");
    sees_statuses(&bench, &ran.out);
    let document = bench.run(&["presign", "--print", "--json"]).ok().json().remove(0);
    assert!(
        document["url"].as_str().unwrap().starts_with("wss://") && document["expired"] == false,
        "{document}"
    );
    // A watch with a URL knows no names, and needs ids.
    finish(bench.command(&["watch", "--url", "-", "Living room"]), ran.out.as_bytes()).fails(2);
    bench.run(&["watch", "--url", ran.out.trim()]).fails(2);
}

#[test]
fn a_url_in_a_file_is_for_its_owner_alone() {
    let bench = Bench::signed_in();
    let path = bench.home.write("url.txt", "what was here before");
    let ran = bench.run(&["presign", "--out", "url.txt", "--json", "-vv"]).ok();
    let document = ran.json().remove(0);
    assert_eq!(
        (&document["schema"], &document["file"], &document["expired"]),
        (&1.into(), &"url.txt".into(), &false.into())
    );
    assert!(document["expires_at"].is_string() && document["has_session_token"] == true, "{document}");
    assert!(!ran.out.contains("X-Amz") && !ran.err.contains("X-Amz"), "{ran:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let url = std::fs::read_to_string(&path).unwrap();
    let seen =
        finish(bench.command(&["presign", "--inspect", "-", "--json"]), url.as_bytes()).ok().json().remove(0);
    assert_eq!(seen["access_key_id"], document["access_key_id"]);
    sees_statuses(&bench, &url);
}

#[test]
fn a_url_cannot_be_made_without_an_account_or_a_place_for_it() {
    let bench = Bench::new();
    bench.run(&["presign", "--print"]).fails(4);
    bench.run(&["presign"]).fails(2);
    bench.run(&["presign", "--print", "--out", "url.txt"]).fails(2);
    bench.log_in().ok();
    bench.run(&["presign", "--out", "-"]).fails(2);
    bench.home.write("file", "");
    bench.run(&["presign", "--out", "file/url.txt"]).fails(1);
}

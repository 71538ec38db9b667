//! Log of `mysa watch` on a pipe during an outage. The unit tests of the status log check the intervals of the
//! repetitions in virtual time.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use mysa_sim::Fault;

use crate::bench::{Bench, HANG_SECONDS};

#[test]
fn an_outage_and_its_end_are_one_line_each() {
    let bench = Bench::signed_in();
    bench.fault(Fault::RefuseUpgrade(503));
    let mut command = bench.command(&["watch", "living", "--timeout", HANG_SECONDS]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // A slow start logs a line of its own before the upgrade is refused.
    let lost = said.by_ref().find(|line| line.contains("HTTP 503")).expect("a line that names the outage");
    assert!(lost.contains("  REST only: "), "{lost}");
    bench.server().with_cloud(|cloud, _| cloud.clear_faults());
    // A slow machine may log that the outage lasts before it has connected.
    let back = said.find(|line| !line.contains("HTTP 503")).unwrap();
    assert!(back.contains("  live"), "{back}");
    child.kill().unwrap();
    child.wait().unwrap();
}

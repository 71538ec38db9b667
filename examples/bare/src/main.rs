//! Program without std. It decodes a thermostat's status, encodes a command and presigns a URL, compares each result with
//! a known one, and counts the allocations of each step, from an allocator that owns 32 KiB.
//!
//! Under `cargo run` it is an ordinary program that prints the counts. With `--cfg freestanding` it is `no_std` and
//! `no_main`, and `.ci/purity` links it without std. Built for a Cortex-M, it is firmware, which `.ci/embedded` runs in
//! QEMU. Each returns 0 if all results and counts are as expected.
#![cfg_attr(any(freestanding, target_os = "none"), no_std, no_main)]

extern crate alloc;

#[cfg(target_os = "none")]
mod cortex_m;
#[cfg(freestanding)]
mod freestanding;

use alloc::vec::Vec;

use mysa_proto::{
    Body, Celsius, Change, Command, EnvelopeForm, EnvelopeMeta, Limits, Message, ModeTable, Model, Topic,
    UnixTime,
};
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};
use talc::{TalcLock, source::Claim};
use time::OffsetDateTime;

/// Size of the heap in bytes. Without std 32 KiB are enough; std itself needs more before `main` begins.
const HEAP: usize = if cfg!(any(freestanding, target_os = "none")) { 32 << 10 } else { 1 << 20 };

#[global_allocator]
#[expect(unsafe_code, reason = "the allocator alone uses the array, which is what `Claim` asks")]
static ALLOCATOR: TalcLock<spinning_top::RawSpinlock, Claim> = TalcLock::new(unsafe {
    static mut MEMORY: [u8; HEAP] = [0; HEAP];
    Claim::array(&raw mut MEMORY)
});

const TOPIC: &[u8] = b"/v1/dev/a0b1c2d3e4f6/out";
const STATUS: &[u8] = br#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,
    "id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
const COMMAND: &[u8] = br#"{"ver":"1.0","src":{"type":100,"ref":"bare"},"dest":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323046,"Timestamp":1767323046,"msg":44,"id":1767323046000,"resp":2,"body":{"ver":1,"type":4,"cmd":[{"tm":-1,"sp":21.5}]}}"#;
/// Computed by another implementation of AWS Signature Version 4: the HMAC chain of AWS's documentation in Python.
const URL: &str = "wss://example.amazonaws.com/mqtt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDE\
    XAMPLE%2F20260102%2Fus-east-1%2Fiotdevicegateway%2Faws4_request&X-Amz-Date=20260102T0305\
    06Z&X-Amz-SignedHeaders=host&X-Amz-Signature=5b07343c8e9090425639527ec4aea1b853a0e8efa99\
    6e5d1bebe3e54f0a88d49&X-Amz-Security-Token=a%2Ftoken%3D%3D";
const NOW: UnixTime = UnixTime::from_secs(1_767_323_046);

/// Number of allocations of each step.
#[derive(Debug, Eq, PartialEq)]
struct Allocations {
    /// Decoding borrows from the input.
    status: u64,
    /// A command is plain data, and is encoded into the caller's buffer.
    command: u64,
    /// Allocations for a further URL of the same day; everything constant over the day was computed before.
    url: u64,
}

/// The one allocation is the returned URL.
const EXPECTED: Allocations = Allocations { status: 0, command: 0, url: 1 };

fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATOR.lock().counters().total_allocation_count;
    let result = work();
    (result, ALLOCATOR.lock().counters().total_allocation_count - before)
}

/// Runs the three steps. `Err` names the step that failed.
fn work() -> Result<Allocations, &'static str> {
    let (decoded, status) = counted(|| {
        let topic = Topic::parse(TOPIC)?;
        let message = Message::decode(topic.kind, STATUS).ok()?;
        match message.body {
            Body::Status(status) if message.is_about(topic.device) => Some((topic.device, status)),
            _ => None,
        }
    });
    let (device, decoded) = decoded.ok_or("status")?;
    let degrees = |temperature: Option<Celsius>| temperature.map(Celsius::as_degrees);
    if (degrees(decoded.ambient), degrees(decoded.setpoint)) != (Some(18.9), Some(20.0)) {
        return Err("temperatures of the status");
    }
    let setpoint = decoded.setpoint.ok_or("setpoint of the status")?;

    let model = Model::parse("BB-V2-0");
    let mut wire = Vec::with_capacity(512);
    let (written, command) = counted(|| {
        let warmer = Celsius::from_degrees(setpoint.as_degrees() + 1.5)?;
        let limits = Limits::default();
        let command =
            Command::new(device, &model, &limits, &ModeTable::OBSERVED, Change::setpoint(warmer), NOW)
                .ok()?;
        let stamp =
            EnvelopeMeta { id: 1_767_323_046_000, time: NOW, app_ref: "bare", form: EnvelopeForm::Observed };
        command.encode(&stamp, &mut wire);
        Some(())
    });
    written.ok_or("command")?;
    if wire != COMMAND {
        return Err("bytes of the command");
    }

    let credentials =
        Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", Some("a/token=="));
    let authority = Authority::new("example.amazonaws.com", None).map_err(|_| "authority")?;
    let mut presigner = Presigner::iot("us-east-1")
        .into_cached(credentials, authority, "/mqtt", TokenRule::AfterSigning)
        .map_err(|_| "presigner")?;
    let at = |secs| OffsetDateTime::from_unix_timestamp(secs).map_err(|_| "time");
    let (first, second) = (at(1_767_323_046)?, at(1_767_323_106)?);
    presigner.presign(first, None).map_err(|_| "first URL")?;
    let (second, url) = counted(|| presigner.presign(second, None));
    if second.map_err(|_| "second URL")?.as_str() != URL {
        return Err("text of the second URL");
    }
    Ok(Allocations { status, command, url })
}

#[cfg(not(any(freestanding, target_os = "none")))]
fn main() -> Result<(), &'static str> {
    let allocations = work()?;
    println!("{allocations:?}");
    if allocations == EXPECTED {
        Ok(())
    } else {
        Err("the number of allocations differs from the expected one")
    }
}

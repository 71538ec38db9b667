//! Program without std. It decodes a thermostat's status, encodes a command and presigns a URL, and counts the
//! allocations of each step, from an allocator that owns 32 KiB.
//!
//! Under `cargo run` it is an ordinary program that prints the counts. With `--cfg freestanding` it is `no_std` and
//! `no_main`, and `.ci/purity` links it without std. Either way it returns 0 if the counts are as expected.
#![cfg_attr(freestanding, no_std, no_main)]

extern crate alloc;

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
const HEAP: usize = if cfg!(freestanding) { 32 << 10 } else { 1 << 20 };

#[global_allocator]
#[expect(unsafe_code, reason = "the allocator alone uses the array, which is what `Claim` asks")]
static ALLOCATOR: TalcLock<spinning_top::RawSpinlock, Claim> = TalcLock::new(unsafe {
    static mut MEMORY: [u8; HEAP] = [0; HEAP];
    Claim::array(&raw mut MEMORY)
});

const TOPIC: &[u8] = b"/v1/dev/a0b1c2d3e4f6/out";
const STATUS: &[u8] = br#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,
    "id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
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
    let (setpoint, status) = counted(|| {
        let topic = Topic::parse(TOPIC)?;
        let message = Message::decode(topic.kind, STATUS).ok()?;
        match message.body {
            Body::Status(status) if message.is_about(topic.device) => Some((topic.device, status.setpoint?)),
            _ => None,
        }
    });
    let (device, setpoint) = setpoint.ok_or("status")?;

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
    if !wire.windows(9).any(|part| part == br#""sp":21.5"#) {
        return Err("setpoint");
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
    if !second.map_err(|_| "second URL")?.as_str().starts_with("wss://example.amazonaws.com/mqtt?X-Amz-") {
        return Err("URL");
    }
    Ok(Allocations { status, command, url })
}

#[cfg(not(freestanding))]
fn main() -> Result<(), &'static str> {
    let allocations = work()?;
    println!("{allocations:?}");
    if allocations == EXPECTED {
        Ok(())
    } else {
        Err("the number of allocations differs from the expected one")
    }
}

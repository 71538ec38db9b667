//! A program without std: it reads a thermostat's status, writes a command, presigns a URL, and counts what each of the
//! three asked of its allocator, which owns 32 KiB and nothing more.
//!
//! Under `cargo run` it is an ordinary program that prints the counts. With `--cfg freestanding` it is `no_std` and
//! `no_main`, and `.ci/purity` links it where no std is to be had. Either way it returns 0 if all is as it should be.
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

/// All the memory there is. Without std 32 KiB are plenty; std itself wants more before `main` begins.
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

/// How often each step asked for memory.
#[derive(Debug, Eq, PartialEq)]
struct Allocations {
    /// Reading borrows.
    status: u64,
    /// A command is plain data, and goes into a buffer that the caller has.
    command: u64,
    /// A further URL on the same day; what is the same all day was worked out before.
    url: u64,
}

/// The URL is what is returned.
const EXPECTED: Allocations = Allocations { status: 0, command: 0, url: 1 };

fn counted<T>(work: impl FnOnce() -> T) -> (T, u64) {
    let before = ALLOCATOR.lock().counters().total_allocation_count;
    let result = work();
    (result, ALLOCATOR.lock().counters().total_allocation_count - before)
}

/// The three jobs. `Err` names the one that went wrong.
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
    if allocations == EXPECTED { Ok(()) } else { Err("that is not what was expected") }
}

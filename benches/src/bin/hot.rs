//! Runs a hot path a number of times, for `benches/instructions`: `hot PATH TIMES`.

use std::hint::black_box;
use std::time::Duration;

use mysa_benches::pipeline::{Frames, SessionPipeline};
use mysa_mqtt_codec::{BrokerLimits, Inbound, Stream};
use mysa_proto::{
    Celsius, Change, Command, DeviceId, DeviceState, DutyCycle, EnvelopeForm, EnvelopeMeta, Family, Limits,
    Message, Mode, ModeTable, Model, Now, Observation, RelativeHumidity, Source, TopicKind, UnixTime,
};
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};

type Error = Box<dyn std::error::Error>;

const STATUS: &[u8] = br#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
const NOW: UnixTime = UnixTime::from_secs(1_767_323_046);

fn at(mono: Duration) -> Now {
    Now { mono, wall: NOW.plus_millis(mono.as_millis() as i64) }
}

/// State with REST values of different times and a confirmed command.
fn state() -> DeviceState {
    let mut state = DeviceState::new();
    let observed = |secs: i64| {
        Observation::new(Source::RestState, Some(NOW.plus_millis(-1_000 * secs)), at(Duration::ZERO))
    };
    let setpoint = Some(Celsius::from_hundredths(1_900));
    state.observe(&Observation { temperature: setpoint, ..observed(5) });
    state.observe(&Observation { humidity: RelativeHumidity::from_percent(41.0), ..observed(6) });
    state.observe(&Observation { setpoint, ..observed(7) });
    state.observe(&Observation { duty: DutyCycle::from_fraction(0.0), ..observed(8) });
    state.observe(&Observation { mode: Some(Mode::Heat), ..observed(9) });
    state.observe(&Observation { connected: Some(true), ..observed(10) });
    let taken = Change::setpoint(Celsius::from_hundredths(2_000));
    let (sent, confirmed) = (at(Duration::from_secs(300)), at(Duration::from_secs(301)));
    state.confirm(&Observation::from_change(&taken, Some(confirmed.wall), confirmed), sent);
    state
}

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("missing argument: PATH")?;
    let times: u32 = args.next().ok_or("missing argument: TIMES")?.parse()?;
    match path.as_str() {
        "decode-publish" => {
            let mut frames = Frames::new(true);
            let mut stream = Stream::new(BrokerLimits::AWS_IOT.decode_options());
            for _ in 0..times {
                let mut bytes = black_box(frames.next_frame());
                let Some(Inbound::Publish(publish)) = stream.next(&mut bytes)? else {
                    return Err("no publish".into());
                };
                black_box((publish.topic, publish.payload));
            }
        }
        "decode-status" => {
            for _ in 0..times {
                black_box(Message::decode(TopicKind::Out, black_box(STATUS))?);
            }
        }
        "merge-status" => {
            let mut message = Message::decode(TopicKind::Out, STATUS)?;
            let mut state = state();
            for second in 0..times {
                let after = Duration::from_secs(600 + u64::from(second));
                message.envelope.time = Some(NOW.plus_millis(1_000 * i64::from(second) + 599_000));
                let family = Some(Family::BaseboardV2);
                black_box(state.observe_message(
                    black_box(&message),
                    &ModeTable::OBSERVED,
                    family,
                    at(after),
                ));
            }
        }
        "presign-cached" => {
            let credentials = Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                Some("a/token=="),
            );
            let authority = Authority::new("example.amazonaws.com", None)?;
            let presigner = Presigner::iot("us-east-1");
            let mut presigner =
                presigner.into_cached(credentials, authority, "/mqtt", TokenRule::AfterSigning)?;
            let time = time::OffsetDateTime::from_unix_timestamp(NOW.as_secs())?;
            for _ in 0..times {
                black_box(presigner.presign(black_box(time), None)?);
            }
        }
        "encode-command" => {
            let device = DeviceId::new("a0b1c2d3e4f6").ok_or("no id")?;
            let (model, limits) = (Model::parse("BB-V2-0"), Limits::default());
            let change = Change::setpoint(Celsius::from_hundredths(2_150));
            let stamp = EnvelopeMeta {
                id: 1_767_323_046_000,
                time: NOW,
                app_ref: "hot",
                form: EnvelopeForm::Observed,
            };
            let mut out = Vec::with_capacity(512);
            for _ in 0..times {
                out.clear();
                Command::new(device, &model, &limits, &ModeTable::OBSERVED, black_box(change), NOW)?
                    .encode(&stamp, &mut out);
                black_box(&out);
            }
        }
        "pipeline-qos1" | "pipeline" => {
            let (mut frames, mut ours) = (Frames::new(path == "pipeline-qos1"), SessionPipeline::new());
            for _ in 0..times {
                black_box(ours.handle(frames.next_frame()));
            }
        }
        _ => return Err("unknown path".into()),
    }
    Ok(())
}

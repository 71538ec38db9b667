//! `hot PATH TIMES`: one hot path, so often, for `benches/instructions` to count instructions of.

use std::hint::black_box;

use mysa_benches::way::{Home, Ours};
use mysa_mqtt_codec::{Inbound, Profile, Stream};
use mysa_proto::{
    Celsius, Change, Command, DeviceId, EnvelopeForm, Limits, Message, ModeTable, Model, Stamp, TopicKind,
    UnixTime,
};
use mysa_sigv4::{Authority, Credentials, Presigner, TokenRule};

type Error = Box<dyn std::error::Error>;

const STATUS: &[u8] = br#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"id":7100200300400500611,"body":{"ambTemp":18.9,"hum":44.5,"stpt":20.0,"dtyCycle":1.0}}"#;
const NOW: UnixTime = UnixTime::from_secs(1_767_323_046);

fn main() -> Result<(), Error> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("name a path")?;
    let times: u32 = args.next().ok_or("say how often")?.parse()?;
    match path.as_str() {
        "decode-publish" => {
            let mut home = Home::new(true);
            let mut stream = Stream::new(Profile::AWS_IOT.rules());
            for _ in 0..times {
                let mut bytes = black_box(home.speak());
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
        "presign-cached" => {
            let credentials = Credentials::new(
                "AKIDEXAMPLE",
                "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                Some("a/token=="),
            );
            let authority = Authority::new("example.amazonaws.com", None)?;
            let presigner = Presigner::iot("us-east-1");
            let mut presigner =
                presigner.for_days(credentials, authority, "/mqtt", TokenRule::AfterSigning)?;
            let time = time::OffsetDateTime::from_unix_timestamp(NOW.as_secs())?;
            for _ in 0..times {
                black_box(presigner.presign(black_box(time), None)?);
            }
        }
        "encode-command" => {
            let device = DeviceId::new("a0b1c2d3e4f6").ok_or("no id")?;
            let (model, limits) = (Model::parse("BB-V2-0"), Limits::default());
            let change = Change::setpoint(Celsius::from_hundredths(2_150));
            let stamp =
                Stamp { id: 1_767_323_046_000, time: NOW, app_ref: "hot", form: EnvelopeForm::Observed };
            let mut out = Vec::with_capacity(512);
            for _ in 0..times {
                out.clear();
                Command::new(device, &model, &limits, &ModeTable::OBSERVED, black_box(change), NOW)?
                    .encode(&stamp, &mut out);
                black_box(&out);
            }
        }
        "way" => {
            let (mut home, mut ours) = (Home::new(false), Ours::new());
            for _ in 0..times {
                black_box(ours.take(home.speak()));
            }
        }
        _ => return Err("no such path".into()),
    }
    Ok(())
}

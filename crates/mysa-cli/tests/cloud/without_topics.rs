//! Thermostats that have no MQTT topics of their own: central HVAC and baseboard V3, by the structured service.

use mysa_proto::DeviceId;
use mysa_sim::{CloudSpec, DeviceSpec, Mode};

use crate::bench::Bench;

const FURNACE: &str = "a0b1c2d3e4fa";
const ATTIC: &str = "a0b1c2d3e4fb";

#[test]
fn they_are_set_and_confirm_it() {
    let mut spec = CloudSpec::demo();
    for (id, model, name) in [(FURNACE, "ST-V1-0", "Furnace"), (ATTIC, "BB-V3-0", "Attic")] {
        let device = DeviceSpec::new(DeviceId::new(id).unwrap(), model, name);
        spec.accounts[0].homes[0].devices.push(device);
    }
    let bench = Bench::with(spec);
    bench.log_in().ok();
    for (args, id, setpoint, mode) in [
        (["set", "furnace", "--temp", "21"].as_slice(), FURNACE, 21.0, Mode::Heat),
        (&["mode", "furnace", "cool"], FURNACE, 24.0, Mode::Cool),
        (&["set", "furnace", "--temp", "25.5"], FURNACE, 25.5, Mode::Cool),
        (&["mode", "furnace", "off"], FURNACE, 21.0, Mode::Off),
        (&["set", "attic", "--temp", "22.5"], ATTIC, 22.5, Mode::Heat),
        (&["mode", "attic", "off"], ATTIC, 22.5, Mode::Off),
    ] {
        let ran = bench.run(args).ok();
        assert!(ran.out.contains("confirmed by the reported state"), "{ran:?}");
        assert_eq!((bench.setpoint(id), bench.mode(id)), (setpoint, mode), "{args:?}");
    }
    // REST is their only source, so doctor does not warn of it.
    let ran = bench.run(&["doctor", "--json"]).ok();
    let document = &ran.json()[0];
    for model in ["ST-V1-0", "BB-V3-0"] {
        let step = document["steps"].as_array().unwrap().iter().find(|step| {
            step["step"].as_str().is_some_and(|name| name.starts_with("dev-") && name.contains(model))
        });
        assert_eq!(step.unwrap()["result"], "ok", "{step:?}");
    }
}

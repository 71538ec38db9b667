use std::fmt;

/// Status of a Baseboard V2 (message 40), the payload of a PUBLISH on `/v1/dev/…/out`. `Display` writes the JSON.
///
/// ```
/// use mysa_testkit::V2Status;
///
/// let status = V2Status { setpoint: 21.5, ..V2Status::new("a0b1c2d3e4f6", 1_767_323_045) };
/// assert!(status.to_string().contains(r#""stpt":21.5"#));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "tests set single fields")]
pub struct V2Status<'a> {
    /// Id of the thermostat.
    pub device: &'a str,
    /// Unix seconds of the measurement; `None` leaves the field out.
    pub time: Option<i64>,
    /// Id of the message.
    pub id: i64,
    /// Temperature of the room in degrees Celsius.
    pub temperature: f64,
    /// Relative humidity in percent.
    pub humidity: f64,
    /// Setpoint in degrees Celsius.
    pub setpoint: f64,
    /// Share of the time that the heater is on, 0 to 1.
    pub duty_cycle: f64,
}

impl<'a> V2Status<'a> {
    /// Creates a status of a room at 19.1 °C and 41.5 %, heated to 20 °C.
    #[must_use]
    pub const fn new(device: &'a str, time: i64) -> Self {
        Self {
            device,
            time: Some(time),
            id: 7,
            temperature: 19.1,
            humidity: 41.5,
            setpoint: 20.0,
            duty_cycle: 0.42,
        }
    }
}

impl fmt::Display for V2Status<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, r#"{{"ver":"1.0","src":{{"type":1,"ref":"{}"}},"#, self.device)?;
        if let Some(time) = self.time {
            write!(f, r#""time":{time},"#)?;
        }
        write!(
            f,
            r#""msg":40,"id":{},"body":{{"ambTemp":{:?},"hum":{:?},"stpt":{:?},"dtyCycle":{:?}}}}}"#,
            self.id, self.temperature, self.humidity, self.setpoint, self.duty_cycle
        )
    }
}

/// Acknowledgement of a command by a Baseboard V2 (message 44), the payload of a PUBLISH on `/v1/dev/…/out`. `Display`
/// writes the JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "tests set single fields")]
pub struct Ack<'a> {
    /// Id of the thermostat.
    pub device: &'a str,
    /// Unix seconds of the acknowledgement.
    pub time: i64,
    /// Id of the message.
    pub id: i64,
    /// Id of the command that it answers; `None` leaves the field out.
    pub resp_id: Option<i64>,
    /// `true` if the thermostat applied the command.
    pub success: bool,
    /// `body.type`: 4 of a Baseboard V2, 5 of a Lite.
    pub body_type: i64,
    /// Mode in force, as the wire has it: 1 is off, 3 is heat.
    pub mode: u8,
    /// Setpoint in force in degrees Celsius.
    pub setpoint: f64,
}

impl<'a> Ack<'a> {
    /// Creates the acknowledgement of the command `resp_id`, which was applied: the thermostat heats to
    /// `setpoint`.
    #[must_use]
    pub const fn new(device: &'a str, time: i64, resp_id: i64, setpoint: f64) -> Self {
        Self { device, time, id: 8, resp_id: Some(resp_id), success: true, body_type: 5, mode: 3, setpoint }
    }
}

impl fmt::Display for Ack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, time, id, body_type, mode, setpoint, .. } = self;
        write!(f, r#"{{"ver":"1.0","src":{{"type":1,"ref":"{device}"}},"time":{time},"msg":44,"id":{id}"#)?;
        if let Some(resp_id) = self.resp_id {
            write!(f, r#","resp_id":{resp_id}"#)?;
        }
        let success = u8::from(self.success);
        write!(
            f,
            r#","body":{{"success":{success},"type":{body_type},"trig_src":3,"state":{{"md":{mode},"sp":{setpoint:?},"lk":0,"ho":1,"br":100}}}}}}"#
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "a0b1c2d3e4f6";

    #[test]
    fn a_status_is_the_json_of_message_40() {
        let status = V2Status { id: 9, ..V2Status::new(DEVICE, 1_767_323_045) };
        assert_eq!(
            status.to_string(),
            r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":40,"id":9,"body":{"ambTemp":19.1,"hum":41.5,"stpt":20.0,"dtyCycle":0.42}}"#
        );
        assert!(!V2Status { time: None, ..status }.to_string().contains("time"));
    }

    #[test]
    fn an_acknowledgement_is_the_json_of_message_44() {
        let ack = Ack::new(DEVICE, 1_767_323_045, 1_767_323_044_000, 21.5);
        assert_eq!(
            ack.to_string(),
            r#"{"ver":"1.0","src":{"type":1,"ref":"a0b1c2d3e4f6"},"time":1767323045,"msg":44,"id":8,"resp_id":1767323044000,"body":{"success":1,"type":5,"trig_src":3,"state":{"md":3,"sp":21.5,"lk":0,"ho":1,"br":100}}}"#
        );
        assert!(!Ack { resp_id: None, ..ack }.to_string().contains("resp_id"));
    }
}

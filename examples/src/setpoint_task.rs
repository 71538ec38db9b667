use mysa_proto::{Celsius, Change};
use mysa_session::{CommandId, Event, Level, Now, Session, Verdict};

use crate::{Error, name_and_setpoint};

/// Task of an example: once the session is live, request a setpoint of one thermostat, and wait for the verdict.
#[derive(Debug)]
pub struct SetpointTask {
    thermostat: String,
    setpoint: Celsius,
    given: Option<CommandId>,
}

impl SetpointTask {
    /// Parses the thermostat's name and the setpoint from the command line.
    ///
    /// # Errors
    /// An argument is missing, or the setpoint is not a temperature.
    pub fn from_args() -> Result<Self, Error> {
        let (thermostat, setpoint) = name_and_setpoint(std::env::args().skip(1))?;
        Ok(Self { thermostat, setpoint, given: None })
    }

    /// Processes an event, sends the command when the session is live, and returns the verdict once it has arrived.
    ///
    /// # Errors
    /// The account needs a person to sign in, the thermostat does not exist, or the command cannot be queued.
    pub fn take(&mut self, session: &mut Session, now: Now, event: Event) -> Result<Option<Verdict>, Error> {
        match event {
            Event::Verdict { id, verdict, .. } if Some(id) == self.given => return Ok(Some(verdict)),
            Event::Service(service) => {
                println!("{:?}: {}", service.level, service.reason);
                match service.level {
                    Level::SignInNeeded => return Err("sign-in needs a person".into()),
                    Level::Live if self.given.is_none() => self.command(session, now)?,
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(None)
    }

    fn command(&mut self, session: &mut Session, now: Now) -> Result<(), Error> {
        let found = session.devices().find(|device| device.name() == Some(&*self.thermostat));
        let id = found.ok_or_else(|| format!("no thermostat named {}", self.thermostat))?.id();
        self.given = Some(session.command(now, id, Change::setpoint(self.setpoint), None)?);
        Ok(())
    }
}

use mysa_proto::{Celsius, Change};
use mysa_session::{CommandId, Event, Level, Now, Session, Verdict};

use crate::{Error, name_and_setpoint};

/// One thing to do with a session: once it is live, give a thermostat a setpoint, and wait for the verdict.
#[derive(Debug)]
pub struct Errand {
    thermostat: String,
    setpoint: Celsius,
    given: Option<CommandId>,
}

impl Errand {
    /// From the command line: the thermostat's name, and degrees Celsius.
    ///
    /// # Errors
    /// They are not there, or it is no temperature.
    pub fn from_args() -> Result<Self, Error> {
        let (thermostat, setpoint) = name_and_setpoint(std::env::args().skip(1))?;
        Ok(Self { thermostat, setpoint, given: None })
    }

    /// Takes an event; does what is to be done; returns the verdict once it is there.
    ///
    /// # Errors
    /// The errand cannot be done.
    pub fn take(&mut self, session: &mut Session, now: Now, event: Event) -> Result<Option<Verdict>, Error> {
        match event {
            Event::Verdict { id, verdict, .. } if Some(id) == self.given => return Ok(Some(verdict)),
            Event::Service(service) => {
                println!("{:?}: {}", service.level, service.reason);
                match service.level {
                    Level::SignInNeeded => return Err("the account wants a person".into()),
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
        let id = found.ok_or_else(|| format!("no thermostat is named {}", self.thermostat))?.id();
        self.given = Some(session.command(now, id, Change::setpoint(self.setpoint), None)?);
        Ok(())
    }
}

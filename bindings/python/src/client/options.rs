//! Options of a client: a dict of Python as the settings of the core.

use std::net::SocketAddr;
use std::time::Duration;

use mysa_proto::Model;
use mysa_proto::rest::Auth;
use mysa_sigv4::{Authority, PresignedUrl};
use mysa_tokio::{
    Client, ClientBuilder, CommandChannel, ConfirmBy, Environment, Settings, Subscriptions, TokenFile,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::{device_id, mode_table};
use crate::errors::invalid;
use crate::protocol::envelope_form;
use crate::secret::SecretText;

/// Reads all options. One that is unknown is an error.
pub(super) fn builder(py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<ClientBuilder> {
    let mut environment = match take::<String>(options, "environment")? {
        Some(name) => self::environment(py, &name)?,
        None => Environment::mysa(),
    };
    if let Some(name) = take::<String>(options, "user_agent")? {
        environment.user_agent = name;
    }
    let mut builder = Client::builder(environment).settings(settings(py, options)?);
    let account = take::<String>(options, "account")?;
    let password = options.get_item("password")?.filter(|password| !password.is_none());
    let password = password.map(|password| password.extract::<SecretText>()).transpose()?;
    let store = take::<std::path::PathBuf>(options, "store")?;
    match (&account, password, take::<SecretText>(options, "url")?) {
        (_, None, Some(url)) => {
            let url = PresignedUrl::parse(url.0.expose()).map_err(|error| invalid(py, error))?;
            let devices = take::<Vec<(String, String)>>(options, "devices")?.unwrap_or_default();
            let devices = devices.iter().map(|(id, model)| Ok((device_id(py, id)?, Model::parse(model))));
            builder = builder.captured(url, devices.collect::<PyResult<_>>()?);
        }
        (Some(account), Some(password), _) => builder = builder.password(account, password.0),
        (None, Some(_), _) => {
            return Err(invalid(py, "a password requires the e-mail address of its account"));
        }
        _ => {}
    }
    if let Some(folder) = store {
        let Some(account) = &account else {
            return Err(invalid(py, "a store requires the e-mail address of the account"));
        };
        builder = builder.token_file(TokenFile::new(folder, account));
    }
    if let Some(pem) = take::<Vec<u8>>(options, "ca_pem")? {
        builder = builder.extra_ca(pem);
    }
    if let Some(address) = take::<String>(options, "connect_to")? {
        let address: SocketAddr = address.parse().map_err(|_| {
            invalid(
                py,
                format!("invalid connect_to '{address}': expected ADDRESS:PORT, such as 127.0.0.1:8443"),
            )
        })?;
        builder = builder.connect_to(address);
    }
    options.del_item("password").ok();
    if let Some((name, _)) = options.iter().next() {
        return Err(invalid(py, format!("unknown option {name}")));
    }
    Ok(builder)
}

fn settings(py: Python<'_>, options: &Bound<'_, PyDict>) -> PyResult<Settings> {
    let mut settings = Settings::default();
    if let Some(name) = take::<String>(options, "modes")? {
        settings.modes = mode_table(py, &name)?;
    }
    if let Some(name) = take::<String>(options, "envelope")? {
        settings.envelope = envelope_form(py, &name)?;
    }
    if let Some(name) = take::<String>(options, "channel")? {
        settings.channel = choice(
            py,
            "channel",
            &name,
            &[
                ("auto", CommandChannel::Auto),
                ("mqtt", CommandChannel::Mqtt),
                ("structured", CommandChannel::Structured),
            ],
        )?;
    }
    if let Some(name) = take::<String>(options, "confirm_by")? {
        settings.confirm_by =
            choice(py, "confirm_by", &name, &[("ack", ConfirmBy::Ack), ("status", ConfirmBy::Status)])?;
    }
    if let Some(name) = take::<String>(options, "authorization")? {
        settings.authorization =
            choice(py, "authorization", &name, &[("raw", Auth::Raw), ("bearer", Auth::Bearer)])?;
    }
    let mut subscriptions = Subscriptions::default();
    if let Some(wildcard) = take(options, "wildcard")? {
        subscriptions.wildcard = wildcard;
    }
    if let Some(batch) = take(options, "batch")? {
        subscriptions.batch = batch;
    }
    settings.subscriptions = subscriptions;
    macro_rules! flags {
        ($($name:ident),*) => {
            $( if let Some(value) = take(options, stringify!($name))? { settings.$name = value; } )*
        };
    }
    flags!(live_reports, raw_messages, read_only, lookup_endpoint);
    if let Some(seconds) = take::<u16>(options, "keep_alive_s")? {
        settings.keep_alive = Duration::from_secs(seconds.into());
    }
    if let Some(seconds) = take(options, "command_deadline_s")? {
        settings.command_deadline = duration(py, "command_deadline_s", seconds)?;
    }
    Ok(settings)
}

/// Takes an option out of the dict of options.
fn take<'py, T>(options: &Bound<'py, PyDict>, name: &str) -> PyResult<Option<T>>
where
    T: for<'a> FromPyObject<'a, 'py>,
{
    let Some(value) = options.get_item(name)? else { return Ok(None) };
    options.del_item(name)?;
    if value.is_none() {
        return Ok(None);
    }
    value.extract().map(Some).map_err(|_| invalid(options.py(), format!("invalid {name}: its type is wrong")))
}

/// Reads seconds, up to a day.
pub(super) fn duration(py: Python<'_>, name: &str, seconds: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|time| *time <= Duration::from_secs(86_400))
        .ok_or_else(|| invalid(py, format!("invalid {name} {seconds}: expected seconds, 0 to 86400")))
}

fn choice<T>(py: Python<'_>, name: &str, value: &str, choices: &[(&str, T)]) -> PyResult<T>
where
    T: Copy,
{
    choices.iter().find(|(known, _)| *known == value).map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        invalid(py, format!("invalid {name} '{value}': expected {}", known.join(" or ")))
    })
}

fn environment(py: Python<'_>, name: &str) -> PyResult<Environment> {
    match name {
        "mysa" => Ok(Environment::mysa()),
        "mysa_modern" => Ok(Environment::mysa_modern()),
        address => {
            let authority = Authority::parse(address).map_err(|_| {
                invalid(
                    py,
                    format!("invalid environment '{address}': expected mysa, mysa_modern, or HOST:PORT"),
                )
            })?;
            Environment::at(authority.host(), authority.port()).map_err(|error| invalid(py, error))
        }
    }
}

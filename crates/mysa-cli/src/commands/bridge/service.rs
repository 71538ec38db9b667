//! `mysa bridge install-service`.

use std::path::Path;

use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

/// Unit of the Debian package.
const UNIT: &str = include_str!("mysa-bridge.service");
/// Program in the unit of the package.
const PACKAGED: &str = "/usr/bin/mysa";
/// Place of a program that is not part of a package.
const LOCAL: &str = "/usr/local/bin/mysa";

/// Prints a script that installs the service. Installs nothing.
pub(super) fn print_script(terminal: &Terminal) -> Result<()> {
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Failed, format!("the path of this program is unknown: {error}"))
    })?;
    if is_interpreter(&program) {
        return Err(Failure::new(
            Exit::Failed,
            "this mysa runs inside Python, which a service should not depend on: install the program itself, \
             for example by `cargo install mysa-cli`, and run its `mysa bridge install-service`",
        ));
    }
    terminal.text("script", &script(&program))
}

/// Returns `true` if the program is a Python interpreter, which contains the command when the Python package runs it.
fn is_interpreter(program: &Path) -> bool {
    let name = program.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase());
    name.is_some_and(|name| name.starts_with("python") || name.starts_with("pypy"))
}

fn script(program: &Path) -> String {
    let is_installed = [PACKAGED, LOCAL].iter().any(|place| program == Path::new(place));
    let place = if is_installed { program.to_string_lossy() } else { LOCAL.into() };
    let copy = if is_installed {
        String::new()
    } else {
        format!("install -D -m 755 {} {LOCAL}\n", quoted(&program.to_string_lossy()))
    };
    let unit = UNIT.replace(PACKAGED, &place);
    format!(
        "#!/bin/sh
# Installs `mysa bridge` as a service of systemd. Nothing is installed yet: read this script, then run
#   mysa bridge install-service | sudo sh
set -eu
{copy}mkdir -p /etc/mysa
cat >/etc/systemd/system/mysa-bridge.service <<'END_OF_UNIT'
{unit}END_OF_UNIT
systemctl daemon-reload
cat <<'END_OF_NOTES'
The service is installed. What remains, once:
  sudo XDG_CONFIG_HOME=/etc {place} config set bridge.broker mqtt://localhost
  sudo systemd-run --pty --collect -p DynamicUser=yes -p User=mysa-bridge -p StateDirectory=mysa \\
    -p StateDirectoryMode=0700 -E XDG_CONFIG_HOME=/etc -E XDG_STATE_HOME=/var/lib {place} login EMAIL
  sudo systemctl enable --now mysa-bridge
The password for the broker belongs in /etc/mysa/bridge.env, which only root needs to read:
  MYSA_BRIDGE_PASSWORD=...
The log: journalctl -u mysa-bridge
END_OF_NOTES
"
    )
}

/// Quotes a text for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_elsewhere_is_copied_and_an_installed_one_is_not() {
        let copied = script(Path::new("/home/ann's/mysa"));
        assert!(
            copied.contains("install -D -m 755 '/home/ann'\\''s/mysa' /usr/local/bin/mysa\n"),
            "{copied}"
        );
        assert!(copied.contains("\nExecStart=/usr/local/bin/mysa bridge\n"), "{copied}");
        let packaged = script(Path::new(PACKAGED));
        assert!(!packaged.contains("install -D") && packaged.contains("\nExecStart=/usr/bin/mysa bridge\n"));
        assert!(packaged.contains(UNIT));
    }

    #[test]
    fn a_python_interpreter_is_not_installed_as_the_command() {
        assert!(is_interpreter(Path::new("/usr/bin/python3.11")) && is_interpreter(Path::new("pypy3")));
        assert!(!is_interpreter(Path::new("/opt/python/mysa")));
    }
}

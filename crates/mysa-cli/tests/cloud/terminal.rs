//! Output on a terminal: a real pty, and an emulator that shows what a person would see.

use std::fs::File;
use std::io::Read as _;
use std::num::NonZeroU16;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use mysa_sim::{CloudSpec, DeviceFault, DeviceSpec, Incident};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::bench::{Bench, KITCHEN, signal};
use crate::common::HANG_LIMIT;

/// Pty with an emulator behind it.
struct Pty {
    /// End of the emulator.
    master: File,
    /// End of the program; open until the program has it.
    slave: Option<File>,
    output: Receiver<Vec<u8>>,
    emulator: vt100::Parser,
    raw: Vec<u8>,
}

fn size(lines: u16, columns: u16) -> (NonZeroU16, NonZeroU16) {
    (NonZeroU16::new(lines).unwrap(), NonZeroU16::new(columns).unwrap())
}

impl Pty {
    fn open(lines: u16, columns: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let (to_test, output) = channel();
        // The read fails once nobody has the other end.
        std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(length @ 1..) = reader.read(&mut bytes) {
                if to_test.send(bytes[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        let (rows, cols) = size(lines, columns);
        let emulator = vt100::Parser::new(rows, cols, 1_000);
        let pty = Self { master, slave: Some(slave), output, emulator, raw: Vec::new() };
        pty.set_size(lines, columns);
        pty
    }

    fn set_size(&self, lines: u16, columns: u16) {
        let size = Winsize { ws_row: lines, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.master, size).unwrap();
    }

    /// Starts a program with the pty as its standard streams.
    fn start(&mut self, mut command: Command) -> Child {
        let slave = self.slave.take().unwrap();
        let stream = || Stdio::from(slave.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream());
        command.spawn().unwrap()
    }

    /// Changes the size of the window, as a terminal does.
    fn resize(&mut self, child: &Child, lines: u16, columns: u16) {
        self.set_size(lines, columns);
        let (rows, cols) = size(lines, columns);
        self.emulator.screen_mut().set_size(rows, cols);
        // The pty is not the controlling terminal of the program, so the system sends no signal.
        signal(child, "WINCH");
    }

    /// Returns the lines on the screen without the empty ones at its end.
    fn lines(&self) -> Vec<String> {
        self.emulator.screen().contents().trim_end().lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// Waits for more output. Returns `false` at the end.
    #[track_caller]
    fn read(&mut self) -> bool {
        match self.output.recv_timeout(HANG_LIMIT) {
            Ok(bytes) => {
                self.emulator.process(&bytes);
                self.raw.extend(bytes);
                true
            }
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => false,
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("no output: {:?}", self.lines()),
        }
    }

    /// Waits until the screen is as expected.
    #[track_caller]
    fn until(&mut self, what: &str, is_so: impl Fn(&[String]) -> bool) {
        let deadline = Instant::now() + HANG_LIMIT;
        while !is_so(&self.lines()) {
            assert!(Instant::now() < deadline && self.read(), "never: {what}: {:#?}", self.lines());
        }
    }

    /// Waits for the end of the program, and returns its exit code.
    fn end(&mut self, mut child: Child) -> Option<i32> {
        while self.read() {}
        child.wait().unwrap().code()
    }

    /// Everything above the screen and on it.
    fn everything(&mut self) -> Vec<String> {
        let screen = self.emulator.screen_mut();
        let (rows, cols) = screen.size();
        let above = screen.scrollback_len();
        let mut lines = Vec::new();
        for at in (1..=above).rev() {
            screen.set_scrollback(at);
            lines.extend(screen.rows(0, cols.get()).next());
        }
        screen.set_scrollback(0);
        lines.extend(screen.rows(0, cols.get()).take(rows.get().into()));
        lines.iter().map(|line| line.trim_end().to_owned()).collect()
    }
}

/// A signed-in home with this many thermostats more, with long and wide names.
fn crowded(more: u8) -> Bench {
    let mut spec = CloudSpec::demo();
    let devices = &mut spec.accounts[0].homes[0].devices;
    for number in 0..more {
        let id = mysa_proto::DeviceId::new(&format!("c0b1c2d3e4{number:02x}")).unwrap();
        let name = match number % 3 {
            0 => format!("{number} {}", "Ca\u{1b}[2J\u{202e}".repeat(20)),
            1 => format!("{number} {}", "暖房".repeat(40)),
            _ => format!("{number} {}", "long name ".repeat(30)),
        };
        devices.push(DeviceSpec::new(id, "BB-V2-0", &name));
    }
    let bench = Bench::with(spec);
    bench.log_in().ok();
    bench
}

fn on_a_terminal(bench: &Bench, args: &[&str]) -> Command {
    let mut command = bench.command(args);
    command.env("TERM", "xterm-256color");
    command
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn a_watch_leaves_no_lines_behind_however_the_window_changes() {
    let bench = crowded(7);
    let mut pty = Pty::open(30, 120);
    pty.emulator.process(b"$ watch\r\n");
    let child = pty.start(on_a_terminal(&bench, &["watch"]));
    pty.until("a table", |lines| count(lines, "NAME") == 1 && lines.len() == 14);
    assert!(pty.emulator.screen().alternate_screen());
    let shown = |lines: &[String]| {
        // One title, one head, and nothing of an earlier table.
        lines.first().is_some_and(|line| line.starts_with("u…@")) && count(lines, "NAME") == 1
    };
    for (rows, columns) in [(30, 60), (30, 25), (8, 25), (8, 200), (3, 40), (40, 100), (2, 10), (30, 120)] {
        pty.resize(&child, rows, columns);
        let fits = rows >= 14;
        pty.until(&format!("a table of {columns} columns in {rows} lines"), |lines| {
            let is_whole = if fits { lines.len() == 14 } else { lines.len() == usize::from(rows) };
            let is_cut = lines.last().is_some_and(|line| line.starts_with('…'));
            let width = usize::from(columns);
            let is_narrow = lines[1..].iter().all(|line| line.chars().count() <= width);
            match rows {
                2 => is_whole && is_cut,
                _ => shown(lines) && is_whole && is_cut != fits && is_narrow,
            }
        });
    }
    signal(&child, "INT");
    assert_eq!(pty.end(child), Some(130));
    assert!(!pty.emulator.screen().alternate_screen());
    let left = pty.everything();
    assert_eq!(left[0], "$ watch", "what was there before is there again: {left:#?}");
    assert_eq!(
        (count(&left, "NAME"), count(&left, "Living room")),
        (1, 1),
        "the last table stays: {left:#?}"
    );
    assert_eq!(count(&left, "mysa: interrupted"), 1, "{left:#?}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_suspended_watch_returns_to_the_normal_screen() {
    let bench = Bench::signed_in();
    let mut pty = Pty::open(30, 120);
    let child = pty.start(on_a_terminal(&bench, &["watch"]));
    pty.until("a table", |lines| count(lines, "NAME") == 1);
    // The pty is not the controlling terminal of the program, so Ctrl-Z is sent as a signal.
    signal(&child, "TSTP");
    pty.until("the normal screen", |lines| count(lines, "NAME") == 0);
    assert!(!pty.emulator.screen().alternate_screen());
    let stat = format!("/proc/{}/stat", child.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
        std::thread::yield_now();
    }
    signal(&child, "CONT");
    pty.until("a table again", |lines| count(lines, "NAME") == 1);
    assert!(pty.emulator.screen().alternate_screen());
    signal(&child, "INT");
    assert_eq!(pty.end(child), Some(130));
    assert!(!pty.emulator.screen().alternate_screen());
}

/// Runs a watch to its end, which `signalled` brings about once there is a table.
fn watch_to_its_end(bench: &Bench, args: &[&str], signalled: Option<&str>) -> (Pty, Option<i32>) {
    let mut pty = Pty::open(30, 120);
    let child = pty.start(on_a_terminal(bench, args));
    if let Some(name) = signalled {
        pty.until("a table", |lines| count(lines, "NAME") == 1);
        signal(&child, name);
    }
    let code = pty.end(child);
    (pty, code)
}

#[test]
fn a_watch_leaves_the_terminal_as_it_was_however_it_ends() {
    let bench = Bench::signed_in();
    let mut seconds = 2;
    let timed_out = loop {
        let (pty, code) = watch_to_its_end(&bench, &["watch", "--timeout", &seconds.to_string()], None);
        // The machine was too slow for a report.
        if code == Some(9) && seconds < HANG_LIMIT.as_secs() {
            seconds *= 2;
            continue;
        }
        break (pty, code);
    };
    let counted = watch_to_its_end(&bench, &["watch", "--count", "3"], None);
    let terminated = watch_to_its_end(&bench, &["watch"], Some("TERM"));
    for ((mut pty, code), expected, end) in
        [(timed_out, 0, "time-out"), (counted, 0, "count"), (terminated, 143, "signal")]
    {
        assert_eq!(code, Some(expected), "{end}");
        assert!(!pty.emulator.screen().alternate_screen(), "{end}");
        let left = pty.everything();
        assert_eq!((count(&left, "NAME"), count(&left, "Living room")), (1, 1), "{left:#?}");
        assert_eq!(count(&left, "connecting"), 0, "{left:#?}");
    }
}

/// A thermostat that heats although it is off: the message comes after a minute of it.
#[test]
fn a_message_stays_when_the_table_is_gone() {
    const WRONG: &str = "Kitchen heats although its mode is off";
    let bench = Bench::signed_in();
    bench.run(&["mode", "kitchen", "off"]).ok();
    bench.device_fault(KITCHEN, DeviceFault::DropStatuses);
    let mut pty = Pty::open(30, 120);
    let child = pty.start(on_a_terminal(&bench, &["watch"]));
    pty.until("a thermostat that is off", |lines| {
        lines.iter().any(|line| line.starts_with("Kitchen") && line.contains(" off "))
    });
    pty.until("the message and the table", |lines| {
        bench.server().with_cloud(|cloud, now| {
            let time = now.wall.as_secs();
            let status = format!(
                r#"{{"ver":"1.0","src":{{"type":1,"ref":"{KITCHEN}"}},"time":{time},"msg":40,"id":7,"body":{{"ambTemp":19.1,"hum":40,"stpt":20.0,"dtyCycle":0.9}}}}"#
            );
            cloud.act(now, Incident::Publish(format!("/v1/dev/{KITCHEN}/out"), status.into_bytes()));
        });
        count(lines, WRONG) == 1 && count(lines, "NAME") == 1
    });
    signal(&child, "INT");
    pty.end(child);
    assert_eq!(count(&pty.everything(), WRONG), 1);
}

#[test]
fn a_dumb_terminal_gets_no_escape_sequences() {
    let bench = Bench::signed_in();
    for term in [Some("dumb"), Some(""), None] {
        for args in [
            &["watch", "--count", "2"][..],
            &["status"],
            &["devices"],
            &["set", "living", "--temp", "21"],
            &["set", "living", "--temp", "99"],
            &["energy"],
            &["doctor"],
            &["-v", "homes"],
            &["history", "living"],
            &["--help"],
            &["set"],
            &["nonsense"],
            &["demo", "--nonsense"],
            &["sim", "--fault", "list"],
        ] {
            let mut pty = Pty::open(24, 80);
            let mut command = bench.command(args);
            match term {
                Some(term) => command.env("TERM", term),
                None => command.env_remove("TERM"),
            };
            let child = pty.start(command);
            pty.end(child);
            let text = String::from_utf8_lossy(&pty.raw).into_owned();
            assert!(!text.is_empty(), "{args:?}");
            assert!(!text.contains('\u{1b}'), "{term:?} {args:?}: {}", text.escape_debug());
        }
    }
}

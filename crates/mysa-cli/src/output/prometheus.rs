//! Prometheus' text format, version 0.0.4.

use std::fmt::Write as _;

/// Returns 1 if the condition holds, else 0.
pub(crate) const fn one_if(condition: bool) -> f64 {
    if condition { 1.0 } else { 0.0 }
}

/// Converts a count. Counts are below 2^53, up to which the conversion is exact.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(crate) const fn number(count: u64) -> f64 {
    count as f64
}

/// Text of metrics. Each family begins with its help and type, and its samples follow.
#[derive(Default)]
pub(crate) struct Text(String, &'static str);

impl Text {
    pub(crate) fn finish(self) -> String {
        self.0
    }

    pub(crate) fn gauge(&mut self, name: &'static str, help: &str) {
        self.family(name, "gauge", help);
    }

    pub(crate) fn counter(&mut self, name: &'static str, help: &str) {
        self.family(name, "counter", help);
    }

    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.1 = name;
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// Adds a sample to the latest family.
    pub(crate) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        let Self(text, name) = self;
        text.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(text, "{label}=\"");
            for c in value.chars() {
                match c {
                    '\\' | '"' => text.extend(['\\', c]),
                    '\n' => text.push_str("\\n"),
                    c => text.push(c),
                }
            }
            text.push('"');
        }
        if !labels.is_empty() {
            text.push('}');
        }
        let _ = writeln!(text, " {value}");
    }
}

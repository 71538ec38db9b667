//! Output: tables, charts, JSON records, redaction, and the terminal itself.

pub(crate) mod chart;
pub(crate) mod prometheus;
pub(crate) mod record;
pub(crate) mod redact;
pub(crate) mod screen;
pub(crate) mod status_log;
pub(crate) mod table;
pub(crate) mod temperature;
pub(crate) mod template;
pub(crate) mod terminal;
pub(crate) mod timefmt;
pub(crate) mod trace;
pub(crate) mod view;

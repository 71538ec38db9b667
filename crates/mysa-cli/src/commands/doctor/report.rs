//! Report of `mysa doctor`, step by step.

use std::env::consts;

use crate::output::record::{Record, SCHEMA, Value, printable};
use crate::output::redact::Redaction;
use crate::output::table;
use crate::output::terminal::Terminal;
use crate::support::exit::{Exit, Failure, Result};

/// Result of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum StepResult {
    Good,
    /// The step works, with a limitation.
    Warning,
    Failed(Exit),
    /// An earlier step failed.
    Skipped,
}

/// Steps checked so far. They contain no private values unless `--show-private` is given.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    terminal: &'a Terminal,
    redaction: &'a mut Redaction,
    steps: Vec<Record>,
    /// Exit code, step and finding.
    first_failure: Option<(Exit, (String, String))>,
}

impl StepResult {
    const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl<'a> Report<'a> {
    pub(crate) fn new(terminal: &'a Terminal, redaction: &'a mut Redaction) -> Result<Self> {
        if !terminal.json {
            terminal.line(format!("mysa {} on {} {}", VERSION, consts::OS, consts::ARCH))?;
        }
        Ok(Self { terminal, redaction, steps: Vec::new(), first_failure: None })
    }

    pub(crate) fn redaction(&mut self) -> &mut Redaction {
        self.redaction
    }

    /// Shows the step that is being checked.
    pub(crate) fn checking(&self, at: &str) {
        self.terminal.progress(&format!("checking: {at}"));
    }

    pub(crate) fn good(&mut self, step: &str, found: impl AsRef<str>) -> Result<()> {
        self.add(step, StepResult::Good, found.as_ref(), None)
    }

    pub(crate) fn warn(&mut self, step: &str, found: impl AsRef<str>, advice: &str) -> Result<()> {
        self.add(step, StepResult::Warning, found.as_ref(), Some(advice))
    }

    pub(crate) fn fail(
        &mut self,
        step: &str,
        exit: Exit,
        found: impl AsRef<str>,
        advice: &str,
    ) -> Result<()> {
        self.add(step, StepResult::Failed(exit), found.as_ref(), Some(advice))
    }

    /// Adds steps that were not reached.
    pub(crate) fn skip(&mut self, steps: &[&str]) -> Result<()> {
        for step in steps {
            self.add(step, StepResult::Skipped, "not reached", None)?;
        }
        Ok(())
    }

    fn add(&mut self, step: &str, outcome: StepResult, found: &str, advice: Option<&str>) -> Result<()> {
        let found = self.redaction.text(found);
        self.terminal.progress("");
        if !self.terminal.json {
            let mark = format!("{:<8}", outcome.name());
            let mark =
                if matches!(outcome, StepResult::Failed(_)) { self.terminal.bold(&mark) } else { mark };
            self.terminal.line(format!(
                "{mark} {}  {}",
                table::pad(&printable(step), STEP),
                printable(&found)
            ))?;
            if let Some(advice) = advice {
                for line in table::wrap(advice, self.terminal.width().saturating_sub(11)) {
                    self.terminal.line(format!("{:9}{}", "", self.terminal.dim(&line)))?;
                }
            }
        }
        let mut record = Record::new();
        record.put("step", step).put("result", outcome.name()).put("found", found.as_str());
        record.put("advice", advice);
        if let StepResult::Failed(exit) = outcome {
            record.put("exit_code", exit as u8);
            self.first_failure.get_or_insert((exit, (step.to_owned(), found.clone())));
        }
        self.steps.push(record);
        Ok(())
    }

    /// Ends the report with the exit code of the first step that failed, because the later ones depend on it.
    pub(crate) fn end(self) -> Result<()> {
        let Self { terminal, steps, first_failure, .. } = self;
        if terminal.json {
            let mut document = Record::new();
            document.put("schema", SCHEMA).put("version", VERSION);
            document.put("system", format!("{} {}", consts::OS, consts::ARCH));
            document.put("ok", first_failure.is_none());
            document.put("exit_code", first_failure.as_ref().map_or(0, |(exit, _)| *exit as u8));
            document.put("steps", steps.into_iter().map(Value::Record).collect::<Vec<_>>());
            terminal.line(document.to_json())?;
        }
        match first_failure {
            // The lines above already have the details.
            Some((exit, (step, _))) if !terminal.json => {
                Err(Failure::new(exit, format!("the first step that failed: {step}")))
            }
            Some((exit, (step, found))) => Err(Failure::new(exit, format!("{step}: {found}"))),
            None => Ok(()),
        }
    }
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Width of the column of step names.
const STEP: usize = 48;

//! `fluxmq log verify`: one line per finding, and a summary.

use std::io::{self, IsTerminal, StdoutLock, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fluxmq_storage::inspect::verify::{AtNextStart, Finding, Observer, Place, Totals, verify};

use super::{EXIT_UNREADABLE, VerifyArguments};

/// The exit code when something is wrong.
const EXIT_FINDINGS: u8 = 1;
/// How often a terminal is told how far it is.
const TERMINAL_INTERVAL: Duration = Duration::from_millis(200);
/// How often others are.
const INTERVAL: Duration = Duration::from_secs(2);
/// Goes back to the start of the terminal's line and empties it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Looks at the directories and prints what is wrong.
pub(super) fn run(arguments: &VerifyArguments) -> ExitCode {
    let started = Instant::now();
    let is_terminal = io::stderr().is_terminal();
    let mut printer = Printer {
        out: io::stdout().lock(),
        findings: 0,
        notes: 0,
        progress: Progress { is_terminal, started, last: started, shown: false },
    };
    let mut totals = Totals::default();
    let mut unreadable = false;
    for path in &arguments.paths {
        if let Err(error) = verify(path, &mut totals, &mut printer) {
            printer.progress.clear();
            eprintln!("fluxmq: {error}");
            unreadable = true;
        }
    }
    printer.progress.clear();
    printer.line(&summary(&totals, printer.findings, printer.notes, started.elapsed()));
    match (unreadable, printer.findings) {
        (true, _) => ExitCode::from(EXIT_UNREADABLE),
        (false, 0) => ExitCode::SUCCESS,
        (false, _) => ExitCode::from(EXIT_FINDINGS),
    }
}

struct Printer {
    out: StdoutLock<'static>,
    findings: u64,
    notes: u64,
    progress: Progress,
}

impl Printer {
    fn line(&mut self, line: &str) {
        // A reader that has gone doesn't change what the exit code says.
        let _ = writeln!(self.out, "{line}");
    }
}

impl Observer for Printer {
    fn found(&mut self, finding: Finding) {
        let is_note = finding.condition.is_note();
        *(if is_note { &mut self.notes } else { &mut self.findings }) += 1;
        self.progress.clear();
        self.line(&line_of(&finding));
    }

    fn progress(&mut self, totals: &Totals) {
        self.progress.tell(totals);
    }
}

/// How far it is, on standard error.
struct Progress {
    is_terminal: bool,
    started: Instant,
    last: Instant,
    /// The terminal's line has it.
    shown: bool,
}

impl Progress {
    fn tell(&mut self, totals: &Totals) {
        let interval = if self.is_terminal { TERMINAL_INTERVAL } else { INTERVAL };
        if self.last.elapsed() < interval {
            return;
        }
        self.last = Instant::now();
        let Totals { partitions, segments, bytes, .. } = totals;
        let seconds = self.started.elapsed().as_secs();
        let text =
            format!("{seconds} s: {partitions} partitions, {segments} segments, {} MB", bytes / 1_000_000);
        let (before, after) = if self.is_terminal { (CLEAR_LINE, "") } else { ("", "\n") };
        let _ = write!(io::stderr(), "{before}{text}{after}");
        self.shown = self.is_terminal;
    }

    fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "{CLEAR_LINE}");
            self.shown = false;
        }
    }
}

fn line_of(finding: &Finding) -> String {
    let Finding { path, place, condition, at_next_start } = finding;
    let note = if condition.is_note() { "note: " } else { "" };
    let place = match place {
        Place::Whole => String::new(),
        Place::Position(position) => format!(" position {position}:"),
        Place::Offset(offset) => format!(" offset {offset}:"),
    };
    let fate = match at_next_start {
        AtNextStart::Nothing => "",
        AtNextStart::NotNoticed => "; the next start doesn't notice",
        AtNextStart::Cut => "; the next start cuts the log here",
        AtNextStart::GoesWithCut => "; goes with what the next start cuts",
        AtNextStart::Refused => "; the next start is refused",
        AtNextStart::Rebuilt => "; the next start makes the index anew",
        AtNextStart::Removed => "; the next start removes it",
        AtNextStart::TakenAsEmpty => "; the next start takes it as empty",
        AtNextStart::WrittenAnew => "; the next start writes it anew",
        AtNextStart::PassedOver => "; the next start passes it over",
        AtNextStart::Corrected => "; the next start corrects it",
    };
    format!("{}:{place} {note}{condition}{fate}", path.display())
}

fn summary(totals: &Totals, findings: u64, notes: u64, took: Duration) -> String {
    let Totals { partitions, segments, batches, records, bytes, gaps } = totals;
    let gaps = if *gaps == 0 { String::new() } else { format!(", {gaps} gaps as compaction leaves them") };
    format!(
        "partitions {partitions}, segments {segments}, batches {batches}, records {records}, bytes {bytes}{gaps}, \
         seconds {:.1}, notes {notes}, findings {findings}",
        took.as_secs_f64()
    )
}

//! The log: one line an event on standard error, for a person or for the journal.

use std::fmt;
use std::io::{IsTerminal, stderr};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::exit::Failure;

/// Starts the log with the events that `filter` lets through.
pub(crate) fn start(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::builder()
        .parse(filter)
        .map_err(|error| Failure::new(format!("--log {filter}: {error}; try `info` or `debug`")))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder
            .with_ansi(false)
            .event_format(Journal(Format::default().without_time().with_level(false)))
            .init();
    } else {
        builder.with_ansi(stderr().is_terminal()).init();
    }
    Ok(())
}

/// Lines for the journal, which adds the time itself and takes the priority from a prefix (sd-daemon(3)).
struct Journal(Format<tracing_subscriber::fmt::format::Full, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        };
        write!(writer, "<{priority}>")?;
        self.0.format_event(context, writer, event)
    }
}

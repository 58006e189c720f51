//! What clap has to say, in the one line that all our errors are.

use super::common::complain;
use clap::Command;
use clap::error::{Error, ErrorKind};
use std::process::ExitCode;

/// Exit status of wrong usage.
const USAGE: u8 = 2;

/// Prints help and versions as they are, on stdout, and everything else as one line on stderr.
pub(super) fn explain(error: &Error, args: &[String], cli: &Command) -> ExitCode {
    let is_asked_for = matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    if is_asked_for {
        // Nobody is left to be told when the stream is closed.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
    }
    complain(&one_line(error, args, cli));
    ExitCode::from(USAGE)
}

/// What was wrong, then clap's own advice, then where help is.
fn one_line(error: &Error, args: &[String], cli: &Command) -> String {
    let text = error.render().to_string();
    let body = text.lines().map(str::trim).take_while(|line| {
        !line.starts_with("Usage:") && !line.starts_with("For more information")
    });
    let mut said = String::new();
    for part in body.filter(|line| !line.is_empty()) {
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let part = part.strip_prefix("tip: ").unwrap_or(part);
        if !said.is_empty() {
            said.push_str(if said.ends_with(':') { " " } else { "; " });
        }
        said.push_str(part);
    }
    let typed = args.iter().find(|arg| cli.find_subcommand(arg).is_some());
    let help = typed.map_or_else(|| "weft help".to_owned(), |name| format!("weft help {name}"));
    format!("{said}; see `{help}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory, Parser};

    fn said(line: &str) -> String {
        let args: Vec<String> = line.split(' ').map(str::to_owned).collect();
        one_line(&Cli::try_parse_from(&args).unwrap_err(), &args[1..], &Cli::command())
    }

    #[test]
    fn wrong_usage_is_one_line_that_names_the_culprit_and_where_help_is() {
        for (line, expected) in [
            ("weft weave", "unrecognized subcommand 'weave'; see `weft help`"),
            (
                "weft launch --porto 1",
                "unexpected argument '--porto' found; a similar argument exists: '--port'; see `weft help launch`",
            ),
            (
                "weft attach",
                "the following required arguments were not provided: <ADDR|NAMESPACE>...; see `weft help attach`",
            ),
        ] {
            assert_eq!(said(line), expected);
        }
        let range = said("weft launch --ipalloc-range loom");
        assert!(
            range.starts_with("invalid value 'loom' for '--ipalloc-range <CIDR>': "),
            "{range}"
        );
        assert!(range.ends_with("; see `weft help launch`") && !range.contains('\n'), "{range}");
    }
}

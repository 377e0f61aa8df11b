//! The command line of `fluxmq log`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// What to do with the files of logs.
#[derive(Debug, Clone, Subcommand)]
pub enum LogCommand {
    /// Print what segments, indexes, snapshots and checkpoints hold.
    Dump(DumpArguments),
    /// Say what is wrong with the files of a data directory or of partitions.
    ///
    /// Ends with 0 if there is nothing, with 1 if there is, and with 2 if a path can't be read.
    Verify(VerifyArguments),
}

/// What to print.
#[derive(Debug, Clone, Args)]
pub struct DumpArguments {
    /// Files of a log, or directories of partitions for all of their files.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Print the records of each batch too.
    #[arg(long)]
    pub records: bool,

    /// Print batches and records with these offsets only, the last one not included; either may be left out.
    #[arg(long, value_name = "FROM..TO", value_parser = parse_offsets)]
    pub offsets: Option<(i64, i64)>,

    /// Print keys, values and headers to their ends.
    #[arg(long)]
    pub full: bool,
}

/// Where to look.
#[derive(Debug, Clone, Args)]
pub struct VerifyArguments {
    /// Data directories, or directories of partitions.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

fn parse_offsets(text: &str) -> Result<(i64, i64), String> {
    let allowed = || "allowed: FROM..TO, FROM.. or ..TO, with offsets from 0 on".to_owned();
    let (from, to) = text.split_once("..").ok_or_else(allowed)?;
    let offset = |text: &str, missing: i64| match text {
        "" => Some(missing),
        digits => digits.parse().ok().filter(|offset| *offset >= 0),
    };
    offset(from, 0).zip(offset(to, i64::MAX)).filter(|(from, to)| from <= to).ok_or_else(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_offsets() {
        assert_eq!(parse_offsets("3..7"), Ok((3, 7)));
        assert_eq!(parse_offsets("3.."), Ok((3, i64::MAX)));
        assert_eq!(parse_offsets("..7"), Ok((0, 7)));
        for text in ["3", "7..3", "-1..3", "a..b", "3..=7"] {
            assert!(parse_offsets(text).is_err(), "{text}");
        }
    }
}

//! `fluxmq log dump`: one line per batch, record or entry.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use fluxmq_storage::batch::{BatchHeader, Record};
use fluxmq_storage::inspect::{DumpError, DumpOptions, Dumped, DumpedBatch, FileKind, Unreadable, dump};
use fluxmq_storage::meta_properties::encode_uuid;

use super::text::{Shown, Time};
use super::{DumpArguments, EXIT_UNREADABLE};

/// Prints the files. Whoever closes standard output has seen enough.
pub(super) fn run(arguments: &DumpArguments) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let mut unreadable = false;
    for path in &arguments.paths {
        let mut printer = Printer { out: &mut out, full: arguments.full };
        let (from_offset, to_offset) = arguments.offsets.unwrap_or((0, i64::MAX));
        let options = DumpOptions { records: arguments.records, from_offset, to_offset };
        match dump(path, options, &mut |item| printer.item(&item)) {
            Ok(()) => {}
            Err(DumpError::Show(error)) => return ended(&error),
            Err(error) => {
                if let Err(error) = out.flush() {
                    return ended(&error);
                }
                eprintln!("fluxmq: {error}");
                unreadable = true;
            }
        }
    }
    match out.flush() {
        Ok(()) if unreadable => ExitCode::from(EXIT_UNREADABLE),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ended(&error),
    }
}

/// Standard output takes no more.
fn ended(error: &io::Error) -> ExitCode {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return ExitCode::SUCCESS;
    }
    eprintln!("fluxmq: standard output: {error}");
    ExitCode::from(EXIT_UNREADABLE)
}

struct Printer<'a, W> {
    out: &'a mut W,
    full: bool,
}

impl<W: Write> Printer<'_, W> {
    fn item(&mut self, item: &Dumped<'_>) -> io::Result<()> {
        match item {
            Dumped::File(path, kind) => {
                writeln!(self.out, "{}", path.display())?;
                let heading = heading(*kind);
                if heading.is_empty() { Ok(()) } else { writeln!(self.out, "{heading}") }
            }
            Dumped::Batch(batch) => self.batch(batch),
            Dumped::Record(record) => self.record(record),
            Dumped::OffsetIndexEntry { offset, position } => {
                writeln!(self.out, "{offset:>12} {position:>11}")
            }
            Dumped::TimeIndexEntry { timestamp_ms, offset } => {
                writeln!(self.out, "{offset:>12} {:<24} {timestamp_ms:>14}", Time(*timestamp_ms))
            }
            Dumped::TxnIndexEntry(entry) => writeln!(
                self.out,
                "{:>12} {:>12} {:>12} {:>19}",
                entry.producer_id, entry.first_offset, entry.last_offset, entry.last_stable_offset
            ),
            Dumped::ReservedEntries => writeln!(self.out, "  zeros from here on: reserved space"),
            Dumped::Producer(producer) => writeln!(
                self.out,
                "{:>12} {:>6} {:>13} {:>12} {:>12} {:<24} {:>14} {:>18} {:>17}",
                producer.producer_id,
                producer.producer_epoch,
                producer.last_sequence,
                producer.last_offset,
                producer.offset_delta,
                Time(producer.timestamp_ms),
                producer.timestamp_ms,
                producer.coordinator_epoch,
                producer.current_txn_first_offset
            ),
            Dumped::Epoch(entry) => writeln!(self.out, "{:>12} {:>12}", entry.epoch, entry.start_offset),
            Dumped::Offset { topic, partition, offset } => {
                writeln!(self.out, "{offset:>12} {topic}-{partition}")
            }
            Dumped::TopicId(id) => writeln!(self.out, "  topic id {}", encode_uuid(*id)),
            Dumped::Unreadable(why @ Unreadable::Records(_)) => writeln!(self.out, "  | unreadable {why}"),
            Dumped::Unreadable(why) => writeln!(self.out, "  unreadable from here on: {why}"),
        }
    }

    fn batch(&mut self, batch: &DumpedBatch) -> io::Result<()> {
        let header = &batch.header;
        let size_bytes = header.size_in_bytes();
        write!(
            self.out,
            "{:>12} {:>12} {:>7} {:>11} {size_bytes:>9} {:<6} {:<13} {:<24} {:>14} {:>6}",
            header.base_offset,
            header.last_offset(),
            header.records_count,
            batch.position,
            header.codec().map_or("?", |codec| codec.name()),
            header.timestamp_type().name(),
            Time(header.max_timestamp),
            header.max_timestamp,
            header.partition_leader_epoch,
        )?;
        match header.has_producer_id() {
            true => write!(
                self.out,
                " {:>10} {:>6} {:>10}",
                header.producer_id, header.producer_epoch, header.base_sequence
            )?,
            false => write!(self.out, " {:>10} {:>6} {:>10}", "-", "-", "-")?,
        }
        let crc = if batch.computed_crc == header.crc { "ok" } else { "BAD" };
        write!(self.out, " {crc:<3}")?;
        self.remarks(header, batch)?;
        writeln!(self.out)
    }

    /// What few batches have.
    fn remarks(&mut self, header: &BatchHeader, batch: &DumpedBatch) -> io::Result<()> {
        if header.is_transactional() {
            write!(self.out, " transactional")?;
        }
        if header.is_control() {
            let says = batch.marker.map_or("?", |marker| if marker.is_commit { "COMMIT" } else { "ABORT" });
            write!(self.out, " control {says}")?;
        }
        if let Some(marker) = batch.marker {
            write!(self.out, " coordinator epoch {}", marker.coordinator_epoch)?;
        }
        if let Some(horizon_ms) = header.delete_horizon_ms() {
            write!(self.out, " delete horizon {} {horizon_ms}", Time(horizon_ms))?;
        }
        if batch.computed_crc != header.crc {
            write!(self.out, " CRC {:#010x}, its bytes have {:#010x}", header.crc, batch.computed_crc)?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record<'_>) -> io::Result<()> {
        let full = self.full;
        let shown = |bytes| Shown { bytes, full };
        write!(
            self.out,
            "  | {:>8} {:<24} {:>14} key {} value {}",
            record.offset,
            Time(record.timestamp),
            record.timestamp,
            shown(record.key),
            shown(record.value)
        )?;
        for header in record.headers() {
            write!(self.out, " header {} {}", shown(Some(header.key)), shown(header.value))?;
        }
        writeln!(self.out)
    }
}

/// The names of the columns.
fn heading(kind: FileKind) -> String {
    match kind {
        FileKind::Segment(_) => format!(
            "{:>12} {:>12} {:>7} {:>11} {:>9} {:<6} {:<13} {:<24} {:>14} {:>6} {:>10} {:>6} {:>10} {:<3}",
            "first",
            "last",
            "records",
            "position",
            "bytes",
            "codec",
            "time of",
            "max timestamp",
            "in ms",
            "leader",
            "producer",
            "epoch",
            "sequence",
            "CRC"
        ),
        FileKind::OffsetIndex(_) => format!("{:>12} {:>11}", "offset", "position"),
        FileKind::TimeIndex(_) => format!("{:>12} {:<24} {:>14}", "offset", "timestamp", "in ms"),
        FileKind::TxnIndex(_) => {
            format!("{:>12} {:>12} {:>12} {:>19}", "producer", "first", "abort marker", "last stable offset")
        }
        FileKind::Snapshot(_) => format!(
            "{:>12} {:>6} {:>13} {:>12} {:>12} {:<24} {:>14} {:>18} {:>17}",
            "producer",
            "epoch",
            "last sequence",
            "last offset",
            "offset delta",
            "timestamp",
            "in ms",
            "coordinator epoch",
            "transaction from"
        ),
        FileKind::LeaderEpochs => format!("{:>12} {:>12}", "leader epoch", "from offset"),
        FileKind::Checkpoint(_) => format!("{:>12} partition", "offset"),
        FileKind::PartitionMetadata => String::new(),
    }
}

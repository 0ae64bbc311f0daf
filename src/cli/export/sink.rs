//! Where an export goes: a file that is there when all of it is.

use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::columns::{Cell, Column};
use super::parquet::Rows;
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::pb;

/// What is written to. A file has another name until it is whole.
pub(super) struct Target {
    writer: Box<dyn Write + Send>,
    file: Option<(PathBuf, PathBuf)>,
}

impl Target {
    /// Opens a file that is not there, or standard output.
    ///
    /// # Errors
    /// In words, why it can't be written.
    pub(super) fn open(path: &Path, is_parquet: bool) -> Result<Self, Box<dyn Error>> {
        if path.as_os_str() == "-" {
            if is_parquet {
                return Err("Parquet needs a file, not standard output".into());
            }
            return Ok(Self { writer: Box::new(io::stdout()), file: None });
        }
        if path.exists() {
            return Err(format!("{} is there already; choose another file", path.display()).into());
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".partial");
        let unfinished = PathBuf::from(unfinished);
        let opened = OpenOptions::new().write(true).create(true).truncate(true).open(&unfinished);
        let file: File = opened.map_err(|error| format!("can't write {}: {error}", unfinished.display()))?;
        Ok(Self { writer: Box::new(BufWriter::new(file)), file: Some((unfinished, path.to_owned())) })
    }

    fn finish(mut self) -> Result<(), Box<dyn Error>> {
        self.writer.flush()?;
        drop(self.writer);
        if let Some((unfinished, path)) = self.file {
            File::open(&unfinished)?.sync_all()?;
            fs::rename(unfinished, path)?;
        }
        Ok(())
    }
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// What turns events into bytes.
pub(super) enum Sink {
    Csv(Box<csv::Writer<Target>>, Vec<Column>),
    Parquet(Box<Rows<Target>>, Vec<Column>),
}

impl Sink {
    /// Text, a line for each event after one with the names.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn csv(target: Target, columns: Vec<Column>) -> Result<Self, Box<dyn Error>> {
        let mut writer = csv::Writer::from_writer(target);
        writer.write_record(columns.iter().map(|column| column.name))?;
        Ok(Self::Csv(Box::new(writer), columns))
    }

    /// Parquet.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn parquet(target: Target, columns: Vec<Column>) -> Result<Self, Box<dyn Error>> {
        Ok(Self::Parquet(Box::new(Rows::new(target, &columns)?), columns))
    }

    /// Writes events.
    ///
    /// # Errors
    /// If they can't be written.
    pub(super) fn write(&mut self, events: &[pb::UsageEvent]) -> Result<(), Box<dyn Error>> {
        for event in events {
            match self {
                Self::Csv(writer, columns) => {
                    writer.write_record(columns.iter().map(|column| shown((column.cell)(event))))?;
                }
                Self::Parquet(rows, columns) => {
                    rows.push(columns.iter().map(|column| (column.cell)(event)).collect())?;
                }
            }
        }
        Ok(())
    }

    /// Makes the file whole.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) fn finish(self) -> Result<(), Box<dyn Error>> {
        match self {
            Self::Csv(writer, _) => {
                let target = writer.into_inner().map_err(|error| error.to_string())?;
                target.finish()
            }
            Self::Parquet(rows, _) => rows.finish()?.finish(),
        }
    }
}

/// A value as text.
fn shown(cell: Cell) -> String {
    match cell {
        Cell::Text(text) => text,
        Cell::Number(number) => number.to_string(),
        Cell::Money(nanos) => Usd::from_nanos(nanos).to_string(),
        Cell::Instant(micros) => Timestamp::from_micros(micros).to_string(),
        Cell::Flag(flag) => flag.to_string(),
        Cell::Absent => String::new(),
    }
}

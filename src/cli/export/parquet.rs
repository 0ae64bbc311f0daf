//! Parquet: rows are gathered, and written as columns some thousands at a time.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;

use super::columns::{Cell, Column, Kind};

/// How many rows are gathered: all that is kept in memory.
const GROUP: usize = 20_000;

/// Rows on their way to a file.
pub(super) struct Rows<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    kinds: Vec<Kind>,
    gathered: Vec<Vec<Cell>>,
}

impl<W: Write + Send> Rows<W> {
    /// A file with these columns.
    ///
    /// # Errors
    /// [`ParquetError`] if it can't be written.
    pub(super) fn new(target: W, columns: &[Column]) -> Result<Self, ParquetError> {
        let fields = columns.iter().map(|column| field(column).map(Arc::new)).collect::<Result<Vec<_>, _>>()?;
        let schema = Type::group_type_builder("usage").with_fields(fields).build()?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(target, Arc::new(schema), Arc::new(properties))?;
        Ok(Self { writer, kinds: columns.iter().map(|column| column.kind).collect(), gathered: Vec::new() })
    }

    /// Takes a row.
    ///
    /// # Errors
    /// [`ParquetError`] if it can't be written.
    pub(super) fn push(&mut self, row: Vec<Cell>) -> Result<(), ParquetError> {
        self.gathered.push(row);
        if self.gathered.len() >= GROUP { self.write_group() } else { Ok(()) }
    }

    /// Writes what is left, and the end of the file.
    ///
    /// # Errors
    /// [`ParquetError`] if it can't be written.
    pub(super) fn finish(mut self) -> Result<W, ParquetError> {
        if !self.gathered.is_empty() {
            self.write_group()?;
        }
        self.writer.into_inner()
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let rows = std::mem::take(&mut self.gathered);
        let mut group = self.writer.next_row_group()?;
        for (index, kind) in self.kinds.iter().enumerate() {
            let Some(column) = group.next_column()? else { break };
            let cells = rows.iter().map(|row| &row[index]);
            match kind {
                Kind::Text => write::<ByteArrayType>(column, cells, |cell| match cell {
                    Cell::Text(text) => Some(ByteArray::from(text.as_str())),
                    _ => None,
                })?,
                Kind::Flag => write::<BoolType>(column, cells, |cell| match cell {
                    Cell::Flag(flag) => Some(*flag),
                    _ => None,
                })?,
                Kind::Number | Kind::Money | Kind::Instant => write::<Int64Type>(column, cells, |cell| match cell {
                    Cell::Number(number) | Cell::Money(number) | Cell::Instant(number) => Some(*number),
                    _ => None,
                })?,
            }
        }
        group.close()?;
        Ok(())
    }
}

fn write<'a, T: DataType>(
    mut column: SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let found: Vec<Option<T::T>> = cells.map(value).collect();
    let there: Vec<i16> = found.iter().map(|value| i16::from(value.is_some())).collect();
    let values: Vec<T::T> = found.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&there), None)?;
    column.close()
}

/// A column that may be absent. Money is an exact decimal.
fn field(column: &Column) -> Result<Type, ParquetError> {
    let of = |physical| Type::primitive_type_builder(column.name, physical).with_repetition(Repetition::OPTIONAL);
    match column.kind {
        Kind::Text => of(Physical::BYTE_ARRAY).with_logical_type(Some(LogicalType::String)).build(),
        Kind::Number => of(Physical::INT64).build(),
        Kind::Flag => of(Physical::BOOLEAN).build(),
        Kind::Money => {
            let decimal = LogicalType::decimal(9, 18);
            of(Physical::INT64).with_logical_type(Some(decimal)).with_precision(18).with_scale(9).build()
        }
        Kind::Instant => {
            let micros = LogicalType::timestamp(true, TimeUnit::MICROS);
            of(Physical::INT64).with_logical_type(Some(micros)).build()
        }
    }
}

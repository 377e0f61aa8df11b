//! How the fields of a record are read and written, in the compact encodings (KIP-482) and in the older ones.

use bytes::Bytes;
use uuid::Uuid;

use super::RecordError;
use crate::StrBytes;
use crate::reader::{Reader, ShapeError};

/// A value that a record consists of. `flexible`: in the compact encodings.
pub(super) trait Field: Sized {
    fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError>;
    fn write(&self, out: &mut Vec<u8>, flexible: bool);
}

macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn read(reader: &mut Reader<'_>, _: bool) -> Result<Self, RecordError> {
                let mut bytes = [0; size_of::<$type>()];
                bytes.copy_from_slice(reader.skip(size_of::<$type>())?);
                Ok(<$type>::from_be_bytes(bytes))
            }

            fn write(&self, out: &mut Vec<u8>, _: bool) {
                out.extend_from_slice(&self.to_be_bytes());
            }
        }
    )*};
}

integer!(i8, i16, i32, i64);

impl Field for Uuid {
    fn read(reader: &mut Reader<'_>, _: bool) -> Result<Self, RecordError> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(reader.skip(16)?);
        Ok(Uuid::from_bytes(bytes))
    }

    fn write(&self, out: &mut Vec<u8>, _: bool) {
        out.extend_from_slice(self.as_bytes());
    }
}

impl Field for Option<StrBytes> {
    fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError> {
        let position = reader.position();
        let length = if flexible { compact_length(reader)? } else { i64::from(reader.int16()?) };
        let Some(length) = size(length, position)? else { return Ok(None) };
        let text = std::str::from_utf8(reader.skip(length)?);
        let text = text.map_err(|_| RecordError::NotUtf8 { position })?;
        Ok(Some(StrBytes::from_string(text.to_owned())))
    }

    fn write(&self, out: &mut Vec<u8>, flexible: bool) {
        match self {
            Some(text) => text.write(out, flexible),
            None if flexible => write_compact_length(out, None),
            None => (-1_i16).write(out, false),
        }
    }
}

impl Field for StrBytes {
    fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError> {
        let position = reader.position();
        Option::<StrBytes>::read(reader, flexible)?.ok_or_else(|| null(position))
    }

    /// # Panics
    /// When the text is longer than an int16 says and the field is not compact: what takes texts from clients refuses
    /// those.
    fn write(&self, out: &mut Vec<u8>, flexible: bool) {
        if flexible {
            write_compact_length(out, Some(self.len()));
        } else {
            i16::try_from(self.len()).expect("a text fits in an int16").write(out, false);
        }
        out.extend_from_slice(self.as_bytes());
    }
}

impl Field for Bytes {
    fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError> {
        let position = reader.position();
        let length = if flexible { compact_length(reader)? } else { i64::from(reader.int32()?) };
        let length = size(length, position)?.ok_or_else(|| null(position))?;
        Ok(Bytes::copy_from_slice(reader.skip(length)?))
    }

    fn write(&self, out: &mut Vec<u8>, flexible: bool) {
        write_length(out, self.len(), flexible);
        out.extend_from_slice(self);
    }
}

impl<T: Field> Field for Vec<T> {
    fn read(reader: &mut Reader<'_>, flexible: bool) -> Result<Self, RecordError> {
        read_array(reader, flexible, |reader| T::read(reader, flexible))
    }

    fn write(&self, out: &mut Vec<u8>, flexible: bool) {
        write_length(out, self.len(), flexible);
        self.iter().for_each(|element| element.write(out, flexible));
    }
}

/// Reads an array that is not null.
pub(super) fn read_array<T>(
    reader: &mut Reader<'_>,
    flexible: bool,
    read: impl Fn(&mut Reader<'_>) -> Result<T, RecordError>,
) -> Result<Vec<T>, RecordError> {
    let position = reader.position();
    let count = if flexible { compact_length(reader)? } else { i64::from(reader.int32()?) };
    let count = size(count, position)?.ok_or_else(|| null(position))?;
    // Every element takes a byte at least. The vector grows with what is there, not with what is announced.
    reader.ensure(count)?;
    let mut elements = Vec::new();
    for _ in 0..count {
        elements.push(read(reader)?);
    }
    Ok(elements)
}

fn null(position: usize) -> RecordError {
    RecordError::Shape(ShapeError::BadLength { position, length: -1 })
}

/// A length as it came; none for null, which is −1.
fn size(length: i64, position: usize) -> Result<Option<usize>, RecordError> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(ShapeError::BadLength { position, length }.into()),
    }
}

fn compact_length(reader: &mut Reader<'_>) -> Result<i64, RecordError> {
    Ok(i64::from(reader.unsigned_varint()?) - 1)
}

/// The length of bytes, or the count of an array.
pub(super) fn write_length(out: &mut Vec<u8>, length: usize, flexible: bool) {
    if flexible {
        write_compact_length(out, Some(length));
    } else {
        i32::try_from(length).expect("a record fits in an int32").write(out, false);
    }
}

fn write_compact_length(out: &mut Vec<u8>, length: Option<usize>) {
    let plus_one = length.map_or(0, |length| length + 1);
    write_varint(out, u32::try_from(plus_one).expect("a record fits in an int32"));
}

/// Up to five bytes, the lowest seven bits first.
fn write_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Writes the tagged section; `fields` are tags in rising order with what stands under them.
pub(super) fn write_tagged(out: &mut Vec<u8>, fields: &[(u32, Vec<u8>)]) {
    write_varint(out, fields.len() as u32);
    for (tag, bytes) in fields {
        write_varint(out, *tag);
        write_varint(out, u32::try_from(bytes.len()).expect("a record fits in an int32"));
        out.extend_from_slice(bytes);
    }
}

/// Reads the tagged section; `known` is asked to read each field, and leaves those that it does not know.
pub(super) fn read_tagged(
    reader: &mut Reader<'_>,
    mut known: impl FnMut(u32, &mut Reader<'_>) -> Result<(), RecordError>,
) -> Result<(), RecordError> {
    let count = reader.unsigned_varint()?;
    for _ in 0..count {
        let tag = reader.unsigned_varint()?;
        let size_bytes = reader.unsigned_varint()? as usize;
        known(tag, &mut Reader::new(reader.skip(size_bytes)?))?;
    }
    Ok(())
}

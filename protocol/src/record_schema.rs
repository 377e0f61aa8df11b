//! How a field of a record of the internal topics or of the cluster's metadata is laid out, and the macro that makes a
//! struct's codec of its list of fields.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::reader::{Reader, ShapeError};

/// What decides the layout of a message: its version, and whether that one is flexible (compact lengths, tagged
/// fields).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub(crate) version: i16,
    pub(crate) flexible: bool,
}

/// A value is longer than its length field can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value of {length} bytes or elements is longer than a record can hold")]
pub struct TooLong {
    /// In bytes, for an array in elements.
    pub length: usize,
}

/// A value in a record.
///
/// `read` reserves memory only for elements that the bytes left can hold, and copies: a value doesn't keep the
/// input alive.
pub(crate) trait Value: Sized {
    /// The fewest bytes it takes in any version.
    const LEAST_BYTES: usize;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError>;

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong>;
}

macro_rules! fixed_value {
    ($($type:ty: $bytes:literal, $put:ident;)*) => {$(
        impl Value for $type {
            const LEAST_BYTES: usize = $bytes;

            fn read(input: &mut Reader<'_>, _: Layout) -> Result<Self, ShapeError> {
                Ok(Self::from_be_bytes(input.array()?))
            }

            fn write(&self, out: &mut BytesMut, _: Layout) -> Result<(), TooLong> {
                out.$put(*self);
                Ok(())
            }
        }
    )*};
}

fixed_value! {
    i8: 1, put_i8;
    i16: 2, put_i16;
    i32: 4, put_i32;
    i64: 8, put_i64;
    u16: 2, put_u16;
}

/// One byte; any but 0 is true, as in Java.
impl Value for bool {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        i8::read(input, layout).map(|byte| byte != 0)
    }

    fn write(&self, out: &mut BytesMut, _: Layout) -> Result<(), TooLong> {
        out.put_i8(i8::from(*self));
        Ok(())
    }
}

impl Value for Uuid {
    const LEAST_BYTES: usize = 16;

    fn read(input: &mut Reader<'_>, _: Layout) -> Result<Self, ShapeError> {
        Ok(Self::from_bytes(input.array()?))
    }

    fn write(&self, out: &mut BytesMut, _: Layout) -> Result<(), TooLong> {
        out.put_slice(self.as_bytes());
        Ok(())
    }
}

/// Strings have a 16-bit length where the layout isn't flexible. Bytes that aren't UTF-8 are replaced, as Java does:
/// no coordinator writes them, and they must not stop the load of a whole partition.
impl Value for Option<StrBytes> {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        let position = input.position();
        let length =
            if layout.flexible { compact_length(input)? } else { usize::try_from(input.int16()?).ok() };
        let Some(length) = length else { return Ok(None) };
        if length > MAX_STRING_BYTES {
            return Err(ShapeError::BadLength { position, length: length as i64 });
        }
        let text = String::from_utf8_lossy(input.skip(length)?).into_owned();
        Ok(Some(StrBytes::from_string(text)))
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_string(self.as_ref(), out, layout)
    }
}

impl Value for StrBytes {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        not_null(input, layout)
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_string(Some(self), out, layout)
    }
}

impl Value for Option<Bytes> {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        let Some(length) = read_length(input, layout)? else { return Ok(None) };
        Ok(Some(Bytes::copy_from_slice(input.skip(length)?)))
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_bytes(self.as_ref(), out, layout)
    }
}

impl Value for Bytes {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        not_null(input, layout)
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_bytes(Some(self), out, layout)
    }
}

impl<T: Value> Value for Option<Vec<T>> {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        let Some(count) = read_length(input, layout)? else { return Ok(None) };
        input.ensure(count.saturating_mul(T::LEAST_BYTES))?;
        let mut elements = Vec::with_capacity(count);
        for _ in 0..count {
            elements.push(T::read(input, layout)?);
        }
        Ok(Some(elements))
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_array(self.as_deref(), out, layout)
    }
}

impl<T: Value> Value for Vec<T> {
    const LEAST_BYTES: usize = 1;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        not_null(input, layout)
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        write_array(Some(self), out, layout)
    }
}

/// A value that can stand in the tagged section.
pub(crate) trait Tagged: Value + PartialEq {
    /// What it means that the field isn't there.
    fn absent() -> Self;

    /// Whether Kafka leaves it out.
    fn is_left_out(&self) -> bool {
        *self == Self::absent()
    }
}

impl Tagged for Uuid {
    fn absent() -> Self {
        Self::nil()
    }
}

/// None and 0 are the same to Kafka, which leaves 0 out.
impl Tagged for Option<i64> {
    fn absent() -> Self {
        None
    }

    fn is_left_out(&self) -> bool {
        self.unwrap_or(0) == 0
    }
}

impl Value for Option<i64> {
    const LEAST_BYTES: usize = i64::LEAST_BYTES;

    fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
        i64::read(input, layout).map(Some)
    }

    fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
        self.unwrap_or(0).write(out, layout)
    }
}

/// None and empty are the same to Kafka, which leaves the empty array out.
impl Tagged for Option<Vec<i32>> {
    fn absent() -> Self {
        None
    }

    fn is_left_out(&self) -> bool {
        self.as_ref().is_none_or(Vec::is_empty)
    }
}

const MAX_STRING_BYTES: usize = i16::MAX as usize;

fn not_null<T>(input: &mut Reader<'_>, layout: Layout) -> Result<T, ShapeError>
where
    Option<T>: Value,
{
    let position = input.position();
    Option::read(input, layout)?.ok_or(ShapeError::BadLength { position, length: -1 })
}

/// The length of bytes or the count of an array. None is null, as is any negative length.
fn read_length(input: &mut Reader<'_>, layout: Layout) -> Result<Option<usize>, ShapeError> {
    if layout.flexible { compact_length(input) } else { Ok(usize::try_from(input.int32()?).ok()) }
}

fn compact_length(input: &mut Reader<'_>) -> Result<Option<usize>, ShapeError> {
    Ok((input.unsigned_varint()? as usize).checked_sub(1))
}

fn write_string(value: Option<&StrBytes>, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
    let length = value.map(|value| value.len());
    if let Some(length) = length.filter(|&length| length > MAX_STRING_BYTES) {
        return Err(TooLong { length });
    }
    if layout.flexible {
        write_length(length, out, layout)?;
    } else {
        out.put_i16(length.map_or(-1, |length| length as i16));
    }
    out.put_slice(value.map_or(&[], |value| value.as_bytes()));
    Ok(())
}

fn write_bytes(value: Option<&Bytes>, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
    write_length(value.map(Bytes::len), out, layout)?;
    out.put_slice(value.map_or(&[], |value| value));
    Ok(())
}

fn write_array<T: Value>(value: Option<&[T]>, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
    write_length(value.map(<[T]>::len), out, layout)?;
    value.unwrap_or_default().iter().try_for_each(|element| element.write(out, layout))
}

fn write_length(length: Option<usize>, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
    let plain = match length {
        None => -1,
        Some(length) => i32::try_from(length).map_err(|_| TooLong { length })?,
    };
    if layout.flexible {
        write_unsigned_varint(plain.wrapping_add(1) as u32, out);
    } else {
        out.put_i32(plain);
    }
    Ok(())
}

pub(crate) fn write_unsigned_varint(mut value: u32, out: &mut BytesMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// A key or value: what stands in front of it, a type or a version, then its fields.
pub(crate) fn prefixed(prefix: i16, flexible: bool, message: &impl Value) -> Result<Bytes, TooLong> {
    let mut out = BytesMut::new();
    out.put_i16(prefix);
    message.write(&mut out, Layout { version: prefix, flexible })?;
    Ok(out.freeze())
}

/// One tagged field: its tag, its size, its value.
pub(crate) fn write_tagged<T: Value>(
    tag: u32,
    value: &T,
    out: &mut BytesMut,
    layout: Layout,
) -> Result<(), TooLong> {
    let mut field = BytesMut::new();
    value.write(&mut field, layout)?;
    write_unsigned_varint(tag, out);
    write_unsigned_varint(u32::try_from(field.len()).map_err(|_| TooLong { length: field.len() })?, out);
    out.put_slice(&field);
    Ok(())
}

/// Reads a tagged section. `known` reads the value of a tag and returns true, or leaves it and returns false: the
/// field is passed over then, and isn't kept.
pub(crate) fn read_tagged_section(
    input: &mut Reader<'_>,
    mut known: impl FnMut(u32, &mut Reader<'_>) -> Result<bool, ShapeError>,
) -> Result<(), ShapeError> {
    for _ in 0..input.unsigned_varint()? {
        let tag = input.unsigned_varint()?;
        let size_bytes = input.unsigned_varint()? as usize;
        let position = input.position();
        input.ensure(size_bytes)?;
        if !known(tag, input)? {
            input.skip(size_bytes)?;
        } else if input.position() - position != size_bytes {
            return Err(ShapeError::TaggedFieldSize { position, tag, size_bytes });
        }
    }
    Ok(())
}

/// Structs of Kafka's schemas with their codec. A field is `name: Type = default`, in every version unless
/// `since` or `until` (included) says otherwise; behind the struct stand its `tagged` fields, which any flexible
/// version can have. One with a default of its own, `tag => name: Type = default`, is left out where it has that value;
/// for the others [`Tagged`] says when.
macro_rules! schema {
    ($(
        $(#[$struct_doc:meta])*
        $struct:ident {
            $(
                $(#[$doc:meta])*
                $field:ident: $type:ty = $default:expr $(, since $since:literal)? $(, until $until:literal)?;
            )*
        }
        $(, tagged {
            $(
                $(#[$tagged_doc:meta])*
                $tag:literal => $tagged:ident: $tagged_type:ty $(= $tagged_default:expr)?;
            )*
        })?
    )*) => {$(
        $(#[$struct_doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub struct $struct {
            $($(#[$doc])* pub $field: $type,)*
            $($($(#[$tagged_doc])* pub $tagged: $tagged_type,)*)?
        }

        impl Default for $struct {
            fn default() -> Self {
                Self {
                    $($field: $default,)*
                    $($($tagged: schema!(@default $($tagged_default)?),)*)?
                }
            }
        }

        impl Value for $struct {
            const LEAST_BYTES: usize =
                0 $(+ if 0 $(+ $since)? == 0 { <$type as Value>::LEAST_BYTES } else { 0 })*;

            fn read(input: &mut Reader<'_>, layout: Layout) -> Result<Self, ShapeError> {
                // A record without tagged fields is complete at once.
                #[allow(unused_mut)]
                let mut read = Self {
                    $($field: if schema!(@has layout $(, since $since)? $(, until $until)?) {
                        Value::read(input, layout)?
                    } else {
                        $default
                    },)*
                    $($($tagged: schema!(@absent $($tagged_default)?),)*)?
                };
                if layout.flexible {
                    read_tagged_section(input, |tag, _input| match tag {
                        $($($tag => {
                            read.$tagged = Value::read(_input, layout)?;
                            Ok(true)
                        })*)?
                        _ => Ok(false),
                    })?;
                }
                Ok(read)
            }

            fn write(&self, out: &mut BytesMut, layout: Layout) -> Result<(), TooLong> {
                $(if schema!(@has layout $(, since $since)? $(, until $until)?) {
                    self.$field.write(out, layout)?;
                })*
                if layout.flexible {
                    let count = 0 $($(+ u32::from(!schema!(@left_out self.$tagged $(, $tagged_default)?)))*)?;
                    write_unsigned_varint(count, out);
                    $($(if !schema!(@left_out self.$tagged $(, $tagged_default)?) {
                        write_tagged($tag, &self.$tagged, out, layout)?;
                    })*)?
                }
                Ok(())
            }
        }
    )*};
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
    (@absent) => { Tagged::absent() };
    (@absent $default:expr) => { $default };
    (@left_out $value:expr) => { $value.is_left_out() };
    (@left_out $value:expr, $default:expr) => { $value == $default };
    (@has $layout:ident) => { true };
    (@has $layout:ident, since $since:literal) => { $layout.version >= $since };
    (@has $layout:ident, since $since:literal, until $until:literal) => {
        ($since..=$until).contains(&$layout.version)
    };
}
pub(crate) use schema;

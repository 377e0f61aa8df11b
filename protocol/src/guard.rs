//! The bounds guard: walks a request body before anything is decoded.
//!
//! kafka-protocol 0.18 reserves memory for whatever count stands on the wire before it looks for the elements:
//! five bytes of a Metadata request can ask for gigabytes, and the process aborts. The guard walks the body by
//! the message's layout (`shapes.rs`, generated from Kafka's message definitions) and allocates nothing.
//! A body that passes has, for every count, as many elements as it says, so that the decoder reserves only what
//! it fills. The depth of the walk is the depth of the message definition (four at most).
//!
//! Two bounds hold:
//! - Every length, count and tagged field's size fits in the bytes that are left. Kafka's parsers have the same
//!   rule for counts, and close the connection where it is broken.
//! - What the decoder will reserve is at most [`memory_limit_bytes`] of the body's length. Small elements grow
//!   when decoded: an empty topic name in Metadata version 0 is 2 bytes on the wire and 72 in memory, an unknown
//!   tagged field of 2 bytes can cost over 400. Kafka has no such bound.
//!
//! Where it is stricter than Kafka: null is the length −1 alone, not any negative one; a known tagged field must
//! take exactly the size it says; both as kafka-protocol would misread them.

use kafka_protocol::messages::ApiKey;

use crate::reader::{Reader, ShapeError};
use crate::shapes::shape;

/// Why a body was refused. The connection is closed in every case, as Kafka does for a body it can't parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// The guard has no layout for this API and version. It isn't decoded then.
    #[error("no layout for this API and version")]
    NoShape,
    /// The body isn't what the layout says.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// Decoded, the body would take more memory than its length justifies.
    #[error("decoding would reserve more than the {limit_bytes} bytes allowed for this body")]
    TooMuchMemory {
        /// [`memory_limit_bytes`] of the body's length.
        limit_bytes: usize,
    },
}

/// The most memory that decoding a body of `body_bytes` may reserve, in bytes: 16 MiB, plus four times the body.
///
/// The constant lets through any request that clients send: 200,000 topics of a Metadata request, or as many
/// partitions of a Fetch request, whatever their size on the wire. Beyond it elements must carry content, as
/// topic names of ten letters and more do.
pub const fn memory_limit_bytes(body_bytes: usize) -> usize {
    (16 << 20) + body_bytes.saturating_mul(4)
}

/// Checks a request body, and returns how many bytes of memory decoding it will reserve (strings and records are
/// not among them: they stay slices of the body). Bytes behind the message are not looked at.
///
/// # Errors
/// See [`GuardError`].
pub fn check(api_key: ApiKey, api_version: i16, body: &[u8]) -> Result<usize, GuardError> {
    check_shape(&shape(api_key).ok_or(GuardError::NoShape)?, api_version, body)
}

/// [`check`] for a message of the given layout.
pub(crate) fn check_shape(shape: &Shape, version: i16, body: &[u8]) -> Result<usize, GuardError> {
    if !shape.versions.contain(version) {
        return Err(GuardError::NoShape);
    }
    let mut walk = Walk {
        reader: Reader::new(body),
        version,
        flexible: shape.flexible.contain(version),
        memory_bytes: 0,
        limit_bytes: memory_limit_bytes(body.len()),
    };
    walk.fields(shape.fields)?;
    Ok(walk.memory_bytes)
}

/// The layout of a request, in all its versions.
pub(crate) struct Shape {
    pub(crate) versions: Versions,
    pub(crate) flexible: Versions,
    pub(crate) fields: &'static [Field],
}

/// A field of a struct, in the order of the wire.
pub(crate) struct Field {
    pub(crate) kind: Kind,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: u32,
    pub(crate) tagged: Versions,
}

/// How a field is laid out.
pub(crate) enum Kind {
    /// So many bytes.
    Fixed(u8),
    /// 16-bit length, or compact.
    String,
    /// 32-bit length, or compact. Records too.
    Bytes,
    /// Its fields one after another; a mark in front where it is nullable.
    Struct(&'static [Field]),
    /// 32-bit count, or compact; then the elements, which take so much memory each when decoded.
    Array { element: &'static Kind, element_memory_bytes: u16 },
}

/// A range of versions, both ends included.
#[derive(Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) first: i16,
    pub(crate) last: i16,
}

pub(crate) const NEVER: Versions = span(0, -1);

pub(crate) const fn span(first: i16, last: i16) -> Versions {
    Versions { first, last }
}

pub(crate) const fn from(first: i16) -> Versions {
    span(first, i16::MAX)
}

impl Versions {
    pub(crate) fn contain(self, version: i16) -> bool {
        self.first <= version && version <= self.last
    }
}

pub(crate) const fn field(kind: Kind, versions: Versions) -> Field {
    Field { kind, versions, nullable: NEVER, tag: 0, tagged: NEVER }
}

impl Field {
    pub(crate) const fn nullable(self, nullable: Versions) -> Self {
        Self { nullable, ..self }
    }

    pub(crate) const fn tagged(self, tag: u32, tagged: Versions) -> Self {
        Self { tag, tagged, ..self }
    }

    fn has_tag(&self, tag: u32) -> bool {
        self.tagged.first <= self.tagged.last && self.tag == tag
    }
}

/// The decoder keeps a struct's unknown tagged fields in a map: what its first node takes, rounded up.
const FIRST_UNKNOWN_TAG_MEMORY_BYTES: usize = 448;
/// What each further one takes, where nodes are half full.
const UNKNOWN_TAG_MEMORY_BYTES: usize = 104;

struct Walk<'a> {
    reader: Reader<'a>,
    version: i16,
    flexible: bool,
    memory_bytes: usize,
    limit_bytes: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &'static [Field]) -> Result<(), GuardError> {
        for field in fields {
            if field.versions.contain(self.version) && !field.tagged.contain(self.version) {
                self.value(&field.kind, field.nullable.contain(self.version))?;
            }
        }
        if self.flexible { self.tagged_fields(fields) } else { Ok(()) }
    }

    fn tagged_fields(&mut self, fields: &'static [Field]) -> Result<(), GuardError> {
        let mut unknown_memory_bytes = FIRST_UNKNOWN_TAG_MEMORY_BYTES;
        for _ in 0..self.reader.unsigned_varint()? {
            let tag = self.reader.unsigned_varint()?;
            let size_bytes = self.reader.unsigned_varint()? as usize;
            let position = self.reader.position();
            let Some(field) = fields.iter().find(|field| field.has_tag(tag)) else {
                self.reader.skip(size_bytes)?;
                self.reserve(unknown_memory_bytes)?;
                unknown_memory_bytes = UNKNOWN_TAG_MEMORY_BYTES;
                continue;
            };
            if !field.tagged.contain(self.version) {
                return Err(ShapeError::TagNotValid { position, tag }.into());
            }
            self.value(&field.kind, field.nullable.contain(self.version))?;
            if self.reader.position() - position != size_bytes {
                return Err(ShapeError::TaggedFieldSize { position, tag, size_bytes }.into());
            }
        }
        Ok(())
    }

    fn value(&mut self, kind: &'static Kind, nullable: bool) -> Result<(), GuardError> {
        match kind {
            Kind::Fixed(size_bytes) => {
                self.reader.skip(usize::from(*size_bytes))?;
            }
            Kind::String => {
                let position = self.reader.position();
                let length = if self.flexible { self.compact()? } else { i64::from(self.reader.int16()?) };
                // A compact string could be longer than its plain form: Kafka refuses that too.
                if length > i64::from(i16::MAX) {
                    return Err(ShapeError::BadLength { position, length }.into());
                }
                let length_bytes = not_negative(position, length, nullable)?.unwrap_or(0);
                self.reader.skip(length_bytes)?;
            }
            Kind::Bytes => {
                let length_bytes = self.length(nullable)?.unwrap_or(0);
                self.reader.skip(length_bytes)?;
            }
            Kind::Struct(fields) => {
                let position = self.reader.position();
                let present = if nullable {
                    match self.reader.int8()? {
                        1 => true,
                        ..=0 => false,
                        mark => return Err(ShapeError::BadMark { position, mark }.into()),
                    }
                } else {
                    true
                };
                if present {
                    self.fields(fields)?;
                }
            }
            Kind::Array { element, element_memory_bytes } => {
                let count = self.length(nullable)?.unwrap_or(0);
                // The least that so many elements take: no element is empty (a test holds it).
                let least_bytes = if let Kind::Fixed(size) = element { usize::from(*size) } else { 1 };
                let wanted_bytes = count.saturating_mul(least_bytes);
                self.reader.ensure(wanted_bytes)?;
                self.reserve(count.saturating_mul(usize::from(*element_memory_bytes)))?;
                if let Kind::Fixed(_) = element {
                    self.reader.skip(wanted_bytes)?;
                } else {
                    for _ in 0..count {
                        self.value(element, false)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A 32-bit or compact length; none is null.
    fn length(&mut self, nullable: bool) -> Result<Option<usize>, GuardError> {
        let position = self.reader.position();
        let length = if self.flexible { self.compact()? } else { i64::from(self.reader.int32()?) };
        Ok(not_negative(position, length, nullable)?)
    }

    /// A compact length: one more than it says, so that zero is null.
    fn compact(&mut self) -> Result<i64, ShapeError> {
        Ok(i64::from(self.reader.unsigned_varint()?) - 1)
    }

    fn reserve(&mut self, memory_bytes: usize) -> Result<(), GuardError> {
        self.memory_bytes = self.memory_bytes.saturating_add(memory_bytes);
        if self.memory_bytes > self.limit_bytes {
            return Err(GuardError::TooMuchMemory { limit_bytes: self.limit_bytes });
        }
        Ok(())
    }
}

fn not_negative(position: usize, length: i64, nullable: bool) -> Result<Option<usize>, ShapeError> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 && nullable => Ok(None),
        Err(_) => Err(ShapeError::BadLength { position, length }),
    }
}

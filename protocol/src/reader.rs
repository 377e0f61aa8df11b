//! A bounds-checked cursor over untrusted bytes. It allocates nothing.

/// What is wrong with bytes that should hold a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A value, length or count asks for more bytes than are left.
    #[error("{wanted_bytes} bytes wanted at byte {position}, {left_bytes} left")]
    NotEnoughBytes {
        /// Where in the message.
        position: usize,
        /// How many bytes are asked for (for an array: the least its elements take).
        wanted_bytes: usize,
        /// How many there are.
        left_bytes: usize,
    },
    /// A variable-length integer runs over five bytes.
    #[error("variable-length integer of more than five bytes at byte {position}")]
    VarintTooLong {
        /// Where in the message.
        position: usize,
    },
    /// A length or count is negative, or null where the field isn't nullable.
    #[error("length {length} not allowed at byte {position}")]
    BadLength {
        /// Where in the message.
        position: usize,
        /// The length as it came; -1 stands for null in compact encodings too.
        length: i64,
    },
    /// The mark in front of a nullable struct is neither 1 nor negative.
    #[error("mark {mark} in front of a nullable struct at byte {position}")]
    BadMark {
        /// Where in the message.
        position: usize,
        /// The mark as it came.
        mark: i8,
    },
    /// A known tagged field takes another number of bytes than its size says.
    #[error("tagged field {tag} at byte {position} doesn't take the {size_bytes} bytes it says")]
    TaggedFieldSize {
        /// Where in the message.
        position: usize,
        /// The field's tag.
        tag: u32,
        /// The size as it came.
        size_bytes: usize,
    },
    /// A known tagged field in a version that doesn't have it.
    #[error("tagged field {tag} at byte {position} is not valid in this version")]
    TagNotValid {
        /// Where in the message.
        position: usize,
        /// The field's tag.
        tag: u32,
    },
}

/// A position in a message. Every read is checked against the bytes left.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn ensure(&self, wanted_bytes: usize) -> Result<(), ShapeError> {
        let left_bytes = self.bytes.len() - self.position;
        if wanted_bytes > left_bytes {
            return Err(ShapeError::NotEnoughBytes { position: self.position, wanted_bytes, left_bytes });
        }
        Ok(())
    }

    pub(crate) fn skip(&mut self, wanted_bytes: usize) -> Result<&'a [u8], ShapeError> {
        self.ensure(wanted_bytes)?;
        let start = self.position;
        self.position += wanted_bytes;
        Ok(&self.bytes[start..self.position])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let mut array = [0; N];
        array.copy_from_slice(self.skip(N)?);
        Ok(array)
    }

    pub(crate) fn int8(&mut self) -> Result<i8, ShapeError> {
        Ok(i8::from_be_bytes(self.array()?))
    }

    pub(crate) fn int16(&mut self) -> Result<i16, ShapeError> {
        Ok(i16::from_be_bytes(self.array()?))
    }

    pub(crate) fn int32(&mut self) -> Result<i32, ShapeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Up to five bytes, the lowest seven bits first; bits above the 32nd are dropped, as Kafka does.
    pub(crate) fn unsigned_varint(&mut self) -> Result<u32, ShapeError> {
        let start = self.position;
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(ShapeError::VarintTooLong { position: start })
    }

    /// Passes over a tagged section of which no field is known.
    pub(crate) fn skip_tagged_fields(&mut self) -> Result<(), ShapeError> {
        let count = self.unsigned_varint()?;
        for _ in 0..count {
            self.unsigned_varint()?;
            let size_bytes = self.unsigned_varint()? as usize;
            self.skip(size_bytes)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_as_kafka_reads_them() {
        let read = |bytes: &[u8]| Reader::new(bytes).unsigned_varint();
        assert_eq!(read(&[0x00]), Ok(0));
        assert_eq!(read(&[0xac, 0x02]), Ok(300));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(u32::MAX));
        assert_eq!(read(&[0x80; 5]), Err(ShapeError::VarintTooLong { position: 0 }));
        assert!(matches!(read(&[0x80, 0x80]), Err(ShapeError::NotEnoughBytes { position: 2, .. })));
    }

    #[test]
    fn a_huge_count_of_tagged_fields_ends_with_the_bytes() {
        let mut reader = Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
        assert!(matches!(reader.skip_tagged_fields(), Err(ShapeError::NotEnoughBytes { .. })));
    }
}

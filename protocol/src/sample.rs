//! Random request bodies that are valid, for tests and fuzzing: written by the same layouts that the guard walks.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::ApiKey;
use kafka_protocol::protocol::VersionRange;

use crate::guard::{Field, Kind, Versions};
use crate::shapes::shape;

/// The versions of an API's request that [`body`] can write; none where the guard has no layout.
pub fn versions(api_key: ApiKey) -> Option<VersionRange> {
    let Versions { first, last } = shape(api_key)?.versions;
    Some(VersionRange { min: first, max: last })
}

/// A body of the given API and version; the same seed gives the same body. Arrays have up to three elements,
/// strings and records up to nine bytes, nullable fields are null at times, and in flexible versions unknown
/// tagged fields are mixed in.
pub fn body(api_key: ApiKey, api_version: i16, seed: u64) -> Option<Bytes> {
    let shape = shape(api_key).filter(|shape| shape.versions.contain(api_version))?;
    let mut writer = Writer {
        buf: BytesMut::new(),
        version: api_version,
        flexible: shape.flexible.contain(api_version),
        state: seed ^ 0x9e37_79b9_7f4a_7c15,
    };
    writer.fields(shape.fields);
    Some(writer.buf.freeze())
}

struct Writer {
    buf: BytesMut,
    version: i16,
    flexible: bool,
    state: u64,
}

impl Writer {
    /// A number below `bound` (SplitMix64).
    fn below(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn fields(&mut self, fields: &'static [Field]) {
        for field in fields {
            if field.versions.contain(self.version) && !field.tagged.contain(self.version) {
                self.value(&field.kind, field.nullable.contain(self.version));
            }
        }
        if self.flexible {
            self.tagged_fields(fields);
        }
    }

    fn tagged_fields(&mut self, fields: &'static [Field]) {
        let mut known = Vec::new();
        for field in fields {
            if field.tagged.contain(self.version) && self.below(2) == 0 {
                known.push(field);
            }
        }
        let unknown = if self.below(8) == 0 { self.below(4) } else { 0 };
        self.varint(known.len() as u64 + unknown);
        for field in known {
            self.varint(u64::from(field.tag));
            let outer = std::mem::take(&mut self.buf);
            self.value(&field.kind, field.nullable.contain(self.version));
            let inner = std::mem::replace(&mut self.buf, outer);
            self.varint(inner.len() as u64);
            self.buf.put_slice(&inner);
        }
        for tag in 0..unknown {
            self.varint(1000 + tag);
            let size = self.below(10);
            self.varint(size);
            self.buf.put_bytes(7, size as usize);
        }
    }

    fn value(&mut self, kind: &'static Kind, nullable: bool) {
        let null = nullable && self.below(4) == 0;
        match kind {
            Kind::Fixed(size) => {
                for _ in 0..*size {
                    let byte = self.below(256) as u8;
                    self.buf.put_u8(byte);
                }
            }
            Kind::String => {
                let length = self.below(10) as usize;
                match (self.flexible, null) {
                    (true, true) => self.varint(0),
                    (true, false) => self.varint(length as u64 + 1),
                    (false, true) => self.buf.put_i16(-1),
                    (false, false) => self.buf.put_i16(length as i16),
                }
                self.buf.put_bytes(b'a' + length as u8, if null { 0 } else { length });
            }
            Kind::Bytes => {
                let length = self.below(10) as usize;
                self.length(length, null);
                self.buf.put_bytes(0xfe, if null { 0 } else { length });
            }
            Kind::Struct(fields) => {
                if nullable {
                    self.buf.put_i8(if null { -1 } else { 1 });
                }
                if !null {
                    self.fields(fields);
                }
            }
            Kind::Array { element, .. } => {
                let count = self.below(4) as usize;
                self.length(count, null);
                for _ in 0..if null { 0 } else { count } {
                    self.value(element, false);
                }
            }
        }
    }

    fn length(&mut self, length: usize, null: bool) {
        match (self.flexible, null) {
            (true, true) => self.varint(0),
            (true, false) => self.varint(length as u64 + 1),
            (false, true) => self.buf.put_i32(-1),
            (false, false) => self.buf.put_i32(length as i32),
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buf.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.buf.put_u8(value as u8);
    }
}

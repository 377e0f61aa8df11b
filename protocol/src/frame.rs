//! The length prefix in front of every request and response.

/// Why a length prefix was refused. Kafka closes the connection in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The prefix is a negative number.
    #[error("frame length {length} is negative")]
    Negative {
        /// The length as it came.
        length: i32,
    },
    /// The prefix is larger than `socket.request.max.bytes`.
    #[error("frame of {length_bytes} bytes is larger than socket.request.max.bytes ({max_bytes})")]
    TooLarge {
        /// The length as it came.
        length_bytes: usize,
        /// The limit it was held against.
        max_bytes: usize,
    },
}

/// Reads a frame's length prefix: the number of bytes that follow it.
///
/// `max_bytes` is `socket.request.max.bytes`; a frame of exactly that many bytes is allowed. Zero is a valid
/// length (Kafka allows it too); [`crate::header::parse`] then finds no header in it.
///
/// # Errors
/// A negative length, or one above `max_bytes`.
pub fn length(prefix: [u8; 4], max_bytes: usize) -> Result<usize, FrameError> {
    let length = i32::from_be_bytes(prefix);
    let length_bytes = usize::try_from(length).map_err(|_| FrameError::Negative { length })?;
    if length_bytes > max_bytes {
        return Err(FrameError::TooLarge { length_bytes, max_bytes });
    }
    Ok(length_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_up_to_the_limit_is_accepted() {
        assert_eq!(length([0, 0, 0, 0], 10), Ok(0));
        assert_eq!(length([0, 0, 0, 10], 10), Ok(10));
        assert_eq!(length([0x7f, 0xff, 0xff, 0xff], usize::MAX), Ok(i32::MAX as usize));
    }

    #[test]
    fn negative_and_oversized_lengths_are_refused() {
        assert_eq!(length([0xff; 4], 10), Err(FrameError::Negative { length: -1 }));
        assert_eq!(length([0x80, 0, 0, 0], 10), Err(FrameError::Negative { length: i32::MIN }));
        assert_eq!(length([0, 0, 0, 11], 10), Err(FrameError::TooLarge { length_bytes: 11, max_bytes: 10 }));
        // An HTTP request that came to the wrong port.
        assert!(length(*b"GET ", 100 << 20).is_err());
    }
}

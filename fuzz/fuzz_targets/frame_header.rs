//! A length prefix, then the frame: nothing panics, and what a header yields lies inside its frame.
#![no_main]

use bytes::Bytes;
use fluxmq_protocol::{frame, header};
use libfuzzer_sys::fuzz_target;

const MAX_BYTES: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some((prefix, rest)) = data.split_first_chunk::<4>() else { return };
    if let Ok(length_bytes) = frame::length(*prefix, MAX_BYTES) {
        assert!(length_bytes <= MAX_BYTES);
    }
    let frame = Bytes::copy_from_slice(rest);
    match header::parse(frame.clone()) {
        Ok(head) => {
            assert!(frame.ends_with(&head.body));
            assert!(frame.len() - head.body.len() >= 8);
            assert_eq!(frame[..2], (head.api_key as i16).to_be_bytes());
            assert_eq!(frame[2..4], head.api_version.to_be_bytes());
            assert_eq!(frame[4..8], head.correlation_id.to_be_bytes());
        }
        Err(error) => assert_eq!(error.prefix().is_none(), frame.len() < 8),
    }
});

//! Writes the starting corpus: a sample of every API and version, and Kafka's records of groups and transactions, as each
//! target reads it.
//!
//!     cargo run --manifest-path fuzz/Cargo.toml --example write_corpus

#[path = "../../protocol/tests/support/requests.rs"]
mod requests;

use std::path::Path;

use bytes::{BufMut, BytesMut};
use fluxmq_protocol::messages::RequestHeader;
use fluxmq_protocol::{Encodable, StrBytes, sample};
use requests::REQUESTS;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in ["frame_header", "guard_decode"] {
        std::fs::create_dir_all(corpus.join(target))?;
    }
    for (index, request) in REQUESTS.iter().enumerate() {
        for version in request.versions.min..=request.versions.max {
            let name = format!("{:?}-v{version}", request.api_key).to_lowercase();
            // The first seed of which the sample has some content.
            let body = (0..).filter_map(|seed| sample::body(request.api_key, version, seed));
            let body = body.take(50).find(|body| (24..80).contains(&body.len())).unwrap_or_default();
            let guarded = [&[index as u8, version as u8], &body[..]].concat();
            std::fs::write(corpus.join("guard_decode").join(&name), guarded)?;

            if version == request.versions.min || version == request.versions.max {
                let header = RequestHeader::default()
                    .with_request_api_key(request.api_key as i16)
                    .with_request_api_version(version)
                    .with_correlation_id(7)
                    .with_client_id(Some(StrBytes::from_static_str("fuzz")));
                let mut frame = BytesMut::new();
                let header_version = request.api_key.request_header_version(version);
                header.encode(&mut frame, header_version).expect("every header version carries these fields");
                frame.put_slice(&body);
                let framed = [&(frame.len() as i32).to_be_bytes(), &frame[..]].concat();
                std::fs::write(corpus.join("frame_header").join(&name), framed)?;
            }
        }
    }
    write_group_records(&corpus.join("group_records"))?;
    write_transaction_records(&corpus.join("transaction_records"))
}

/// The records that Kafka's own classes wrote.
fn write_group_records(corpus: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(corpus)?;
    for line in include_str!("../../protocol/tests/fixtures/group_records.txt").lines() {
        let [record_type, version, content, key, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("five fields: {line}");
        };
        // Without a key it is a message of the consumer protocol; the tombstones add nothing.
        if key != "-" && value != "-" {
            let key = unhex(key);
            let input = [&[key.len() as u8], &key[..], &unhex(value)].concat();
            std::fs::write(corpus.join(format!("{record_type}-v{version}-{content}").to_lowercase()), input)?;
        }
    }
    Ok(())
}

/// The same of transactions.
fn write_transaction_records(corpus: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(corpus)?;
    for line in include_str!("../../protocol/tests/fixtures/transaction_records.txt").lines() {
        let [content, version, key, value] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("four fields: {line}");
        };
        if value != "-" {
            let key = unhex(key);
            let input = [&[key.len() as u8], &key[..], &unhex(value)].concat();
            std::fs::write(corpus.join(format!("{content}-v{version}").to_lowercase()), input)?;
        }
    }
    Ok(())
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

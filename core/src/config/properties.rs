//! Java properties files, the form of Kafka's `server.properties`.

use std::fs::File;
use std::path::Path;

use java_properties::{LineContent, PropertiesIter};

use super::settings::{ConfigFault, Origin, Settings};

/// Adds the settings of the file at `path`; of a key that is there twice the last counts, as in Java.
///
/// # Errors
/// When the file cannot be read, or a line has a broken escape.
pub fn read_file(path: &Path, settings: &mut Settings) -> Result<(), ConfigFault> {
    let fault = |reason: String| ConfigFault::File { path: path.display().to_string(), reason };
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    for line in PropertiesIter::new(file) {
        let line = line.map_err(|error| match error.line_number() {
            Some(number) => fault(format!("line {number}: {error}")),
            None => fault(error.to_string()),
        })?;
        let number = line.line_number();
        if let LineContent::KVPair(key, value) = line.consume_content() {
            settings.set(key, value, Origin::File { path: path.to_path_buf(), line: number });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_values_and_line_numbers_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.properties");
        std::fs::write(&path, "# comment\nnode.id=1\n\nlisteners = A://:1,\\\n  B://:2\nnode.id: 3\n")
            .unwrap();
        let mut settings = Settings::default();
        read_file(&path, &mut settings).unwrap();
        assert_eq!(settings.text("listeners"), Some("A://:1,B://:2"));
        let node_id = settings.get("node.id").unwrap();
        assert_eq!(node_id.text, "3");
        assert_eq!(node_id.origin.to_string(), format!("{}:6", path.display()));
    }

    #[test]
    fn a_missing_file_is_named() {
        let fault =
            read_file(Path::new("/nonexistent/server.properties"), &mut Settings::default()).unwrap_err();
        let line = fault.to_string();
        assert!(line.starts_with("--config /nonexistent/server.properties: No such file"), "{line}");
    }
}

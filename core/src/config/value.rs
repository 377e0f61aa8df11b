//! Configuration values by type, read and printed as Kafka reads and prints them.

/// Type of a key's value. The names are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigType {
    /// `true` or `false` in any case.
    Boolean,
    /// Text, trimmed.
    String,
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    Short,
    /// 64-bit integer.
    Long,
    /// Double precision number.
    Double,
    /// Texts separated by commas.
    List,
    /// Name of a Java class; kept as text.
    Class,
    /// Text that is never shown.
    Password,
}

impl ConfigType {
    /// The type of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        const ALL: [ConfigType; 9] = [
            ConfigType::Boolean,
            ConfigType::String,
            ConfigType::Int,
            ConfigType::Short,
            ConfigType::Long,
            ConfigType::Double,
            ConfigType::List,
            ConfigType::Class,
            ConfigType::Password,
        ];
        ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Kafka's name of the type.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ConfigType::Boolean => "BOOLEAN",
            ConfigType::String => "STRING",
            ConfigType::Int => "INT",
            ConfigType::Short => "SHORT",
            ConfigType::Long => "LONG",
            ConfigType::Double => "DOUBLE",
            ConfigType::List => "LIST",
            ConfigType::Class => "CLASS",
            ConfigType::Password => "PASSWORD",
        }
    }

    /// The number that stands for the type in DescribeConfigs answers (KIP-569).
    #[must_use]
    pub fn wire_id(self) -> i8 {
        match self {
            ConfigType::Boolean => 1,
            ConfigType::String => 2,
            ConfigType::Int => 3,
            ConfigType::Short => 4,
            ConfigType::Long => 5,
            ConfigType::Double => 6,
            ConfigType::List => 7,
            ConfigType::Class => 8,
            ConfigType::Password => 9,
        }
    }
}

/// A value, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing set.
    Null,
    /// Of a BOOLEAN key.
    Boolean(bool),
    /// Of a STRING or CLASS key.
    String(String),
    /// Of an INT key.
    Int(i32),
    /// Of a SHORT key.
    Short(i16),
    /// Of a LONG key.
    Long(i64),
    /// Of a DOUBLE key.
    Double(f64),
    /// Of a LIST key.
    List(Vec<String>),
    /// Of a PASSWORD key.
    Password(String),
}

impl Value {
    /// Reads `text` as a value of type `kind`.
    ///
    /// # Errors
    /// Kafka's words for what is wrong.
    pub fn parse(kind: ConfigType, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let number = || format!("Not a number of type {}", kind.name());
        Ok(match kind {
            ConfigType::Boolean if text.eq_ignore_ascii_case("true") => Value::Boolean(true),
            ConfigType::Boolean if text.eq_ignore_ascii_case("false") => Value::Boolean(false),
            ConfigType::Boolean => return Err("Expected value to be either true or false".into()),
            ConfigType::String | ConfigType::Class => Value::String(text.to_owned()),
            ConfigType::Password => Value::Password(text.to_owned()),
            ConfigType::Int => Value::Int(text.parse().map_err(|_| number())?),
            ConfigType::Short => Value::Short(text.parse().map_err(|_| number())?),
            ConfigType::Long => Value::Long(text.parse().map_err(|_| number())?),
            ConfigType::Double => Value::Double(parse_double(text).ok_or_else(number)?),
            ConfigType::List if text.is_empty() => Value::List(Vec::new()),
            ConfigType::List => Value::List(text.split(',').map(|item| item.trim().to_owned()).collect()),
        })
    }

    /// The value as Kafka prints it; `None` for nothing set. A password prints as itself: the caller masks it.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Value::Null => return None,
            Value::Boolean(value) => value.to_string(),
            Value::String(value) | Value::Password(value) => value.clone(),
            Value::Int(value) => value.to_string(),
            Value::Short(value) => value.to_string(),
            Value::Long(value) => value.to_string(),
            Value::Double(value) => print_double(*value),
            Value::List(items) => items.join(","),
        })
    }

    /// The value as a number, for comparing with a range.
    #[must_use]
    #[allow(clippy::cast_precision_loss)] // bounds are far from where it matters
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(value) => Some(f64::from(*value)),
            Value::Short(value) => Some(f64::from(*value)),
            Value::Long(value) => Some(*value as f64),
            Value::Double(value) => Some(*value),
            _ => None,
        }
    }
}

/// Java takes a `d` or `f` at the end and no `inf`; hexadecimal numbers, which it takes too, are refused.
fn parse_double(text: &str) -> Option<f64> {
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    if plain { text.parse().ok() } else { None }
}

/// As `Double.toString` in Java: `0.5`, `2.0`, `1.0E10`.
fn print_double(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0E{exponent}"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_as_java_prints_them() {
        let cases = [
            ("0.5", "0.5"),
            ("2", "2.0"),
            ("0.50", "0.5"),
            ("1e3", "1000.0"),
            ("10000000", "1.0E7"),
            ("0.0001", "1.0E-4"),
            ("1.7976931348623157E308", "1.7976931348623157E308"),
            ("1.5d", "1.5"),
        ];
        for (text, printed) in cases {
            let value = Value::parse(ConfigType::Double, text).unwrap();
            assert_eq!(value.to_text().as_deref(), Some(printed), "{text}");
        }
        assert!(Value::parse(ConfigType::Double, "inf").is_err());
        assert!(Value::parse(ConfigType::Double, "").is_err());
    }

    #[test]
    fn integers_stay_within_their_type() {
        assert_eq!(Value::parse(ConfigType::Short, "32767").unwrap(), Value::Short(i16::MAX));
        assert_eq!(Value::parse(ConfigType::Short, "32768").unwrap_err(), "Not a number of type SHORT");
        assert_eq!(Value::parse(ConfigType::Int, "2147483648").unwrap_err(), "Not a number of type INT");
        assert_eq!(Value::parse(ConfigType::Long, " -1 ").unwrap(), Value::Long(-1));
    }

    #[test]
    fn lists_split_at_commas_and_drop_the_space_around_them() {
        let list = |text| Value::parse(ConfigType::List, text).unwrap();
        assert_eq!(list(""), Value::List(vec![]));
        assert_eq!(list("a , b"), Value::List(vec!["a".into(), "b".into()]));
        assert_eq!(list("a,").to_text().as_deref(), Some("a,"));
    }
}

//! Settings in environment variables: `FLUXMQ_LOG_RETENTION_MS`, and `KAFKA_LOG_RETENTION_MS` as Kafka's containers
//! take it. `_` stands for `.`, `__` for `_`, `___` for `-`.

use super::settings::{Origin, Settings};

/// Variables of Kafka's start scripts and container images that are no broker keys.
const NOT_KEYS: &[&str] = &[
    "CONFIG",
    "DEBUG",
    "DEBUG_OPTS",
    "GC_LOG_OPTS",
    "HEAP_OPTS",
    "HOME",
    "JVM_PERFORMANCE_OPTS",
    "LOG4J_CONFIG_FILE",
    "MODE",
    "OPTS",
    "SSL_KEYSTORE_CREDENTIALS",
    "SSL_KEYSTORE_FILENAME",
    "SSL_KEY_CREDENTIALS",
    "SSL_TRUSTSTORE_CREDENTIALS",
    "SSL_TRUSTSTORE_FILENAME",
    "TOOLS_LOG4J_LOGLEVEL",
    "USER",
    "VERSION",
];

/// Beginnings of names of such variables.
const NOT_KEYS_PREFIXES: &[&str] = &["JMX_", "LOG4J_"];

/// Adds the settings in `variables`: those of `KAFKA_` first, those of `FLUXMQ_` over them. `CLUSTER_ID`, which
/// Kafka's containers format their directory with, is taken as `cluster.id`.
pub fn read(variables: impl IntoIterator<Item = (String, String)>, settings: &mut Settings) {
    let mut variables: Vec<(String, String)> = variables.into_iter().collect();
    variables.sort();
    if let Some((name, value)) =
        variables.iter().find(|(name, value)| name == "CLUSTER_ID" && !value.is_empty())
    {
        settings.set("cluster.id", value, Origin::Environment(name.clone()));
    }
    for prefix in ["KAFKA_", "FLUXMQ_"] {
        for (name, value) in &variables {
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            if is_key(rest, value) {
                settings.set(key_of(rest), value, Origin::Environment(name.clone()));
            }
        }
    }
}

fn is_key(rest: &str, value: &str) -> bool {
    // Kubernetes gives every pod such variables for every service, also for one that is called "kafka".
    let service = rest.starts_with("SERVICE_HOST")
        || rest.starts_with("SERVICE_PORT")
        || (rest.starts_with("PORT") && (value.contains("://") || rest.starts_with("PORT_")));
    !service
        && !rest.is_empty()
        && !NOT_KEYS.contains(&rest)
        && !NOT_KEYS_PREFIXES.iter().any(|prefix| rest.starts_with(prefix))
}

fn key_of(rest: &str) -> String {
    rest.to_lowercase().replace('_', ".").replace("...", "-").replace("..", "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(variables: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::default();
        read(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())), &mut settings);
        settings
    }

    #[test]
    fn names_become_keys() {
        for (rest, key) in [
            ("LOG_RETENTION_MS", "log.retention.ms"),
            ("A__B", "a_b"),
            ("A___B", "a-b"),
            ("LISTENER_NAME_IN___TERNAL_SSL_KEY_PASSWORD", "listener.name.in-ternal.ssl.key.password"),
        ] {
            assert_eq!(key_of(rest), key);
        }
    }

    #[test]
    fn fluxmq_wins_over_kafka_whatever_the_order() {
        let settings = settings_of(&[("FLUXMQ_LOG_RETENTION_MS", "1"), ("KAFKA_LOG_RETENTION_MS", "2")]);
        let setting = settings.get("log.retention.ms").unwrap();
        assert_eq!(setting.text, "1");
        assert_eq!(setting.origin.to_string(), "environment variable FLUXMQ_LOG_RETENTION_MS");
    }

    #[test]
    fn variables_of_scripts_containers_and_kubernetes_are_no_keys() {
        let settings = settings_of(&[
            ("KAFKA_HEAP_OPTS", "-Xmx1G"),
            ("KAFKA_OPTS", "-Dx=y"),
            ("KAFKA_JMX_PORT", "9101"),
            ("KAFKA_JMX_HOSTNAME", "localhost"),
            ("KAFKA_LOG4J_LOGGERS", "kafka.controller=INFO"),
            ("KAFKA_LOG4J_ROOT_LOGLEVEL", "INFO"),
            ("KAFKA_TOOLS_LOG4J_LOGLEVEL", "INFO"),
            ("KAFKA_VERSION", "4.3.0"),
            ("KAFKA_PORT", "tcp://10.0.0.1:9092"),
            ("KAFKA_PORT_9092_TCP_ADDR", "10.0.0.1"),
            ("KAFKA_SERVICE_HOST", "10.0.0.1"),
            ("KAFKA_SERVICE_PORT_CLIENT", "9092"),
            ("FLUXMQ_SERVICE_PORT", "9092"),
            ("PATH", "/bin"),
        ]);
        assert_eq!(settings.iter().count(), 0, "{settings:?}");
    }

    #[test]
    fn the_containers_cluster_id_is_taken() {
        assert_eq!(settings_of(&[("CLUSTER_ID", "abc")]).text("cluster.id"), Some("abc"));
        assert_eq!(settings_of(&[("CLUSTER_ID", "")]).text("cluster.id"), None);
        assert_eq!(
            settings_of(&[("CLUSTER_ID", "abc"), ("FLUXMQ_CLUSTER_ID", "d")]).text("cluster.id"),
            Some("d")
        );
    }
}

//! DescribeConfigs (key 32), v1–4. KIP-133, KIP-226 (synonyms), KIP-569 (types and documentation), KIP-714 (client
//! metrics).
//!
//! Answers from the tables of keys and from what was set, as Kafka does, also where its synonyms stop short: of a
//! setting made in hours, the one in milliseconds shows nothing. Deliberately not here: settings of the broker changed
//! while running, so that the cluster-wide defaults are empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use fluxmq_protocol::messages::describe_configs_request::DescribeConfigsResource;
use fluxmq_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use fluxmq_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use fluxmq_protocol::{ErrorCode, StrBytes};

use crate::config::definition::{ConfigKey, UpdateMode, broker_keys, group_keys, topic_keys};
use crate::config::unknown::listener_override;
use crate::config::value::ConfigType;
use crate::config::{BrokerConfig, ConfigSource};
use crate::error::{ApiError, MALFORMED};
use crate::meta::names;
use crate::request::{Outcome, RequestContext};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

/// The settings of a topic or a group's own, by its name; `None` when there is no such topic, or nothing set.
type Overrides<'a> = &'a dyn Fn(&str) -> Option<BTreeMap<String, String>>;

/// Describes on the blocking pool: one request may ask for every topic.
pub fn handle(context: &RequestContext, body: Bytes) -> Outcome {
    let request: DescribeConfigsRequest = match context.decode(body) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    let context = context.detached();
    Outcome::Exclusive(Box::pin(async move {
        let broker = Arc::clone(context.broker());
        let describe = move || {
            let topics = broker.metadata.topics();
            let of_topic = |name: &str| Some(topics.by_name(name)?.overrides.clone());
            let of_group = |name: &str| Some(broker.metadata.group_overrides(name)?.texts.clone());
            answer(&broker.config, &of_topic, &of_group, &request)
        };
        let response = context.broker().blocking.run(describe).await;
        context.respond(&response)
    }))
}

fn answer(
    config: &BrokerConfig,
    topics: Overrides<'_>,
    groups: Overrides<'_>,
    request: &DescribeConfigsRequest,
) -> DescribeConfigsResponse {
    let known = |kind: i8| [TOPIC, BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP].contains(&kind);
    let malformed = request.resources.iter().any(|resource| !known(resource.resource_type));
    let describer = Describer {
        config,
        topics,
        groups,
        synonyms: request.include_synonyms,
        documentation: request.include_documentation,
    };
    let results = request.resources.iter().map(|resource| {
        let described = match malformed {
            true => Err(ApiError::new(ErrorCode::InvalidRequest, MALFORMED)),
            false => describer.describe(resource),
        };
        let (error, mut configs) = match described {
            Ok(configs) => (ApiError::new(ErrorCode::None, ""), configs),
            Err(error) => (error, Vec::new()),
        };
        if let Some(keys) = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty()) {
            let keys: BTreeSet<&str> = keys.iter().map(StrBytes::as_str).collect();
            configs.retain(|config| keys.contains(config.name.as_str()));
        }
        DescribeConfigsResult::default()
            .with_error_code(error.code.code())
            .with_error_message(error.wire_message())
            .with_resource_type(resource.resource_type)
            // A copy: the name in the request keeps the whole frame in memory.
            .with_resource_name(StrBytes::from_string(resource.resource_name.to_string()))
            .with_configs(configs)
    });
    DescribeConfigsResponse::default().with_results(results.collect())
}

struct Describer<'a> {
    config: &'a BrokerConfig,
    topics: Overrides<'a>,
    groups: Overrides<'a>,
    synonyms: bool,
    documentation: bool,
}

impl Describer<'_> {
    fn describe(
        &self,
        resource: &DescribeConfigsResource,
    ) -> Result<Vec<DescribeConfigsResourceResult>, ApiError> {
        let name = resource.resource_name.as_str();
        let node_id = self.config.node_id;
        let refused = |message: String| Err(ApiError::new(ErrorCode::InvalidRequest, message));
        match resource.resource_type {
            TOPIC => {
                names::validate(name)
                    .map_err(|error| ApiError::new(ErrorCode::InvalidTopicException, error.to_string()))?;
                // Kafka sends an empty text, not none, with this code.
                let unknown = ApiError::new(ErrorCode::UnknownTopicOrPartition, "");
                Ok(self.topic(&(self.topics)(name).ok_or(unknown)?))
            }
            // The defaults of all brokers that were set while running: there are none.
            BROKER if name.is_empty() => Ok(Vec::new()),
            BROKER if broker_id(name)? == node_id => Ok(self.broker()),
            BROKER => refused(format!(
                "Unexpected broker id, expected {node_id} or empty string, but received {name}"
            )),
            BROKER_LOGGER if name.is_empty() => refused("Broker id must not be empty".into()),
            BROKER_LOGGER if broker_id(name)? == node_id => Ok(loggers(&self.config.log_level)),
            BROKER_LOGGER => refused(format!("Unexpected broker id, expected {node_id} but received {name}")),
            CLIENT_METRICS if name.is_empty() => {
                refused("Client metrics subscription name must not be empty".into())
            }
            CLIENT_METRICS => Ok(self.client_metrics()),
            GROUP if name.is_empty() => refused("Group name must not be empty".into()),
            _ => Ok(self.group(&(self.groups)(name).unwrap_or_default())),
        }
    }

    fn topic(&self, overrides: &BTreeMap<String, String>) -> Vec<DescribeConfigsResourceResult> {
        let shown = topic_keys().iter().filter(|key| !key.internal || overrides.contains_key(key.name));
        shown
            .map(|key| {
                let given = overrides.get(key.name).cloned();
                let text = given.clone().or_else(|| self.config.topic_default(key.name));
                let value = text.and_then(|text| key.parse(&text).ok()?.to_text());
                let mut synonyms = match crate::config::topic::server_synonyms(key.name) {
                    [first, ..] => self.broker_synonyms(first, false),
                    [] => Vec::new(),
                };
                if given.is_some() {
                    synonyms.insert(0, synonym(key.name, value.clone(), ConfigSource::Topic));
                }
                let result = DescribeConfigsResourceResult::default()
                    .with_name(StrBytes::from_static_str(key.name))
                    .with_value(value.map(StrBytes::from_string))
                    .with_config_type(key.kind.wire_id())
                    .with_documentation(self.documented(Some(key.documentation())));
                self.with_synonyms(result, synonyms)
            })
            .collect()
    }

    fn group(&self, overrides: &BTreeMap<String, String>) -> Vec<DescribeConfigsResourceResult> {
        let describe = |key: &ConfigKey| {
            let of_broker = format!("group.{}", key.name);
            let given = overrides.get(key.name).cloned();
            let of_all = broker_keys().get(&of_broker).and_then(|key| self.config.value(key));
            let text = given.clone().or(of_all).or_else(|| key.default.clone());
            let value = text.and_then(|text| key.parse(&text).ok()?.to_text());
            let mut synonyms = self.broker_synonyms(&of_broker, false);
            if synonyms.is_empty() {
                synonyms.push(synonym(key.name, key.default.clone(), ConfigSource::Default));
            }
            if given.is_some() {
                synonyms.insert(0, synonym(key.name, value.clone(), ConfigSource::Group));
            }
            let result = DescribeConfigsResourceResult::default()
                .with_name(StrBytes::from_static_str(key.name))
                .with_value(value.map(StrBytes::from_string))
                .with_config_type(key.kind.wire_id())
                .with_documentation(self.documented(Some(key.documentation())));
            self.with_synonyms(result, synonyms)
        };
        group_keys().iter().map(describe).collect()
    }

    fn broker(&self) -> Vec<DescribeConfigsResourceResult> {
        let settings = &self.config.settings;
        let listed = broker_keys().iter().filter(|key| !key.internal).map(|key| key.name);
        let names: BTreeSet<&str> = listed.chain(settings.iter().map(|(name, _)| name)).collect();
        names.into_iter().map(|name| self.broker_key(name)).collect()
    }

    fn broker_key(&self, name: &str) -> DescribeConfigsResourceResult {
        let own = broker_keys().get(name);
        let key = own.or_else(|| broker_keys().get(listener_override(name)?));
        // Of a key that isn't known nobody can tell whether its value is a secret.
        let sensitive = key.is_none_or(|key| key.kind == ConfigType::Password);
        let value = match (own, key) {
            _ if sensitive => None,
            (Some(key), _) => self.config.value(key),
            (None, Some(key)) => {
                self.config.settings.text(name).and_then(|text| key.parse(text).ok()?.to_text())
            }
            (None, None) => None,
        };
        let result = DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_value(value.map(StrBytes::from_string))
            .with_read_only(own.is_none_or(|key| key.update == UpdateMode::ReadOnly))
            .with_is_sensitive(sensitive)
            .with_config_type(key.map_or(0, |key| key.kind.wire_id()))
            .with_documentation(self.documented(own.map(ConfigKey::documentation)));
        self.with_synonyms(result, self.broker_synonyms(name, sensitive))
    }

    /// Where the value of a broker's key comes from: what was set under it or a key that means the same, then the
    /// defaults, from the first that is called `name` on.
    fn broker_synonyms(&self, name: &str, sensitive: bool) -> Vec<DescribeConfigsSynonym> {
        let names: Vec<&str> = match name {
            "log.roll.ms" | "log.roll.hours" => vec!["log.roll.ms", "log.roll.hours"],
            "log.roll.jitter.ms" | "log.roll.jitter.hours" => {
                vec!["log.roll.jitter.ms", "log.roll.jitter.hours"]
            }
            "log.flush.interval.ms" => vec!["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
            "log.retention.ms" | "log.retention.minutes" | "log.retention.hours" => {
                vec!["log.retention.ms", "log.retention.minutes", "log.retention.hours"]
            }
            name => std::iter::once(name).chain(listener_override(name)).collect(),
        };
        let shown = |value: String| (!sensitive).then_some(value);
        let set = names.iter().filter_map(|name| {
            let text = self.config.settings.text(name)?;
            Some(synonym(name, shown(text.to_owned()), ConfigSource::StaticBroker))
        });
        let default = names.iter().filter_map(|name| {
            let text = broker_keys().get(name)?.default.clone()?;
            Some(synonym(name, shown(text), ConfigSource::Default))
        });
        set.chain(default).skip_while(|synonym| synonym.name.as_str() != name).collect()
    }

    /// A subscription that nobody made has Kafka's defaults (KIP-714).
    fn client_metrics(&self) -> Vec<DescribeConfigsResourceResult> {
        let keys = [
            ("interval.ms", "300000", ConfigType::Int, "Time between two pushes of a client's metrics."),
            ("match", "", ConfigType::List, "Which clients push, as name=pattern; empty means all."),
            ("metrics", "", ConfigType::List, "Beginnings of the names of the metrics that are pushed."),
        ];
        let describe = |(name, value, kind, documentation): (_, _, ConfigType, &str)| {
            DescribeConfigsResourceResult::default()
                .with_name(StrBytes::from_static_str(name))
                .with_value(Some(StrBytes::from_static_str(value)))
                .with_config_source(ConfigSource::Default.wire_id())
                .with_config_type(kind.wire_id())
                .with_documentation(self.documented(Some(documentation.to_owned())))
        };
        keys.map(describe).into()
    }

    fn with_synonyms(
        &self,
        result: DescribeConfigsResourceResult,
        synonyms: Vec<DescribeConfigsSynonym>,
    ) -> DescribeConfigsResourceResult {
        let source = synonyms.first().map_or(ConfigSource::Default.wire_id(), |first| first.source);
        let synonyms = if self.synonyms { synonyms } else { Vec::new() };
        result.with_config_source(source).with_synonyms(synonyms)
    }

    fn documented(&self, documentation: Option<String>) -> Option<StrBytes> {
        documentation.filter(|_| self.documentation).map(StrBytes::from_string)
    }
}

fn synonym(name: &str, value: Option<String>, source: ConfigSource) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym::default()
        .with_name(StrBytes::from_string(name.to_owned()))
        .with_value(value.map(StrBytes::from_string))
        .with_source(source.wire_id())
}

fn broker_id(name: &str) -> Result<i32, ApiError> {
    let message = || format!("Broker id must be an integer, but it is: {name}");
    name.parse().map_err(|_| ApiError::new(ErrorCode::InvalidRequest, message()))
}

/// The levels of the broker's own log: `root`, and each part that the filter names.
fn loggers(log_level: &str) -> Vec<DescribeConfigsResourceResult> {
    let mut levels = BTreeMap::from([("root", "ERROR".to_owned())]);
    for directive in log_level.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let (target, level) = directive.split_once('=').unwrap_or(("root", directive));
        levels.insert(target.trim(), level.trim().to_uppercase());
    }
    let describe = |(name, level): (&str, String)| {
        DescribeConfigsResourceResult::default()
            .with_name(StrBytes::from_string(name.to_owned()))
            .with_value(Some(StrBytes::from_string(level)))
            .with_config_source(ConfigSource::DynamicBrokerLogger.wire_id())
            .with_documentation(Some(StrBytes::default()))
    };
    levels.into_iter().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Settings};

    fn config() -> BrokerConfig {
        let mut settings = Settings::default();
        for (key, text) in [
            ("node.id", "1"),
            ("log.retention.hours", "100"),
            ("num.network.threads", "3"),
            ("ssl.key.password", "secret"),
            ("some.unknown.key", "hello"),
            ("listener.name.plaintext.max.connections", "77"),
        ] {
            settings.set(key, text, Origin::Flag("test"));
        }
        BrokerConfig::from_settings(settings).unwrap()
    }

    fn described(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsResult {
        let of_group = |group: &str| {
            let settings =
                [("consumer.session.timeout.ms", " 50000 "), ("share.auto.offset.reset", "earliest")];
            let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
            (group == "g1").then(|| BTreeMap::from(settings))
        };
        let overrides = |topic: &str| {
            let settings = [("retention.ms", "1000"), ("cleanup.policy", "compact, delete")];
            let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned()));
            (topic == "t1").then(|| BTreeMap::from(settings))
        };
        let text = |text: &str| StrBytes::from_string(text.to_owned());
        let resource = DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(keys.map(|keys| keys.iter().map(|key| text(key)).collect()));
        let request = DescribeConfigsRequest::default()
            .with_resources(vec![resource])
            .with_include_synonyms(true)
            .with_include_documentation(true);
        answer(&config(), &overrides, &of_group, &request).results.remove(0)
    }

    /// `value source type read-only sensitive; synonyms as source:name=value`.
    fn line(result: &DescribeConfigsResourceResult) -> String {
        let value = |value: &Option<StrBytes>| value.as_ref().map_or("null".into(), ToString::to_string);
        let synonyms = result
            .synonyms
            .iter()
            .map(|synonym| format!(" {}:{}={}", synonym.source, &*synonym.name, value(&synonym.value)));
        format!(
            "{} {} {} {} {};{}",
            value(&result.value),
            result.config_source,
            result.config_type,
            i8::from(result.read_only),
            i8::from(result.is_sensitive),
            synonyms.collect::<String>()
        )
    }

    /// Every line as Apache Kafka 4.3.0, with the same settings, answered it.
    #[test]
    fn values_sources_and_synonyms_are_kafkas() {
        let cases = [
            (
                TOPIC,
                "t1",
                "cleanup.policy",
                "compact,delete 1 7 0 0; 1:cleanup.policy=compact,delete 5:log.cleanup.policy=delete",
            ),
            (TOPIC, "t1", "retention.ms", "1000 1 5 0 0; 1:retention.ms=1000"),
            (TOPIC, "t1", "compression.type", "producer 5 2 0 0; 5:compression.type=producer"),
            (TOPIC, "t1", "flush.ms", "9223372036854775807 5 5 0 0;"),
            (TOPIC, "t1", "segment.ms", "604800000 5 5 0 0;"),
            (TOPIC, "t1", "remote.storage.enable", "false 5 1 0 0;"),
            (TOPIC, "t1", "leader.replication.throttled.replicas", " 5 7 0 0;"),
            (TOPIC, "t1", "min.cleanable.dirty.ratio", "0.5 5 6 0 0; 5:log.cleaner.min.cleanable.ratio=0.5"),
            (
                BROKER,
                "1",
                "log.retention.hours",
                "100 4 3 1 0; 4:log.retention.hours=100 5:log.retention.hours=168",
            ),
            (BROKER, "1", "log.retention.ms", "null 5 5 0 0;"),
            (BROKER, "1", "log.roll.hours", "168 5 3 1 0; 5:log.roll.hours=168"),
            (BROKER, "1", "broker.rack", "null 5 2 1 0;"),
            (BROKER, "1", "ssl.key.password", "null 4 9 0 1; 4:ssl.key.password=null"),
            (BROKER, "1", "some.unknown.key", "null 4 0 1 1; 4:some.unknown.key=null"),
            (
                BROKER,
                "1",
                "principal.builder.class",
                "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder 5 8 0 0; 5:principal.builder.class=org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
            ),
            (
                BROKER,
                "+1",
                "listener.name.plaintext.max.connections",
                "77 4 3 1 0; 4:listener.name.plaintext.max.connections=77 5:max.connections=2147483647",
            ),
            (BROKER_LOGGER, "1", "root", "INFO 6 0 0 0;"),
            (CLIENT_METRICS, "any", "interval.ms", "300000 5 3 0 0;"),
            (
                GROUP,
                "g1",
                "consumer.session.timeout.ms",
                "50000 8 3 0 0; 8:consumer.session.timeout.ms=50000 5:group.consumer.session.timeout.ms=45000",
            ),
            (
                GROUP,
                "g1",
                "consumer.heartbeat.interval.ms",
                "5000 5 3 0 0; 5:group.consumer.heartbeat.interval.ms=5000",
            ),
            (
                GROUP,
                "g1",
                "share.auto.offset.reset",
                "earliest 8 2 0 0; 8:share.auto.offset.reset=earliest 5:share.auto.offset.reset=latest",
            ),
            (GROUP, "any", "share.auto.offset.reset", "latest 5 2 0 0; 5:share.auto.offset.reset=latest"),
            (
                GROUP,
                "any",
                "share.renew.acknowledge.enable",
                "true 5 1 0 0; 5:share.renew.acknowledge.enable=true",
            ),
        ];
        for (kind, resource, key, expected) in cases {
            let result = described(kind, resource, Some(&[key, "no.such.key"]));
            assert_eq!((result.error_code, result.error_message.as_deref()), (0, Some("")));
            let [described] = &result.configs[..] else { panic!("{key}: {:?}", result.configs) };
            assert_eq!(line(described), expected, "{key}");
        }
    }

    /// Codes and texts as Apache Kafka 4.3.0 answered.
    #[test]
    fn refusals_are_kafkas() {
        let cases = [
            (BROKER, "2", 42, "Unexpected broker id, expected 1 or empty string, but received 2"),
            (BROKER, "abc", 42, "Broker id must be an integer, but it is: abc"),
            (BROKER, " 1", 42, "Broker id must be an integer, but it is:  1"),
            (BROKER_LOGGER, "", 42, "Broker id must not be empty"),
            (BROKER_LOGGER, "2", 42, "Unexpected broker id, expected 1 but received 2"),
            (BROKER_LOGGER, "x", 42, "Broker id must be an integer, but it is: x"),
            (CLIENT_METRICS, "", 42, "Client metrics subscription name must not be empty"),
            (GROUP, "", 42, "Group name must not be empty"),
            (TOPIC, "nosuch", 3, ""),
            (TOPIC, "", 17, "Topic name is invalid: the empty string is not allowed"),
            (0, "u", 42, MALFORMED),
            (99, "u", 42, MALFORMED),
        ];
        for (kind, resource, code, message) in cases {
            let result = described(kind, resource, None);
            assert_eq!(
                (result.error_code, result.error_message.as_deref()),
                (code, Some(message)),
                "{resource}"
            );
            assert_eq!(result.configs, []);
        }
    }

    #[test]
    fn everything_is_listed_with_its_documentation() {
        let topic = described(TOPIC, "t1", None);
        assert_eq!(topic.configs.len(), 33, "Kafka 4.3 lists 33 settings of a topic");
        let broker = described(BROKER, "1", Some(&[]));
        let listed = broker_keys().iter().filter(|key| !key.internal).count();
        assert_eq!(broker.configs.len(), listed + 2, "and the two that are in no table");
        for config in topic.configs.iter().chain(&broker.configs) {
            let known = broker_keys().get(&config.name).or_else(|| topic_keys().get(&config.name));
            assert_eq!(config.documentation.is_some(), known.is_some(), "{}", &*config.name);
        }
        assert_eq!(described(BROKER, "", None).configs, []);
        assert_eq!(described(GROUP, "any", None).configs.len(), 17, "Kafka 4.3 lists 17 settings of a group");
    }

    #[test]
    fn the_log_filter_shows_as_loggers() {
        let shown = |filter: &str| -> Vec<String> {
            let described = loggers(filter);
            described
                .iter()
                .map(|logger| format!("{}={}", &*logger.name, &**logger.value.as_ref().unwrap()))
                .collect()
        };
        assert_eq!(shown("warn"), ["root=WARN"]);
        assert_eq!(shown("info,fluxmq::net=debug"), ["fluxmq::net=DEBUG", "root=INFO"]);
    }
}

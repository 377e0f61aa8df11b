//! From texts to values: reads the broker's settings by the table of keys, and checks what no single key can.

use std::collections::HashMap;
use std::path::PathBuf;

use super::definition::{ConfigKey, Effect, broker_keys, topic_keys};
use super::listeners::{self, ListenerConfig, ListenerFault, ListenerKeys};
use super::settings::{ConfigFault, Notice, NoticeLevel, Origin, Settings};
use super::topic::{TopicConfig, server_synonyms};
use super::unknown::{self, Unknown};
use super::value::{ConfigType, Value};

/// Keys that count replicas, of internal topics and of those created without a count; there is one broker, so more
/// than 1 is taken as 1.
const CLAMPED_TO_ONE: &[&str] = &[
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "share.coordinator.state.topic.min.isr",
    "share.coordinator.state.topic.replication.factor",
    "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor",
];

/// Keys whose effect somebody may count on: setting one away from its default is warned about.
const WARNED_WITHOUT_EFFECT: &[&str] = &[
    "alter.config.policy.class.name",
    "client.quota.callback.class",
    "config.providers",
    "create.topic.policy.class.name",
    "remote.log.storage.system.enable",
];

/// The settings with the values of the keys in the table.
pub(super) struct Reader {
    pub(super) settings: Settings,
    values: HashMap<&'static str, Value>,
}

impl Reader {
    pub(super) fn new(settings: Settings) -> Self {
        Reader { settings, values: HashMap::new() }
    }

    /// Reads every key of the table and says what is to be said about those that are set.
    pub(super) fn read_all(&mut self, notices: &mut Vec<Notice>) -> Result<(), ConfigFault> {
        for key in broker_keys().iter() {
            let text = self.settings.text(key.name).or(key.default.as_deref());
            let value = match text {
                Some(text) => key.parse(text).map_err(|error| self.fault(key.name, &error.reason))?,
                None => Value::Null,
            };
            self.values.insert(key.name, value);
        }
        let mut say = |level, text: String| notices.push(Notice { level, text });
        let mut later = Vec::new();
        for (name, setting) in self.settings.iter() {
            let Some(key) = broker_keys().get(name) else {
                self.say_of_unknown(name, &setting.origin, &mut say)?;
                continue;
            };
            let differs = self.values.get(key.name).and_then(Value::to_text) != key.default;
            match key.effect {
                Effect::Used => {}
                Effect::Later => later.push(name),
                Effect::None(reason) if differs && WARNED_WITHOUT_EFFECT.contains(&name) => {
                    say(NoticeLevel::Warn, format!("{name} ({}) has no effect: {reason}", setting.origin));
                }
                Effect::None(reason) => {
                    say(NoticeLevel::Debug, format!("{name} ({}) has no effect: {reason}", setting.origin));
                }
            }
        }
        if !later.is_empty() {
            say(NoticeLevel::Info, format!("accepted, not applied yet: {}", later.join(", ")));
        }
        Ok(())
    }

    fn say_of_unknown(
        &self,
        name: &str,
        origin: &Origin,
        say: &mut impl FnMut(NoticeLevel, String),
    ) -> Result<(), ConfigFault> {
        match unknown::classify(name) {
            Unknown::ListenerOverride(base) => {
                let key = broker_keys().get(base);
                if let (Some(key), Some(text)) = (key, self.settings.text(name)) {
                    key.parse(text).map_err(|error| self.fault(name, &error.reason))?;
                }
                say(
                    NoticeLevel::Debug,
                    format!("{name} ({origin}) has no effect: {base} is not kept per listener"),
                );
            }
            Unknown::Foreign => {
                say(NoticeLevel::Debug, format!("{name} ({origin}) belongs to a plugin and has no effect"));
            }
            Unknown::Removed => {
                say(
                    NoticeLevel::Info,
                    format!("{name} ({origin}) is a key of Kafka before 4.0 and has no effect"),
                );
            }
            Unknown::Topic(Some(broker)) => {
                say(
                    NoticeLevel::Warn,
                    format!("{name} ({origin}) is a topic's key and is ignored; the broker's is {broker}"),
                );
            }
            Unknown::Topic(None) => {
                say(NoticeLevel::Warn, format!("{name} ({origin}) is a topic's key and is ignored"));
            }
            Unknown::Nothing(Some(nearest)) => {
                say(
                    NoticeLevel::Warn,
                    format!("unknown key {name} ({origin}) is ignored; did you mean {nearest}?"),
                );
            }
            Unknown::Nothing(None) => {
                say(NoticeLevel::Warn, format!("unknown key {name} ({origin}) is ignored"));
            }
        }
        Ok(())
    }

    pub(super) fn clamp_replicas(&mut self, notices: &mut Vec<Notice>) {
        let mut clamped = Vec::new();
        for name in CLAMPED_TO_ONE {
            let more = self.values.get(name).and_then(Value::as_f64).is_some_and(|replicas| replicas > 1.0);
            if let (true, Some(setting)) = (more, self.settings.get(name).cloned()) {
                clamped.push(format!("{name}={}", setting.text.trim()));
                self.settings.set(*name, "1", setting.origin);
            }
        }
        if !clamped.is_empty() {
            let text = format!("there is one broker; taken as 1: {}", clamped.join(", "));
            notices.push(Notice { level: NoticeLevel::Info, text });
        }
    }

    pub(super) fn refuse_what_is_not_served(&self) -> Result<(), ConfigFault> {
        if self.string("authorizer.class.name").is_some_and(|class| !class.is_empty()) {
            let allowed = "empty; starting without the rules that it names would let everybody in";
            return Err(self.fault_allowing(
                "authorizer.class.name",
                "authorization is not served yet",
                allowed,
            ));
        }
        let roles = self.list("process.roles");
        if !roles.is_empty() && !roles.iter().any(|role| role == "broker") {
            return Err(self.fault("process.roles", "FluxMQ is a broker only"));
        }
        Ok(())
    }

    pub(super) fn listeners(&self) -> Result<Vec<ListenerConfig>, ConfigFault> {
        let keys = ListenerKeys {
            listeners: &self.list("listeners"),
            advertised: &self.list("advertised.listeners"),
            protocol_map: &self.string("listener.security.protocol.map").unwrap_or_default(),
            controller_names: &self.list("controller.listener.names"),
        };
        let listeners = listeners::resolve(&keys, listeners::machine_host);
        listeners.map_err(|ListenerFault { key, reason, allowed }| self.fault_allowing(key, &reason, allowed))
    }

    pub(super) fn topic_defaults(&self) -> Result<TopicConfig, ConfigFault> {
        let defaults =
            TopicConfig::from_texts(|key| topic_default(&self.settings, key)).map_err(|error| {
                let synonyms = server_synonyms(&error.key);
                let set = synonyms.iter().find(|name| self.settings.get(name).is_some());
                self.fault(set.copied().unwrap_or(synonyms[0]), &error.reason)
            })?;
        let (min_ms, max_ms) = (defaults.min_compaction_lag_ms, defaults.max_compaction_lag_ms);
        if min_ms > max_ms {
            let reason = format!("more than log.cleaner.max.compaction.lag.ms ({max_ms})");
            return Err(self.fault("log.cleaner.min.compaction.lag.ms", &reason));
        }
        Ok(defaults)
    }

    pub(super) fn log_dirs(&self) -> Result<Vec<PathBuf>, ConfigFault> {
        const ALLOWED: &str = "directories, each once";
        let key = if self.settings.get("log.dirs").is_some() { "log.dirs" } else { "log.dir" };
        let mut dirs: Vec<PathBuf> = Vec::new();
        for dir in self.list(key).iter().map(|dir| PathBuf::from(dir.trim())) {
            if dirs.contains(&dir) {
                let reason = format!("{} is named twice", dir.display());
                return Err(self.fault_allowing(key, &reason, ALLOWED));
            }
            dirs.push(dir);
        }
        if dirs.is_empty() || dirs.iter().any(|dir| dir.as_os_str().is_empty()) {
            return Err(self.fault_allowing(key, "no directory is named", ALLOWED));
        }
        Ok(dirs)
    }

    pub(super) fn http_listener(&self) -> Result<Option<String>, ConfigFault> {
        let text = self.string("http.listener").unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        let port =
            text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port.parse::<u16>());
        match port {
            Some(Ok(_)) => Ok(Some(text)),
            _ => Err(self.fault_allowing(
                "http.listener",
                "not host:port",
                "host:port, or empty to turn it off",
            )),
        }
    }

    pub(super) fn per_ip_overrides(&self) -> Result<Vec<(String, i32)>, ConfigFault> {
        const KEY: &str = "max.connections.per.ip.overrides";
        let text = self.string(KEY).unwrap_or_default();
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let overrides = entries.map(|entry| {
            let (host, limit) = entry.rsplit_once(':')?;
            let limit: i32 = limit.trim().parse().ok().filter(|limit| *limit >= 0)?;
            Some((host.trim_matches(['[', ']']).to_owned(), limit))
        });
        let allowed = "a list of host:limit";
        overrides.collect::<Option<_>>().ok_or_else(|| self.fault_allowing(KEY, "not host:limit", allowed))
    }

    pub(super) fn log_level(&self) -> Result<String, ConfigFault> {
        let text = self.string("log.level").unwrap_or_default();
        let is_level = ["off", "error", "warn", "info", "debug", "trace"]
            .iter()
            .any(|level| text.eq_ignore_ascii_case(level));
        let is_filter = text.contains(['=', ',']) && tracing_subscriber::EnvFilter::try_new(&text).is_ok();
        if is_level || is_filter {
            return Ok(text);
        }
        let allowed = "off, error, warn, info, debug, trace, or a filter such as info,fluxmq::net=debug";
        Err(self.fault_allowing("log.level", "no such level", allowed))
    }

    pub(super) fn fault(&self, name: &str, reason: &str) -> ConfigFault {
        let base = unknown::listener_override(name).unwrap_or(name);
        let allowed = broker_keys().get(base).map_or_else(String::new, ConfigKey::allowed);
        self.fault_allowing(name, reason, &allowed)
    }

    pub(super) fn fault_allowing(&self, name: &str, reason: &str, allowed: &str) -> ConfigFault {
        let key = broker_keys().get(name);
        let hidden = key.is_some_and(|key| key.kind == ConfigType::Password);
        let (value, origin) = match self.settings.get(name) {
            Some(setting) if hidden => ("[hidden]".into(), setting.origin.to_string()),
            Some(setting) => (setting.text.clone(), setting.origin.to_string()),
            None => (key.and_then(|key| key.default.clone()).unwrap_or_default(), "the default".into()),
        };
        ConfigFault::Invalid {
            key: name.to_owned(),
            value,
            origin,
            reason: reason.to_owned(),
            allowed: allowed.to_owned(),
        }
    }

    fn wrong(name: &str) -> ! {
        unreachable!("{name} has another type in the table of broker keys")
    }

    pub(super) fn double(&self, name: &str) -> f64 {
        self.values.get(name).and_then(Value::as_f64).unwrap_or_else(|| unreachable!("{name} is no number"))
    }

    pub(super) fn int(&self, name: &str) -> i32 {
        match self.values.get(name) {
            Some(Value::Int(value)) => *value,
            _ => Self::wrong(name),
        }
    }

    pub(super) fn long(&self, name: &str) -> i64 {
        match self.values.get(name) {
            Some(Value::Long(value)) => *value,
            _ => Self::wrong(name),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> bool {
        match self.values.get(name) {
            Some(Value::Boolean(value)) => *value,
            _ => Self::wrong(name),
        }
    }

    pub(super) fn string(&self, name: &str) -> Option<String> {
        match self.values.get(name) {
            Some(Value::String(value)) => Some(value.clone()),
            Some(Value::Null) => None,
            _ => Self::wrong(name),
        }
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        match self.values.get(name) {
            Some(Value::List(items)) => items.clone(),
            Some(Value::Null) => Vec::new(),
            _ => Self::wrong(name),
        }
    }
}

pub(super) fn topic_default(settings: &Settings, topic_key: &str) -> Option<String> {
    let synonyms = server_synonyms(topic_key);
    let table_default = |name: &str| broker_keys().get(name).and_then(|key| key.default.clone());
    let found = synonyms
        .iter()
        .find_map(|name| Some((*name, settings.text(name)?.trim().to_owned())))
        .or_else(|| synonyms.iter().find_map(|name| Some((*name, table_default(name)?))));
    let Some((name, text)) = found else {
        return topic_keys().get(topic_key).and_then(|key| key.default.clone());
    };
    let unit_ms = match name.rsplit_once('.') {
        Some((_, "hours")) => 3_600_000,
        Some((_, "minutes")) => 60_000,
        _ => 1,
    };
    if unit_ms == 1 && topic_key != "retention.ms" {
        return Some(text);
    }
    let Ok(number) = text.parse::<i64>() else { return Some(text) };
    let number = number.saturating_mul(unit_ms);
    // Any negative time means no limit to Kafka.
    Some(if topic_key == "retention.ms" { number.max(-1) } else { number }.to_string())
}

/// `node.id` and `broker.id` are one setting: the one that is given stands for both.
pub(super) fn agree_on_node_id(settings: &mut Settings) -> Result<(), ConfigFault> {
    let broker_id = settings.get("broker.id").filter(|setting| setting.text.trim() != "-1").cloned();
    let node_id = settings.get("node.id").cloned();
    match (node_id, broker_id) {
        (Some(node), Some(broker)) if node.text.trim() != broker.text.trim() => Err(ConfigFault::Invalid {
            key: "broker.id".into(),
            value: broker.text,
            origin: broker.origin.to_string(),
            reason: format!("node.id is {} ({})", node.text, node.origin),
            allowed: "the same value as node.id".into(),
        }),
        (Some(node), _) => {
            settings.set("broker.id", node.text, node.origin);
            Ok(())
        }
        (None, Some(broker)) => {
            settings.set("node.id", broker.text, broker.origin);
            Ok(())
        }
        (None, None) => Ok(()),
    }
}

pub(super) fn warn_of_unreachable(listeners: &[ListenerConfig], notices: &mut Vec<Notice>) {
    for listener in listeners {
        if !listeners::is_loopback(&listener.host) && listeners::is_loopback(&listener.advertised_host) {
            notices.push(Notice {
                level: NoticeLevel::Warn,
                text: format!(
                    "listener {} takes connections on {} but tells clients to connect to {}, which other machines \
                     cannot reach; set advertised.listeners",
                    listener.name,
                    match listeners::is_wildcard(&listener.host) {
                        true => format!("port {} of every address", listener.port),
                        false => listeners::host_and_port(&listener.host, listener.port),
                    },
                    listeners::host_and_port(&listener.advertised_host, listener.advertised_port),
                ),
            });
        }
    }
}

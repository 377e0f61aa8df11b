//! `fluxmq adopt DIR`: makes the data directory of a cleanly stopped Apache Kafka node one that FluxMQ opens.
//!
//! The logs, their checkpoints and `meta.properties` are Kafka's and stay as they are. What is added is FluxMQ's own
//! metadata, made from Kafka's metadata log, as the last step and in one: after a crash the directory is still Kafka's
//! or already adopted. Kafka's metadata log stays where it is. What is refused changes nothing.
//!
//! Deliberately not done: clusters of several nodes or with a separate controller, several log directories, tiered
//! storage, records in message formats before v2.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fluxmq_storage::fs::RealFs;
use fluxmq_storage::log_dir::{CLEAN_SHUTDOWN_FILE, CLUSTER_METADATA_DIR, LOCK_FILE, LogDir, LogDirError};
use fluxmq_storage::meta_properties::{META_PROPERTIES, MetaProperties, MetaPropertiesError};
use thiserror::Error;

use self::metadata_log::MetadataLogError;
use self::plan::{LeftOut, PlanError};
use crate::config::{BrokerConfig, ConfigFault, Settings};
use crate::meta::MetadataError;
use crate::meta::import::{Import, has_metadata};

pub mod image;
mod logs;
pub mod metadata_log;
pub mod plan;

/// Why a directory isn't adopted. Nothing was changed, unless the store could not be written.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// No `meta.properties`.
    #[error("{} is no data directory of Apache Kafka: it has no {META_PROPERTIES}", path.display())]
    NotKafkas {
        /// The directory.
        path: PathBuf,
    },
    /// `meta.properties` of another format or broken: of a Kafka with ZooKeeper, for one.
    #[error("{}: {source}", path.display())]
    MetaProperties {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: MetaPropertiesError,
    },
    /// A Kafka before 3.7 used it last.
    #[error("{} has no directory.id in {META_PROPERTIES}: start and stop it with Apache Kafka 4 first", path.display())]
    NoDirectoryId {
        /// The directory.
        path: PathBuf,
    },
    /// There is metadata of FluxMQ.
    #[error("{} is FluxMQ's already", path.display())]
    AlreadyFluxmqs {
        /// The directory.
        path: PathBuf,
    },
    /// No metadata log: not of a controller, or it lies elsewhere.
    #[error(
        "{} has no {CLUSTER_METADATA_DIR}: only a node that is broker and controller, with one log directory, can be \
         adopted",
        path.display()
    )]
    NoMetadataLog {
        /// The directory.
        path: PathBuf,
    },
    /// It is in use, or can't be locked.
    #[error(transparent)]
    LogDir(#[from] LogDirError),
    /// The mark of a clean stop isn't there.
    #[error(
        "{} was not stopped cleanly (no {CLEAN_SHUTDOWN_FILE}): start it with Apache Kafka and stop it with SIGTERM",
        path.display()
    )]
    NotStoppedCleanly {
        /// The directory.
        path: PathBuf,
    },
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the file system gives.
        source: io::Error,
    },
    /// The metadata log can't be read.
    #[error(transparent)]
    MetadataLog(#[from] MetadataLogError),
    /// The cluster can't be taken over.
    #[error("{}: {source}", path.display())]
    Plan {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: PlanError,
    },
    /// Logs are elsewhere, or gone.
    #[error("{} doesn't hold all partitions of the metadata: {partitions} missing, or another topic's", path.display())]
    MissingLogs {
        /// The directory.
        path: PathBuf,
        /// Some of those that are missing.
        partitions: String,
    },
    /// Records that Kafka wrote before 0.11, or for clients of that time.
    #[error("{} has records in message format v{magic}; FluxMQ reads v2", path.display())]
    MessageFormat {
        /// The segment.
        path: PathBuf,
        /// The format.
        magic: u8,
    },
    /// The defaults are refused.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// FluxMQ's metadata can't be written.
    #[error("the metadata can't be written: {0}")]
    Store(#[from] MetadataError),
}

/// What was done. It prints as the lines for whoever asked for it.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    properties: MetaProperties,
    import: Import,
    left_out: Vec<LeftOut>,
    default_node_id: i32,
}

/// Adopts the directory.
///
/// # Errors
/// See [`AdoptError`].
pub fn adopt(path: &Path) -> Result<Report, AdoptError> {
    let properties = kafkas_properties(path)?;
    let had_lock_file = path.join(LOCK_FILE).exists();
    let dir = LogDir::open(path, None, properties.node_id, Arc::new(RealFs))?;
    let adopted = adopt_locked(&dir, properties);
    if adopted.is_err() && !had_lock_file {
        // As Kafka leaves it: it removes the file before it gives the lock up.
        let _ = fs::remove_file(dir.path().join(LOCK_FILE));
    }
    adopted
}

/// What the directory says of itself, if it is one that Kafka 4 made.
fn kafkas_properties(path: &Path) -> Result<MetaProperties, AdoptError> {
    let file = path.join(META_PROPERTIES);
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(AdoptError::NotKafkas { path: path.to_owned() });
        }
        Err(source) => return Err(AdoptError::Io { path: file, source }),
    };
    if has_metadata(path) {
        return Err(AdoptError::AlreadyFluxmqs { path: path.to_owned() });
    }
    let properties = MetaProperties::parse(&text)
        .map_err(|source| AdoptError::MetaProperties { path: path.to_owned(), source })?;
    if !path.join(CLUSTER_METADATA_DIR).is_dir() {
        return Err(AdoptError::NoMetadataLog { path: path.to_owned() });
    }
    // Locking the directory would write one.
    if properties.directory_id.is_none() {
        return Err(AdoptError::NoDirectoryId { path: path.to_owned() });
    }
    Ok(properties)
}

fn adopt_locked(dir: &LogDir, properties: MetaProperties) -> Result<Report, AdoptError> {
    let path = dir.path();
    if !path.join(CLEAN_SHUTDOWN_FILE).exists() {
        return Err(AdoptError::NotStoppedCleanly { path: path.to_owned() });
    }
    let metadata = metadata_log::read(&path.join(CLUSTER_METADATA_DIR))?;
    let broker = BrokerConfig::from_settings(Settings::default())?;
    let mut plan = plan::plan(&metadata, properties.node_id, &broker)
        .map_err(|source| AdoptError::Plan { path: path.to_owned(), source })?;
    logs::check(dir, &plan.import, &mut plan.left_out)?;
    plan.import.clone().store(path)?;
    Ok(Report {
        path: path.to_owned(),
        properties,
        import: plan.import,
        left_out: plan.left_out,
        default_node_id: broker.node_id,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, properties, import) = (self.path.display(), &self.properties, &self.import);
        let partitions: usize = import.topics.values().map(|topic| topic.leader_epochs.len()).sum();
        let with_configs = import.topics.values().filter(|topic| !topic.configs.is_empty()).count();
        let levels: Vec<String> =
            import.feature_levels.iter().map(|(name, level)| format!("{name}={level}")).collect();
        writeln!(out, "adopted {path}: cluster id {}, node {}", properties.cluster_id, properties.node_id)?;
        writeln!(
            out,
            "topics: {}, with {partitions} partitions; {with_configs} have settings of their own",
            import.topics.len()
        )?;
        writeln!(out, "groups with settings of their own: {}", import.groups.len())?;
        writeln!(out, "features: {}", levels.join(", "))?;
        writeln!(out, "next producer id: {}", import.next_producer_id)?;
        for line in &self.left_out {
            writeln!(out, "left out: {line}")?;
        }
        let node_id = match properties.node_id {
            id if id == self.default_node_id => String::new(),
            id => format!(" --override node.id={id}"),
        };
        writeln!(out, "start it with: fluxmq --data-dir {path}{node_id}")?;
        writeln!(
            out,
            "what was set in Kafka's server.properties, such as log.retention.hours, isn't in the directory: give that \
             file with --config"
        )
    }
}

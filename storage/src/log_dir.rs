//! A log directory: its lock, its `meta.properties`, the mark of a clean shutdown, the offset checkpoints and the
//! directories of the partitions. Everything is where Apache Kafka has it.

use crate::checkpoint::{self, PartitionOffsets};
use crate::fs::{Fs, replace_file};
use crate::meta_properties::{
    META_PROPERTIES, MetaProperties, MetaPropertiesError, decode_uuid, encode_uuid, random_uuid,
};
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, fcntl_lock};
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// Name of the file whose lock says that a process uses the directory.
pub const LOCK_FILE: &str = ".lock";
/// Name of the file that a clean shutdown leaves.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";
/// Made at each start, and gone at once.
const PROBE_FILE: &str = ".fluxmq-probe.tmp";
/// Name of a partition directory's file with the topic id.
pub const PARTITION_METADATA: &str = "partition.metadata";
/// Name of the directory in which Kafka's controllers keep the cluster's metadata. No topic of clients has it.
pub const CLUSTER_METADATA_DIR: &str = "__cluster_metadata-0";
const DELETE_SUFFIX: &str = "-delete";
const STRAY_SUFFIX: &str = "-stray";
/// Longest name of a directory entry.
const MAX_NAME_BYTES: usize = 255;

/// Directories that this process has open: a lock of fcntl doesn't keep a process out from itself.
static OPEN_DIRS: LazyLock<Mutex<HashSet<(u64, u64)>>> = LazyLock::new(Mutex::default);

/// The files of offsets by partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OffsetCheckpoint {
    /// Everything below is on disk.
    RecoveryPoint,
    /// High watermarks.
    Replication,
    /// First offsets that can be read, where they differ from the first segment's.
    LogStart,
    /// Where the next round of compaction begins.
    Cleaner,
}

impl OffsetCheckpoint {
    /// Every one of them.
    pub const ALL: [OffsetCheckpoint; 4] = [
        OffsetCheckpoint::RecoveryPoint,
        OffsetCheckpoint::Replication,
        OffsetCheckpoint::LogStart,
        OffsetCheckpoint::Cleaner,
    ];

    /// The file's name.
    pub fn file_name(self) -> &'static str {
        match self {
            OffsetCheckpoint::RecoveryPoint => "recovery-point-offset-checkpoint",
            OffsetCheckpoint::Replication => "replication-offset-checkpoint",
            OffsetCheckpoint::LogStart => "log-start-offset-checkpoint",
            OffsetCheckpoint::Cleaner => "cleaner-offset-checkpoint",
        }
    }
}

/// Why a log directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum LogDirError {
    /// Another process uses it, or this one twice.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// Its `meta.properties` is of another format or broken.
    #[error("{}: {source}", path.display())]
    MetaProperties {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: MetaPropertiesError,
    },
    /// It belongs to another cluster.
    #[error("{} belongs to cluster {found}, not to {expected}", path.display())]
    OtherCluster {
        /// The directory.
        path: PathBuf,
        /// The configured cluster.
        expected: String,
        /// The directory's.
        found: String,
    },
    /// It belongs to another node.
    #[error("{} belongs to node {found}, not to {expected}", path.display())]
    OtherNode {
        /// The directory.
        path: PathBuf,
        /// The configured node.
        expected: i32,
        /// The directory's.
        found: i32,
    },
    /// Nothing can be written there.
    #[error("{}: {source}: the user that runs fluxmq has to be able to write there", path.display())]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// What the file system gives.
        source: io::Error,
    },
    /// The file system refuses.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it gives.
        source: io::Error,
    },
}

/// A log directory that this process has locked.
#[derive(Debug)]
pub struct LogDir {
    path: PathBuf,
    fs: Arc<dyn Fs>,
    properties: MetaProperties,
    directory_id: Uuid,
    identity: (u64, u64),
    /// Closing it gives the lock up, and so would closing another descriptor of the file.
    lock: Option<File>,
}

/// The directory of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDir {
    /// Topic, from the directory's name.
    pub topic: String,
    /// Partition, from the directory's name.
    pub partition: i32,
    /// Topic id, from `partition.metadata`; `None` when the file is missing or broken.
    pub topic_id: Option<Uuid>,
    /// The directory.
    pub path: PathBuf,
}

/// What lies in a log directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Partitions, by topic and number.
    pub partitions: Vec<PartitionDir>,
    /// Directories on their way to being deleted.
    pub deleted: Vec<PathBuf>,
    /// The log of an Apache Kafka's own metadata: an adopted directory keeps it, for the way back.
    pub cluster_metadata: Option<PathBuf>,
    /// Directories that were put aside, or that have no partition's name.
    pub others: Vec<PathBuf>,
}

impl Listing {
    /// Lists a log directory without its lock.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn read(log_dir: &Path) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in std::fs::read_dir(log_dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(DELETE_SUFFIX) {
                listing.deleted.push(path);
            } else if name == CLUSTER_METADATA_DIR {
                listing.cluster_metadata = Some(path);
            } else if let Some((topic, partition)) = parse_partition_name(&name) {
                let topic_id = read_partition_metadata(&path);
                let topic = topic.to_owned();
                listing.partitions.push(PartitionDir { topic, partition, topic_id, path });
            } else {
                listing.others.push(path);
            }
        }
        listing.partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        listing.deleted.sort();
        listing.others.sort();
        Ok(listing)
    }
}

impl LogDir {
    /// Opens and locks a directory, creating it and its `meta.properties` when they are missing.
    ///
    /// Without a configured cluster id the directory's own is taken, or a new one for a new directory.
    ///
    /// # Errors
    /// See [`LogDirError`].
    pub fn open(
        path: &Path,
        cluster_id: Option<&str>,
        node_id: i32,
        fs: Arc<dyn Fs>,
    ) -> Result<LogDir, LogDirError> {
        let failed = |source| LogDirError::Io { path: path.to_path_buf(), source };
        create_durably(&*fs, path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        let failed = |source| LogDirError::Io { path: path.clone(), source };
        let metadata = std::fs::metadata(&path).map_err(failed)?;
        let identity = (metadata.dev(), metadata.ino());
        if !OPEN_DIRS.lock().insert(identity) {
            return Err(LogDirError::InUse { path });
        }
        let opened = Self::lock_and_check(&path, cluster_id, node_id, fs, identity);
        if opened.is_err() {
            OPEN_DIRS.lock().remove(&identity);
        }
        opened
    }

    fn lock_and_check(
        path: &Path,
        cluster_id: Option<&str>,
        node_id: i32,
        fs: Arc<dyn Fs>,
        identity: (u64, u64),
    ) -> Result<LogDir, LogDirError> {
        let failed = |source| LogDirError::Io { path: path.to_path_buf(), source };
        let not_writable = |source: io::Error| match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                LogDirError::NotWritable { path: path.to_path_buf(), source }
            }
            _ => failed(source),
        };
        let lock = fs.open_or_create(&path.join(LOCK_FILE)).map_err(not_writable)?;
        fcntl_lock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS => {
                LogDirError::InUse { path: path.to_path_buf() }
            }
            other => failed(other.into()),
        })?;
        // What is there already may be writable where nothing new is.
        let probe = path.join(PROBE_FILE);
        fs.open_or_create(&probe).and_then(|_| fs.remove_file(&probe)).map_err(not_writable)?;
        let file = path.join(META_PROPERTIES);
        let text = checkpoint::read_text(&file).map_err(failed)?;
        let mut properties = if text.is_empty() {
            let cluster_id = cluster_id.map_or_else(|| encode_uuid(random_uuid()), str::to_owned);
            MetaProperties { cluster_id, node_id, directory_id: None }
        } else {
            MetaProperties::parse(&text)
                .map_err(|source| LogDirError::MetaProperties { path: path.to_path_buf(), source })?
        };
        if let Some(expected) = cluster_id.filter(|expected| *expected != properties.cluster_id) {
            return Err(LogDirError::OtherCluster {
                path: path.to_path_buf(),
                expected: expected.to_owned(),
                found: properties.cluster_id,
            });
        }
        if properties.node_id != node_id {
            return Err(LogDirError::OtherNode {
                path: path.to_path_buf(),
                expected: node_id,
                found: properties.node_id,
            });
        }
        let directory_id = *properties.directory_id.get_or_insert_with(random_uuid);
        let encoded = properties.encode();
        if MetaProperties::parse(&text).as_ref() != Ok(&properties) {
            replace_file(&*fs, &file, encoded.as_bytes()).map_err(failed)?;
            fs.sync_dir(path).map_err(failed)?;
        }
        Ok(LogDir { path: path.to_path_buf(), fs, properties, directory_id, identity, lock: Some(lock) })
    }

    /// The directory, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cluster that the directory belongs to.
    pub fn cluster_id(&self) -> &str {
        &self.properties.cluster_id
    }

    /// The directory's own id (KIP-858).
    pub fn directory_id(&self) -> Uuid {
        self.directory_id
    }

    /// Whether the last process to use the directory stopped cleanly. Removes the mark, durably: a crash from
    /// here on is one.
    ///
    /// # Errors
    /// The mark can't be removed.
    pub fn take_clean_shutdown(&self) -> io::Result<bool> {
        match self.fs.remove_file(&self.path.join(CLEAN_SHUTDOWN_FILE)) {
            Ok(()) => self.fs.sync_dir(&self.path).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Leaves the mark of a clean shutdown. All logs are closed and the checkpoints written.
    ///
    /// # Errors
    /// What the file system gives; the shutdown is then not a clean one.
    pub fn mark_clean_shutdown(&self) -> io::Result<()> {
        let contents = b"{\"version\":0,\"brokerEpoch\":-1}";
        replace_file(&*self.fs, &self.path.join(CLEAN_SHUTDOWN_FILE), contents)?;
        self.fs.sync_dir(&self.path)
    }

    /// Offsets of a checkpoint; none, with a warning, when the file is broken: Kafka starts at 0 then too.
    pub fn read_checkpoint(&self, checkpoint: OffsetCheckpoint) -> PartitionOffsets {
        let path = self.path.join(checkpoint.file_name());
        checkpoint::read_offsets(&path).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "a checkpoint can't be read and is taken as empty");
            PartitionOffsets::new()
        })
    }

    /// Replaces the offsets of a checkpoint, durably.
    ///
    /// # Errors
    /// What the file system gives; the old ones are then still there.
    pub fn write_checkpoint(
        &self,
        checkpoint: OffsetCheckpoint,
        offsets: &PartitionOffsets,
    ) -> io::Result<()> {
        let text = checkpoint::encode_offsets(offsets);
        replace_file(&*self.fs, &self.path.join(checkpoint.file_name()), text.as_bytes())?;
        self.fs.sync_dir(&self.path)
    }

    /// Makes the names in the directory durable.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn sync(&self) -> io::Result<()> {
        self.fs.sync_dir(&self.path)
    }

    /// Path of a partition's directory.
    pub fn partition_path(&self, topic: &str, partition: i32) -> PathBuf {
        self.path.join(format!("{topic}-{partition}"))
    }

    /// What lies in the directory.
    ///
    /// # Errors
    /// The directory can't be read.
    pub fn list(&self) -> io::Result<Listing> {
        Listing::read(&self.path)
    }

    /// Creates a partition's directory with its `partition.metadata`; one that is there already with the same topic
    /// id is left as it is. The name is on disk once [`LogDir::sync`] has returned, which makes that of every
    /// directory created before it so. The file isn't synced: nothing is decided by it while the directory has the
    /// name of a topic that the metadata knows, and one that a crash has emptied is written again.
    ///
    /// # Errors
    /// `AlreadyExists` when the directory has another topic id; what the file system gives. Calling again completes
    /// what was begun.
    pub fn create_partition(&self, topic: &str, topic_id: Uuid, partition: i32) -> io::Result<PathBuf> {
        let path = self.partition_path(topic, partition);
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        match read_partition_metadata(&path) {
            Some(found) if found == topic_id => {}
            Some(_) => {
                let what = format!("{} belongs to a topic with another id", path.display());
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
            }
            None => {
                let contents = format!("version: 0\ntopic_id: {}", encode_uuid(topic_id));
                let file = self.fs.open_or_create(&path.join(PARTITION_METADATA))?;
                self.fs.set_len(&file, contents.len() as u64)?;
                self.fs.write_all_at(&file, &[contents.as_bytes()], 0)?;
            }
        }
        Ok(path)
    }

    /// Renames a partition's directory to `<topic>-<partition>.<uuid>-delete`, durably. The metadata that the
    /// topic is gone has been committed. Returns the new path.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn rename_for_deletion(&self, topic: &str, partition: i32) -> io::Result<PathBuf> {
        self.rename_aside(&self.partition_path(topic, partition), DELETE_SUFFIX)
    }

    /// Puts a directory aside as `<name>.<uuid>-stray`: its topic is unknown or has another id. It is never
    /// deleted. Returns the new path.
    ///
    /// # Errors
    /// What the file system gives.
    pub fn rename_stray(&self, path: &Path) -> io::Result<PathBuf> {
        self.rename_aside(path, STRAY_SUFFIX)
    }

    fn rename_aside(&self, path: &Path, suffix: &str) -> io::Result<PathBuf> {
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        let (topic, partition) = parse_partition_name(name).ok_or(io::ErrorKind::InvalidInput)?;
        let suffix = format!("-{partition}.{}{suffix}", Uuid::new_v4().simple());
        // Topic names are ASCII and at most 249 bytes; with the suffix they may not fit.
        let kept = topic.len().min(MAX_NAME_BYTES - suffix.len());
        let renamed = self.path.join(format!("{}{suffix}", &topic[..kept]));
        self.fs.rename(path, &renamed)?;
        self.fs.sync_dir(&self.path)?;
        Ok(renamed)
    }

    /// Unlinks a directory that [`LogDir::rename_for_deletion`] has renamed. May take long.
    ///
    /// # Errors
    /// `InvalidInput` for any other path; what the file system gives.
    pub fn remove_deleted(&self, path: &Path) -> io::Result<()> {
        let named = path.to_str().is_some_and(|name| name.ends_with(DELETE_SUFFIX));
        if !named || path.parent() != Some(&self.path) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        std::fs::remove_dir_all(path)
    }
}

/// Creates a directory and those above it that are missing, and makes their names durable.
fn create_durably(fs: &dyn Fs, path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    std::fs::create_dir_all(path)?;
    for created in missing {
        if let Some(parent) = created.parent() {
            fs.sync_dir(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })?;
        }
    }
    Ok(())
}

impl Drop for LogDir {
    fn drop(&mut self) {
        drop(self.lock.take());
        OPEN_DIRS.lock().remove(&self.identity);
    }
}

/// Topic and partition in the name of a partition's directory: what is before and after the last dash.
pub(crate) fn parse_partition_name(name: &str) -> Option<(&str, i32)> {
    let (topic, partition) = name.rsplit_once('-')?;
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if topic.is_empty() || !topic.bytes().all(legal) || !partition.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((topic, partition.parse().ok()?))
}

/// The topic id in a `partition.metadata` of version 0.
pub(crate) fn read_partition_metadata(dir: &Path) -> Option<Uuid> {
    let text = std::fs::read_to_string(dir.join(PARTITION_METADATA)).ok()?;
    let mut version = None;
    let mut topic_id = None;
    for line in text.lines() {
        let (key, value) = line.split_once(':')?;
        match key.trim() {
            "version" => version = value.trim().parse().ok(),
            "topic_id" => topic_id = decode_uuid(value.trim()),
            _ => {}
        }
    }
    topic_id.filter(|_| version == Some(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::RealFs;

    fn open(path: &Path, cluster_id: Option<&str>, node_id: i32) -> Result<LogDir, LogDirError> {
        LogDir::open(path, cluster_id, node_id, Arc::new(RealFs))
    }

    #[test]
    fn a_directory_keeps_its_identity_and_is_used_once() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let dir = open(&path, None, 1).unwrap();
        let (cluster_id, directory_id) = (dir.cluster_id().to_owned(), dir.directory_id());
        assert_eq!(cluster_id.len(), 22);
        assert!(matches!(open(&path, None, 1), Err(LogDirError::InUse { .. })));
        drop(dir);
        let dir = open(&path, Some(&cluster_id), 1).unwrap();
        assert_eq!(dir.directory_id(), directory_id);
        drop(dir);
        assert!(matches!(open(&path, Some("another"), 1), Err(LogDirError::OtherCluster { .. })));
        assert!(matches!(open(&path, None, 2), Err(LogDirError::OtherNode { found: 1, .. })));
        std::fs::write(path.join(META_PROPERTIES), "version=2\n").unwrap();
        assert!(matches!(open(&path, None, 1), Err(LogDirError::MetaProperties { .. })));
    }

    #[test]
    fn the_names_of_created_directories_are_made_durable() {
        #[derive(Debug, Default)]
        struct Synced(Mutex<Vec<PathBuf>>);
        impl Fs for Synced {
            fn sync_dir(&self, dir: &Path) -> io::Result<()> {
                self.0.lock().push(dir.to_path_buf());
                RealFs.sync_dir(dir)
            }
        }
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let fs = Arc::new(Synced::default());
        LogDir::open(&path, None, 1, fs.clone()).unwrap();
        let synced = fs.0.lock();
        for dir in [parent.path().to_path_buf(), parent.path().join("a"), path.canonicalize().unwrap()] {
            assert!(synced.contains(&dir), "{dir:?} in {synced:?}");
        }
    }

    #[test]
    fn another_process_is_kept_out() {
        let parent = tempfile::tempdir().unwrap();
        let dir = open(parent.path(), None, 1).unwrap();
        // A lock of fcntl belongs to a process, so only a second process can show it.
        let script = "import fcntl,sys\nf=open(sys.argv[1],'r+')\nfcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)";
        let lock = dir.path().join(LOCK_FILE);
        let Ok(status) = std::process::Command::new("python3").args(["-c", script]).arg(&lock).output()
        else {
            return; // no python3 here
        };
        assert!(!status.status.success(), "the lock was free");
        drop(dir);
        let status = std::process::Command::new("python3").args(["-c", script]).arg(&lock).output().unwrap();
        assert!(status.status.success());
    }

    #[test]
    fn the_mark_of_a_clean_shutdown_is_taken_once() {
        let parent = tempfile::tempdir().unwrap();
        let dir = open(parent.path(), None, 1).unwrap();
        assert!(!dir.take_clean_shutdown().unwrap());
        dir.mark_clean_shutdown().unwrap();
        assert!(dir.take_clean_shutdown().unwrap());
        assert!(!dir.take_clean_shutdown().unwrap());
    }

    #[test]
    fn partitions_are_created_listed_renamed_and_removed() {
        let parent = tempfile::tempdir().unwrap();
        let dir = open(parent.path(), None, 1).unwrap();
        let id = random_uuid();
        for partition in [0, 1, 2, 0, 1, 2] {
            dir.create_partition("a-b.c", id, partition).unwrap();
        }
        assert!(dir.create_partition("a-b.c", random_uuid(), 1).is_err());
        std::fs::create_dir(parent.path().join("no_partition")).unwrap();
        std::fs::create_dir(parent.path().join("bare-0")).unwrap();
        let gone = dir.rename_for_deletion("a-b.c", 1).unwrap();
        let stray = dir.rename_stray(&dir.partition_path("a-b.c", 2)).unwrap();
        let listing = dir.list().unwrap();
        let found: Vec<_> =
            listing.partitions.iter().map(|p| (p.topic.as_str(), p.partition, p.topic_id)).collect();
        assert_eq!(found, [("a-b.c", 0, Some(id)), ("bare", 0, None)]);
        assert_eq!(listing.deleted, std::slice::from_ref(&gone));
        assert_eq!(listing.others, [stray.clone(), dir.path().join("no_partition")]);
        assert!(stray.to_str().unwrap().contains("/a-b.c-2."));
        assert!(dir.remove_deleted(&stray).is_err());
        dir.remove_deleted(&gone).unwrap();
        assert!(dir.list().unwrap().deleted.is_empty());
    }

    #[test]
    fn the_metadata_of_kafkas_controllers_is_no_partition() {
        let parent = tempfile::tempdir().unwrap();
        let dir = open(parent.path(), None, 1).unwrap();
        for name in [CLUSTER_METADATA_DIR, "__cluster_metadata-1", "x__cluster_metadata-0"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let listing = dir.list().unwrap();
        assert_eq!(listing.cluster_metadata, Some(dir.path().join(CLUSTER_METADATA_DIR)));
        assert!(listing.others.is_empty());
        assert_eq!(listing.partitions.len(), 2);
    }

    #[test]
    fn a_long_topic_name_fits_when_renamed() {
        let parent = tempfile::tempdir().unwrap();
        let dir = open(parent.path(), None, 1).unwrap();
        let topic = "t".repeat(249);
        dir.create_partition(&topic, random_uuid(), 7).unwrap();
        let gone = dir.rename_for_deletion(&topic, 7).unwrap();
        assert_eq!(gone.file_name().unwrap().len(), MAX_NAME_BYTES);
    }

    #[test]
    fn partition_names_are_kafkas() {
        assert_eq!(parse_partition_name("a-b-12"), Some(("a-b", 12)));
        for bad in ["a", "-1", "a-", "a-x", "a--1x", "a b-1", "a-99999999999", "a-0.0123-stray"] {
            assert_eq!(parse_partition_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn checkpoints_come_back_and_broken_ones_are_empty() {
        let parent = tempfile::tempdir().unwrap();
        let dir = open(parent.path(), None, 1).unwrap();
        let offsets = PartitionOffsets::from([(("t".to_owned(), 0), 17)]);
        dir.write_checkpoint(OffsetCheckpoint::RecoveryPoint, &offsets).unwrap();
        assert_eq!(dir.read_checkpoint(OffsetCheckpoint::RecoveryPoint), offsets);
        assert!(dir.read_checkpoint(OffsetCheckpoint::LogStart).is_empty());
        std::fs::write(parent.path().join("replication-offset-checkpoint"), "x").unwrap();
        assert!(dir.read_checkpoint(OffsetCheckpoint::Replication).is_empty());
    }
}

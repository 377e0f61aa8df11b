//! The topics as the machines see them.

use fluxmq_coordinator::Topics;
use fluxmq_protocol::StrBytes;
use uuid::Uuid;

use crate::meta::TopicsImage;

/// The image of the moment of a turn.
pub(super) struct ImageTopics<'a>(pub(super) &'a TopicsImage);

impl Topics for ImageTopics<'_> {
    fn version(&self) -> i64 {
        self.0.version()
    }

    fn by_name(&self, name: &str) -> Option<(Uuid, i32)> {
        self.0.by_name(name).map(|topic| (topic.id, topic.partition_count()))
    }

    fn by_id(&self, id: Uuid) -> Option<(StrBytes, i32)> {
        self.0.by_id(id).map(|topic| (topic.name.clone(), topic.partition_count()))
    }

    fn names(&self) -> Vec<StrBytes> {
        self.0.iter().map(|topic| topic.name.clone()).collect()
    }
}

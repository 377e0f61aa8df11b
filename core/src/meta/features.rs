//! The features of the cluster (KIP-584): what the whole of it speaks, which its administrator raises and lowers.

use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use tracing::info;

use super::records::{self, FEATURES_KEY, FeaturesRecord};
use super::store::{ABSENT, Condition, MetaStore, Revision, Write};
use super::{Metadata, MetadataError};

/// A feature that this broker knows. Every one can be at level 0, where it is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// `group.version`: at level 1 there are consumer groups (KIP-848).
    Group,
    /// `transaction.version`: at level 1 records of transactions have tagged fields, at level 2 the producer's epoch rises
    /// with the end of each transaction (KIP-890).
    Transaction,
}

impl Feature {
    /// All of them, by name.
    pub const ALL: [Self; 2] = [Self::Group, Self::Transaction];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Feature::Group => "group.version",
            Feature::Transaction => "transaction.version",
        }
    }

    /// The highest level that this broker knows, which a new cluster is at.
    #[must_use]
    pub fn max_level(self) -> i16 {
        match self {
            Feature::Group => 1,
            Feature::Transaction => 2,
        }
    }

    /// The feature of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.name() == name)
    }
}

/// The levels that the cluster is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    levels: [i16; Feature::ALL.len()],
    /// Rises with every change.
    pub epoch: i64,
    revision: Revision,
}

impl Features {
    /// The level of a feature; 0 where it is off.
    #[must_use]
    pub fn level(&self, feature: Feature) -> i16 {
        self.levels[feature as usize]
    }

    /// Reads what is stored. A cluster that never changed a level is at the highest of each.
    pub(super) fn read(store: &dyn MetaStore) -> Result<Self, MetadataError> {
        let mut features =
            Features { levels: Feature::ALL.map(Feature::max_level), epoch: 0, revision: ABSENT };
        if let Some(found) = store.get(FEATURES_KEY)? {
            let record: FeaturesRecord = records::decode(FEATURES_KEY, &found.value)?;
            for feature in Feature::ALL {
                if let Some(level) = record.levels.get(feature.name()) {
                    features.levels[feature as usize] = (*level).clamp(0, feature.max_level());
                }
            }
            features.epoch = record.epoch;
            features.revision = found.revision;
        }
        Ok(features)
    }
}

/// The levels as every request sees them.
pub(super) type FeaturesImage = ArcSwap<Features>;

impl Metadata {
    /// The levels that the cluster is at. Takes no lock.
    #[must_use]
    pub fn features(&self) -> Features {
        **self.features.load()
    }

    /// Changes levels. `decide` is given those that the cluster is at, and gives the new ones; it checks that they are
    /// known.
    ///
    /// # Errors
    /// What `decide` refuses with, or the change could not be stored. Nothing has changed then.
    pub fn update_features<E: From<MetadataError>>(
        &self,
        decide: impl FnOnce(&Features) -> Result<Vec<(Feature, i16)>, E>,
    ) -> Result<(), E> {
        let _change = self.changes.lock();
        let before = self.features();
        let mut after = before;
        for (feature, level) in decide(&before)? {
            after.levels[feature as usize] = level;
        }
        if after.levels == before.levels {
            return Ok(());
        }
        after.epoch += 1;
        let levels: BTreeMap<String, i16> =
            Feature::ALL.map(|feature| (feature.name().to_owned(), after.level(feature))).into();
        info!(?levels, "the levels of features were changed");
        let condition = Condition { key: FEATURES_KEY.to_owned(), revision: before.revision };
        let record = FeaturesRecord::new(after.epoch, levels);
        let put = Write::Put(FEATURES_KEY.to_owned(), records::encode(&record));
        after.revision = self.store.transact(&[condition], vec![put]).map_err(MetadataError::from)?;
        self.features.store(after.into());
        Ok(())
    }
}

//! `transaction.version`: the feature of a cluster, and what a client speaks.

/// A level of the feature `transaction.version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionVersion {
    /// As before KIP-890.
    #[default]
    V0,
    /// Records have tagged fields.
    V1,
    /// The producer's epoch rises with the end of each transaction, and Produce adds partitions to it (KIP-890).
    V2,
}

impl TransactionVersion {
    /// Its number.
    #[must_use]
    pub fn level(self) -> i16 {
        self as i16
    }

    /// The version of this number; the nearest where there is none.
    #[must_use]
    pub fn from_level(level: i16) -> Self {
        match level {
            ..=0 => Self::V0,
            1 => Self::V1,
            2.. => Self::V2,
        }
    }

    /// What a client speaks that ends its transaction with this version of EndTxn.
    #[must_use]
    pub fn of_end_txn(api_version: i16) -> Self {
        if api_version > 4 { Self::V2 } else { Self::V0 }
    }

    /// What a client speaks whose partitions come in this version of AddPartitionsToTxn: those after 3 are what a broker
    /// asks on behalf of a Produce.
    #[must_use]
    pub fn of_add_partitions_to_txn(api_version: i16) -> Self {
        if api_version > 3 { Self::V2 } else { Self::V0 }
    }

    /// Whether the end of a transaction raises the producer's epoch.
    #[must_use]
    pub fn bumps_epoch(self) -> bool {
        self >= Self::V2
    }
}

//! ListTransactions, versions 0–2 (KIP-664; filter by duration: KIP-994; by a pattern of ids: KIP-1152).

use std::collections::BTreeSet;

use fluxmq_protocol::StrBytes;
use fluxmq_protocol::messages::list_transactions_response::TransactionState as Listed;
use fluxmq_protocol::messages::{ListTransactionsRequest, ProducerId, TransactionalId};
use fluxmq_protocol::transaction_records::TransactionState;

use super::describe::state_name;
use super::id_pattern::IdPattern;
use super::shard::TransactionShard;
use super::transaction::Transaction;
use crate::consumer::regex::RegexError;
use crate::turn::Now;

/// States that Kafka knows and no id of a shard is in.
const OTHER_STATES: [&str; 2] = ["Dead", "PrepareEpochFence"];

/// Which transactional ids are asked for.
#[derive(Debug)]
pub struct ListFilters {
    /// None is any; the set can be empty, where only states were named that are none.
    states: Option<BTreeSet<TransactionState>>,
    unknown_states: Vec<StrBytes>,
    producer_ids: BTreeSet<i64>,
    longer_than_ms: Option<i64>,
    pattern: Option<IdPattern>,
}

/// The pattern of ids is none. Kafka answers INVALID_REGULAR_EXPRESSION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct UnknownPattern(#[from] pub RegexError);

impl ListFilters {
    /// What a request asks for.
    ///
    /// # Errors
    /// See [`UnknownPattern`].
    pub fn new(request: &ListTransactionsRequest) -> Result<Self, UnknownPattern> {
        let named = |name: &str| TransactionState::ALL.into_iter().find(|state| state_name(*state) == name);
        let is_known = |name: &str| named(name).is_some() || OTHER_STATES.contains(&name);
        let unknown_states: BTreeSet<&StrBytes> =
            request.state_filters.iter().filter(|name| !is_known(name)).collect();
        let states = || request.state_filters.iter().filter_map(|name| named(name)).collect();
        let pattern = request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty());
        Ok(ListFilters {
            states: (!request.state_filters.is_empty()).then(states),
            unknown_states: unknown_states.into_iter().cloned().collect(),
            producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
            longer_than_ms: (request.duration_filter >= 0).then_some(request.duration_filter),
            pattern: pattern.map(IdPattern::compile).transpose()?,
        })
    }

    /// The states that were asked for and are none, each once.
    #[must_use]
    pub fn unknown_states(&self) -> &[StrBytes] {
        &self.unknown_states
    }

    fn include(&self, now: Now, id: &str, transaction: &Transaction) -> bool {
        // Kafka measures from the start also where there was none: such an id has lasted since 1970.
        let lasts_ms = now.wall_ms.saturating_sub(transaction.start_ms);
        (self.producer_ids.is_empty() || self.producer_ids.contains(&transaction.producer_id))
            && self.states.as_ref().is_none_or(|states| states.contains(&transaction.state))
            && self.longer_than_ms.is_none_or(|longer_than_ms| lasts_ms > longer_than_ms)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(id))
    }
}

impl TransactionShard {
    /// The ids of this shard that are asked for, in no order.
    #[must_use]
    pub fn list_transactions(&self, now: Now, filters: &ListFilters) -> Vec<Listed> {
        let included = self.ids.iter().filter(|(id, entry)| filters.include(now, id, &entry.transaction));
        included
            .map(|(id, entry)| {
                Listed::default()
                    .with_transactional_id(TransactionalId(id.clone()))
                    .with_producer_id(ProducerId(entry.transaction.producer_id))
                    .with_transaction_state(StrBytes::from_static_str(state_name(entry.transaction.state)))
            })
            .collect()
    }
}

//! What the requests of transactions have in common: how a turn of a transactional id's shard is taken.

use fluxmq_coordinator::{TransactionShard, TransactionTurn};
use fluxmq_protocol::ErrorCode;

use crate::coordination::wait::Answered;
use crate::request::RequestContext;

/// Runs a turn of the shard of a transactional id.
///
/// # Errors
/// The code to answer with. Kafka refuses an empty id before it looks whose it is.
pub(super) fn turn<T>(
    context: &RequestContext,
    transactional_id: &str,
    work: impl FnOnce(&mut TransactionShard, &mut TransactionTurn<'_>) -> T,
) -> Result<Answered<T>, ErrorCode> {
    if transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    context.broker().transactions.turn(transactional_id, work)
}

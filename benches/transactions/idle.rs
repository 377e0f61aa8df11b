//! Transactional ids without a transaction: what the coordinator remembers of each, and how long it takes to read them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use fluxmq_benches::figures::{Figures, Options, Stretch};
use fluxmq_benches::wire::{
    Connections, CoordinatorOf, PATIENCE, call_coordinator, connect, response, set_up, text,
};
use fluxmq_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, InitProducerIdRequest, TransactionalId,
};

use crate::producers::{INIT_PRODUCER_ID_VERSION, init_producer_id, passes};

/// Ids that are asked for in one request.
const IDS_PER_REQUEST: usize = 1000;

fn ids(options: &Options) -> usize {
    options.get("ids", 100_000)
}

fn id(number: usize) -> TransactionalId {
    TransactionalId(text(&format!("idle-{number}")))
}

/// InitProducerId of each, and the process's memory before and after.
pub(crate) fn create(options: &Options, figures: &mut Figures) {
    set_up(&options.bootstrap(), "idle", 1, CoordinatorOf::Transactions);
    let (broker, ids) = (options.broker(), ids(options));
    let mut connections = Connections::open(&options.bootstrap(), options.get("connections", 64));
    let mut missing: VecDeque<usize> = (0..ids).collect();
    let mut asked: Vec<Option<usize>> = vec![None; connections.count()];
    let before_kb = broker.rss_kb();
    let stretch = Stretch::begin(broker);
    let deadline = Instant::now() + PATIENCE;
    let mut known = 0;
    while known < ids {
        for (at, asked) in asked.iter_mut().enumerate().filter(|(_, asked)| asked.is_none()) {
            *asked = missing.pop_front();
            if let Some(number) = *asked {
                connections.send(at, &init_producer_id(&id(number)));
            }
        }
        for (at, answer) in connections.receive(deadline) {
            let code = response::<InitProducerIdRequest>(INIT_PRODUCER_ID_VERSION, answer).error_code;
            let number = asked[at].take().expect("an answer to a question");
            if passes(code) {
                missing.push_back(number);
                continue;
            }
            assert_eq!(code, 0, "transactional id {number}");
            known += 1;
        }
        assert!(Instant::now() < deadline, "{known} of {ids} transactional ids");
    }
    stretch.end("init", ids as u64, figures);
    std::thread::sleep(Duration::from_millis(500));
    figures.add_memory("id", ids, before_kb, broker);
}

/// Asks until every id is known, and has no transaction.
pub(crate) fn answer(options: &Options, figures: &mut Figures) {
    let mut stream = connect(&options.bootstrap());
    let mut first_answer = None;
    for first in (0..ids(options)).step_by(IDS_PER_REQUEST) {
        let asked = first..ids(options).min(first + IDS_PER_REQUEST);
        let request =
            DescribeTransactionsRequest::default().with_transactional_ids(asked.clone().map(id).collect());
        let codes = |answer: &DescribeTransactionsResponse| {
            first_answer.get_or_insert_with(Instant::now);
            answer.transaction_states.iter().map(|state| state.error_code).collect()
        };
        let states = call_coordinator(&mut stream, 0, &request, codes).transaction_states;
        assert_eq!(states.len(), asked.len());
        for state in states {
            assert_eq!(
                (state.error_code, &*state.transaction_state),
                (0, "Empty"),
                "{:?}",
                state.transactional_id
            );
        }
    }
    figures.add_start(options, first_answer.unwrap_or_else(Instant::now));
}

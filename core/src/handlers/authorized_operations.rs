//! The bit fields of authorised operations (KIP-430), as a broker without an authoriser fills them: everything that
//! the kind of resource has. Bit n stands for Kafka's operation n: 3 read, 4 write, 5 create, 6 delete, 7 alter,
//! 8 describe, 9 cluster action, 10 describe configs, 11 alter configs, 12 idempotent write.

/// What stands in the field when it was not asked for.
pub(super) const NOT_ASKED: i32 = i32::MIN;

/// On a topic: read, write, create, delete, alter, describe, describe configs, alter configs.
pub(super) const TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);

/// On the cluster: create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
pub(super) const CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);

/// On a group: read, delete, describe, describe configs, alter configs.
pub(super) const GROUP: i32 = bits(&[3, 6, 8, 10, 11]);

const fn bits(operations: &[u8]) -> i32 {
    let (mut field, mut place) = (0, 0);
    while place < operations.len() {
        field |= 1 << operations[place];
        place += 1;
    }
    field
}

package com.fluxmq.tests;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.atomic.LongAdder;

/**
 * Accounts for a load's records while they are sent and read: each that was acknowledged has to arrive once, unchanged, and
 * behind the earlier ones of its producer in its partition.
 *
 * <p>Producers and consumers call it from their threads. Memory is two bits per record, whatever the run's length.
 */
final class Delivery {
    /**
     * The account so far.
     *
     * @param acknowledged records that were acknowledged
     * @param arrived      different records that were read, acknowledged or not
     * @param missing      acknowledged and not read
     * @param duplicated   in the log more than once
     * @param changed      read and not what was sent, or not from this run
     * @param outOfOrder   behind a later record of the same producer in the same partition
     * @param redelivered  read again at the same offset, as a group does after its members have changed
     * @param example      where the first wrong record was; null when there is none
     */
    record Account(long acknowledged, long arrived, long missing, long duplicated, long changed, long outOfOrder,
                   long redelivered, String example) {
        boolean isWhole() {
            return missing == 0 && duplicated == 0 && changed == 0 && outOfOrder == 0;
        }
    }

    /** What was read of a partition. One consumer at a time has it. */
    private static final class Partition {
        private long next = -1;
        private final long[] lastSequence;

        private Partition(int producers) {
            lastSequence = new long[producers];
            Arrays.fill(lastSequence, -1);
        }
    }

    private final long[] due;
    private final AtomicLongArray[] acknowledged;
    private final AtomicLongArray[] arrived;
    private final Partition[] partitions;
    private final LongAdder duplicated = new LongAdder();
    private final LongAdder changed = new LongAdder();
    private final LongAdder outOfOrder = new LongAdder();
    private final LongAdder redelivered = new LongAdder();
    private final AtomicReference<String> example = new AtomicReference<>();

    /**
     * @param due how many records each producer may send; their sequences count from 0
     */
    Delivery(long[] due, int partitions) {
        this.due = due.clone();
        this.acknowledged = bits(due);
        this.arrived = bits(due);
        this.partitions = new Partition[partitions];
        for (int p = 0; p < partitions; p++) {
            this.partitions[p] = new Partition(due.length);
        }
    }

    private static AtomicLongArray[] bits(long[] due) {
        AtomicLongArray[] bits = new AtomicLongArray[due.length];
        for (int producer = 0; producer < due.length; producer++) {
            bits[producer] = new AtomicLongArray(Math.toIntExact((due[producer] + 63) / 64));
        }
        return bits;
    }

    /** Sets a bit, and says whether it wasn't set before. */
    private static boolean set(AtomicLongArray bits, long sequence) {
        int word = (int) (sequence >>> 6);
        long bit = 1L << sequence;
        long before = bits.get(word);
        while ((before & bit) == 0) {
            if (bits.compareAndSet(word, before, before | bit)) {
                return true;
            }
            before = bits.get(word);
        }
        return false;
    }

    /** A producer was told that its record was taken. */
    void acknowledged(int producer, long sequence) {
        set(acknowledged[producer], sequence);
    }

    /** A partition is read from this offset on; the first call counts. */
    void readsFrom(int partition, long offset) {
        synchronized (partitions[partition]) {
            if (partitions[partition].next < 0) {
                partitions[partition].next = offset;
            }
        }
    }

    /** The offset behind the last record that was read of the partition; -1 when nobody reads it yet. */
    long next(int partition) {
        synchronized (partitions[partition]) {
            return partitions[partition].next;
        }
    }

    /**
     * A record was read.
     *
     * @param payload the calling thread's own
     * @return whether it is right and arrived for the first time
     */
    boolean arrived(Payload payload, int partition, long offset, byte[] value) {
        Partition state = partitions[partition];
        synchronized (state) {
            if (offset < state.next) {
                redelivered.increment();
                return false;
            }
            state.next = offset + 1;
            if (!payload.matches(value) || !isDue(Payload.thread(value), Payload.sequence(value))) {
                changed.increment();
                remember(partition, offset, payload.isForeign(value) ? "is another run's" : "is damaged");
                return false;
            }
            int producer = Payload.thread(value);
            long sequence = Payload.sequence(value);
            if (!set(arrived[producer], sequence)) {
                duplicated.increment();
                remember(partition, offset, "was read before, at another offset");
                return false;
            }
            if (sequence < state.lastSequence[producer]) {
                outOfOrder.increment();
                remember(partition, offset, "is behind a later record of its producer");
            }
            state.lastSequence[producer] = Math.max(state.lastSequence[producer], sequence);
            return true;
        }
    }

    private boolean isDue(int producer, long sequence) {
        return producer >= 0 && producer < due.length && sequence >= 0 && sequence < due[producer];
    }

    private void remember(int partition, long offset, String what) {
        example.compareAndSet(null, "partition " + partition + " offset " + offset + " " + what);
    }

    Account account() {
        long acknowledgedInAll = 0;
        long arrivedInAll = 0;
        long missing = 0;
        String firstMissing = null;
        for (int producer = 0; producer < due.length; producer++) {
            for (int word = 0; word < acknowledged[producer].length(); word++) {
                long told = acknowledged[producer].get(word);
                long read = arrived[producer].get(word);
                acknowledgedInAll += Long.bitCount(told);
                arrivedInAll += Long.bitCount(read);
                missing += Long.bitCount(told & ~read);
                if ((told & ~read) != 0 && firstMissing == null) {
                    long sequence = word * 64L + Long.numberOfTrailingZeros(told & ~read);
                    firstMissing = "record " + sequence + " of producer " + producer + " did not arrive";
                }
            }
        }
        String first = example.get();
        return new Account(acknowledgedInAll, arrivedInAll, missing, duplicated.sum(), changed.sum(), outOfOrder.sum(),
                redelivered.sum(), first == null ? firstMissing : first);
    }
}

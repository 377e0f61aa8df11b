package com.fluxmq.tests;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;

/** What one consumer has read of a run, record by record. Memory is one bit for each that was sent. */
final class Reading {
    private final Payload payload;
    private final long[] sentByThread;
    private final long[][] seen;
    private final Map<TopicPartition, long[]> lastSequence = new HashMap<>();
    private long read;
    private long duplicated;
    private long changed;
    private long outOfOrder;
    private String example;

    /**
     * @param runId        is in each record
     * @param messageBytes bytes of a record's value
     * @param sentByThread how many records each thread sends; their sequences count from 0
     */
    Reading(long runId, int messageBytes, long[] sentByThread) {
        this.payload = new Payload(runId, messageBytes);
        this.sentByThread = sentByThread;
        this.seen = new long[sentByThread.length][];
        for (int t = 0; t < seen.length; t++) {
            seen[t] = new long[Math.toIntExact((sentByThread[t] + 63) / 64)];
        }
    }

    /** The account of consumers that shared the partitions. */
    static ReadBack.Account account(List<Reading> readings) {
        long read = 0;
        long duplicated = 0;
        long changed = 0;
        long outOfOrder = 0;
        String example = null;
        long[] sentByThread = readings.get(0).sentByThread;
        long distinct = 0;
        for (int t = 0; t < sentByThread.length; t++) {
            long[] all = new long[readings.get(0).seen[t].length];
            for (Reading reading : readings) {
                for (int w = 0; w < all.length; w++) {
                    duplicated += Long.bitCount(all[w] & reading.seen[t][w]);
                    all[w] |= reading.seen[t][w];
                }
            }
            for (long word : all) {
                distinct += Long.bitCount(word);
            }
        }
        for (Reading reading : readings) {
            read += reading.read;
            duplicated += reading.duplicated;
            changed += reading.changed;
            outOfOrder += reading.outOfOrder;
            example = example == null ? reading.example : example;
        }
        long expected = Arrays.stream(sentByThread).sum();
        return new ReadBack.Account(expected, read, expected - distinct, duplicated, changed, outOfOrder, example);
    }

    /** Takes what was read of a partition, in its order. */
    void take(TopicPartition partition, List<ConsumerRecord<byte[], byte[]>> records) {
        long[] last = lastSequence.computeIfAbsent(partition, p -> {
            long[] none = new long[sentByThread.length];
            Arrays.fill(none, -1);
            return none;
        });
        for (ConsumerRecord<byte[], byte[]> record : records) {
            take(record, last);
        }
    }

    private void take(ConsumerRecord<byte[], byte[]> record, long[] last) {
        read++;
        byte[] value = record.value();
        int thread = value != null && value.length >= Payload.HEADER_BYTES ? Payload.thread(value) : -1;
        if (thread < 0 || thread >= sentByThread.length || !payload.matches(value)
                || Payload.sequence(value) >= sentByThread[thread] || record.key() != null) {
            changed++;
            if (example == null) {
                example = record.topic() + "-" + record.partition() + " offset " + record.offset()
                        + (payload.isForeign(value) ? " is another run's" : " is damaged");
            }
            return;
        }
        long sequence = Payload.sequence(value);
        long[] bits = seen[thread];
        int word = (int) (sequence >>> 6);
        long bit = 1L << sequence;
        if ((bits[word] & bit) != 0) {
            duplicated++;
        } else {
            bits[word] |= bit;
            if (sequence < last[thread]) {
                outOfOrder++;
            }
        }
        last[thread] = Math.max(last[thread], sequence);
    }
}

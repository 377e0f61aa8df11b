package com.fluxmq.tests;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Reads a run's records back and accounts for each: missing, duplicated, changed, out of order.
 *
 * <p>Partitions are assigned, not subscribed: no group. Memory is one bit per record and reader, whatever the run's length.
 */
final class ReadBack {
    /**
     * The account of a run.
     *
     * @param expected   records that were sent
     * @param read       records that were read
     * @param missing    sent and not read
     * @param duplicated read more than once
     * @param changed    read and not what was sent, or not from this run
     * @param outOfOrder behind a later record of the same thread in the same partition
     * @param example    what the first wrong record looked like; null when there is none
     */
    record Account(long expected, long read, long missing, long duplicated, long changed, long outOfOrder, String example) {
        boolean isWhole() {
            return missing == 0 && isUnchanged();
        }

        boolean isUnchanged() {
            return duplicated == 0 && changed == 0 && outOfOrder == 0;
        }

        @Override
        public String toString() {
            return String.format("read %,d of %,d: missing %,d, duplicated %,d, changed %,d, out of order %,d%s",
                    read, expected, missing, duplicated, changed, outOfOrder, example == null ? "" : " (" + example + ")");
        }
    }

    private static final Duration POLL = Duration.ofMillis(500);

    private final Settings settings;
    private final long runId;
    private final long[] sentByThread;

    /**
     * @param sentByThread how many records each thread sent; their sequences count from 0
     */
    ReadBack(Settings settings, long runId, long[] sentByThread) {
        this.settings = settings;
        this.runId = runId;
        this.sentByThread = sentByThread;
    }

    /**
     * Reads every partition from one offset to another.
     *
     * @param from where to begin, by partition
     * @param to   where to end (the offset behind the last record), by partition
     */
    Account run(Map<TopicPartition, Long> from, Map<TopicPartition, Long> to) throws InterruptedException {
        return run(from, to, Math.max(2, Runtime.getRuntime().availableProcessors()));
    }

    /**
     * Reads every partition from one offset to another.
     *
     * @param from        where to begin, by partition
     * @param to          where to end (the offset behind the last record), by partition
     * @param mostReaders how many consumers share the partitions, at most
     */
    Account run(Map<TopicPartition, Long> from, Map<TopicPartition, Long> to, int mostReaders) throws InterruptedException {
        List<TopicPartition> partitions = new ArrayList<>(to.keySet());
        int readers = Math.min(partitions.size(), mostReaders);
        ExecutorService pool = Executors.newFixedThreadPool(readers);
        try {
            List<Future<Reader>> futures = new ArrayList<>();
            for (int r = 0; r < readers; r++) {
                Map<TopicPartition, Long> begin = new HashMap<>();
                Map<TopicPartition, Long> end = new HashMap<>();
                for (int p = r; p < partitions.size(); p += readers) {
                    begin.put(partitions.get(p), from.get(partitions.get(p)));
                    end.put(partitions.get(p), to.get(partitions.get(p)));
                }
                futures.add(pool.submit(new Reader(begin, end)));
            }
            List<Reader> done = new ArrayList<>();
            for (Future<Reader> future : futures) {
                done.add(future.get());
            }
            return account(done);
        } catch (ExecutionException e) {
            throw new IllegalStateException("reading back failed: " + e.getCause(), e.getCause());
        } finally {
            pool.shutdownNow();
        }
    }

    private Account account(List<Reader> readers) {
        long read = 0;
        long duplicated = 0;
        long changed = 0;
        long outOfOrder = 0;
        String example = null;
        long expected = Arrays.stream(sentByThread).sum();
        long distinct = 0;
        for (int t = 0; t < sentByThread.length; t++) {
            long[] seen = new long[words(sentByThread[t])];
            for (Reader reader : readers) {
                for (int w = 0; w < seen.length; w++) {
                    duplicated += Long.bitCount(seen[w] & reader.seen[t][w]);
                    seen[w] |= reader.seen[t][w];
                }
            }
            for (long word : seen) {
                distinct += Long.bitCount(word);
            }
        }
        for (Reader reader : readers) {
            read += reader.read;
            duplicated += reader.duplicated;
            changed += reader.changed;
            outOfOrder += reader.outOfOrder;
            example = example == null ? reader.example : example;
        }
        return new Account(expected, read, expected - distinct, duplicated, changed, outOfOrder, example);
    }

    private static int words(long bits) {
        return Math.toIntExact((bits + 63) / 64);
    }

    /** One consumer over some of the partitions. */
    private final class Reader implements Callable<Reader> {
        private final Map<TopicPartition, Long> begin;
        private final Map<TopicPartition, Long> end;
        private final Payload payload = new Payload(runId, settings.messageBytes());
        private final long[][] seen = new long[sentByThread.length][];
        private long read;
        private long duplicated;
        private long changed;
        private long outOfOrder;
        private String example;

        Reader(Map<TopicPartition, Long> begin, Map<TopicPartition, Long> end) {
            this.begin = begin;
            this.end = end;
            for (int t = 0; t < seen.length; t++) {
                seen[t] = new long[words(sentByThread[t])];
            }
        }

        @Override
        public Reader call() {
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config(),
                    new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                consumer.assign(begin.keySet());
                begin.forEach(consumer::seek);
                Map<TopicPartition, long[]> lastSequence = new HashMap<>();
                for (TopicPartition partition : begin.keySet()) {
                    long[] last = new long[sentByThread.length];
                    Arrays.fill(last, -1);
                    lastSequence.put(partition, last);
                }
                long progressAt = System.nanoTime();
                while (end.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                    ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
                    for (TopicPartition partition : records.partitions()) {
                        long[] last = lastSequence.get(partition);
                        for (ConsumerRecord<byte[], byte[]> record : records.records(partition)) {
                            take(record, last);
                        }
                    }
                    if (!records.isEmpty()) {
                        progressAt = System.nanoTime();
                    } else if (System.nanoTime() - progressAt > settings.deadlineMs() * 1_000_000) {
                        throw new IllegalStateException("no record for " + settings.deadlineMs() + " ms before the end " + end);
                    }
                }
            }
            return this;
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

        private Map<String, Object> config() {
            Map<String, Object> config = new HashMap<>();
            config.put("bootstrap.servers", settings.bootstrap());
            config.put("enable.auto.commit", "false");
            config.put("auto.offset.reset", "none");
            if (settings.transactionRecords() > 0) {
                config.put("isolation.level", "read_committed");
            }
            // A fetch for partitions that are read to their end must not hold up the ones that are not.
            config.put("fetch.max.wait.ms", "20");
            config.put("max.poll.records", "5000");
            config.put("max.partition.fetch.bytes", String.valueOf(4 << 20));
            config.put("receive.buffer.bytes", String.valueOf(2 << 20));
            return config;
        }
    }
}

package com.fluxmq.tests;

import java.time.Duration;
import java.util.ArrayList;
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
            List<Future<Reading>> futures = new ArrayList<>();
            for (int r = 0; r < readers; r++) {
                Map<TopicPartition, Long> begin = new HashMap<>();
                Map<TopicPartition, Long> end = new HashMap<>();
                for (int p = r; p < partitions.size(); p += readers) {
                    begin.put(partitions.get(p), from.get(partitions.get(p)));
                    end.put(partitions.get(p), to.get(partitions.get(p)));
                }
                futures.add(pool.submit(new Reader(begin, end)));
            }
            List<Reading> done = new ArrayList<>();
            for (Future<Reading> future : futures) {
                done.add(future.get());
            }
            return Reading.account(done);
        } catch (ExecutionException e) {
            throw new IllegalStateException("reading back failed: " + e.getCause(), e.getCause());
        } finally {
            pool.shutdownNow();
        }
    }

    /** One consumer over some of the partitions. */
    private final class Reader implements Callable<Reading> {
        private final Map<TopicPartition, Long> begin;
        private final Map<TopicPartition, Long> end;
        private final Reading reading = new Reading(runId, settings.messageBytes(), sentByThread);

        Reader(Map<TopicPartition, Long> begin, Map<TopicPartition, Long> end) {
            this.begin = begin;
            this.end = end;
        }

        @Override
        public Reading call() {
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config(),
                    new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
                consumer.assign(begin.keySet());
                begin.forEach(consumer::seek);
                long progressAt = System.nanoTime();
                while (end.entrySet().stream().anyMatch(e -> consumer.position(e.getKey()) < e.getValue())) {
                    ConsumerRecords<byte[], byte[]> records = consumer.poll(POLL);
                    for (TopicPartition partition : records.partitions()) {
                        long limit = end.get(partition);
                        List<ConsumerRecord<byte[], byte[]>> found = records.records(partition);
                        if (found.get(found.size() - 1).offset() >= limit - 1) {
                            // Others may be writing behind what is to be read.
                            consumer.pause(List.of(partition));
                            found = found.stream().filter(record -> record.offset() < limit).toList();
                        }
                        reading.take(partition, found);
                    }
                    if (!records.isEmpty()) {
                        progressAt = System.nanoTime();
                    } else if (System.nanoTime() - progressAt > settings.deadlineMs() * 1_000_000) {
                        throw new IllegalStateException("no record for " + settings.deadlineMs() + " ms before the end " + end);
                    }
                }
            }
            return reading;
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

package com.fluxmq.tests;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** The end offsets of a benchmark's topic, as its leader tells them. */
final class EndOffsets implements AutoCloseable {
    /** How long the end offsets must stand still, short of what was sent, to be taken for final. */
    private static final long QUIET_MS = 3_000;

    private final Settings settings;
    private final List<TopicPartition> partitions = new ArrayList<>();
    private final KafkaConsumer<byte[], byte[]> consumer;

    EndOffsets(Settings settings, String topic) {
        this.settings = settings;
        for (int p = 0; p < settings.partitions(); p++) {
            partitions.add(new TopicPartition(topic, p));
        }
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", settings.bootstrap());
        config.put("enable.auto.commit", "false");
        consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** The end offsets by partition. Once they are answered the topic takes records. */
    Map<TopicPartition, Long> now() {
        return consumer.endOffsets(partitions);
    }

    /**
     * Waits until the end offsets cover all that was sent. With acks=0 nobody says what arrived, so a shortfall is final
     * when the offsets have stood still for {@link #QUIET_MS}, or at the deadline.
     *
     * @param from     the end offsets before the first record
     * @param messages how many records were sent
     */
    Map<TopicPartition, Long> awaitAll(Map<TopicPartition, Long> from, long messages) throws InterruptedException {
        long start = System.nanoTime();
        long grewAt = start;
        long last = -1;
        while (true) {
            Map<TopicPartition, Long> ends = now();
            long total = ends.entrySet().stream().mapToLong(e -> e.getValue() - from.get(e.getKey())).sum();
            long now = System.nanoTime();
            if (total != last) {
                grewAt = now;
                last = total;
            }
            if (total >= messages || now - grewAt > QUIET_MS * 1_000_000
                    || now - start > settings.deadlineMs() * 1_000_000) {
                return ends;
            }
            Thread.sleep(2);
        }
    }

    @Override
    public void close() {
        consumer.close();
    }
}

package com.fluxmq.tests;

import java.util.Map;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;

/** Offsets in a transaction, as clients before 2.5 send them: they name the group, and no member of it. */
final class GroupOffsets {
    private GroupOffsets() {
    }

    static void send(KafkaProducer<?, ?> producer, Map<TopicPartition, OffsetAndMetadata> offsets, String group) {
        producer.sendOffsetsToTransaction(offsets, group);
    }
}

package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.junit.jupiter.api.Test;

/** One bad record refuses its batch, and the answer names it (KIP-467). */
class RecordErrorsTest extends BrokerTest {

    @Test
    void theBadRecordIsNamed() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "300");
        long now = System.currentTimeMillis();
        Future<RecordMetadata> before = producer.send(new ProducerRecord<>(topic, 0, now, null, text("good")));
        Future<RecordMetadata> bad = producer.send(new ProducerRecord<>(topic, 0, now + 10 * 3_600_000, null, text("bad")));
        Future<RecordMetadata> after = producer.send(new ProducerRecord<>(topic, 0, now, null, text("good")));
        producer.flush();
        failure(InvalidTimestampException.class, bad);
        // The client's own error for a record that only shared the batch.
        failure(KafkaException.class, before);
        failure(KafkaException.class, after);
        assertEquals(0, send(producer, topic, text("nothing of the batch was written")));
    }

    @Test
    void aCompactedTopicNeedsKeys() throws Exception {
        String topic = topic(1, "cleanup.policy", "compact");
        KafkaProducer<byte[], byte[]> producer = producer();
        failure(InvalidRecordException.class, producer.send(new ProducerRecord<>(topic, 0, null, text("no key"))));
        assertEquals(0, producer.send(new ProducerRecord<>(topic, 0, text("key"), text("value"))).get().offset());
    }
}

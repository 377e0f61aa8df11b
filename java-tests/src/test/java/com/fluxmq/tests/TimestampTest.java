package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.record.TimestampType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** message.timestamp.type and its bounds, as producers and consumers see them. */
class TimestampTest extends BrokerTest {
    private static final long HOUR_MS = TimeUnit.HOURS.toMillis(1);

    private static ProducerRecord<byte[], byte[]> at(String topic, Long timestamp) {
        return new ProducerRecord<>(topic, 0, timestamp, null, text("x"));
    }

    @Test
    void createTimeIsTheProducers() throws Exception {
        String topic = topic(1, KEEP);
        KafkaProducer<byte[], byte[]> producer = producer();
        long[] timestamps = {0, 1, 1_500_000_000_000L, System.currentTimeMillis(), 5};
        for (long timestamp : timestamps) {
            assertEquals(timestamp, producer.send(at(topic, timestamp)).get().timestamp());
        }
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, timestamps.length);
        for (int i = 0; i < timestamps.length; i++) {
            assertEquals(timestamps[i], back.get(i).timestamp());
            assertEquals(TimestampType.CREATE_TIME, back.get(i).timestampType());
        }
    }

    @Test
    void recordsOfOneBatchKeepTheirOwnCreateTime() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "200", "compression.type", "lz4");
        long now = System.currentTimeMillis();
        for (int i = 0; i < 500; i++) {
            producer.send(at(topic, now - (i * 7919L) % 500));
        }
        producer.flush();
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 500);
        for (int i = 0; i < 500; i++) {
            assertEquals(now - (i * 7919L) % 500, back.get(i).timestamp());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "lz4", "zstd"})
    void logAppendTimeIsTheBrokers(String codec) throws Exception {
        String topic = topic(1, "message.timestamp.type", "LogAppendTime");
        KafkaProducer<byte[], byte[]> producer = producer("compression.type", codec, "linger.ms", "50");
        long before = System.currentTimeMillis();
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            futures.add(producer.send(at(topic, 1_000L + i)));
        }
        producer.flush();
        long after = System.currentTimeMillis();
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 100);
        for (int i = 0; i < 100; i++) {
            long told = futures.get(i).get().timestamp();
            assertTrue(told >= before && told <= after, told + " is between " + before + " and " + after);
            assertEquals(told, back.get(i).timestamp());
            assertEquals(TimestampType.LOG_APPEND_TIME, back.get(i).timestampType());
        }
    }

    @Test
    void moreThanAnHourAheadIsRefused() throws Exception {
        String topic = topic(1, KEEP);
        KafkaProducer<byte[], byte[]> producer = producer();
        long now = System.currentTimeMillis();
        failure(InvalidTimestampException.class, producer.send(at(topic, now + 2 * HOUR_MS)));
        assertEquals(0, producer.send(at(topic, now + HOUR_MS / 2)).get().offset());
        assertEquals(1, producer.send(at(topic, now - 1000 * HOUR_MS)).get().offset());
    }

    @Test
    void theTopicsOwnBoundsHold() throws Exception {
        String topic = topic(1, "message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "60000");
        KafkaProducer<byte[], byte[]> producer = producer();
        long now = System.currentTimeMillis();
        failure(InvalidTimestampException.class, producer.send(at(topic, now - 120_000)));
        failure(InvalidTimestampException.class, producer.send(at(topic, now + 120_000)));
        assertEquals(0, producer.send(at(topic, now)).get().offset());
    }

    @Test
    void logAppendTimeKnowsNoBounds() throws Exception {
        String topic = topic(1, "message.timestamp.type", "LogAppendTime", "message.timestamp.before.max.ms", "1000",
                "message.timestamp.after.max.ms", "1000");
        assertEquals(0, producer().send(at(topic, 5L)).get().offset());
        assertEquals(1, producer().send(at(topic, System.currentTimeMillis() + 10 * HOUR_MS)).get().offset());
    }
}

package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Where a consumer begins: offsets, times, ends, and what happens outside of the log. */
class SeekTest extends BrokerTest {
    private static final Duration SHORT = Duration.ofMillis(300);

    private KafkaConsumer<byte[], byte[]> at(TopicPartition partition, String... configs) {
        KafkaConsumer<byte[], byte[]> consumer = consumer(configs);
        consumer.assign(List.of(partition));
        return consumer;
    }

    @ParameterizedTest
    @CsvSource({"0,none", "50,none", "0,gzip", "50,zstd", "50,lz4"})
    void everyOffsetCanBeReadFirst(int lingerMs, String codec) throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        sendNumbers(producer("linger.ms", String.valueOf(lingerMs), "compression.type", codec), topic, 0, 0, 300);
        KafkaConsumer<byte[], byte[]> consumer = at(partition, "fetch.max.wait.ms", "100");
        for (int offset : new int[] {0, 1, 149, 150, 298, 299}) {
            consumer.seek(partition, offset);
            assertEquals(offset, number(read(consumer, 300 - offset).get(0)));
            assertEquals(300, consumer.position(partition));
        }
    }

    @Test
    void beginningAndEnd() throws Exception {
        String topic = topic(2);
        TopicPartition full = new TopicPartition(topic, 0);
        TopicPartition empty = new TopicPartition(topic, 1);
        KafkaProducer<byte[], byte[]> producer = producer();
        sendNumbers(producer, topic, 0, 0, 100);
        KafkaConsumer<byte[], byte[]> consumer = consumer();
        consumer.assign(List.of(full, empty));
        assertEquals(Map.of(full, 0L, empty, 0L), consumer.beginningOffsets(List.of(full, empty)));
        assertEquals(Map.of(full, 100L, empty, 0L), consumer.endOffsets(List.of(full, empty)));

        consumer.seekToEnd(List.of(full, empty));
        assertEquals(100, consumer.position(full));
        assertEquals(0, consumer.position(empty));
        assertTrue(consumer.poll(SHORT).isEmpty());
        sendNumbers(producer, topic, 0, 100, 101);
        assertEquals(100, number(read(consumer, 1).get(0)));

        consumer.seekToBeginning(List.of(full));
        assertEquals(0, number(read(consumer, 101).get(0)));
    }

    @ParameterizedTest
    @ValueSource(strings = {"read_uncommitted", "read_committed"})
    void isolationMakesNoDifferenceToPlainRecords(String isolation) throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        sendNumbers(producer("linger.ms", "5"), topic, 0, 0, 1_000);
        KafkaConsumer<byte[], byte[]> consumer = at(partition, "isolation.level", isolation);
        consumer.seekToBeginning(List.of(partition));
        assertEquals(999, number(read(consumer, 1_000).get(999)));
        assertEquals(1_000L, consumer.endOffsets(List.of(partition)).get(partition));
    }

    @ParameterizedTest
    @CsvSource({"0,none", "100,none", "100,gzip", "100,lz4", "100,zstd", "100,snappy"})
    void offsetsForTimesFindsTheFirstRecordAtOrAfter(int lingerMs, String codec) throws Exception {
        String topic = topic(2, KEEP);
        TopicPartition partition = new TopicPartition(topic, 0);
        TopicPartition empty = new TopicPartition(topic, 1);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", String.valueOf(lingerMs), "compression.type", codec);
        long base = 1_600_000_000_000L;
        sendAt(producer, topic, LongStream.range(0, 200).map(i -> base + i * 10).toArray());
        KafkaConsumer<byte[], byte[]> consumer = at(partition);
        assertFound(consumer, partition, 0, 0, base);
        assertFound(consumer, partition, base, 0, base);
        assertFound(consumer, partition, base + 1, 1, base + 10);
        assertFound(consumer, partition, base + 1_000, 100, base + 1_000);
        assertFound(consumer, partition, base + 1_990, 199, base + 1_990);
        assertNull(consumer.offsetsForTimes(Collections.singletonMap(partition, base + 1_991)).get(partition));
        assertNull(consumer.offsetsForTimes(Collections.singletonMap(empty, 0L)).get(empty));
    }

    @Test
    void offsetsForTimesWithTimesOutOfOrder() throws Exception {
        String topic = topic(1, KEEP);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "0");
        for (long timestamp : new long[] {100, 50, 300, 200, 250, 400}) {
            producer.send(new ProducerRecord<>(topic, 0, timestamp, null, text("a batch of its own"))).get();
        }
        KafkaConsumer<byte[], byte[]> consumer = at(partition);
        assertFound(consumer, partition, 60, 0, 100);
        assertFound(consumer, partition, 101, 2, 300);
        assertFound(consumer, partition, 201, 2, 300);
        assertFound(consumer, partition, 301, 5, 400);
    }

    private static void assertFound(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, long time, long offset,
                                    long timestamp) {
        OffsetAndTimestamp found = consumer.offsetsForTimes(Collections.singletonMap(partition, time)).get(partition);
        assertNotNull(found, "nothing at or after " + time);
        assertEquals(offset, found.offset(), "offset for " + time);
        assertEquals(timestamp, found.timestamp(), "timestamp for " + time);
    }

    @Test
    void outOfRangeResetsToTheEarliest() throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        sendNumbers(producer(), topic, 0, 0, 10);
        KafkaConsumer<byte[], byte[]> consumer = at(partition, "auto.offset.reset", "earliest");
        consumer.seek(partition, 1_000);
        assertEquals(0, number(read(consumer, 10).get(0)));
    }

    @Test
    void outOfRangeResetsToTheLatest() throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer();
        sendNumbers(producer, topic, 0, 0, 10);
        KafkaConsumer<byte[], byte[]> consumer = at(partition, "auto.offset.reset", "latest");
        consumer.seek(partition, 1_000);
        await("the reset", () -> consumer.poll(SHORT).isEmpty() && consumer.position(partition) == 10);
        sendNumbers(producer, topic, 0, 10, 11);
        assertEquals(10, number(read(consumer, 1).get(0)));
    }

    @Test
    void outOfRangeIsAnErrorWithoutAReset() throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        sendNumbers(producer(), topic, 0, 0, 10);
        KafkaConsumer<byte[], byte[]> consumer = at(partition, "auto.offset.reset", "none");
        consumer.seek(partition, 11);
        OffsetOutOfRangeException thrown = assertThrows(OffsetOutOfRangeException.class, () -> {
            for (int i = 0; i < 50; i++) {
                consumer.poll(SHORT);
            }
        });
        assertEquals(Map.of(partition, 11L), thrown.offsetOutOfRangePartitions());
        consumer.seek(partition, 10);
        assertTrue(consumer.poll(SHORT).isEmpty(), "the end itself is in range");
    }

    @Test
    void anAssignedPartitionMayComeLater() throws Exception {
        String topic = name();
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaConsumer<byte[], byte[]> consumer = at(partition, "metadata.max.age.ms", "300");
        consumer.seekToBeginning(List.of(partition));
        consumer.poll(SHORT);
        producer().send(new ProducerRecord<>(topic, null, text("7"))).get();
        assertEquals(7, number(read(consumer, 1).get(0)));
    }
}

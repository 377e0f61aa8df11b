package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What goes in through Produce comes out through Fetch, and what may not go in is refused with Kafka's error. */
class ProduceTest extends BrokerTest {

    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "snappy", "lz4", "zstd"})
    void everyCodecAndSizeComesBack(String codec) throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = producer("compression.type", codec, "linger.ms", "5");
        List<ProducerRecord<byte[], byte[]>> sent = new ArrayList<>();
        int[] sizes = {0, 1, 100, 10_000, 100_000, 900_000};
        for (int size : sizes) {
            sent.add(new ProducerRecord<>(topic, 0, noise(size, 20), noise(size, size)));
            sent.add(new ProducerRecord<>(topic, 0, text("zeros"), new byte[size]));
        }
        sent.add(new ProducerRecord<>(topic, 0, null, text("no key")));
        sent.add(new ProducerRecord<>(topic, 0, text("no value"), null));
        sent.add(new ProducerRecord<>(topic, 0, null, null, (byte[]) null));
        sent.add(new ProducerRecord<>(topic, 0, new byte[0], new byte[0]));
        sent.add(new ProducerRecord<>(topic, 0, text("headers"), text("v"), new RecordHeaders()
                .add("name", text("value")).add("name", text("twice")).add("empty", new byte[0]).add("null", null)
                .add("größe", noise(7, 5_000))));
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (ProducerRecord<byte[], byte[]> record : sent) {
            futures.add(producer.send(record));
        }
        producer.flush();

        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, sent.size());
        for (int i = 0; i < sent.size(); i++) {
            assertEquals(i, futures.get(i).get().offset());
            assertEquals(i, back.get(i).offset());
            assertSameBytes(sent.get(i).key(), back.get(i).key(), "key " + i);
            assertSameBytes(sent.get(i).value(), back.get(i).value(), "value " + i);
            Header[] expected = sent.get(i).headers().toArray();
            Header[] actual = back.get(i).headers().toArray();
            assertEquals(expected.length, actual.length, "headers of " + i);
            for (int h = 0; h < expected.length; h++) {
                assertEquals(expected[h].key(), actual[h].key());
                assertSameBytes(expected[h].value(), actual[h].value(), "header " + expected[h].key());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "snappy", "lz4", "zstd"})
    void batchesOfManyRecordsKeepTheirOrder(String codec) throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer =
                producer("compression.type", codec, "linger.ms", "20", "batch.size", "200000");
        sendNumbers(producer, topic, 0, 0, 20_000);
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 20_000);
        for (int i = 0; i < back.size(); i++) {
            assertEquals(i, number(back.get(i)));
            assertEquals(i, back.get(i).offset());
        }
    }

    /** compression.type on the topic: the broker writes that codec whatever the producer sent. */
    @ParameterizedTest
    @CsvSource({"none,gzip", "none,snappy", "none,lz4", "none,zstd", "gzip,lz4", "snappy,zstd", "lz4,snappy", "zstd,gzip",
        "zstd,uncompressed", "lz4,uncompressed"})
    void theTopicsCodecReplacesTheProducers(String producerCodec, String topicCodec) throws Exception {
        String topic = topic(1, "compression.type", topicCodec);
        KafkaProducer<byte[], byte[]> producer = producer("compression.type", producerCodec, "linger.ms", "20");
        sendNumbers(producer, topic, 0, 0, 3_000);
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 3_000);
        for (int i = 0; i < back.size(); i++) {
            assertEquals(i, number(back.get(i)));
        }
    }

    @Test
    void acksOneAndAllTellTheOffset() throws Exception {
        String topic = topic(1);
        assertEquals(0, send(producer("acks", "1", "enable.idempotence", "false"), topic, text("a")));
        assertEquals(1, send(producer("acks", "all", "enable.idempotence", "false"), topic, text("b")));
        assertEquals(2, send(producer("acks", "all", "enable.idempotence", "true"), topic, text("c")));
    }

    @Test
    void acksZeroTellsNoOffsetAndLosesNothing() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = producer("acks", "0", "enable.idempotence", "false");
        RecordMetadata metadata = producer.send(new ProducerRecord<>(topic, 0, null, text("0"))).get();
        assertFalse(metadata.hasOffset());
        sendNumbers(producer, topic, 0, 1, 5_000);
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 5_000);
        for (int i = 0; i < back.size(); i++) {
            assertEquals(i, number(back.get(i)));
        }
    }

    /** Nobody can be told with acks=0, so the broker closes the connection; the client comes back on another. */
    @Test
    void acksZeroGoesOnAfterARefusedRecord() throws Exception {
        String topic = topic(1, "max.message.bytes", "10000");
        KafkaProducer<byte[], byte[]> producer = producer("acks", "0", "enable.idempotence", "false", "retries", "0");
        producer.send(new ProducerRecord<>(topic, 0, null, noise(1, 20_000))).get();
        Thread.sleep(500);
        sendNumbers(producer, topic, 0, 0, 10);
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 10);
        assertEquals(0, number(back.get(0)));
        assertEquals(9, number(back.get(9)));
    }

    @Test
    void aRecordAboveMessageMaxBytesIsRefused() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = producer("max.request.size", "5000000");
        failure(RecordTooLargeException.class, producer.send(new ProducerRecord<>(topic, 0, null, noise(1, 1_500_000))));
        assertEquals(0, send(producer, topic, text("the producer goes on")));
    }

    @Test
    void theTopicsOwnLimitHolds() throws Exception {
        String small = topic(1, "max.message.bytes", "2000");
        String large = topic(1, "max.message.bytes", "6000000");
        KafkaProducer<byte[], byte[]> producer = producer("max.request.size", "6000000");
        failure(RecordTooLargeException.class, producer.send(new ProducerRecord<>(small, 0, null, noise(1, 3_000))));
        assertEquals(0, send(producer, small, noise(1, 1_000)));
        byte[] value = noise(2, 5_000_000);
        assertEquals(0, send(producer, large, value));
        assertSameBytes(value, readAll(large, 1, 1).get(0).value(), "value");
    }

    @ParameterizedTest
    @CsvSource({"true,16384", "true,500", "false,16384", "false,500"})
    void fiveRequestsInFlightKeepTheOrderInEveryPartition(boolean idempotent, String batchSize) throws Exception {
        int partitions = 20;
        String topic = topic(partitions);
        KafkaProducer<byte[], byte[]> producer = producer("enable.idempotence", String.valueOf(idempotent),
                "max.in.flight.requests.per.connection", "5", "batch.size", batchSize, "linger.ms", "0");
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (int i = 0; i < 20_000; i++) {
            futures.add(producer.send(new ProducerRecord<>(topic, i % partitions, null, text(Integer.toString(i)))));
        }
        producer.flush();
        for (int i = 0; i < futures.size(); i++) {
            assertEquals(i / partitions, futures.get(i).get().offset());
        }
        Map<Integer, Integer> next = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : readAll(topic, partitions, 20_000)) {
            int expected = next.merge(record.partition(), 1, Integer::sum) - 1;
            assertEquals(expected * partitions + record.partition(), number(record));
            assertEquals(expected, record.offset());
        }
    }

    @Test
    void idempotentProducersShareAPartition() throws Exception {
        String topic = topic(1);
        List<KafkaProducer<byte[], byte[]>> producers = new ArrayList<>();
        for (int p = 0; p < 5; p++) {
            producers.add(producer("enable.idempotence", "true", "linger.ms", "0"));
        }
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (int i = 0; i < 2_000; i++) {
            futures.add(producers.get(i % 5).send(new ProducerRecord<>(topic, 0, null, text(Integer.toString(i)))));
        }
        for (Future<RecordMetadata> future : futures) {
            future.get(20, TimeUnit.SECONDS);
        }
        int[] last = {-1, -1, -1, -1, -1};
        for (ConsumerRecord<byte[], byte[]> record : readAll(topic, 1, 2_000)) {
            int value = number(record);
            assertTrue(value > last[value % 5], "order of producer " + value % 5);
            last[value % 5] = value;
        }
    }

    @Test
    void aKeyGoesToTheSamePartitionEveryTime() throws Exception {
        String topic = topic(7);
        KafkaProducer<byte[], byte[]> producer = producer();
        for (int i = 0; i < 200; i++) {
            producer.send(new ProducerRecord<>(topic, text("key " + i % 20), text(Integer.toString(i))));
        }
        producer.flush();
        Map<String, Integer> places = new HashMap<>();
        for (ConsumerRecord<byte[], byte[]> record : readAll(topic, 7, 200)) {
            Integer before = places.put(new String(record.key()), record.partition());
            assertTrue(before == null || before == record.partition());
        }
        assertTrue(places.values().stream().distinct().count() > 1);
    }

    @Test
    void aTopicIsCreatedByTheFirstRecord() throws Exception {
        String topic = name();
        KafkaProducer<byte[], byte[]> producer = producer();
        RecordMetadata metadata =
                producer.send(new ProducerRecord<>(topic, null, text("first"))).get(20, TimeUnit.SECONDS);
        assertEquals(0, metadata.offset());
        assertEquals("first", new String(readAll(topic, 1, 1).get(0).value()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"with space", "a/b", "..", "colon:", "größe"})
    void anInvalidTopicNameIsRefused(String name) {
        failure(InvalidTopicException.class, producer().send(new ProducerRecord<>(name, null, text("x"))));
    }

    @Test
    void aHundredShortLivedProducers() throws Exception {
        String topic = topic(1);
        for (int i = 0; i < 100; i++) {
            try (KafkaProducer<byte[], byte[]> producer = producer("enable.idempotence", "true")) {
                producer.send(new ProducerRecord<>(topic, 0, null, text(Integer.toString(i))));
            }
        }
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 100);
        for (int i = 0; i < 100; i++) {
            assertEquals(i, number(back.get(i)));
        }
    }
}

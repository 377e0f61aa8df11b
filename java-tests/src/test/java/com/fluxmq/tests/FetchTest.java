package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Long polls, limits and sessions (KIP-227) of Fetch. */
class FetchTest extends BrokerTest {

    private KafkaConsumer<byte[], byte[]> atTheBeginning(String topic, int partitions, String... configs) {
        KafkaConsumer<byte[], byte[]> consumer = consumer(configs);
        consumer.assign(partitions(topic, partitions));
        consumer.seekToBeginning(consumer.assignment());
        return consumer;
    }

    private static double metric(KafkaConsumer<byte[], byte[]> consumer, String name) {
        return consumer.metrics().entrySet().stream()
                .filter(e -> e.getKey().group().equals("consumer-fetch-manager-metrics") && e.getKey().name().equals(name)
                        && !e.getKey().tags().containsKey("topic"))
                .map(e -> (Double) e.getValue().metricValue())
                .findFirst().orElseThrow(() -> new AssertionError("no metric " + name));
    }

    /** A waiting fetch is answered by the append, not at its deadline. */
    @ParameterizedTest
    @ValueSource(strings = {"0", "1", "all"})
    void anAppendWakesAWaitingConsumer(String acks) throws Exception {
        String topic = topic(3);
        KafkaConsumer<byte[], byte[]> consumer = atTheBeginning(topic, 3, "fetch.max.wait.ms", "15000");
        KafkaProducer<byte[], byte[]> producer =
                producer("acks", acks, "linger.ms", "0", "enable.idempotence", String.valueOf(acks.equals("all")));
        producer.partitionsFor(topic);
        consumer.poll(Duration.ofMillis(500));
        List<Long> latencies = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            int partition = i % 3;
            CompletableFuture<Long> sentAt = CompletableFuture.supplyAsync(() -> {
                try {
                    Thread.sleep(100);
                } catch (InterruptedException e) {
                    throw new IllegalStateException(e);
                }
                long now = System.nanoTime();
                producer.send(new ProducerRecord<>(topic, partition, null, text("x")));
                return now;
            });
            read(consumer, 1);
            latencies.add(millisSince(sentAt.get()));
        }
        latencies.sort(null);
        assertTrue(latencies.get(5) < 150, "milliseconds from send to poll: " + latencies);
        assertTrue(latencies.get(9) < 3_000, "milliseconds from send to poll: " + latencies);
    }

    @Test
    void aFetchWithoutDataWaitsForFetchMaxWait() throws Exception {
        String topic = topic(2);
        KafkaConsumer<byte[], byte[]> consumer = atTheBeginning(topic, 2, "fetch.max.wait.ms", "400");
        long start = System.nanoTime();
        while (millisSince(start) < 3_000) {
            assertTrue(consumer.poll(Duration.ofMillis(100)).isEmpty());
        }
        double average = metric(consumer, "fetch-latency-avg");
        assertTrue(average >= 350 && average < 800, "fetch-latency-avg " + average);
        double fetches = metric(consumer, "fetch-total");
        assertTrue(fetches >= 3 && fetches <= 9, "fetch-total " + fetches);
    }

    @Test
    void aFetchWaitsForFetchMinBytes() throws Exception {
        String topic = topic(2);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "0");
        KafkaConsumer<byte[], byte[]> consumer =
                atTheBeginning(topic, 2, "fetch.min.bytes", "50000", "fetch.max.wait.ms", "15000");
        consumer.poll(Duration.ofMillis(500));
        producer.send(new ProducerRecord<>(topic, 0, null, noise(1, 10_000))).get();
        assertTrue(consumer.poll(Duration.ofMillis(1_500)).isEmpty(), "10,000 bytes are not enough");
        long start = System.nanoTime();
        producer.send(new ProducerRecord<>(topic, 1, null, noise(2, 45_000))).get();
        assertEquals(2, read(consumer, 2).size());
        assertTrue(millisSince(start) < 5_000, "answered after " + millisSince(start) + " ms");
    }

    @Test
    void fetchMinBytesGivesWayToFetchMaxWait() throws Exception {
        String topic = topic(1);
        producer().send(new ProducerRecord<>(topic, 0, null, text("5"))).get();
        KafkaConsumer<byte[], byte[]> consumer =
                atTheBeginning(topic, 1, "fetch.min.bytes", "50000", "fetch.max.wait.ms", "1500");
        long start = System.nanoTime();
        assertEquals(5, number(read(consumer, 1).get(0)));
        long waited = millisSince(start);
        assertTrue(waited >= 1_300 && waited < 6_000, "answered after " + waited + " ms");
    }

    /** A limit below the size of a batch still returns the first batch: a consumer must not get stuck. */
    @ParameterizedTest
    @ValueSource(strings = {"none", "lz4"})
    void aBatchAboveTheFetchLimitsIsReturned(String codec) throws Exception {
        String topic = topic(3);
        KafkaProducer<byte[], byte[]> producer = producer("compression.type", codec);
        for (int i = 0; i < 6; i++) {
            producer.send(new ProducerRecord<>(topic, i % 3, null, noise(i, 400_000))).get();
        }
        KafkaConsumer<byte[], byte[]> consumer =
                atTheBeginning(topic, 3, "max.partition.fetch.bytes", "1000", "fetch.max.bytes", "1");
        for (ConsumerRecord<byte[], byte[]> record : read(consumer, 6)) {
            assertSameBytes(noise((int) record.offset() * 3 + record.partition(), 400_000), record.value(), "value");
        }
    }

    @Test
    void fetchMaxBytesLimitsAnAnswerAndNothingIsLost() throws Exception {
        int partitions = 10;
        String topic = topic(partitions);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "0", "batch.size", "0");
        for (int i = 0; i < 500; i++) {
            producer.send(new ProducerRecord<>(topic, i % partitions, null, noise(i, 10_000)));
        }
        producer.flush();
        KafkaConsumer<byte[], byte[]> consumer =
                atTheBeginning(topic, partitions, "fetch.max.bytes", "100000", "max.partition.fetch.bytes", "35000");
        for (ConsumerRecord<byte[], byte[]> record : read(consumer, 500)) {
            int i = (int) record.offset() * partitions + record.partition();
            assertSameBytes(noise(i, 10_000), record.value(), "value " + i);
        }
        double largest = metric(consumer, "fetch-size-max");
        assertTrue(largest <= 110_000, "fetch-size-max " + largest);
        assertTrue(largest >= 60_000, "fetch-size-max " + largest);
    }

    /** Most partitions of a session are idle most of the time; those that get records are in the next answer. */
    @Test
    void aSessionOfManyPartitionsMissesNothing() throws Exception {
        int partitions = 100;
        String topic = topic(partitions);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "0");
        KafkaConsumer<byte[], byte[]> consumer = atTheBeginning(topic, partitions);
        Random random = new Random(1);
        Map<Integer, Integer> next = new HashMap<>();
        for (int round = 0; round < 60; round++) {
            Set<String> expected = new HashSet<>();
            for (int i = 0; i < 1 + random.nextInt(5); i++) {
                int partition = random.nextInt(partitions);
                int value = next.merge(partition, 1, Integer::sum) - 1;
                producer.send(new ProducerRecord<>(topic, partition, null, text(Integer.toString(value))));
                expected.add(partition + "/" + value);
            }
            producer.flush();
            Set<String> got = read(consumer, expected.size()).stream()
                    .map(r -> r.partition() + "/" + number(r)).collect(Collectors.toSet());
            assertEquals(expected, got, "round " + round);
        }
    }

    /** Partitions leave the session (forgotten topics) and come back, at another position. */
    @Test
    void aSessionForgetsAndTakesBackPartitions() throws Exception {
        String one = topic(4);
        String two = topic(4);
        KafkaProducer<byte[], byte[]> producer = producer();
        for (int p = 0; p < 4; p++) {
            sendNumbers(producer, one, p, 0, 20);
            sendNumbers(producer, two, p, 0, 20);
        }
        List<TopicPartition> all = new ArrayList<>(partitions(one, 4));
        all.addAll(partitions(two, 4));
        KafkaConsumer<byte[], byte[]> consumer = consumer();
        consumer.assign(all);
        consumer.seekToBeginning(all);
        read(consumer, 160);

        consumer.assign(partitions(two, 2));
        consumer.seek(new TopicPartition(two, 0), 15);
        consumer.seekToEnd(List.of(new TopicPartition(two, 1)));
        for (ConsumerRecord<byte[], byte[]> record : read(consumer, 5)) {
            assertEquals(two + "-0", record.topic() + "-" + record.partition());
        }
        for (int p = 0; p < 4; p++) {
            sendNumbers(producer, one, p, 20, 21);
            sendNumbers(producer, two, p, 20, 21);
        }
        assertEquals(Set.of(0, 1), read(consumer, 2).stream().map(ConsumerRecord::partition).collect(Collectors.toSet()));

        consumer.assign(all);
        for (TopicPartition partition : all) {
            consumer.seek(partition, 19);
        }
        assertEquals(16, read(consumer, 16).size());
    }

    @Test
    void pausedPartitionsStayBehind() throws Exception {
        String topic = topic(2);
        TopicPartition paused = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer();
        KafkaConsumer<byte[], byte[]> consumer = atTheBeginning(topic, 2);
        consumer.pause(List.of(paused));
        sendNumbers(producer, topic, 0, 0, 10);
        sendNumbers(producer, topic, 1, 0, 10);
        assertTrue(read(consumer, 10).stream().allMatch(r -> r.partition() == 1));
        consumer.resume(List.of(paused));
        assertTrue(read(consumer, 10).stream().allMatch(r -> r.partition() == 0));
    }

    @Test
    void manyConsumersReadTheSamePartition() throws Exception {
        String topic = topic(1);
        List<KafkaConsumer<byte[], byte[]>> consumers = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            consumers.add(atTheBeginning(topic, 1, "fetch.max.wait.ms", "10000"));
            consumers.get(i).poll(Duration.ofMillis(100));
        }
        sendNumbers(producer("linger.ms", "0"), topic, 0, 0, 100);
        for (KafkaConsumer<byte[], byte[]> consumer : consumers) {
            assertEquals(99, number(read(consumer, 100).get(99)));
        }
    }

    @Test
    void aConsumerKeepsUpWithAProducer() throws Exception {
        int partitions = 4;
        String topic = topic(partitions);
        KafkaConsumer<byte[], byte[]> consumer = atTheBeginning(topic, partitions);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "1", "compression.type", "lz4");
        CompletableFuture<Void> producing = CompletableFuture.runAsync(() -> {
            for (int i = 0; i < 40_000; i++) {
                producer.send(new ProducerRecord<>(topic, i % partitions, null, text(Integer.toString(i))));
            }
            producer.flush();
        });
        int[] next = {0, 0, 0, 0};
        for (ConsumerRecord<byte[], byte[]> record : read(consumer, 40_000)) {
            assertEquals(next[record.partition()]++, record.offset());
            assertEquals(record.offset() * partitions + record.partition(), number(record));
        }
        producing.get();
    }

    /** Several segments: reads cross from one file to the next. */
    @Test
    void readsCrossSegments() throws Exception {
        String topic = topic(1, "segment.bytes", "1048576", "retention.ms", "-1");
        KafkaProducer<byte[], byte[]> producer = producer();
        for (int i = 0; i < 100; i++) {
            producer.send(new ProducerRecord<>(topic, 0, 1_000L + i, null, noise(i, 50_000)));
        }
        producer.flush();
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 100);
        for (int i = 0; i < 100; i++) {
            assertEquals(i, back.get(i).offset());
            assertSameBytes(noise(i, 50_000), back.get(i).value(), "value " + i);
        }
        KafkaConsumer<byte[], byte[]> consumer = consumer();
        TopicPartition partition = new TopicPartition(topic, 0);
        consumer.assign(List.of(partition));
        for (int i = 0; i < 100; i += 9) {
            assertEquals(i, consumer.offsetsForTimes(Map.of(partition, 1_000L + i)).get(partition).offset());
            consumer.seek(partition, i);
            assertEquals(i, consumer.poll(PATIENCE).iterator().next().offset());
        }
    }
}

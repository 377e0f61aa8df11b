package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.junit.jupiter.api.AfterEach;

/**
 * What the tests share. They run against the broker at -Dbootstrap, FluxMQ or Apache Kafka, several classes at a time:
 * every test uses topics of its own, and deletes them.
 */
abstract class BrokerTest {
    static final String BOOTSTRAP = System.getProperty("bootstrap", "localhost:9092");
    static final Duration PATIENCE = Duration.ofSeconds(20);

    /** For topics whose records are dated so far back that retention would take them. */
    static final String[] KEEP = {"retention.ms", "-1"};

    private static final AdminClient ADMIN = connect();

    private final List<String> created = new ArrayList<>();
    private final List<KafkaProducer<?, ?>> producers = new ArrayList<>();
    private final List<KafkaConsumer<?, ?>> consumers = new ArrayList<>();

    static AdminClient admin() {
        return ADMIN;
    }

    /** Fails all tests at once when nobody serves the address. */
    private static AdminClient connect() {
        AdminClient admin = AdminClient.create(Collections.<String, Object>singletonMap("bootstrap.servers", BOOTSTRAP));
        try {
            admin.describeCluster().nodes().get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
            return admin;
        } catch (Exception e) {
            admin.close();
            throw new IllegalStateException("no broker at " + BOOTSTRAP, e);
        }
    }

    @AfterEach
    @SuppressWarnings("deprecation") // what replaces close(Duration) came with 4.1
    void cleanUp() throws Exception {
        producers.forEach(KafkaProducer::close);
        // At once: by default a consumer waits for the fetch that is still at the broker.
        consumers.forEach(consumer -> consumer.close(Duration.ZERO));
        for (String name : created) {
            try {
                admin().deleteTopics(Collections.singleton(name)).all().get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
            } catch (ExecutionException e) {
                assertInstanceOf(UnknownTopicOrPartitionException.class, e.getCause());
            }
        }
    }

    /** A topic name that nobody else uses; the topic is deleted after the test if it is there then. */
    String name() {
        String name = getClass().getSimpleName() + "-" + Long.toHexString(ThreadLocalRandom.current().nextLong());
        created.add(name);
        return name;
    }

    /**
     * Creates a topic and waits until the broker takes records for it.
     *
     * @param configs keys and values in turns
     */
    String topic(int partitions, String... configs) throws Exception {
        String name = name();
        admin().createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(map(configs)))).all().get();
        awaitTopic(name, partitions);
        return name;
    }

    void awaitTopic(String name, int partitions) throws Exception {
        KafkaConsumer<byte[], byte[]> consumer = newConsumer();
        try (consumer) {
            await("topic " + name, () -> admin().listTopics().names().get().contains(name)
                    && consumer.partitionsFor(name) != null && consumer.partitionsFor(name).size() == partitions);
            consumer.endOffsets(partitions(name, partitions), PATIENCE);
        }
    }

    /** Adds to the names that are deleted after the test. */
    void deleteLater(Collection<String> names) {
        created.addAll(names);
    }

    /** A producer that is closed after the test. acks=all unless the settings say otherwise. */
    KafkaProducer<byte[], byte[]> producer(String... configs) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", BOOTSTRAP, "acks", "all"));
        all.putAll(map(configs));
        KafkaProducer<byte[], byte[]> producer =
                new KafkaProducer<>(all, new ByteArraySerializer(), new ByteArraySerializer());
        producers.add(producer);
        return producer;
    }

    /** A consumer without a group that is closed after the test. auto.offset.reset=earliest unless the settings say otherwise. */
    KafkaConsumer<byte[], byte[]> consumer(String... configs) {
        KafkaConsumer<byte[], byte[]> consumer = newConsumer(configs);
        consumers.add(consumer);
        return consumer;
    }

    /** The same, for the caller to close. */
    static KafkaConsumer<byte[], byte[]> newConsumer(String... configs) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", BOOTSTRAP, "enable.auto.commit", "false",
                "auto.offset.reset", "earliest"));
        all.putAll(map(configs));
        return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    /** Polls until so many records came; fails after {@link #PATIENCE}. More than asked for is a failure too. */
    static List<ConsumerRecord<byte[], byte[]>> read(KafkaConsumer<byte[], byte[]> consumer, int count) {
        List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (records.size() < count) {
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
            assertTrue(System.nanoTime() < deadline, "only " + records.size() + " of " + count + " records came");
        }
        assertEquals(count, records.size(), "more records than were asked for");
        return records;
    }

    /** Reads a topic's partitions from the beginning, by partition. */
    List<ConsumerRecord<byte[], byte[]>> readAll(String topic, int partitions, int count, String... configs) {
        KafkaConsumer<byte[], byte[]> consumer = consumer(configs);
        consumer.assign(partitions(topic, partitions));
        consumer.seekToBeginning(consumer.assignment());
        return read(consumer, count);
    }

    static List<TopicPartition> partitions(String topic, int count) {
        List<TopicPartition> partitions = new ArrayList<>();
        for (int p = 0; p < count; p++) {
            partitions.add(new TopicPartition(topic, p));
        }
        return partitions;
    }

    /** Sends one value to partition 0 and waits for its acknowledgement. */
    static long send(KafkaProducer<byte[], byte[]> producer, String topic, byte[] value) throws Exception {
        return producer.send(new ProducerRecord<>(topic, 0, null, value)).get(20, TimeUnit.SECONDS).offset();
    }

    /** Sends values 0, 1, 2, ... as text to a partition, without waiting for each, and waits for all. */
    static void sendNumbers(KafkaProducer<byte[], byte[]> producer, String topic, int partition, int from, int to)
            throws Exception {
        List<Future<?>> sent = new ArrayList<>();
        for (int i = from; i < to; i++) {
            sent.add(producer.send(new ProducerRecord<>(topic, partition, null, text(Integer.toString(i)))));
        }
        producer.flush();
        for (Future<?> future : sent) {
            future.get(20, TimeUnit.SECONDS);
        }
    }

    /** Sends records to partition 0 with these times, waits for all, and fails unless they follow each other from offset 0. */
    static void sendAt(KafkaProducer<byte[], byte[]> producer, String topic, long... timestamps) throws Exception {
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        for (long timestamp : timestamps) {
            sent.add(producer.send(new ProducerRecord<>(topic, 0, timestamp, null, text("x"))));
        }
        producer.flush();
        for (int i = 0; i < timestamps.length; i++) {
            assertEquals(i, sent.get(i).get(20, TimeUnit.SECONDS).offset());
        }
    }

    static int number(ConsumerRecord<byte[], byte[]> record) {
        return Integer.parseInt(new String(record.value(), StandardCharsets.UTF_8));
    }

    static byte[] text(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** Bytes that no codec makes smaller, the same for the same seed. */
    static byte[] noise(int seed, int length) {
        byte[] bytes = new byte[length];
        new Random(seed).nextBytes(bytes);
        return bytes;
    }

    static void assertSameBytes(byte[] expected, byte[] actual, String what) {
        if (expected == null || actual == null) {
            assertEquals(expected == null, actual == null, what + " is null");
        } else if (!Arrays.equals(expected, actual)) {
            assertEquals(expected.length, actual.length, what + " has another length");
            assertArrayEquals(expected, actual, what);
        }
    }

    /** The error with which a broker's answer ended a future. */
    static <E extends Throwable> E failure(Class<E> type, Future<?> future) {
        ExecutionException thrown =
                assertThrows(ExecutionException.class, () -> future.get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS));
        assertEquals(type, thrown.getCause().getClass(), () -> "unexpected " + thrown.getCause());
        return type.cast(thrown.getCause());
    }

    static void await(String what, Callable<Boolean> condition) throws Exception {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (!condition.call()) {
            if (System.nanoTime() > deadline) {
                fail("still waiting for " + what + " after " + PATIENCE.getSeconds() + " s");
            }
            Thread.sleep(10);
        }
    }

    static long millisSince(long startNanos) {
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - startNanos);
    }

    static Map<String, String> map(String... keysAndValues) {
        Map<String, String> map = new HashMap<>();
        for (int i = 0; i < keysAndValues.length; i += 2) {
            map.put(keysAndValues[i], keysAndValues[i + 1]);
        }
        return map;
    }
}

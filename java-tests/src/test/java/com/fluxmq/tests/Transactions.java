package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.TreeSet;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;

/** What the tests about transactions share. A transactional id is named after the topic of its test. */
abstract class Transactions extends GroupMembers {
    static final String[] COMMITTED = {"isolation.level", "read_committed"};

    /** A producer with a transactional id that hasn't asked for its epoch yet. */
    KafkaProducer<byte[], byte[]> unready(String id, String... configs) {
        List<String> all = new ArrayList<>(List.of("transactional.id", id, "max.block.ms", "20000"));
        all.addAll(Arrays.asList(configs));
        return producer(all.toArray(new String[0]));
    }

    /** A producer with a transactional id, ready to begin its first transaction. */
    KafkaProducer<byte[], byte[]> transactional(String id, String... configs) {
        KafkaProducer<byte[], byte[]> producer = unready(id, configs);
        producer.initTransactions();
        return producer;
    }

    /** One transaction with the numbers from {@code from} to before {@code to} in a partition. */
    static void transaction(KafkaProducer<byte[], byte[]> producer, boolean commit, String topic, int partition, int from, int to)
            throws Exception {
        producer.beginTransaction();
        sendNumbers(producer, topic, partition, from, to);
        if (commit) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
    }

    /** Where a topic's partition ends for those who read with these settings. */
    static long end(String topic, int partition, String... configs) {
        TopicPartition at = new TopicPartition(topic, partition);
        KafkaConsumer<byte[], byte[]> consumer = newConsumer(configs);
        try (consumer) {
            return consumer.endOffsets(List.of(at)).get(at);
        }
    }

    /**
     * Fails unless those who read what is committed find these numbers in a partition, in this order, and no others. Waits for the
     * markers of transactions that have ended: a commit is answered before they are written.
     */
    void assertCommitted(String topic, int partition, Integer... expected) throws Exception {
        await("the markers", () -> end(topic, partition, COMMITTED) == end(topic, partition));
        assertStable(topic, partition, expected);
    }

    /** The same at once, with a transaction open. */
    void assertStable(String topic, int partition, Integer... expected) throws Exception {
        assertEquals(Arrays.asList(expected), numbersUpToTheEnd(topic, partition, COMMITTED));
    }

    List<Integer> numbersUpToTheEnd(String topic, int partition, String... configs) throws Exception {
        TopicPartition at = new TopicPartition(topic, partition);
        KafkaConsumer<byte[], byte[]> consumer = consumer(configs);
        consumer.assign(List.of(at));
        consumer.seekToBeginning(List.of(at));
        long end = consumer.endOffsets(List.of(at)).get(at);
        List<Integer> numbers = new ArrayList<>();
        poll("offset " + end, () -> consumer.position(at) >= end, consumer).forEach(record -> numbers.add(number(record)));
        return numbers;
    }

    /** The numbers from {@code from} to before {@code to}. */
    static Integer[] range(int from, int to) {
        TreeSet<Integer> numbers = new TreeSet<>();
        for (int i = from; i < to; i++) {
            numbers.add(i);
        }
        return numbers.toArray(new Integer[0]);
    }
}

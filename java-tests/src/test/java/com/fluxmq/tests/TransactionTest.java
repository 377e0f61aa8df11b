package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Transactions, with what every served client knows. */
class TransactionTest extends Transactions {

    @Test
    void aCommitShowsAllOfIt() throws Exception {
        String topic = topic(2);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 10);
        sendNumbers(producer, topic, 1, 10, 15);
        assertEquals(15, readAll(topic, 2, 15).size(), "uncommitted records are there for those who don't mind");
        assertEquals(0, end(topic, 0, COMMITTED));
        assertEquals(0, end(topic, 1, COMMITTED));
        assertEquals(10, end(topic, 0));
        producer.commitTransaction();
        assertCommitted(topic, 0, range(0, 10));
        assertCommitted(topic, 1, range(10, 15));
        assertEquals(11, end(topic, 0, COMMITTED), "ten records and the marker");
        assertEquals(6, end(topic, 1));
    }

    @Test
    void anAbortShowsNothingOfIt() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        transaction(producer, false, topic, 0, 0, 10);
        assertCommitted(topic, 0);
        assertEquals(11, end(topic, 0, COMMITTED));
        transaction(producer, true, topic, 0, 10, 15);
        assertCommitted(topic, 0, range(10, 15));
        assertArrayEquals(range(0, 15), numbersUpToTheEnd(topic, 0).toArray());
    }

    @Test
    void commitsAndAbortsInTurns() throws Exception {
        String topic = topic(3);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        Map<Integer, List<Integer>> expected = new HashMap<>();
        for (int i = 0; i < 30; i++) {
            transaction(producer, i % 3 != 1, topic, i % 3 == 0 ? 0 : i % 2 + 1, i * 10, i * 10 + 10);
            if (i % 3 != 1) {
                expected.computeIfAbsent(i % 3 == 0 ? 0 : i % 2 + 1, p -> new ArrayList<>())
                        .addAll(Arrays.asList(range(i * 10, i * 10 + 10)));
            }
        }
        for (int p = 0; p < 3; p++) {
            assertCommitted(topic, p, expected.get(p).toArray(new Integer[0]));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"none", "gzip", "snappy", "lz4"})
    void everyCodec(String codec) throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic, "compression.type", codec, "linger.ms", "5");
        transaction(producer, true, topic, 0, 0, 200);
        transaction(producer, false, topic, 0, 200, 400);
        transaction(producer, true, topic, 0, 400, 600);
        List<Integer> expected = new ArrayList<>(Arrays.asList(range(0, 200)));
        expected.addAll(Arrays.asList(range(400, 600)));
        assertCommitted(topic, 0, expected.toArray(new Integer[0]));
    }

    @Test
    void nothingInATransaction() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        for (boolean commit : new boolean[] {true, false, true, false}) {
            transaction(producer, commit, topic, 0, 0, 0);
        }
        assertEquals(0, end(topic, 0));
        transaction(producer, true, topic, 0, 0, 3);
        assertCommitted(topic, 0, 0, 1, 2);
    }

    @Test
    void anOpenTransactionHoldsBackWhatComesAfterIt() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> plain = producer();
        sendNumbers(plain, topic, 0, 0, 3);
        KafkaProducer<byte[], byte[]> open = transactional(topic + "-open");
        KafkaProducer<byte[], byte[]> other = transactional(topic + "-other");
        open.beginTransaction();
        sendNumbers(open, topic, 0, 3, 5);
        sendNumbers(plain, topic, 0, 5, 7);
        transaction(other, true, topic, 0, 7, 9);
        assertEquals(3, end(topic, 0, COMMITTED));
        assertStable(topic, 0, range(0, 3));
        KafkaConsumer<byte[], byte[]> waiting = consumer("isolation.level", "read_committed", "fetch.max.wait.ms", "20000");
        waiting.assign(partitions(topic, 1));
        waiting.seekToBeginning(waiting.assignment());
        read(waiting, 3);
        sendNumbers(open, topic, 0, 9, 10);
        open.abortTransaction();
        List<ConsumerRecord<byte[], byte[]>> rest = read(waiting, 4);
        assertEquals(List.of(5, 6, 7, 8), Arrays.asList(rest.stream().map(BrokerTest::number).toArray()));
        assertArrayEquals(range(0, 10), numbersUpToTheEnd(topic, 0).toArray());
    }

    @Test
    void timesBelowTheLastStableOffset() throws Exception {
        String topic = topic(1, KEEP);
        TopicPartition at = new TopicPartition(topic, 0);
        sendAt(producer(), topic, 1000, 2000);
        KafkaProducer<byte[], byte[]> open = transactional(topic);
        open.beginTransaction();
        open.send(new ProducerRecord<>(topic, 0, 3000L, null, text("x"))).get();
        assertEquals(1, consumer(COMMITTED).offsetsForTimes(Map.of(at, 1500L)).get(at).offset());
        assertEquals(null, consumer(COMMITTED).offsetsForTimes(Map.of(at, 2500L)).get(at));
        assertEquals(2, consumer().offsetsForTimes(Map.of(at, 2500L)).get(at).offset());
        open.commitTransaction();
        await("the marker", () -> end(topic, 0, COMMITTED) == 4);
        assertEquals(2, consumer(COMMITTED).offsetsForTimes(Map.of(at, 2500L)).get(at).offset());
    }

    @Test
    void offsetsGoWithTheTransaction() throws Exception {
        String in = topic(2);
        String out = topic(1);
        TopicPartition first = new TopicPartition(in, 0);
        TopicPartition second = new TopicPartition(in, 1);
        KafkaProducer<byte[], byte[]> producer = transactional(in);
        producer.beginTransaction();
        sendNumbers(producer, out, 0, 0, 3);
        GroupOffsets.send(producer, Map.of(first, new OffsetAndMetadata(3, "three")), in);
        assertEquals(Collections.emptyMap(), committed(in), "nothing before the end");
        producer.commitTransaction();
        await("the offset", () -> committed(in).equals(Map.of(first, new OffsetAndMetadata(3, "three"))));
        producer.beginTransaction();
        sendNumbers(producer, out, 0, 3, 6);
        GroupOffsets.send(producer, Map.of(first, new OffsetAndMetadata(6), second, new OffsetAndMetadata(1)), in);
        producer.abortTransaction();
        producer.beginTransaction();
        GroupOffsets.send(producer, Map.of(second, new OffsetAndMetadata(2)), in);
        GroupOffsets.send(producer, Map.of(second, new OffsetAndMetadata(4, "four")), in);
        producer.commitTransaction();
        await("the offsets", () -> committed(in).equals(
                Map.of(first, new OffsetAndMetadata(3, "three"), second, new OffsetAndMetadata(4, "four"))));
        assertCommitted(out, 0, 0, 1, 2);
    }

    @Test
    void readTransformWrite() throws Exception {
        String in = topic(2);
        String out = topic(2);
        sendNumbers(producer(), in, 0, 0, 50);
        sendNumbers(producer(), in, 1, 50, 100);
        KafkaProducer<byte[], byte[]> producer = transactional(in);
        // Every second transaction is aborted, and its records are read again.
        for (int round = 0, done = 0; done < 100; round++) {
            KafkaConsumer<byte[], byte[]> consumer = consumer("isolation.level", "read_committed", "group.id", in, "max.poll.records", "20");
            consumer.assign(partitions(in, 2));
            Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
            producer.beginTransaction();
            List<ConsumerRecord<byte[], byte[]>> some = new ArrayList<>();
            poll("records", () -> !some.isEmpty() || addAll(some, consumer), new KafkaConsumer[0]);
            for (ConsumerRecord<byte[], byte[]> record : some) {
                producer.send(new ProducerRecord<>(out, record.partition(), null, text(Integer.toString(1000 + number(record)))));
                offsets.put(new TopicPartition(in, record.partition()), new OffsetAndMetadata(record.offset() + 1));
            }
            GroupOffsets.send(producer, offsets, in);
            if (round % 2 == 0) {
                producer.abortTransaction();
            } else {
                producer.commitTransaction();
                done += some.size();
            }
        }
        assertCommitted(out, 0, range(1000, 1050));
        assertCommitted(out, 1, range(1050, 1100));
        await("the offsets", () -> committed(in).values().stream().mapToLong(OffsetAndMetadata::offset).sum() == 100);
    }

    private static boolean addAll(List<ConsumerRecord<byte[], byte[]>> records, KafkaConsumer<byte[], byte[]> consumer) {
        consumer.poll(java.time.Duration.ofMillis(100)).forEach(records::add);
        return !records.isEmpty();
    }

    @Test
    void theNextProducerOfAnIdEndsTheTransactionOfTheLast() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> old = transactional(topic);
        transaction(old, true, topic, 0, 0, 2);
        old.beginTransaction();
        sendNumbers(old, topic, 0, 2, 4);
        KafkaProducer<byte[], byte[]> next = transactional(topic);
        assertEquals(6, end(topic, 0, COMMITTED), "two records, a marker, two records and the marker of the abort");
        transaction(next, true, topic, 0, 4, 6);
        assertThrows(ProducerFencedException.class, old::commitTransaction);
        assertThrows(KafkaException.class, old::beginTransaction, "that was its end");
        transaction(next, true, topic, 0, 6, 8);
        assertCommitted(topic, 0, 0, 1, 4, 5, 6, 7);
    }

    @Test
    void aZombieWritesNothing() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> old = transactional(topic);
        transaction(old, true, topic, 0, 0, 2);
        KafkaProducer<byte[], byte[]> next = transactional(topic);
        assertThrows(Exception.class, () -> transaction(old, true, topic, 0, 2, 4));
        transaction(next, true, topic, 0, 4, 6);
        assertCommitted(topic, 0, 0, 1, 4, 5);
        assertArrayEquals(new Integer[] {0, 1, 4, 5}, numbersUpToTheEnd(topic, 0).toArray());
    }

    @Test
    void aZombieCommitsNoOffsets() throws Exception {
        String topic = topic(1);
        Map<TopicPartition, OffsetAndMetadata> offsets = Map.of(new TopicPartition(topic, 0), new OffsetAndMetadata(1));
        KafkaProducer<byte[], byte[]> old = transactional(topic);
        transactional(topic);
        old.beginTransaction();
        assertThrows(KafkaException.class, () -> {
            GroupOffsets.send(old, offsets, topic);
            old.commitTransaction();
        });
        assertEquals(Collections.emptyMap(), committed(topic));
    }

    @Test
    void oneIdAfterTheOther() throws Exception {
        String topic = topic(1);
        for (int i = 0; i < 5; i++) {
            KafkaProducer<byte[], byte[]> producer = transactional(topic);
            transaction(producer, i % 2 == 0, topic, 0, i, i + 1);
            producer.close();
        }
        assertCommitted(topic, 0, 0, 2, 4);
    }

    @Test
    void aTransactionTimesOut() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> slow = transactional(topic, "transaction.timeout.ms", "1000");
        slow.beginTransaction();
        sendNumbers(slow, topic, 0, 0, 3);
        // Looked for every ten seconds unless the broker is told otherwise.
        await("the abort", () -> end(topic, 0, COMMITTED) == 4);
        assertThrows(KafkaException.class, slow::commitTransaction);
        assertCommitted(topic, 0);
        KafkaProducer<byte[], byte[]> next = transactional(topic);
        transaction(next, true, topic, 0, 3, 5);
        assertCommitted(topic, 0, 3, 4);
    }

    @Test
    void aTimeoutThatIsTooLong() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = unready(topic, "transaction.timeout.ms", "900001");
        KafkaException refused = assertThrows(KafkaException.class, producer::initTransactions);
        assertTrue(refused.getMessage().contains("timeout is larger than the maximum"), refused::toString);
    }

    @Test
    void aTopicIsDeletedUnderATransaction() throws Exception {
        String kept = topic(1);
        String deleted = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(kept);
        producer.beginTransaction();
        sendNumbers(producer, deleted, 0, 0, 3);
        sendNumbers(producer, kept, 0, 0, 3);
        admin().deleteTopics(Collections.singleton(deleted)).all().get();
        await("the end of the topic", () -> !admin().listTopics().names().get().contains(deleted));
        producer.commitTransaction();
        assertCommitted(kept, 0, 0, 1, 2);
        transaction(producer, true, kept, 0, 3, 4);
        assertCommitted(kept, 0, 0, 1, 2, 3);
    }

    @Test
    void recordsAreDeletedUnderATransaction() throws Exception {
        String topic = topic(1);
        sendNumbers(producer(), topic, 0, 0, 3);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        transaction(producer, false, topic, 0, 3, 6);
        transaction(producer, true, topic, 0, 6, 9);
        TopicPartition at = new TopicPartition(topic, 0);
        // Into the aborted transaction: its rest is not shown either.
        admin().deleteRecords(Map.of(at, org.apache.kafka.clients.admin.RecordsToDelete.beforeOffset(4))).all().get();
        assertCommitted(topic, 0, 6, 7, 8);
        assertTrue(numbersUpToTheEnd(topic, 0).containsAll(List.of(4, 5, 6, 7, 8)));
    }
}

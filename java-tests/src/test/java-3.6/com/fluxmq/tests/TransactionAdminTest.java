package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AbortTransactionSpec;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsOptions;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.admin.TransactionListing;
import org.apache.kafka.clients.admin.TransactionState;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.ConcurrentTransactionsException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.errors.TransactionalIdNotFoundException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Transactions, with what clients gained up to 3.6: what administrators see of them and do to them, offsets of a group's member. */
class TransactionAdminTest extends Transactions {

    static TransactionDescription describe(String id) throws Exception {
        return admin().describeTransactions(List.of(id)).description(id).get();
    }

    static ProducerState onlyProducer(TopicPartition at) throws Exception {
        List<ProducerState> producers = admin().describeProducers(List.of(at)).partitionResult(at).get().activeProducers();
        assertEquals(1, producers.size(), () -> "producers " + producers);
        return producers.get(0);
    }

    private static Map<String, TransactionListing> listed(ListTransactionsOptions options) throws Exception {
        Map<String, TransactionListing> found = new HashMap<>();
        admin().listTransactions(options).all().get().forEach(listing -> found.put(listing.transactionalId(), listing));
        return found;
    }

    @Test
    void descriptionsFollowATransaction() throws Exception {
        String topic = topic(2);
        failure(TransactionalIdNotFoundException.class, admin().describeTransactions(List.of(topic)).description(topic));
        KafkaProducer<byte[], byte[]> producer = transactional(topic, "transaction.timeout.ms", "45678");
        TransactionDescription empty = describe(topic);
        assertEquals(TransactionState.EMPTY, empty.state());
        assertEquals(45678, empty.transactionTimeoutMs());
        assertEquals(Set.of(), empty.topicPartitions());
        assertEquals(OptionalLong.empty(), empty.transactionStartTimeMs());
        long before = System.currentTimeMillis();
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 1);
        TransactionDescription open = describe(topic);
        assertEquals(TransactionState.ONGOING, open.state());
        assertEquals(Set.of(new TopicPartition(topic, 0)), open.topicPartitions());
        assertEquals(empty.producerId(), open.producerId());
        assertTrue(Math.abs(open.transactionStartTimeMs().getAsLong() - before) < 10_000);
        sendNumbers(producer, topic, 1, 0, 1);
        assertEquals(Set.copyOf(partitions(topic, 2)), describe(topic).topicPartitions());
        producer.commitTransaction();
        await("the commit", () -> describe(topic).state() == TransactionState.COMPLETE_COMMIT);
        assertEquals(Set.of(), describe(topic).topicPartitions());
        transaction(producer, false, topic, 0, 1, 2);
        await("the abort", () -> describe(topic).state() == TransactionState.COMPLETE_ABORT);
    }

    @Test
    void listsAndTheirFilters() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 1);
        long id = describe(topic).producerId();
        TransactionListing expected = new TransactionListing(topic, id, TransactionState.ONGOING);
        assertEquals(expected, listed(new ListTransactionsOptions()).get(topic));
        assertEquals(Map.of(topic, expected), listed(new ListTransactionsOptions().filterProducerIds(List.of(id))));
        assertEquals(expected, listed(new ListTransactionsOptions().filterStates(List.of(TransactionState.ONGOING))).get(topic));
        assertFalse(listed(new ListTransactionsOptions().filterStates(List.of(TransactionState.EMPTY))).containsKey(topic));
        assertFalse(listed(new ListTransactionsOptions().filterProducerIds(List.of(id + 1_000_000))).containsKey(topic));
        producer.commitTransaction();
        await("the commit", () -> listed(new ListTransactionsOptions().filterStates(List.of(TransactionState.COMPLETE_COMMIT))).containsKey(topic));
    }

    @Test
    void producersOfAPartition() throws Exception {
        String topic = topic(1);
        TopicPartition at = new TopicPartition(topic, 0);
        sendNumbers(producer(), topic, 0, 0, 2);
        ProducerState plain = onlyProducer(at);
        assertEquals(1, plain.lastSequence());
        assertEquals(OptionalInt.empty(), plain.coordinatorEpoch());
        assertEquals(OptionalLong.empty(), plain.currentTransactionStartOffset());
        String other = topic(1);
        TopicPartition there = new TopicPartition(other, 0);
        KafkaProducer<byte[], byte[]> producer = transactional(other);
        producer.beginTransaction();
        sendNumbers(producer, other, 0, 0, 5);
        ProducerState open = onlyProducer(there);
        assertEquals(describe(other).producerId(), open.producerId());
        assertEquals(4, open.lastSequence());
        assertEquals(OptionalLong.of(0), open.currentTransactionStartOffset());
        producer.commitTransaction();
        await("the marker", () -> end(other, 0, COMMITTED) == 6);
        ProducerState done = onlyProducer(there);
        assertEquals(OptionalLong.empty(), done.currentTransactionStartOffset());
        assertTrue(done.coordinatorEpoch().isPresent());
        producer.beginTransaction();
        sendNumbers(producer, other, 0, 5, 6);
        assertEquals(OptionalLong.of(6), onlyProducer(there).currentTransactionStartOffset());
        producer.abortTransaction();
    }

    @Test
    void anAdministratorFencesAProducer() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 3);
        await("fencing", () -> {
            try {
                admin().fenceProducers(List.of(topic)).all().get();
                return true;
            } catch (ExecutionException e) {
                // Clients before 3.8 don't ask again when they are told that the transaction is being aborted.
                assertInstanceOf(ConcurrentTransactionsException.class, e.getCause());
                return false;
            }
        });
        assertEquals(4, end(topic, 0, COMMITTED));
        assertThrows(KafkaException.class, producer::commitTransaction);
        assertCommitted(topic, 0);
        transaction(transactional(topic), true, topic, 0, 3, 4);
        assertCommitted(topic, 0, 3);
    }

    @Test
    void anAdministratorFencesAnIdThatIsNew() throws Exception {
        String topic = topic(1);
        admin().fenceProducers(List.of(topic)).all().get();
        assertTrue(describe(topic).producerId() >= 0);
        transaction(transactional(topic), true, topic, 0, 0, 1);
        assertCommitted(topic, 0, 0);
    }

    @Test
    void anAdministratorAbortsInOnePartition() throws Exception {
        String topic = topic(1);
        TopicPartition at = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 3);
        ProducerState open = onlyProducer(at);
        assertEquals(0, end(topic, 0, COMMITTED));
        short epoch = (short) open.producerEpoch();
        int coordinator = open.coordinatorEpoch().orElse(0);
        if (epoch > 0) {
            failure(InvalidProducerEpochException.class, admin().abortTransaction(
                    new AbortTransactionSpec(at, open.producerId(), (short) (epoch - 1), coordinator)).all());
        }
        admin().abortTransaction(new AbortTransactionSpec(at, open.producerId(), epoch, coordinator)).all().get();
        await("the abort", () -> end(topic, 0, COMMITTED) == 4);
        assertEquals(OptionalLong.empty(), onlyProducer(at).currentTransactionStartOffset());
        assertCommitted(topic, 0);
    }

    @Test
    void pendingOffsetsAreNotStable() throws Exception {
        String topic = topic(2);
        TopicPartition first = new TopicPartition(topic, 0);
        TopicPartition second = new TopicPartition(topic, 1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        GroupOffsets.send(producer, Map.of(first, new OffsetAndMetadata(5)), topic);
        assertEquals(Map.of(), committed(topic));
        KafkaConsumer<byte[], byte[]> consumer = consumer("group.id", topic, "isolation.level", "read_committed");
        assertThrows(org.apache.kafka.common.errors.TimeoutException.class, () -> consumer.committed(Set.of(first), Duration.ofMillis(500)));
        assertEquals(null, consumer.committed(Set.of(second)).get(second));
        producer.commitTransaction(); // what isn't stable yet is asked for again
        assertEquals(5, consumer.committed(Set.of(first)).get(first).offset());
        assertEquals(5, admin().listConsumerGroupOffsets(topic, new ListConsumerGroupOffsetsOptions().requireStable(true))
                .partitionsToOffsetAndMetadata().get().get(first).offset());
    }

    @ParameterizedTest
    @MethodSource("protocols")
    void offsetsOfAMember(String protocol) throws Exception {
        String topic = topic(2);
        TopicPartition first = new TopicPartition(topic, 0);
        sendNumbers(producer(), topic, 0, 0, 10);
        KafkaConsumer<byte[], byte[]> member = subscribed(protocol, topic, COMMITTED);
        share(List.of(2), member);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        producer.sendOffsetsToTransaction(Map.of(first, new OffsetAndMetadata(4)), member.groupMetadata());
        producer.commitTransaction();
        await("the offset", () -> committed(topic).equals(Map.of(first, new OffsetAndMetadata(4))));
        ConsumerGroupMetadata now = member.groupMetadata();
        producer.beginTransaction();
        // A member that nobody knows; the transaction can only be aborted then.
        assertThrows(CommitFailedException.class, () -> {
            producer.sendOffsetsToTransaction(Map.of(first, new OffsetAndMetadata(6)),
                    new ConsumerGroupMetadata(topic, now.generationId(), "nobody-1234", now.groupInstanceId()));
            producer.commitTransaction();
        });
        producer.abortTransaction();
        producer.beginTransaction();
        producer.sendOffsetsToTransaction(Map.of(first, new OffsetAndMetadata(8)), member.groupMetadata());
        producer.commitTransaction();
        await("the offset", () -> committed(topic).equals(Map.of(first, new OffsetAndMetadata(8))));
    }
}

package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.FeatureMetadata;
import org.apache.kafka.clients.admin.ListTransactionsOptions;
import org.apache.kafka.clients.admin.TransactionDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.errors.InvalidRegularExpression;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Transactions, with what clients gained up to 4.3: an epoch for each (KIP-890), more filters, the end that an administrator gives. */
class NewTransactionTest extends Transactions {

    private static TransactionDescription describe(String id) throws Exception {
        return admin().describeTransactions(List.of(id)).description(id).get();
    }

    private static Set<String> listed(ListTransactionsOptions options) throws Exception {
        Set<String> found = new HashSet<>();
        admin().listTransactions(options).all().get().forEach(listing -> found.add(listing.transactionalId()));
        return found;
    }

    @Test
    void theVersionOfTransactions() throws Exception {
        FeatureMetadata features = admin().describeFeatures().featureMetadata().get();
        assertEquals(2, features.finalizedFeatures().get("transaction.version").maxVersionLevel());
        assertEquals(0, features.supportedFeatures().get("transaction.version").minVersion());
        assertEquals(2, features.supportedFeatures().get("transaction.version").maxVersion());
    }

    @Test
    void everyTransactionHasAnEpochOfItsOwn() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        int first = describe(topic).producerEpoch();
        for (int i = 0; i < 4; i++) {
            transaction(producer, i % 2 == 0, topic, 0, i, i + 1);
            int expected = first + i + 1;
            await("the next epoch", () -> describe(topic).producerEpoch() == expected);
        }
        assertCommitted(topic, 0, 0, 2);
    }

    @Test
    void listsByDurationAndPattern() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic + "-one");
        transactional(topic + "-two");
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 1);
        assertTrue(listed(new ListTransactionsOptions().filterOnDuration(0)).contains(topic + "-one"));
        Set<String> veryLong = listed(new ListTransactionsOptions().filterOnDuration(3_600_000));
        assertFalse(veryLong.contains(topic + "-one"));
        assertTrue(veryLong.contains(topic + "-two"), "one that never began has begun in 1970");
        await("half a second", () -> listed(new ListTransactionsOptions().filterOnDuration(500)).contains(topic + "-one"));
        assertEquals(Set.of(topic + "-one", topic + "-two"), listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(topic + ".*")));
        assertEquals(Set.of(topic + "-two"), listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(topic + "-t.+")));
        assertEquals(Set.of(), listed(new ListTransactionsOptions().filterOnTransactionalIdPattern(topic)), "the whole id has to match");
        ExecutionException refused = assertThrows(ExecutionException.class,
                () -> listed(new ListTransactionsOptions().filterOnTransactionalIdPattern("(unclosed")));
        assertEquals(InvalidRegularExpression.class, refused.getCause().getClass());
    }

    @Test
    void anAdministratorEndsATransaction() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic);
        producer.beginTransaction();
        sendNumbers(producer, topic, 0, 0, 3);
        admin().forceTerminateTransaction(topic).result().get();
        await("the abort", () -> end(topic, 0, COMMITTED) == 4);
        assertThrows(KafkaException.class, producer::commitTransaction);
        assertCommitted(topic, 0);
    }

    @ParameterizedTest
    @ValueSource(strings = {"zstd"})
    void aCodecThatOlderClientsLack(String codec) throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = transactional(topic, "compression.type", codec);
        transaction(producer, false, topic, 0, 0, 200);
        transaction(producer, true, topic, 0, 200, 400);
        assertCommitted(topic, 0, range(200, 400));
    }
}

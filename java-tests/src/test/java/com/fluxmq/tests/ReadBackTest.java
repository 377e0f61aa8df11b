package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.Test;

/** The benchmarks' reading back notices what it is there to notice. */
class ReadBackTest extends BrokerTest {
    private static final long RUN = 42;
    private static final int BYTES = 100;
    private static final int PARTITIONS = 3;

    private final KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "5");
    private final Payload payload = new Payload(RUN, BYTES);

    private Future<?> put(String topic, int partition, byte[] value) {
        return producer.send(new ProducerRecord<>(topic, partition, null, value.clone()));
    }

    /** Two threads' records 0 to 99, but for one. */
    private String topicWithout(int thread, long sequence) throws Exception {
        String topic = topic(PARTITIONS);
        for (int t = 0; t < 2; t++) {
            for (long s = 0; s < 100; s++) {
                if (t != thread || s != sequence) {
                    put(topic, (int) s % PARTITIONS, payload.build(t, s));
                }
            }
        }
        producer.flush();
        return topic;
    }

    private ReadBack.Account account(String topic) throws Exception {
        producer.flush();
        Settings settings = new Settings("test", BOOTSTRAP, 2, 200, 0, BYTES, PARTITIONS, 1, 0, 20_000, false, null, 0, false, 0, Map.of());
        List<TopicPartition> partitions = partitions(topic, PARTITIONS);
        Map<TopicPartition, Long> from = new HashMap<>();
        partitions.forEach(p -> from.put(p, 0L));
        return new ReadBack(settings, RUN, new long[] {100, 100}).run(from, consumer().endOffsets(partitions));
    }

    @Test
    void aWholeRunIsWhole() throws Exception {
        ReadBack.Account account = account(topicWithout(-1, -1));
        assertTrue(account.isWhole(), account.toString());
        assertEquals(200, account.read());
    }

    @Test
    void aMissingRecord() throws Exception {
        ReadBack.Account account = account(topicWithout(1, 99));
        assertEquals(1, account.missing());
        assertFalse(account.isWhole());
        assertTrue(account.isUnchanged());
    }

    @Test
    void aDuplicateInTheSameAndInAnotherPartition() throws Exception {
        String topic = topicWithout(-1, -1);
        put(topic, 99 % PARTITIONS, payload.build(0, 99));
        put(topic, (98 + 1) % PARTITIONS, payload.build(0, 98));
        ReadBack.Account account = account(topic);
        assertEquals(2, account.duplicated());
        assertEquals(0, account.missing());
        assertFalse(account.isUnchanged());
    }

    @Test
    void aChangedByte() throws Exception {
        for (int at : new int[] {0, 8, 12, 19, 20, 24, 99}) {
            String topic = topicWithout(0, 5);
            byte[] value = payload.build(0, 5).clone();
            value[at] ^= 1;
            put(topic, 0, value);
            ReadBack.Account account = account(topic);
            assertEquals(1, account.changed(), "byte " + at);
            assertEquals(1, account.missing(), "byte " + at);
            assertFalse(account.isUnchanged());
        }
    }

    @Test
    void shorterLongerEmptyNullOrForeign() throws Exception {
        String topic = topicWithout(-1, -1);
        put(topic, 0, Arrays.copyOf(payload.build(0, 5), BYTES - 1));
        put(topic, 0, Arrays.copyOf(payload.build(0, 5), BYTES + 1));
        put(topic, 0, new byte[0]);
        producer.send(new ProducerRecord<>(topic, 0, null, null));
        put(topic, 0, new Payload(RUN + 1, BYTES).build(0, 5));
        put(topic, 0, payload.build(0, 100));
        put(topic, 0, payload.build(2, 0));
        ReadBack.Account account = account(topic);
        assertEquals(7, account.changed());
        assertEquals(0, account.missing());
        assertEquals(0, account.duplicated());
    }

    @Test
    void anEarlierRecordBehindALaterOne() throws Exception {
        String topic = topicWithout(0, 3);
        put(topic, 0, payload.build(0, 3));
        ReadBack.Account account = account(topic);
        assertEquals(1, account.outOfOrder());
        assertEquals(0, account.missing());
        assertFalse(account.isWhole());
    }
}

package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.NoOffsetForPartitionException;
import org.junit.jupiter.api.Test;

/** A consumer that names no group and seeks nowhere. Before 2.2 it asked the coordinator of the group named "" first. */
class NoGroupTest extends BrokerTest {

    @Test
    void noPositionIsAnErrorWithoutAReset() throws Exception {
        KafkaConsumer<byte[], byte[]> consumer = consumer("auto.offset.reset", "none");
        consumer.assign(partitions(topic(1), 1));
        assertThrows(NoOffsetForPartitionException.class, () -> consumer.poll(PATIENCE));
    }

    @Test
    void theResetGivesThePosition() throws Exception {
        String topic = topic(1);
        sendNumbers(producer(), topic, 0, 0, 3);
        KafkaConsumer<byte[], byte[]> consumer = consumer("auto.offset.reset", "earliest");
        consumer.assign(partitions(topic, 1));
        assertEquals(0, number(read(consumer, 3).get(0)));
    }
}

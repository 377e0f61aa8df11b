package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.junit.jupiter.api.Test;

/** What the client makes of MESSAGE_TOO_LARGE. Clients up to 3.6 send the same batch again until they give up. */
class BatchSplitTest extends BrokerTest {

    /** The batch is split, and its parts are sent in order. */
    @Test
    void aBatchAboveTheLimitIsSplitByTheClient() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer =
                producer("max.request.size", "5000000", "batch.size", "4000000", "linger.ms", "1000");
        List<Future<RecordMetadata>> futures = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            futures.add(producer.send(new ProducerRecord<>(topic, 0, null, noise(i, 30_000))));
        }
        producer.flush();
        List<ConsumerRecord<byte[], byte[]>> back = readAll(topic, 1, 100);
        for (int i = 0; i < 100; i++) {
            assertEquals(i, futures.get(i).get().offset());
            assertSameBytes(noise(i, 30_000), back.get(i).value(), "value " + i);
        }
    }
}

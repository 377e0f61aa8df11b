package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.junit.jupiter.api.Test;

/** What clients gained up to 4.3: pages of DescribeTopicPartitions (KIP-966), offsets of tiers, resets by duration (KIP-1106), errors of their own. */
class NewerClientTest extends BrokerTest {

    @Test
    void descriptionsComeInPages() throws Exception {
        String large = topic(25);
        String small = topic(3);
        Map<String, TopicDescription> found = admin().describeTopics(List.of(large, small),
                new DescribeTopicsOptions().partitionSizeLimitPerResponse(4)).allTopicNames().get();
        assertEquals(25, found.get(large).partitions().size());
        assertEquals(3, found.get(small).partitions().size());
        for (int p = 0; p < 25; p++) {
            assertEquals(p, found.get(large).partitions().get(p).partition());
            assertEquals(1, found.get(large).partitions().get(p).isr().size());
            assertTrue(found.get(large).partitions().get(p).elr() == null
                    || found.get(large).partitions().get(p).elr().isEmpty());
        }
        failure(UnknownTopicOrPartitionException.class, admin().describeTopics(List.of(name(), small)).allTopicNames());
    }

    @Test
    void aNodeWithoutTiers() throws Exception {
        String topic = topic(1);
        TopicPartition partition = new TopicPartition(topic, 0);
        sendNumbers(producer(), topic, 0, 0, 10);
        ListOffsetsResultInfo local = admin().listOffsets(Map.of(partition, OffsetSpec.earliestLocal()))
                .partitionResult(partition).get();
        assertEquals(0, local.offset());
        ListOffsetsResultInfo tiered = admin().listOffsets(Map.of(partition, OffsetSpec.latestTiered()))
                .partitionResult(partition).get();
        assertEquals(-1, tiered.offset());
    }

    @Test
    void aResetByDuration() throws Exception {
        String topic = topic(1);
        KafkaProducer<byte[], byte[]> producer = producer();
        long now = System.currentTimeMillis();
        for (int i = 0; i < 10; i++) {
            long timestamp = now - Duration.ofHours(10 - i).toMillis();
            producer.send(new ProducerRecord<>(topic, 0, timestamp, null, text(Integer.toString(i)))).get();
        }
        KafkaConsumer<byte[], byte[]> consumer = consumer("auto.offset.reset", "by_duration:PT3H30M");
        consumer.assign(partitions(topic, 1));
        assertEquals(7, number(read(consumer, 3).get(0)));
    }

    @Test
    void anUnknownTopicIdHasItsOwnError() {
        failure(UnknownTopicIdException.class,
                admin().describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds());
    }
}

package com.fluxmq.tests;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.admin.TopicListing;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicPartitionInfo;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords and the descriptions of topics. */
class AdminTopicsTest extends BrokerTest {

    private static CreateTopicsResult create(NewTopic topic) {
        return admin().createTopics(List.of(topic));
    }

    private int node() throws Exception {
        return admin().describeCluster().nodes().get().iterator().next().id();
    }

    private static TopicDescription describe(String topic) throws Exception {
        return admin().describeTopics(List.of(topic)).allTopicNames().get().get(topic);
    }

    private static Set<String> names() throws Exception {
        return admin().listTopics().names().get();
    }

    @Test
    void aNewTopicIsDescribedAsItWasOrdered() throws Exception {
        String topic = name();
        CreateTopicsResult result = create(new NewTopic(topic, 3, (short) 1)
                .configs(Map.of("retention.ms", "123456", "cleanup.policy", "delete")));
        result.all().get();
        assertEquals(3, result.numPartitions(topic).get());
        assertEquals(1, result.replicationFactor(topic).get());
        Uuid id = result.topicId(topic).get();
        assertNotEquals(Uuid.ZERO_UUID, id);
        Config config = result.config(topic).get();
        assertEquals("123456", config.get("retention.ms").value());
        assertEquals(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, config.get("retention.ms").source());
        assertEquals("1048588", config.get("max.message.bytes").value());
        assertEquals(ConfigEntry.ConfigSource.DEFAULT_CONFIG, config.get("max.message.bytes").source());

        awaitTopic(topic, 3);
        TopicDescription description = describe(topic);
        assertEquals(topic, description.name());
        assertEquals(id, description.topicId());
        assertFalse(description.isInternal());
        assertEquals(3, description.partitions().size());
        for (int p = 0; p < 3; p++) {
            TopicPartitionInfo partition = description.partitions().get(p);
            assertEquals(p, partition.partition());
            assertEquals(node(), partition.leader().id());
            assertEquals(1, partition.replicas().size());
            assertEquals(1, partition.isr().size());
        }
    }

    @Test
    void partitionsAndReplicasHaveDefaults() throws Exception {
        String topic = name();
        CreateTopicsResult result = create(new NewTopic(topic, Optional.empty(), Optional.empty()));
        assertEquals(1, result.numPartitions(topic).get());
        assertEquals(1, result.replicationFactor(topic).get());
    }

    @Test
    void validateOnlyCreatesNothing() throws Exception {
        String topic = name();
        CreateTopicsResult result = admin().createTopics(List.of(new NewTopic(topic, 5, (short) 1)),
                new CreateTopicsOptions().validateOnly(true));
        assertEquals(5, result.numPartitions(topic).get());
        assertFalse(names().contains(topic));
        failure(InvalidPartitionsException.class, admin().createTopics(List.of(new NewTopic(topic, 0, (short) 1)),
                new CreateTopicsOptions().validateOnly(true)).all());
        String existing = topic(1);
        failure(TopicExistsException.class, admin().createTopics(List.of(new NewTopic(existing, 1, (short) 1)),
                new CreateTopicsOptions().validateOnly(true)).all());
    }

    @Test
    void oneBadTopicDoesNotSpoilTheOthers() throws Exception {
        String good = name();
        String existing = topic(1);
        Map<String, ? extends Future<Void>> results = admin().createTopics(List.of(new NewTopic(good, 2, (short) 1),
                new NewTopic(existing, 1, (short) 1), new NewTopic("in valid", 1, (short) 1))).values();
        results.get(good).get();
        failure(TopicExistsException.class, results.get(existing));
        failure(InvalidTopicException.class, results.get("in valid"));
        awaitTopic(good, 2);
    }

    @ParameterizedTest
    @ValueSource(strings = {".", "..", "a/b", "sp ace", "star*", "größe"})
    void anInvalidNameIsRefused(String name) {
        failure(InvalidTopicException.class, create(new NewTopic(name, 1, (short) 1)).all());
    }

    @Test
    void namesHaveALongestLength() throws Exception {
        String name = name();
        String longest = name + "x".repeat(249 - name.length());
        deleteLater(List.of(longest));
        failure(InvalidTopicException.class, create(new NewTopic(longest + "x", 1, (short) 1)).all());
        create(new NewTopic(longest, 1, (short) 1)).all().get();
        awaitTopic(longest, 1);
        send(producer(), longest, text("x"));
        assertEquals(1, readAll(longest, 1, 1).size());
    }

    /** Metric names hold underscores for dots, so names that differ in nothing else collide. */
    @Test
    void dotsAndUnderscoresCollide() throws Exception {
        String name = name();
        String dots = name + ".a.b";
        deleteLater(List.of(dots));
        create(new NewTopic(dots, 1, (short) 1)).all().get();
        failure(InvalidTopicException.class, create(new NewTopic(name + "_a.b", 1, (short) 1)).all());
        failure(InvalidTopicException.class, create(new NewTopic(name + ".a_b", 1, (short) 1)).all());
    }

    @ParameterizedTest
    @ValueSource(ints = {0, -2})
    void theNumberOfPartitionsIsPositive(int partitions) {
        failure(InvalidPartitionsException.class, create(new NewTopic(name(), partitions, (short) 1)).all());
    }

    @ParameterizedTest
    @ValueSource(shorts = {0, -2, 2, 3})
    void oneNodeHoldsOneReplica(short replicas) {
        failure(InvalidReplicationFactorException.class, create(new NewTopic(name(), 1, replicas)).all());
    }

    @ParameterizedTest
    @CsvSource({"retention.ms,soon", "retention.ms,-2", "cleanup.policy,shred", "compression.type,brotli",
        "segment.bytes,0", "message.timestamp.type,Never", "min.insync.replicas,0", "max.message.bytes,-1"})
    void aBadConfigIsRefused(String key, String value) {
        failure(InvalidConfigurationException.class,
                create(new NewTopic(name(), 1, (short) 1).configs(Map.of(key, value))).all());
    }

    @Test
    void anUnknownConfigIsRefused() {
        failure(InvalidConfigurationException.class,
                create(new NewTopic(name(), 1, (short) 1).configs(Map.of("retention.parsecs", "12"))).all());
    }

    @Test
    void replicasMayBeAssignedByHand() throws Exception {
        int node = node();
        String topic = name();
        create(new NewTopic(topic, Map.of(0, List.of(node), 1, List.of(node)))).all().get();
        awaitTopic(topic, 2);
        failure(InvalidReplicaAssignmentException.class, create(new NewTopic(name(), Map.of(0, List.of(node + 99)))).all());
        failure(InvalidReplicaAssignmentException.class, create(new NewTopic(name(), Map.of(1, List.of(node)))).all());
        failure(InvalidReplicaAssignmentException.class,
                create(new NewTopic(name(), Map.of(0, List.of(node, node)))).all());
        failure(InvalidReplicaAssignmentException.class, create(new NewTopic(name(), Map.of(0, List.of()))).all());
    }

    @Test
    void aDeletedTopicIsGone() throws Exception {
        String topic = topic(2);
        send(producer(), topic, text("x"));
        admin().deleteTopics(List.of(topic)).all().get();
        await("the deletion", () -> !names().contains(topic));
        failure(UnknownTopicOrPartitionException.class, admin().describeTopics(List.of(topic)).allTopicNames());
        failure(UnknownTopicOrPartitionException.class, admin().deleteTopics(List.of(topic)).all());
    }

    @Test
    void aTopicIsDeletedByItsId() throws Exception {
        String topic = topic(1);
        Uuid id = describe(topic).topicId();
        admin().deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
        await("the deletion", () -> !names().contains(topic));
        failure(UnknownTopicIdException.class, admin().deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all());
    }

    @Test
    void aNameMayBeUsedAgain() throws Exception {
        String topic = topic(1);
        Uuid before = describe(topic).topicId();
        KafkaProducer<byte[], byte[]> producer = producer();
        sendNumbers(producer, topic, 0, 0, 10);
        admin().deleteTopics(List.of(topic)).all().get();
        await("the deletion", () -> !names().contains(topic));
        create(new NewTopic(topic, 2, (short) 1)).all().get();
        awaitTopic(topic, 2);
        assertNotEquals(before, describe(topic).topicId());
        assertEquals(0, send(producer(), topic, text("7")));
        assertEquals(7, number(readAll(topic, 2, 1).get(0)));
    }

    @Test
    void descriptionsById() throws Exception {
        String topic = topic(2);
        Uuid id = describe(topic).topicId();
        TopicDescription description =
                admin().describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id);
        assertEquals(topic, description.name());
        assertEquals(2, description.partitions().size());
    }

    @Test
    void descriptionsOfManyPartitions() throws Exception {
        String large = topic(250);
        String small = topic(1);
        Map<String, TopicDescription> found = admin().describeTopics(List.of(large, small),
                new DescribeTopicsOptions().includeAuthorizedOperations(false)).allTopicNames().get();
        assertEquals(250, found.get(large).partitions().size());
        assertEquals(249, found.get(large).partitions().get(249).partition());
        assertEquals(1, found.get(small).partitions().size());
    }

    @Test
    void listingsCarryIds() throws Exception {
        String topic = topic(1);
        TopicListing listing = admin().listTopics().namesToListings().get().get(topic);
        assertEquals(describe(topic).topicId(), listing.topicId());
        assertFalse(listing.isInternal());
    }

    @Test
    void partitionsAreAdded() throws Exception {
        String topic = topic(2);
        KafkaProducer<byte[], byte[]> producer = producer("metadata.max.age.ms", "300");
        sendNumbers(producer, topic, 1, 0, 5);
        admin().createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get();
        awaitTopic(topic, 4);
        sendNumbers(producer, topic, 3, 5, 10);
        KafkaConsumer<byte[], byte[]> consumer = consumer();
        assertEquals(List.of(0L, 5L, 0L, 5L), partitions(topic, 4).stream()
                .map(p -> consumer.endOffsets(List.of(p)).get(p)).toList());

        admin().createPartitions(Map.of(topic, NewPartitions.increaseTo(5, List.of(List.of(node()))))).all().get();
        awaitTopic(topic, 5);
    }

    @Test
    void partitionsAreNotAddedWrongly() throws Exception {
        String topic = topic(3);
        int node = node();
        failure(InvalidPartitionsException.class, add(topic, NewPartitions.increaseTo(2)));
        failure(InvalidPartitionsException.class, add(topic, NewPartitions.increaseTo(3)));
        failure(InvalidPartitionsException.class, add(topic, NewPartitions.increaseTo(0)));
        failure(InvalidReplicaAssignmentException.class, add(topic, NewPartitions.increaseTo(4, List.of(List.of(node + 99)))));
        failure(InvalidReplicaAssignmentException.class,
                add(topic, NewPartitions.increaseTo(5, List.of(List.of(node)))));
        failure(UnknownTopicOrPartitionException.class, add(name(), NewPartitions.increaseTo(4)));
        admin().createPartitions(Map.of(topic, NewPartitions.increaseTo(9)),
                new CreatePartitionsOptions().validateOnly(true)).all().get();
        assertEquals(3, describe(topic).partitions().size());
    }

    private static Future<Void> add(String topic, NewPartitions partitions) {
        return admin().createPartitions(Map.of(topic, partitions)).all();
    }

    @Test
    void deletedRecordsAreGone() throws Exception {
        String topic = topic(2);
        TopicPartition partition = new TopicPartition(topic, 0);
        KafkaProducer<byte[], byte[]> producer = producer("linger.ms", "0");
        sendNumbers(producer, topic, 0, 0, 100);
        sendNumbers(producer, topic, 1, 0, 10);
        assertEquals(40, delete(partition, 40));
        KafkaConsumer<byte[], byte[]> consumer = consumer();
        assertEquals(40, consumer.beginningOffsets(List.of(partition)).get(partition));
        assertEquals(100, consumer.endOffsets(List.of(partition)).get(partition));
        consumer.assign(List.of(partition));
        consumer.seek(partition, 10);
        List<ConsumerRecord<byte[], byte[]>> back = read(consumer, 60);
        assertEquals(40, number(back.get(0)), "out of range was reset to the new beginning");

        assertEquals(40, delete(partition, 20), "the beginning never moves back");
        assertEquals(100, delete(partition, -1), "-1 is the high watermark");
        assertEquals(100, consumer.beginningOffsets(List.of(partition)).get(partition));
        assertEquals(100, send(producer, topic, text("7")));
        assertEquals(0, consumer.beginningOffsets(List.of(new TopicPartition(topic, 1))).get(new TopicPartition(topic, 1)));
    }

    @Test
    void recordsAreNotDeletedWrongly() throws Exception {
        String topic = topic(1);
        sendNumbers(producer(), topic, 0, 0, 10);
        TopicPartition partition = new TopicPartition(topic, 0);
        failure(OffsetOutOfRangeException.class,
                admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(11))).all());
        failure(OffsetOutOfRangeException.class,
                admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-2))).all());
        assertEquals(0, consumer().beginningOffsets(List.of(partition)).get(partition));
    }

    private static long delete(TopicPartition partition, long before) throws Exception {
        return admin().deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(before)))
                .lowWatermarks().get(partition).get().lowWatermark();
    }

    @Test
    void aConsumerMayForbidAutoCreation() throws Exception {
        String topic = name();
        KafkaConsumer<byte[], byte[]> consumer = consumer("allow.auto.create.topics", "false");
        consumer.assign(partitions(topic, 1));
        consumer.poll(Duration.ofMillis(1_000));
        assertFalse(names().contains(topic));
        failure(UnknownTopicOrPartitionException.class, admin().describeTopics(List.of(topic)).allTopicNames());
        assertFalse(names().contains(topic), "asking about a topic does not create it");
    }

    @Test
    void aThousandTopics() throws Exception {
        String prefix = name();
        List<NewTopic> topics = new ArrayList<>();
        for (int i = 0; i < 1_000; i++) {
            topics.add(new NewTopic(prefix + "-" + i, 1, (short) 1));
        }
        Collection<String> names = topics.stream().map(NewTopic::name).toList();
        try {
            admin().createTopics(topics).all().get();
            await("a thousand topics", () -> names().containsAll(names));
            assertEquals(1_000, admin().describeTopics(names).allTopicNames().get().size());
            KafkaConsumer<byte[], byte[]> consumer = consumer();
            assertTrue(consumer.listTopics().keySet().containsAll(names));
            List<TopicPartition> all = names.stream().map(n -> new TopicPartition(n, 0)).toList();
            await("a thousand leaders", () -> consumer.endOffsets(all, PATIENCE).size() == 1_000);
            consumer.assign(all);
            consumer.seekToBeginning(all);
            KafkaProducer<byte[], byte[]> producer = producer();
            for (int i = 0; i < 1_000; i += 7) {
                producer.send(new ProducerRecord<>(prefix + "-" + i, 0, null, text("x")));
            }
            producer.flush();
            Set<String> got = new HashSet<>();
            read(consumer, 143).forEach(r -> got.add(r.topic()));
            assertEquals(143, got.size());
        } finally {
            admin().deleteTopics(names).all().get();
        }
    }
}
